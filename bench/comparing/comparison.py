"""Two methods compared, as plain data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

A, B, TIE, FEW = "A is better", "B is better", "indistinguishable", "too few seeds"
"""The verdicts; the last is followed by how many are needed."""


@dataclass(frozen=True)
class Side:
    """One of the two methods.

    Attributes:
        name: label of its row, with the conditions that single it out.
        rule: which checkpoints represent it.
        tuned: how a search found its settings, by shift; without shifts of which nobody searched.
        chosen_on_test_labels: whether the rule looked at them, or that of a search.
        learns_from: "source", or "target" for a supervised upper bound.
    """

    name: str
    rule: str
    tuned: Mapping[str, Mapping[str, Any]]
    chosen_on_test_labels: bool
    learns_from: str


@dataclass(frozen=True)
class Sample:
    """One side's runs.

    Attributes:
        finished: number of runs that finished.
        attempted: number of runs.
        failed: seed, status and error of each run that did not finish.
        alone: seeds that finished here, and not on the other side.
    """

    finished: int
    attempted: int
    failed: tuple[Mapping[str, Any], ...]
    alone: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """What the pairs of one shift say, or those of all shifts together; fractions.

    Attributes:
        metric: "accuracy" or "miou".
        pairs: number of pairs.
        difference: mean of a - b over the pairs; None without a pair.
        ci95: ends of its 95 % interval; None with fewer than two pairs.
        p_value: of the sign-flip test, which is exact up to 20 pairs; None without a pair.
        p_adjusted: by Holm's method over the shifts that have pairs; overall, equal to `p_value`.
        effect_size: d_z, the mean difference in standard deviations of the differences, or None.
        verdict: "A is better", "B is better", "indistinguishable" or "too few seeds: N are needed".
        mean_a: mean of A over the pairs.
        mean_b: mean of B over the pairs.
        seeds: of the pairs.
    """

    metric: str
    pairs: int
    difference: float | None
    ci95: tuple[float, float] | None
    p_value: float | None
    p_adjusted: float | None
    effect_size: float | None
    verdict: str
    mean_a: float | None
    mean_b: float | None
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class OnShift(Result):
    """A result on one shift, with the runs behind it, `a` and `b`."""

    a: Sample
    b: Sample


@dataclass(frozen=True)
class Comparison:
    """Two methods compared.

    Attributes:
        suite: the suite's name.
        a: the first method.
        b: the second.
        shifts: result by shift, in the suite's order.
        overall: result over all pairs.
        sentence: the overall verdict, fit to be quoted.
        differs: "condition", "a" and "b" of each condition that differs between the two.
        notes: what a reader must know, in sentences.
    """

    suite: str
    a: Side
    b: Side
    shifts: Mapping[str, OnShift]
    overall: Result
    sentence: str
    differs: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return what ``bench compare --json`` prints: plain data, None where there is nothing."""
        return dataclasses.asdict(self)
