"""DANN: domain-adversarial training of neural networks (Ganin et al., JMLR 17, 2016)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch.optim.lr_scheduler import LambdaLR

from bench.api import evaluating
from cycada.discriminators import ScoreDiscriminator, SpatialDiscriminator
from cycada.feature_stage import discriminate
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

    from bench.api import Context, Images, Stateful, Task

_ADAM = {"optimizer": "adam"}


@dataclass(frozen=True)
class DANN:
    """Train one network whose features classify the source but do not tell the domains apart.

    Attributes:
        epochs: passes over the source images; the paper does not say how many.
        max_steps: an upper bound on the steps; None for no bound.
        batch: images a step from each domain (the paper: half of 128).
        lr: learning rate at the start, mu_0; of the network and of the discriminator.
        schedule: "annealed", the paper's mu_0 / (1 + alpha p)^beta with p from 0 to 1, or "cosine"
            from `lr` down to zero.
        alpha: how fast the annealed learning rate falls.
        beta: how far it falls.
        optimizer: "sgd" (the paper), or "adam".
        momentum: of SGD.
        weight_decay: of either.
        crop: height and width of a random window of each image; None takes the whole.
        hidden: width of the discriminator's two hidden layers; the second is half as wide for
            segmentation. The paper's has 1024, and for its MNIST network one layer of 100.
        gamma: how fast the gradient's reversal sets in (see `reversal`).

    With discriminator D on the features, the step minimises

        CE(net(x_s), y_s) + CE(D(R(features(x_s and x_t))), domain)

    where R is `reverse_gradient`: D learns to tell the domains apart, and the features unlearn it
    at lambda_p times the rate. The second mean is over both domains' images together. They pass
    through the network as one batch, so batch norm sees both.

    The paper has no segmentation. There, D decides at every position of the feature maps, and the
    other values are the source classifier's.
    """

    epochs: int = 100
    max_steps: int | None = None
    batch: int = 64
    lr: float = 1e-2
    schedule: Literal["annealed", "cosine"] = "annealed"
    alpha: float = 10.0
    beta: float = 0.75
    optimizer: Name = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    crop: int | None = None
    hidden: int = 1024
    gamma: float = 10.0

    # `fast` trains as the source classifier of `fast` does, against ADDA's discriminator.
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "fast": FAST_CLASSIFIER | _ADAM | {"batch": 128, "hidden": 500},
        "smoke": SMOKE_CLASSIFIER | _ADAM | {"hidden": 16},
        "segmentation/paper": PAPER_SCENES_CLASSIFIER | {"hidden": 512},
        "segmentation/fast": FAST_SCENES_CLASSIFIER | _ADAM | {"hidden": 64},
        "segmentation/smoke": SMOKE_SCENES_CLASSIFIER | _ADAM | {"hidden": 16},
    }

    space: ClassVar[Mapping[str, object]] = {
        "lr": ("around", 10),
        "gamma": ("uniform", 2, 20),
        "weight_decay": ("log", 1e-6, 1e-2),
    }

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        positive(self, "epochs", "max_steps", "batch", "lr", "crop", "hidden")
        between(self, 0, 0.9999, "momentum")
        between(self, 0, math.inf, "weight_decay", "alpha", "beta", "gamma")

    @property
    def departure(self) -> str | None:
        """How these hyperparameters leave the paper, in a sentence for tables to show."""
        return "trained with Adam, where its paper has SGD" if self.optimizer == "adam" else None

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        """Return the one network."""
        return ctx.stage(
            "dann", params=self, build=ctx.network, train=lambda net: self._train(net, task, ctx)
        )

    def _train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        n = total_steps(self.epochs, self.max_steps, len(task.source), self.batch)
        discriminator = ctx.prepared(build_discriminator(net, task.target, self.hidden))
        optimizer = make_optimizer(
            self.optimizer,
            [*net.parameters(), *discriminator.parameters()],
            self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        scheduler = self._scheduler(optimizer, n)
        state: dict[str, Stateful] = {
            "discriminator": discriminator,
            "optimizer": optimizer,
            "scheduler": scheduler,
        }
        net.train()
        for step in ctx.steps(n, state):
            x_s, y_s = step.batch(task.source, self.batch, self.crop)
            x_t = step.batch(task.target, self.batch, self.crop)
            features: Tensor = net.features(torch.cat([x_s, x_t]))  # type: ignore[operator]
            logits: Tensor = net.classify(features[: len(x_s)])  # type: ignore[operator]
            if task.dense:  # score maps are padded to the network's stride
                logits = logits[..., : y_s.shape[1], : y_s.shape[2]]
            loss = task_loss(logits, y_s)
            reverse = reverse_gradient(
                features if task.dense else features.flatten(1),
                reversal(step.index / n, self.gamma),
            )
            domain, accuracy = discriminate(discriminator, *reverse.split(len(x_s)))
            optimizer.zero_grad(set_to_none=True)
            (loss + domain).backward()
            optimizer.step()
            scheduler.step()
            if step.index % 50 == 0:
                ctx.log(loss=loss.item(), domain=domain.item(), discriminator_accuracy=accuracy)

    def _scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
        if self.schedule == "cosine":
            return cosine(optimizer, steps)
        return LambdaLR(optimizer, lambda s: (1.0 + self.alpha * s / steps) ** -self.beta)


def reversal(progress: float, gamma: float = 10.0) -> float:
    """Return lambda_p = 2 / (1 + exp(-gamma p)) - 1, which rises from 0 towards 1.

    Args:
        progress: p, the part of the training that is done, 0..1.
        gamma: how fast it rises; 0 keeps it at 0.

    Source: Ganin et al. 2016, Section 5.2.2.

    >>> reversal(0.0), round(reversal(0.1), 4), round(reversal(1.0), 4)
    (0.0, 0.4621, 0.9999)
    """
    return math.tanh(gamma * progress / 2)  # the same, without overflow


def reverse_gradient(x: Tensor, weight: float) -> Tensor:
    """Return `x` as it is; its gradient comes back times -`weight` (Ganin & Lempitsky 2015).

    >>> x = torch.ones(2, requires_grad=True)
    >>> (3 * reverse_gradient(x, 0.5)).sum().backward()
    >>> x.grad
    tensor([-1.5000, -1.5000])
    """
    reversed_: Tensor = _Reversal.apply(x, weight)
    return reversed_


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:  # noqa: ANN401  torch has no type
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401  as above
        return -ctx.weight * gradients[0], None


def build_discriminator(net: nn.Module, images: Images, hidden: int) -> nn.Module:
    """Return the discriminator for the features that `net` has of `images`.

    For features (b, ...) it is three layers on the flattened features, with logits (b, 2); for
    the feature maps (b, c, h, w) of a network for segmentation, one of 1x1 convolutions, with
    logits (b, 2, h, w).
    """
    device = next(net.parameters()).device
    with torch.no_grad(), evaluating(net):
        x = images[torch.zeros(1, dtype=torch.int64, device=device)]
        features: Tensor = net.features(x)  # type: ignore[operator]
        dense = net(x).ndim > 2  # noqa: PLR2004  logits (b, k, h, w)
    if dense:
        return SpatialDiscriminator(features.shape[1], hidden)
    return ScoreDiscriminator(features[0].numel(), hidden)
