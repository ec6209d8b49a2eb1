"""What came of each set of hyperparameters of a study, and which is chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optuna.trial import FrozenTrial

GUARD = 0.05
"""Accuracy on held-out source images, 0..1, that a set of hyperparameters may lose."""


@dataclass(frozen=True)
class Tried:
    """One set of hyperparameters and what came of it.

    Attributes:
        number: in the order in which they were begun.
        state: "complete", "pruned", "failed", or "running" elsewhere.
        settings: dotted hyperparameters.
        scores: by run ("shift, seed n"), the rule's score at the end of training.
        source_accuracy: likewise, on held-out source images, 0..1.
        steps: training steps taken for it; those of stages that came from the cache are not.
        seconds: wall time of these.
        reason: why it failed or was stopped, or None.
        eligible: whether it may be chosen.
        rank: mean rank among those that may, 1 is best; None for the others.
    """

    number: int
    state: str
    settings: Mapping[str, Any]
    scores: Mapping[str, float]
    source_accuracy: Mapping[str, float]
    steps: int
    seconds: float
    reason: str | None
    eligible: bool = False
    rank: float | None = None

    @property
    def value(self) -> float | None:
        """Mean score, which the sampler looks at; None unless it finished everywhere."""
        return mean(self.scores.values()) if self.state == "complete" else None


def tried_of(trial: FrozenTrial) -> Tried:
    """Read a trial back from its storage."""
    name = trial.state.name.lower()
    state = "failed" if name == "fail" else name
    notes = trial.user_attrs
    return Tried(
        trial.number,
        state,
        trial.params,
        notes.get("scores", {}),
        notes.get("source_accuracy", {}),
        notes.get("steps", 0),
        notes.get("seconds", 0.0),
        notes.get("reason"),
    )


def ranked(tried: Sequence[Tried]) -> list[Tried]:
    """Return the trials with who is eligible, and the mean rank of those.

    In each run, rank 1 has the largest score, and equal scores share the mean of their ranks.

    >>> one = Tried(0, "complete", {}, {"a": 2.0, "b": 0.1}, {"a": 0.9, "b": 0.9}, 1, 1.0, None)
    >>> two = replace(one, number=1, scores={"a": 1.0, "b": 0.2}, source_accuracy={"a": 0.2})
    >>> three = replace(one, number=2, scores={"a": 1.5, "b": 0.3})
    >>> [trial.rank for trial in ranked([one, two, three])]
    [1.5, None, 1.5]
    """
    done = [trial for trial in tried if trial.state == "complete"]
    best = max((mean(trial.source_accuracy.values()) for trial in done), default=0.0)
    eligible = [t for t in done if excess_loss(mean(t.source_accuracy.values()), best) <= 0]
    ranks: dict[int, list[float]] = {trial.number: [] for trial in eligible}
    for cell in eligible[0].scores if eligible else ():
        scores = [trial.scores[cell] for trial in eligible]
        for trial in eligible:
            score = trial.scores[cell]
            above = sum(other > score for other in scores)
            ranks[trial.number].append(above + (scores.count(score) + 1) / 2)
    return [
        replace(t, eligible=t.number in ranks, rank=mean(ranks[t.number]))
        if t.number in ranks
        else t
        for t in tried
    ]


def best(tried: Sequence[Tried]) -> Tried | None:
    """Return the trial of the smallest mean rank, of equals the first; None if none may be."""
    eligible = [trial for trial in tried if trial.rank is not None]
    return min(eligible, key=lambda trial: (trial.rank or 0.0, trial.number), default=None)


def excess_loss(accuracy: float, best: float) -> float:
    """Return by how much the loss of source accuracy exceeds the guard; 0 or less is within it.

    >>> excess_loss(0.85, best=0.9)
    0.0
    """
    # A loss of exactly the guard is within it, whatever the last bits of a difference say.
    return round(best - accuracy - GUARD, 9)


def mean(values: Iterable[float]) -> float:
    """Return the mean of at least one number."""
    numbers = list(values)
    return sum(numbers) / len(numbers)
