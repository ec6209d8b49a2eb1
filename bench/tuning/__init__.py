"""What `bench.tune` is made of: spaces, studies, trials, and what came of them."""
