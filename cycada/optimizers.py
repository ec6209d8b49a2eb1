"""The two optimisers of the paper: Adam for digits, SGD for driving scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

Name = Literal["adam", "sgd"]


def make_optimizer(
    name: Name,
    parameters: Iterable[nn.Parameter],
    lr: float,
    *,
    beta1: float = 0.9,
    momentum: float = 0.99,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Return Adam, which takes `beta1`, or SGD, which takes `momentum`.

    >>> from torch import nn
    >>> type(make_optimizer("sgd", nn.Linear(2, 2).parameters(), 1e-3)).__name__
    'SGD'
    """
    if name == "adam":
        betas = (beta1, 0.999)
        return torch.optim.Adam(parameters, lr=lr, betas=betas, weight_decay=weight_decay)
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
