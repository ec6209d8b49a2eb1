"""The subcommands of ``bench``: each parses, makes one call, and prints."""
