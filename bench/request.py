"""What ``bench run`` was asked to do, as plain data: importing this loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError

DEFAULT_SEEDS = 3
DEFAULT_RUNS = Path("runs")

MOST_SEEDS = 10_000
"""That a count may ask for; a list may name any."""

SEED_DIGITS = 18
"""So that a seed is a whole number wherever it is read again: below 2^63."""


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
        jobs: trials side by side, in processes of this machine.
        executor: "serial", "processes" or "ray"; None for what `jobs` needs.
        address: of a Ray cluster; None for one of this machine's own.
        gpus: GPUs of a trial on a Ray cluster, or a share of one; None for one if there are any.
        command: names the command that the trials belong to, in their claims.
        precision: of the arithmetic while training, "32" or "bf16".
        compile: whether networks are compiled by torch.compile to train.
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
    jobs: int = 1
    executor: str | None = None
    address: str | None = None
    gpus: float | None = None
    command: str = ""
    precision: str = "32"
    compile: bool = False


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read ``--seeds``: one number counts seeds from 0, a list names them.

    >>> parse_seeds("3"), parse_seeds("0,3,7"), parse_seeds("7,")
    ((0, 1, 2), (0, 3, 7), (7,))

    Raises:
        BenchError: it is neither, there would be no seed at all, or too many.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        message = f"--seeds must be a count (5) or a list (0,3,7), but got '{text}'."
        raise BenchError(message)
    if max(map(len, parts)) > SEED_DIGITS:
        message = f"--seeds takes numbers of at most {SEED_DIGITS} digits, but got '{text}'."
        raise BenchError(message)
    numbers = [int(part) for part in parts]
    if "," in text:
        return tuple(dict.fromkeys(numbers))
    if numbers[0] == 0:
        message = (
            "--seeds 0 asks for no seed; give a count of at least 1, or '0,' for seed 0 alone."
        )
        raise BenchError(message)
    if numbers[0] > MOST_SEEDS:
        message = f"--seeds {text} asks for more than {MOST_SEEDS:,} seeds. A list may name any."
        raise BenchError(message)
    return tuple(range(numbers[0]))
