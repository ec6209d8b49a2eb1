"""How long a stage trains, and how its learning rate falls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.optim.lr_scheduler import LambdaLR

if TYPE_CHECKING:
    from torch.optim import Optimizer


def total_steps(epochs: int, max_steps: int | None, images: int, batch: int) -> int:
    """Return the steps of `epochs` passes over `images`, but at most `max_steps`.

    >>> total_steps(2, None, images=100, batch=30)
    7
    >>> total_steps(2, 5, images=100, batch=30)
    5
    """
    steps = math.ceil(epochs * images / batch)
    return steps if max_steps is None else min(steps, max_steps)


def cosine(optimizer: Optimizer, steps: int | None) -> LambdaLR:
    """Return a schedule that follows half a cosine to zero over `steps`; None keeps it constant."""
    if steps is None:
        return LambdaLR(optimizer, lambda _: 1.0)
    return LambdaLR(optimizer, lambda s: 0.5 * (1.0 + math.cos(math.pi * min(s, steps) / steps)))


def hold_then_fall(optimizer: Optimizer, steps: int) -> LambdaLR:
    """Return CycleGAN's schedule: constant for the first half, then linear to zero."""
    return LambdaLR(optimizer, lambda s: min(1.0, 2.0 * max(0.0, 1.0 - s / steps)))
