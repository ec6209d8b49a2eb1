"""A sweep of small trials, and how to compare what two ways of running it have left behind."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

PLUGINS = Path(__file__).parent.parent / "plugins"

KILLS = int(os.environ.get("SOAK_KILLS", "0"))
"""SIGKILLs of each kind of sweep: 200 by `nox -s soak`; tests/test_resume.py has a few always."""

SUITE = f"""
    from bench.suites import DIGITS_ABLATION, Shift, Suite

    SUITE = Suite(
        "tiny-ablation",
        "Table 3 of the paper, on bars.",
        (Shift("bright2dark", "{PLUGINS}/toy_domain.py:BrightBars",
               "{PLUGINS}/toy_domain.py:DarkBars", size=16),),
        DIGITS_ABLATION.entries,
    )
"""

TRIALS = 14
"""Seven rows of Table 3, two seeds."""


def arguments(folder: Path, runs: Path) -> list[str]:
    """Return the words after `bench` that run the sweep."""
    suite = folder / "suite.py"
    if not suite.exists():
        suite.write_text(textwrap.dedent(SUITE))
    words = ["run", "--suite", f"{suite}:SUITE", "--preset", "smoke", "--seeds", "2"]
    return [*words, "--threads", "1", "--runs", str(runs)]


def matrices(runs: Path) -> dict[str, dict[str, list[Any]]]:
    """Return every confusion matrix of every run."""
    found = {}
    for path in runs.glob("*/confusion.npz"):
        with np.load(path) as file:
            found[path.parent.name] = {name: file[name].tolist() for name in file.files}
    return found


def finished(runs: Path) -> dict[Path, tuple[int, int]]:
    """Return what is finished, runs and stages, and what changes if one is made again."""
    done = [p for p in runs.glob("*/run.json") if json.loads(p.read_text())["status"] == "done"]
    marks = {path: path.stat() for path in (*done, *runs.glob("stages/*/stage.json"))}
    return {path: (mark.st_ino, mark.st_mtime_ns) for path, mark in marks.items()}


def attempts(runs: Path) -> int:
    """Return how often trials were begun."""
    return sum(json.loads(path.read_text())["attempts"] for path in runs.glob("*/run.json"))


def begun(runs: Path, since: int) -> bool:
    """Say whether a run's record was written since then, in nanoseconds."""
    return any(path.stat().st_mtime_ns > since for path in runs.glob("*/run.json"))
