"""How long the command line takes to answer: ``bench --help`` and ``bench list methods``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT = 0.5
"""Seconds within which a prompt should come back."""


def main() -> int:
    """Time whole processes, print a table, and fail if a median is over the limit."""
    slow = 0
    print("| command | min | median | max | limit |\n| :-- | --: | --: | --: | --: |")
    for arguments in (["--help"], ["run", "--help"], ["list", "methods"], ["list", "suites"]):
        command = [sys.executable, "-m", "bench", *arguments]
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        median = statistics.median(times)
        slow += median > LIMIT
        figures = f"{min(times):.2f} s | {median:.2f} s | {max(times):.2f} s | {LIMIT} s"
        print(f"| bench {' '.join(arguments)} | {figures} |")
    return slow


if __name__ == "__main__":
    sys.exit(main())
