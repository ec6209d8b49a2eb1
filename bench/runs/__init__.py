"""Looking after a runs folder: what comes in, what leaves, what is there, and how to make it again."""
