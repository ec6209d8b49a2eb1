"""Comparisons of every two methods of a suite, for the page's reader to choose from."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bench.compare import compare
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bench.suites import Suite
    from bench.tables.row import Row

MOST = 12
"""Methods up to which all pairs are compared: 66 comparisons."""


@dataclass(frozen=True)
class Contest:
    """Methods that ran under one preset, and what each two of them differ by.

    Attributes:
        title: suite, preset and rule.
        names: of the methods, as in the leaderboards.
        results: for each two, in the order of `itertools.combinations`, what
            `bench.compare.Comparison.as_dict` returns, or {"error": why there is none}; empty if
            there are too many methods.
        command: the command that compares any two of them.
    """

    title: str
    names: list[str]
    results: list[dict[str, Any]]
    command: str


def contests(
    frame: pd.DataFrame, spec: str, suite: Suite, rule: str, rows: Sequence[Row]
) -> list[Contest]:
    """Return a contest for each preset under which two methods or more ran.

    Args:
        frame: the runs.
        spec: the suite as in ``--suite``.
        suite: the suite.
        rule: the selection rule.
        rows: of its leaderboard under that rule.
    """
    by_preset: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.rule is not None:
            by_preset.setdefault(row.preset or "", {}).setdefault(row.label, row.method)
    found = []
    for preset, methods in by_preset.items():
        names = list(methods)
        if len(names) > 1:
            condition = f":preset={preset}" if len(by_preset) > 1 else ""
            results = [
                _compared(
                    # An unreadable record has no method, and counts all the same.
                    frame[frame["method"].isin([methods[a], methods[b]]) | frame["method"].isna()],
                    *(suite, a + condition, b + condition, rule),
                )
                for a, b in (combinations(names, 2) if len(names) <= MOST else ())
            ]
            words = ["bench", "compare", names[0] + condition, names[1] + condition]
            command = shlex.join([*words, "--suite", spec, "--select", rule])
            title = f"{suite.name}, preset {preset}, rule {rule}"
            found.append(Contest(title, names, results, command))
    return found


def _compared(frame: pd.DataFrame, suite: Suite, a: str, b: str, rule: str) -> dict[str, Any]:
    try:
        return compare(frame, suite, a, b, rule).as_dict()
    except BenchError as error:
        return {"error": str(error)}
