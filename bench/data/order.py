"""The order in which a task shows images, which hides the order in which files list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.seeding import generator_from

if TYPE_CHECKING:
    from torch import Tensor


def hidden_order(n: int, split: str) -> Tensor:
    """Return a fixed permutation of 0..n-1, int64 (n,).

    Files are often sorted by class, and then order is a label. The same permutation serves images
    and labels, so that nothing but this function relates the two.
    """
    return torch.randperm(n, generator=generator_from("hidden order", split, n))
