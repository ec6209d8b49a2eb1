"""Equation 1: train a task network on labelled images, original or translated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cycada.losses import task_loss
from cycada.optimizers import Name, make_optimizer
from cycada.ranges import between, positive
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
        lr: learning rate.
        schedule: "constant", or "cosine" from `lr` down to zero.
        optimizer: "adam" (digits) or "sgd" (driving scenes).
        momentum: of SGD.
        weight_decay: of either.
        crop: height and width of a random window of each image; None takes the whole.
    """

    epochs: int = 100
    max_steps: int | None = None
    batch: int = 128
    lr: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    optimizer: Name = "adam"
    momentum: float = 0.99
    weight_decay: float = 0.0
    crop: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        positive(self, "epochs", "max_steps", "batch", "lr", "crop")
        between(self, 0, 0.9999, "momentum")
        between(self, 0, math.inf, "weight_decay")


def train_classifier(net: nn.Module, images: LabeledImages, how: Classifier, ctx: Context) -> None:
    """Minimise the cross-entropy of `net` on `images`, in place (Hoffman et al. 2018, Eq. 1).

    Of label maps, the mean is over the pixels that have a label.
    """
    n = total_steps(how.epochs, how.max_steps, len(images), how.batch)
    optimizer = make_optimizer(
        how.optimizer,
        net.parameters(),
        how.lr,
        momentum=how.momentum,
        weight_decay=how.weight_decay,
    )
    scheduler = cosine(optimizer, n if how.schedule == "cosine" else None)
    net.train()
    for step in ctx.steps(n, {"optimizer": optimizer, "scheduler": scheduler}):
        x, y = step.batch(images, how.batch, how.crop)
        loss = task_loss(net(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step.index % 50 == 0:
            ctx.log(loss=loss.item())
