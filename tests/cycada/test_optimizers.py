"""Two optimisers, each with its own parameters."""

from __future__ import annotations

import torch
from torch import nn

from cycada.optimizers import make_optimizer


def test_adam_takes_beta1_and_no_momentum() -> None:
    made = make_optimizer("adam", nn.Linear(2, 2).parameters(), 0.1, beta1=0.5, weight_decay=0.01)
    assert isinstance(made, torch.optim.Adam)
    (group,) = made.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.1, (0.5, 0.999), 0.01)


def test_sgd_takes_momentum_and_no_beta1() -> None:
    made = make_optimizer("sgd", nn.Linear(2, 2).parameters(), 0.1, momentum=0.8, weight_decay=0.01)
    assert isinstance(made, torch.optim.SGD)
    (group,) = made.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.8, 0.01)
