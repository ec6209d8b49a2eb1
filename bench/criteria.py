"""How good a network seems without a target label: numbers that rules rank checkpoints by.

Pure functions of what a checkpoint says of some images; of each, more is better. Each can be
fooled, and its docstring says how.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]
    Floats = NDArray[np.float64]

SND_TEMPERATURE = 0.05
"""Of the similarities in `neighbourhood_density`, as in its paper."""

SND_IMAGES = 2000
"""Images that it compares with each other: its cost grows with their square."""

EQUAL = 1e-12
"""Relative difference of weights in `embedded_validation` that is rounding."""


def source_accuracy(validation: Logits, labels: NDArray[np.int64]) -> float:
    """Return the accuracy on held-out source images, 0..1.

    NaN if there are none. Fooled by every shift: a network that fails on the target may be
    perfect here.

    Args:
        validation: logits (m, k).
        labels: (m,) in 0..k-1.

    >>> source_accuracy(np.eye(3, dtype=np.float32), np.array([0, 1, 1]))  # doctest: +ELLIPSIS
    0.666...
    """
    return float((validation.argmax(1) == labels).mean()) if len(labels) else float("nan")


def negative_entropy(target: Logits) -> float:
    r"""Return -E[H(p)], where p = softmax(logits) and H(p) = -\sum_j p_j log p_j, in nats.

    In -log k..0. Fooled by collapse: a network that calls everything a 3, and is sure of it,
    reaches the maximum. Grandvalet & Bengio, NIPS 2004; as a way to judge domain adaptation,
    Morerio et al., ICLR 2018.

    Args:
        target: logits (n, k).

    >>> round(negative_entropy(np.zeros((5, 4), np.float32)), 4)  # -log 4
    -1.3863
    """
    return -float(_entropy(_softmax(target)).mean())


def infomax(target: Logits) -> float:
    r"""Return the mutual information H(E[p]) - E[H(p)] of images and predictions, in nats.

    In 0..log k. Sure predictions of all classes equally often reach the maximum, so a collapse no
    longer fools it; but target classes that are not equally frequent are punished, and classes
    that are swapped with one another are not. Krause et al., NIPS 2010; for domain adaptation,
    Shi & Sha, ICML 2012, who choose hyperparameters without a target label.

    Args:
        target: logits (n, k).

    >>> sure = 50 * np.eye(4, dtype=np.float32)
    >>> round(infomax(sure), 4), round(infomax(sure[[0, 0, 0]]), 4)  # log 4; collapsed
    (1.3863, 0.0)
    """
    p = _softmax(target)
    return float(_entropy(p.mean(0)) - _entropy(p).mean())


def nuclear_norm(target: Logits) -> float:
    r"""Return \|P\|_* / sqrt(n k): batch nuclear-norm maximisation's objective, 0..1.

    P (n, k) holds the softmax of each image. The norm is the sum of P's singular values: large
    if predictions are sure and spread over many classes, and largest if evenly; 1 takes n >= k.
    Fooled as `infomax` is. Cui et al., CVPR 2020; as a rule of choice, Musgrave et al.,
    arXiv 2208.07360.

    Args:
        target: logits (n, k).

    >>> sure = 50 * np.eye(4, dtype=np.float32)
    >>> round(nuclear_norm(sure), 4), round(nuclear_norm(sure[[0, 0, 0, 0]]), 4)
    (1.0, 0.5)
    """
    p = _softmax(target)
    return float(np.linalg.svd(p, compute_uv=False).sum() / np.sqrt(p.size))


def neighbourhood_density(target: Logits) -> float:
    r"""Return soft neighbourhood density, in 0..log(n - 1) nats.

    With z = softmax(logits) scaled to length 1 and s_ij = exp(z_i . z_j / 0.05), normalised over
    j != i, it is the mean over i of the entropy of s_i: large if every image has many neighbours
    that are predicted alike. Fooled by collapse, where all images are neighbours. Saito et al.,
    ICCV 2021; their code gives an image a similarity of -1 with itself where we leave it out. The
    first 2,000 images count.

    Args:
        target: logits (n, k), n >= 2.

    >>> round(neighbourhood_density(np.zeros((3, 4), np.float32)), 4)  # two neighbours each: log 2
    0.6931
    """
    z = _softmax(target[:SND_IMAGES])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    similarity = (z @ z.T) / SND_TEMPERATURE
    np.fill_diagonal(similarity, -np.inf)
    return float(_entropy(_softmax(similarity)).mean())


def embedded_validation(validation: Logits, labels: NDArray[np.int64], weights: Floats) -> float:
    r"""Return minus the deep embedded validation risk: source errors, weighted as on the target.

    With the loss l (cross-entropy, nats) and the density ratio w = p_T / p_S of each held-out
    source image, the risk is E[w l] + eta E[w] - eta, where eta = -Cov(w l, w) / Var(w) makes
    its variance smallest. Fooled where the target looks like nothing in the source: no weight
    makes up for images that are not there. You et al., ICML 2019, Algorithms 1 and 2, for any
    loss; their code suggests 0 and 1 for right and wrong. NaN if there are no images.

    Args:
        validation: logits (m, k).
        labels: (m,) in 0..k-1.
        weights: (m,) above 0; see `bench.importance`.

    >>> even = np.zeros((3, 4), np.float32)
    >>> round(embedded_validation(even, np.array([0, 1, 2]), np.array([1.0, 1.0, 1.0])), 4)
    -1.3863
    """
    if not len(labels):
        return float("nan")
    loss = -np.log(np.maximum(_softmax(validation)[np.arange(len(labels)), labels], 1e-12))
    weighted, centred = weights * loss, weights - weights.mean()
    # Of equal weights, rounding alone would decide what eta is.
    equal = np.abs(centred).max() <= EQUAL * weights.mean()
    eta = 0.0 if equal else -float(weighted @ centred / (centred @ centred))
    return -float(weighted.mean() + eta * weights.mean() - eta)


def _softmax(logits: NDArray[np.floating]) -> Floats:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(1, keepdims=True)
    return shifted


def _entropy(p: Floats) -> Floats:
    """Return the entropy along the last axis in nats; 0 log 0 is 0."""
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    result: Floats = -(p * logs).sum(-1)
    return result
