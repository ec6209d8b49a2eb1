"""Say at the end how many inputs were tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from near_misses import TRIED

if TYPE_CHECKING:
    import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line that can be quoted."""
    if TRIED:
        listed = ", ".join(f"{subject} {count:,}" for subject, count in sorted(TRIED.items()))
        terminalreporter.write_line(f"fuzz: {TRIED.total():,} inputs tried: {listed}")
