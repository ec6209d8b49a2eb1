"""Domains (one file each), and how two of them become a task."""
