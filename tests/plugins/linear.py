"""A method of which several processes must make what one makes: no batch norm, no dropout."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bench.api import Context, Task


class Network(nn.Module):
    """Logits linear in the pixels."""

    def __init__(self, inputs: int, classes: int) -> None:
        """Build it with torch's default initial weights."""
        super().__init__()
        self.head = nn.Linear(inputs, classes)

    def features(self, x: Tensor) -> Tensor:
        """Images to pixels."""
        return x.flatten(1)

    def classify(self, f: Tensor) -> Tensor:
        """Pixels to logits."""
        logits: Tensor = self.head(f)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        return self.classify(self.features(x))


@dataclass(frozen=True)
class Linear:
    """Softmax regression on the source by SGD, with noted decisions.

    Attributes:
        steps: of training.
        batch: images a step, over all processes.
        astray: let process 1 end its loop one step early: what must not happen.
    """

    steps: int = 40
    batch: int = 32
    astray: bool = False

    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {"smoke": {}, "fast": {}, "paper": {}}

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        """Return the network."""
        height, width = task.size
        inputs = task.channels * height * width
        return ctx.stage(
            "linear",
            params=self,
            build=lambda: Network(inputs, task.classes),
            train=lambda net: self._train(net, task, ctx),
        )

    def _train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        for step in ctx.steps(self.steps, {"optimizer": optimizer}):
            x, y = step.batch(task.source, self.batch, crop=12 if step.index % 2 else None)
            x = F.interpolate(x, size=task.size)
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ctx.log(loss=ctx.mean(loss.item()))
            if self.astray and ctx.mean(0.0) == 0.0 and _rank() and step.index == 5:
                ctx.stop("astray")


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))
