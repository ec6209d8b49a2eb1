"""Which of a run's checkpoints a table reports.

A rule is a pure function of what a run kept. The default, `last`, takes the network at the end of
a fixed budget, as the paper does. `oracle` picks the best on the target's test labels, which
nobody has in practice: it is here for reference and marked wherever it appears.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.metrics import Confusion

    Quality = Callable[[Confusion], float | None]
    Choose = Callable[[Mapping[int, Confusion], Quality], int]

DEFAULT = "last"


@dataclass(frozen=True)
class Rule:
    """A way to choose one checkpoint.

    Attributes:
        name: as in ``--select NAME``.
        about: one sentence for ``bench list selectors``.
        looks_at_target_labels: if so, its figures are an upper bound and are marked as such.
        choose: from {training step: confusion matrix on the target's test set}, never empty, and
            the figure of a matrix that tables rank by, to the chosen step.
    """

    name: str
    about: str
    looks_at_target_labels: bool
    choose: Choose


def _last(checkpoints: Mapping[int, Confusion], _quality: Quality) -> int:
    return max(checkpoints)


def _oracle(checkpoints: Mapping[int, Confusion], quality: Quality) -> int:
    # Of equally good checkpoints the earliest: it is what a perfect early stop would keep.
    return max(sorted(checkpoints), key=lambda step: quality(checkpoints[step]) or 0.0)


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("last", "The network at the end of the budget.", False, _last),  # noqa: FBT003
        Rule(
            "oracle",
            "The best on the target's TEST LABELS: an upper bound, for reference only.",
            True,  # noqa: FBT003
            _oracle,
        ),
    )
}


def names() -> list[str]:
    """Return the names of all rules, the default first."""
    return list(RULES)


def rule(name: str) -> Rule:
    """Return the rule `name`; raise BenchError, with the nearest name, if there is none.

    >>> quality = {"a": 0.9, "b": 0.8}.get
    >>> [rule(name).choose({300: "a", 600: "b"}, quality) for name in names()]
    [600, 300]
    """
    if name not in RULES:
        raise unknown("selection rule", name, RULES)
    return RULES[name]
