"""Deep CORAL: correlation alignment of both domains' scores (Sun & Saenko, ECCV workshops 2016)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from bench.api import in_float32
from bench.errors import BenchError
from cycada.losses import task_loss
from cycada.optimizers import Name, make_optimizer
from cycada.presets import (
    FAST_CLASSIFIER,
    FAST_SCENES_CLASSIFIER,
    PAPER_SCENES_CLASSIFIER,
    SMOKE_CLASSIFIER,
    SMOKE_SCENES_CLASSIFIER,
)
from cycada.ranges import between, positive
from cycada.schedule import cosine, total_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from bench.api import Context, Task

_ADAM = {"optimizer": "adam", "weight_decay": 0.0}


@dataclass(frozen=True)
class DeepCORAL:
    """Train one network on the source while the covariances of both domains' scores come together.

    Attributes:
        epochs: passes over the source images.
        max_steps: an upper bound on the steps; None for no bound.
        batch: images a step from each domain; 2 or more, but for segmentation.
        lr: learning rate. The paper's is 1e-3 for layers that start from ImageNet's weights and
            1e-2 for the one that starts from random ones, as all layers do here.
        schedule: "constant", or "cosine" from `lr` down to zero.
        optimizer: "sgd" (the paper), or "adam".
        momentum: of SGD.
        weight_decay: of either.
        crop: height and width of a random window of each image; None takes the whole.
        weight: of the CORAL loss. The paper's rule: such that at the end of training it is about
            as large as the classification loss.

    The step minimises CE(net(x_s), y_s) + weight * CORAL(net(x_s), net(x_t)), with `coral_loss` on
    the scores, the output of the last layer. Both domains pass through the network as one batch,
    so batch norm sees both.

    The paper's experiments are on Office, with AlexNet; how long to train on digits is not from
    there. It has no segmentation: there, each position of the score maps counts as one example,
    and the other values are the source classifier's.
    """

    epochs: int = 100
    max_steps: int | None = None
    batch: int = 128
    lr: float = 1e-2
    schedule: Literal["constant", "cosine"] = "constant"
    optimizer: Name = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int | None = None
    weight: float = 1.0

    # `fast` trains as the source classifier of `fast` does.
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "fast": FAST_CLASSIFIER | _ADAM,
        "smoke": SMOKE_CLASSIFIER | _ADAM,
        "segmentation/paper": PAPER_SCENES_CLASSIFIER,
        "segmentation/fast": FAST_SCENES_CLASSIFIER | _ADAM,
        "segmentation/smoke": SMOKE_SCENES_CLASSIFIER | _ADAM,
    }

    space: ClassVar[Mapping[str, object]] = {
        "lr": ("around", 10),
        "weight": ("around", 10),
        "weight_decay": ("log", 1e-6, 1e-2),
    }

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        positive(self, "epochs", "max_steps", "batch", "lr", "crop")
        between(self, 0, 0.9999, "momentum")
        between(self, 0, math.inf, "weight_decay", "weight")

    @property
    def departure(self) -> str | None:
        """How these hyperparameters leave the paper, in a sentence for tables to show."""
        return "trained with Adam, where its paper has SGD" if self.optimizer == "adam" else None

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        """Return the one network."""
        return ctx.stage(
            "coral", params=self, build=ctx.network, train=lambda net: self._train(net, task, ctx)
        )

    def _train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        n = total_steps(self.epochs, self.max_steps, len(task.source), self.batch)
        optimizer = make_optimizer(
            self.optimizer,
            net.parameters(),
            self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        scheduler = cosine(optimizer, n if self.schedule == "cosine" else None)
        net.train()
        for step in ctx.steps(n, {"optimizer": optimizer, "scheduler": scheduler}):
            x_s, y_s = step.batch(task.source, self.batch, self.crop)
            x_t = step.batch(task.target, self.batch, self.crop)
            scores_s, scores_t = net(torch.cat([x_s, x_t])).split(len(x_s))
            loss, coral = task_loss(scores_s, y_s), coral_loss(scores_s, scores_t)
            optimizer.zero_grad(set_to_none=True)
            (loss + self.weight * coral).backward()
            optimizer.step()
            scheduler.step()
            if step.index % 50 == 0:
                ctx.log(loss=loss.item(), coral=coral.item())


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    r"""Return the distance of two covariances, |C_S - C_T|^2 / (4 d^2), a scalar, 0 or more.

    |.| is the Frobenius norm, C the covariance of the d scores (Sun & Saenko 2016, Eq. 1 to 3):

        C = (X^T X - (1^T X)^T (1^T X) / n) / (n - 1)

    Args:
        source: scores (n_s, d), or score maps (b, d, h, w) with n_s = b h w.
        target: likewise; n_t may differ from n_s.

    >>> a = torch.tensor([[0.0, 0.0], [2.0, 0.0]])  # variances 2 and 0
    >>> coral_loss(a, 2 * a)  # (2 - 8)^2 / 16
    tensor(2.2500)
    """
    d = source.shape[1]
    with in_float32(source.device):  # a difference of two sums of products
        difference = covariance(source) - covariance(target)
    return difference.square().sum() / (4 * d**2)


def covariance(scores: Tensor) -> Tensor:
    """Return the covariance (d, d) of scores (n, d), or of all positions of maps (b, d, h, w).

    Raises:
        BenchError: there is one example alone, which has none.
    """
    examples = scores.movedim(1, -1).flatten(0, -2)
    examples = examples.to(torch.promote_types(examples.dtype, torch.float32))
    if len(examples) < 2:  # noqa: PLR2004  n - 1 is the divisor
        raise BenchError("Deep CORAL needs 2 images or more of each domain a step. Raise 'batch'.")
    centred = examples - examples.mean(0)
    return centred.T @ centred / (len(examples) - 1)
