"""Data, shipped with the package: published figures (`published/`) and our records."""
