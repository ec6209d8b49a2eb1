"""The order in which a task shows images, which hides the order in which files list them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from bench.seeding import generator_from

if TYPE_CHECKING:
    from torch import Tensor

Role = Literal["source", "target", "test"]


def hidden_order(n: int, role: Role) -> Tensor:
    """Return a fixed permutation of 0..n-1, int64 (n,), for images that play `role`.

    Files are often sorted by class, and then order is a label. The same permutation serves images
    and their labels, so that nothing but this function relates the two. Each role has its own:
    were source and target in the same order, two data sets sorted alike would still be paired.

    >>> sorted(hidden_order(4, "source").tolist())
    [0, 1, 2, 3]
    """
    return torch.randperm(n, generator=generator_from("hidden order", role, n))
