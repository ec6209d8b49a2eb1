"""What `bench.compare` is made of: two sides, whether they are alike, the verdict in words."""
