"""Street scenes made of nothing but numbers, in two renderings."""
