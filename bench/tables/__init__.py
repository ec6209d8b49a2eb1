"""What `bench.leaderboard` is made of: rows, cells, layout, and the formats they are written in."""
