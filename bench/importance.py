"""How much more likely an image is in the target than in the source, judged by features."""

from __future__ import annotations

import random
import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]

STRENGTHS = (1e-3, 1e-1)
"""Inverse regularisation of the domain classifier: the one of the lowest held-out log loss is used:
accuracy, by which You et al. choose, says nothing of whether the odds are right.
A classifier without any tells all domains apart and makes of every ratio 0 or infinity."""

HELD_OUT = 5
"""One in so many images decides between them; all of them, where a domain has fewer images."""

LARGEST = 1e6
"""Bound of a ratio, and the inverse of its lower one."""


def density_ratio(source: Features, target: Features, validation: Features) -> NDArray[np.float64]:
    r"""Return w(x) = p_T(x) / p_S(x) of some source images, float64 (m,), above 0.

    With a classifier d(x) = P(source | x) that is trained to tell both domains apart,
    w(x) = n_S / n_T * (1 - d(x)) / d(x). Here it is a logistic regression on standardised
    features; You et al. (ICML 2019), who judge networks by these weights, train a small network.

    Args:
        source: features (n_S, f) of source images that `validation` holds none of.
        target: features (n_T, f) of target images.
        validation: features (m, f) of the images in question.

    >>> random = np.random.default_rng(0)
    >>> here, there = random.normal(0, 1, (400, 1)), random.normal(1, 1, (400, 1))
    >>> w = density_ratio(here, there, np.array([[-2.0], [0.5], [3.0]]))
    >>> bool(w[0] < w[1] < w[2]), bool(0.7 < w[1] < 1.4)
    (True, True)
    """
    state = random.getstate()
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415  takes a second to import
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.metrics import log_loss  # noqa: PLC0415

    random.setstate(state)  # what is imported draws from it
    if not len(validation):
        return np.ones(0)
    both = np.concatenate([source, target]).astype(np.float64)
    middle, spread = both.mean(0), both.std(0)
    spread[spread == 0] = 1.0
    both = (both - middle) / spread
    is_source = np.arange(len(both)) < len(source)
    held_out = np.arange(len(both)) % HELD_OUT == 0
    fitted = ~held_out
    if min(len(source), len(target)) < HELD_OUT:
        held_out = fitted = np.ones(len(both), dtype=bool)
    candidates = []
    for strength in STRENGTHS:
        classifier = LogisticRegression(C=strength, max_iter=100, tol=1e-3)
        with warnings.catch_warnings():
            # Nearly converged is good enough: the ratio is an estimate anyway.
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(both[fitted], is_source[fitted])
        p = classifier.predict_proba(both[held_out])
        loss = log_loss(is_source[held_out], p, labels=[False, True])
        candidates.append((-loss, classifier))
    best = max(candidates, key=lambda candidate: candidate[0])[1]
    log_odds = best.decision_function((validation.astype(np.float64) - middle) / spread)
    ratio = len(source) / len(target) * np.exp(-np.clip(log_odds, -50, 50))
    return np.clip(ratio, 1 / LARGEST, LARGEST)
