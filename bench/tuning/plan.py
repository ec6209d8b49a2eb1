"""What a study is asked, and what it has found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optuna.distributions import BaseDistribution

    from bench.params_file import Params
    from bench.select import Rule
    from bench.suites import Shift
    from bench.trials import Row
    from bench.tuning.tried import Tried


@dataclass(frozen=True)
class Search:
    """How to search.

    Attributes:
        trials: sets of hyperparameters to try, those of an earlier command included.
        space: a file with ranges; None for what the method declares.
        storage: a database URL or ``journal:FILE``; None for SQLite in the study's folder.
        study: the study's name; None makes one of what is asked.
        prune: whether to stop hopeless trials while they run.
    """

    trials: int = 20
    space: Path | None = None
    storage: str | None = None
    study: str | None = None
    prune: bool = True


@dataclass(frozen=True)
class Plan:
    """A study that can begin: all names are objects, all values are checked.

    Attributes:
        row: the method.
        shifts: what to tune on.
        rule: what judges.
        space: Optuna's distribution of every hyperparameter that is searched.
        start: the preset's own values of these; they, or the nearest in range, are tried first.
        asked: all that makes its trials comparable, as plain data.
        name: the study's.
    """

    row: Row
    shifts: list[Shift]
    rule: Rule
    space: dict[str, BaseDistribution]
    start: dict[str, Any]
    asked: dict[str, Any]
    name: str


@dataclass(frozen=True)
class Tuned:
    """What a study has found.

    Attributes:
        tried: every set of hyperparameters, in order.
        params: what to run next, or None if no set may be chosen.
        folder: of the study; holds the runs.
        shifts: names of those that every trial ran on.
        left_out: a sentence for each shift left out for lack of data.
        importance: share of the variance between finished trials that each hyperparameter
            explains, 0..1; empty if that cannot be said.
    """

    tried: list[Tried]
    params: Params | None
    folder: Path
    shifts: list[str]
    left_out: list[str]
    importance: Mapping[str, float]
