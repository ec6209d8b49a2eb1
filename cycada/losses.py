"""Equations 2 to 4 of the paper, the terms of Equation 6 that belong to images: pure functions.

Each equation is a sum of two sides or two expectations; a function here is one of them, and the
pixel stage adds them up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812

IGNORED = 255
"""Label of a pixel that has none."""

if TYPE_CHECKING:
    from torch import Tensor


def task_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over all that have a label (Equation 1).

    Args:
        logits: (b, k), or (b, k, h, w) for segmentation.
        labels: int64 (b,) in 0..k-1, or (b, h, w) in which 255 stands for no label. A batch in
            which no pixel has one has the loss 0, not NaN.

    >>> import torch
    >>> task_loss(torch.zeros(1, 4, 1, 2), torch.tensor([[[3, 255]]])).exp()
    tensor(4.)
    """
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels)
    total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)


def lsgan(prediction: Tensor, *, is_real: bool) -> Tensor:
    """Return the least-squares GAN loss, mean (prediction - t)^2 with t = 1 (real) or 0 (fake).

    Equation 2 has logarithms: E[log D(x_t)] + E[log(1 - D(G(x_s)))]. Released code and CycleGAN
    take squares for them (Mao et al. 2017), which D, without a sigmoid, and G both minimise: D
    half of (D(x_t) - 1)^2 + D(G(x_s))^2, and G (D(G(x_s)) - 1)^2.

    Args:
        prediction: a discriminator's output, any shape.
        is_real: what the discriminator is wanted to say.

    >>> import torch
    >>> lsgan(torch.tensor([0.0, 2.0]), is_real=True)
    tensor(1.)
    """
    wanted = 1.0 if is_real else 0.0
    return (prediction.float() - wanted).square().mean()


def cycle_loss(reconstructed: Tensor, original: Tensor) -> Tensor:
    """Return the mean absolute difference of two image batches (one side of Equation 3).

    The norm in Equation 3 is a sum over pixels; the mean, as in CycleGAN, makes its weight
    independent of the image size. Both (b, c, h, w), any range.

    >>> import torch
    >>> cycle_loss(torch.tensor([1.0, 0.0]), torch.tensor([0.0, -1.0]))
    tensor(1.)
    """
    return F.l1_loss(reconstructed, original)


def semantic_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits (b, k) with labels int64 (b,) in 0..k-1.

    For segmentation, shapes are as in `task_loss`.

    One side of Equation 4, where the logits are f_S's on a translation and the labels its own
    p(f_S, X) = argmax f_S(X) on the original. Other readings pass other labels.

    >>> import torch
    >>> semantic_loss(torch.zeros(1, 4), torch.tensor([2])).exp()
    tensor(4.)
    """
    return task_loss(logits, labels)
