"""Street scenes out of nothing but numbers, seen in two ways, in the folder layouts of two data sets."""
