"""A selection rule in one small file: how far a network's first choice is ahead of its second."""

import numpy as np

from bench.select import Evidence, Rule


def margin(evidence: Evidence) -> float:
    """Return the mean difference of the two largest logits, 0 or more."""
    second, first = np.sort(evidence.target, axis=1)[:, -2:].T
    return float((first - second).mean())


MARGIN = Rule(
    "margin",
    "The first choice furthest ahead of the second.",
    margin,
    fooled="collapse; large weights",
)
BROKEN = Rule("broken", "One that raises.", lambda evidence: evidence.target_labels)  # type: ignore[attr-defined]
NAN = Rule("nan", "One that has no opinion.", lambda _: float("nan"))
NO_SCORE = Rule("no-score", "One that forgot its score.")
TAKEN = Rule("infomax", "One with the name of ours.", margin)
NO_RULE = margin
