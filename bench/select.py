"""Which of a run's checkpoints a table reports.

A rule judges a checkpoint by `Evidence`: what it says of target training images, of which nobody
gives it a label, and of held-out source images. The default, `last`, takes the network at the end
of a fixed budget, as the paper does. `oracle` picks the best on the target's test labels, which
nobody has in practice: it is here for reference and marked wherever it appears.

A rule of yours is a `Rule` in a file, ``--select path/to/file.py:NAME``, or an entry point of the
group ``bench.rules``; ours are registered there, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Quality = Callable[[Any], float | None]

DEFAULT = "last"


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one checkpoint says of images, as the harness keeps it. No target label is in it.

    For segmentation, a row is a pixel of a seeded sample, and not an image.

    Attributes:
        target: logits float32 (n, k) on target training images.
        validation: logits float32 (m, k) on source images that no method trained on.
        labels: their classes, int64 (m,).
        weights: density ratio p_T / p_S of each of these, float64 (m,); see `bench.importance`.
    """

    target: NDArray[np.float32]
    validation: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """A way to choose one checkpoint.

    Attributes:
        name: as in ``--select NAME``.
        about: one sentence for ``bench list selectors``.
        score: from evidence to a number, of which more is better; None for `last` and `oracle`,
            which look at none.
        source: who proposed it.
        fooled: when it is wrong, in a sentence.
        looks_at_target_labels: if so, its figures are an upper bound and are marked as such.

    >>> def surest(evidence):
    ...     return float(evidence.target.max(1).mean())
    >>> Rule("surest", "The largest logits.", surest).choose({300: 0.1, 600: 0.9, 900: None})
    600
    """

    name: str
    about: str
    score: Callable[[Evidence], float] | None = None
    source: str = ""
    fooled: str = ""
    looks_at_target_labels: bool = False

    def choose(self, values: Mapping[int, float | None]) -> int:
        """Return the step of the chosen checkpoint.

        Args:
            values: by training step, never empty: the rule's score of the checkpoint, or for the
                oracle its figure on the target's test set. None counts as the worst of all.
        """
        steps = sorted(values)
        if self.looks_at_target_labels:
            # Of equals the earliest: it is what a perfect early stop would keep.
            return max(steps, key=lambda step: _value(values[step]))
        if self.score is None:
            return steps[-1]
        # Of equals the latest: without a reason to stop, training goes on.
        return max(reversed(steps), key=lambda step: _value(values[step]))


def _value(score: float | None) -> float:
    return float("-inf") if score is None else score


def judge(rule: Rule, evidence: Evidence) -> float | None:
    """Return a rule's score of one checkpoint; None if it is no finite number.

    Raises:
        BenchError: the rule has no score, or raises.
    """
    import math  # noqa: PLC0415

    if rule.score is None:
        message = f"The rule '{rule.name}' gives checkpoints no score."
        raise BenchError(message)
    try:
        score = float(rule.score(evidence))
    except (Exception, SystemExit) as error:
        message = f"The rule '{rule.name}' failed: {type(error).__name__}: {error}"
        raise BenchError(message) from error
    return score if math.isfinite(score) else None


# ------------------------------------------------------------------ the built-in rules
# NumPy is imported only when a rule is asked for a score.


def _source_accuracy(evidence: Evidence) -> float:
    from bench.criteria import source_accuracy  # noqa: PLC0415

    return source_accuracy(evidence.validation, evidence.labels)


def _entropy(evidence: Evidence) -> float:
    from bench.criteria import negative_entropy  # noqa: PLC0415

    return negative_entropy(evidence.target)


def _infomax(evidence: Evidence) -> float:
    from bench.criteria import infomax  # noqa: PLC0415

    return infomax(evidence.target)


def _bnm(evidence: Evidence) -> float:
    from bench.criteria import nuclear_norm  # noqa: PLC0415

    return nuclear_norm(evidence.target)


def _snd(evidence: Evidence) -> float:
    from bench.criteria import neighbourhood_density  # noqa: PLC0415

    return neighbourhood_density(evidence.target)


def _dev(evidence: Evidence) -> float:
    from bench.criteria import embedded_validation  # noqa: PLC0415

    return embedded_validation(evidence.validation, evidence.labels, evidence.weights)


LAST = Rule(
    "last",
    "The network at the end of the budget.",
    source="a fixed budget, as in Hoffman et al., ICML 2018",
    fooled="training that has passed its best",
)
SOURCE_ACCURACY = Rule(
    "source-accuracy",
    "The most accurate on held-out source images.",
    _source_accuracy,
    source="Ganin & Lempitsky, ICML 2015",
    fooled="the shift itself: the source is not the target",
)
ENTROPY = Rule(
    "entropy",
    "The surest predictions of target images.",
    _entropy,
    source="Morerio et al., ICLR 2018",
    fooled="collapse: being sure of one class for all images",
)
INFOMAX = Rule(
    "infomax",
    "Sure predictions of target images, spread over all classes.",
    _infomax,
    source="Krause et al., NIPS 2010; Shi & Sha, ICML 2012",
    fooled="target classes of unequal frequency; classes swapped with one another",
)
BNM = Rule(
    "bnm",
    "The largest nuclear norm of the predictions of target images.",
    _bnm,
    source="Cui et al., CVPR 2020; Musgrave et al., arXiv 2208.07360",
    fooled="target classes of unequal frequency; classes swapped with one another",
)
SND = Rule(
    "snd",
    "The densest neighbourhoods of target predictions.",
    _snd,
    source="Saito et al., ICCV 2021",
    fooled="collapse: all images are neighbours",
)
DEV = Rule(
    "dev",
    "The smallest source error, weighted by how much an image looks like the target.",
    _dev,
    source="You et al., ICML 2019",
    fooled="a target that looks like nothing in the source",
)
ORACLE = Rule(
    "oracle",
    "The best on the target's TEST LABELS: an upper bound, for reference only.",
    source="nobody has them in practice",
    looks_at_target_labels=True,
)
