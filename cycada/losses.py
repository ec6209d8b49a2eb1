"""The terms of Equation 6 that belong to images, as pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812

if TYPE_CHECKING:
    from torch import Tensor


def lsgan(prediction: Tensor, *, is_real: bool) -> Tensor:
    """Return the least-squares GAN loss, mean (prediction - t)^2 with t = 1 (real) or 0 (fake).

    It stands for the logarithms of Equation 2, as in CycleGAN (Mao et al. 2017).

    Args:
        prediction: a discriminator's output, any shape.
        is_real: what the discriminator is wanted to say.

    >>> import torch
    >>> lsgan(torch.tensor([0.0, 2.0]), is_real=True)
    tensor(1.)
    """
    wanted = 1.0 if is_real else 0.0
    return (prediction - wanted).square().mean()


def cycle_loss(reconstructed: Tensor, original: Tensor) -> Tensor:
    """Return the mean absolute difference of two image batches (one side of Equation 3).

    >>> import torch
    >>> cycle_loss(torch.tensor([1.0, 0.0]), torch.tensor([0.0, -1.0]))
    tensor(1.)
    """
    return F.l1_loss(reconstructed, original)


def semantic_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of logits (b, k) with labels int64 (b,) (one side of Equation 4)."""
    return F.cross_entropy(logits, labels)
