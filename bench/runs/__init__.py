"""Looking after a runs folder: what comes in, what leaves, and how to make a run again."""
