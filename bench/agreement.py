"""How well selection rules agree with what test labels say afterwards: a diagnosis, no choice."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bench import select
from bench.headline import quality
from bench.records import confusions_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.groups import Run

NEEDED = 3
"""Values, at least, of which a rank correlation says anything."""


@dataclass(frozen=True)
class Agreement:
    """By rule, over the runs of one configuration; all empty if they kept no scores.

    Attributes:
        picked: figure of the checkpoint that the rule would have picked, one a run.
        correlation: mean over runs of the rank correlation between the rule's scores of a run's
            checkpoints and their figures; None if no run defines one.
        judged: (score, figure) of the last checkpoint, one a run.
    """

    picked: Mapping[str, list[float]] = field(default_factory=dict)
    correlation: Mapping[str, float | None] = field(default_factory=dict)
    judged: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)


def agreement(runs: Iterable[Run]) -> Agreement:
    """Compare what rules thought of finished runs with how good those are on the test set."""
    picked: dict[str, list[float]] = {}
    correlations: dict[str, list[float]] = {}
    judged: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        recorded = run.record.get("scores")
        if not recorded:
            continue
        good = partial(quality, shift=run.record["config"]["shift"])
        matrices = confusions_of(run.record, run.folder).checkpoints
        figures = {step: good(matrix) or 0.0 for step, matrix in matrices.items()}
        picked.setdefault(select.LAST.name, []).append(figures[max(figures)])
        picked.setdefault(select.ORACLE.name, []).append(max(figures.values()))
        for name, by_step in recorded.items():
            values = {step: by_step.get(str(step)) for step in figures}
            chosen = select.Rule(name, "", _scored).choose(values)
            picked.setdefault(name, []).append(figures[chosen])
            known = [step for step, value in values.items() if value is not None]
            scores = [float(by_step[str(step)] or 0.0) for step in known]
            rho = rank_correlation(scores, [figures[step] for step in known])
            correlations.setdefault(name, []).extend([] if rho is None else [rho])
            if max(figures) in known:
                judged.setdefault(name, []).append((scores[-1], figures[max(figures)]))
    return Agreement(
        picked,
        {name: float(np.mean(rhos)) if rhos else None for name, rhos in correlations.items()},
        {name: tuple(points) for name, points in judged.items()},
    )


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, -1..1, equal values sharing their mean rank.

    None for fewer than three pairs, or if all values on one side are equal.

    >>> rank_correlation([1.0, 2.0, 30.0], [0.1, 0.3, 0.2])
    0.5
    """
    if len(a) < NEEDED:
        return None
    ranks = [_ranks(np.asarray(values)) for values in (a, b)]
    if any(bool((r == r[0]).all()) for r in ranks):
        return None
    x, y = (r - r.mean() for r in ranks)
    return float((x @ y) / math.sqrt((x @ x) * (y @ y)))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks 1..n; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: np.ndarray = (last - (counts - 1) / 2)[inverse]
    return ranks


def _scored(_: select.Evidence) -> float:
    raise NotImplementedError
