"""Equation 1: train a task network on labelled images, original or translated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F  # noqa: N812  the field's own abbreviation

from cycada.ranges import positive
from cycada.schedule import cosine, total_steps

if TYPE_CHECKING:
    from torch import nn

    from bench.api import Context, LabeledImages


@dataclass(frozen=True)
class Classifier:
    """Hyperparameters of supervised training; the defaults are the paper's for digits.

    Attributes:
        epochs: passes over the labelled images.
        max_steps: an upper bound on the steps, whatever the epochs say; None for no bound.
        batch: images a step.
        lr: Adam's learning rate.
        schedule: "constant", or "cosine" from `lr` down to zero.
    """

    epochs: int = 100
    max_steps: int | None = None
    batch: int = 128
    lr: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        positive(self, "epochs", "max_steps", "batch", "lr")


def train_classifier(net: nn.Module, images: LabeledImages, how: Classifier, ctx: Context) -> None:
    """Minimise the cross-entropy of `net` on `images`, in place (Hoffman et al. 2018, Eq. 1)."""
    n = total_steps(how.epochs, how.max_steps, len(images), how.batch)
    optimizer = torch.optim.Adam(net.parameters(), lr=how.lr)
    scheduler = cosine(optimizer, n if how.schedule == "cosine" else None)
    net.train()
    for step in ctx.steps(n, {"optimizer": optimizer, "scheduler": scheduler}):
        x, y = step.batch(images, how.batch)
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step.index % 50 == 0:
            ctx.log(loss=loss.item())
