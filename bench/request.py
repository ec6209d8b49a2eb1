"""What ``bench run`` was asked to do, as plain data: importing this loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError

DEFAULT_SEEDS = 3
DEFAULT_RUNS = Path("runs")


@dataclass(frozen=True)
class Request:
    """One command's worth of trials: every chosen method on every chosen shift with every seed.

    Attributes:
        suite: name of a suite, or ``path/to/file.py:NAME``.
        methods: names or ``path/to/file.py:Class``; empty for all of the suite.
        shifts: names; empty for all of the suite.
        seeds: what to repeat every trial with.
        preset: "paper", "fast" or "smoke".
        settings: ``key=value`` texts; later ones win.
        params: files that ``bench tune`` wrote; each applies to its method's row
            that has no settings of the suite's own.
        backbone: task network; None for the shift's own.
        weights: the network's initial weights: "random", "imagenet", or a path to a file of them.
        rule: which checkpoint the tables report.
        device: "auto", "cpu", "cuda" or "mps".
        threads: CPU threads of a trial; None for torch's own choice.
        data: folder with the domains' files.
        cache: folder where large images are kept decoded; None reads their files each time.
        runs: folder with the results.
        out: folder for the leaderboard; None for the runs folder.
        offline: fetch nothing.
        skip_missing: run what there is data for, and say what was left out.
        budget: training steps that a trial may take, over all its stages; None for the default.
        log: a logger that is handed every trial's numbers, too; None for none.
    """

    suite: str = "mini"
    methods: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()
    seeds: tuple[int, ...] = tuple(range(DEFAULT_SEEDS))
    preset: str = "fast"
    settings: tuple[str, ...] = ()
    params: tuple[Path, ...] = ()
    backbone: str | None = None
    weights: str = "random"
    rule: str = "last"
    device: str = "auto"
    threads: int | None = None
    data: Path = Path("data")
    cache: Path | None = None
    runs: Path = DEFAULT_RUNS
    out: Path | None = None
    offline: bool = False
    skip_missing: bool = False
    budget: int | None = None
    log: str | None = None


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read ``--seeds``: one number counts seeds from 0, a list names them.

    >>> parse_seeds("3"), parse_seeds("0,3,7"), parse_seeds("7,")
    ((0, 1, 2), (0, 3, 7), (7,))

    Raises:
        BenchError: it is neither, or there would be no seed at all.
    """
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit()]
    if len(numbers) != len([part for part in parts if part]) or not numbers:
        message = f"--seeds must be a count (5) or a list (0,3,7), but got '{text}'."
        raise BenchError(message)
    if "," in text:
        return tuple(dict.fromkeys(numbers))
    if numbers[0] == 0:
        message = (
            "--seeds 0 asks for no seed; give a count of at least 1, or '0,' for seed 0 alone."
        )
        raise BenchError(message)
    return tuple(range(numbers[0]))
