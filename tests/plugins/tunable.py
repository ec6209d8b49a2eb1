"""Small methods for searches: a network of a few numbers, and ways to fail, to stop, to be slow."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.api import Context, Task


class Profiles(nn.Module):
    """Classify bars by how much their rows and columns differ, whatever is bright."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(32, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return float32 (b, 32): the variance along each of 16 rows and 16 columns."""
        return torch.cat([x[:, 0].var(2), x[:, 0].var(1)], 1)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits (b, k)."""
        return self.head(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))


@dataclass(frozen=True)
class Lean:
    """Learn the source with plain gradient descent."""

    lr: float = 1.0
    steps: int = 10
    batch: int = 32
    momentum: float = 0.0

    space = {"lr": ("log", 1e-2, 1e1), "batch": ("choice", 16, 32, 64)}  # noqa: RUF012  never changed

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        return ctx.stage(
            "lean",
            params=self,
            build=lambda: Profiles(task.classes),
            train=lambda net: self.train(net, task, ctx),
        )

    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        optimizer = torch.optim.SGD(net.parameters(), lr=self.lr, momentum=self.momentum)
        for step in ctx.steps(self.steps, {"optimizer": optimizer}):
            self.trouble(step.index)
            x, y = step.batch(task.source, self.batch)
            loss = cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def trouble(self, index: int) -> None:
        """Do what the environment asks for: die once, or take time."""
        flag = Path(os.environ.get("TUNABLE_FLAG", "/nonexistent"))
        if index == 2 and flag.exists():
            sign = getattr(signal, flag.read_text(encoding="utf-8"))
            flag.unlink()
            os.kill(os.getpid(), sign)
        time.sleep(float(os.environ.get("TUNABLE_SLEEP", "0")))


@dataclass(frozen=True)
class Worse(Lean):
    """Good to begin with, and worthless as soon as `spoil` is large."""

    spoil: float = 0.0

    space = {"spoil": ("uniform", 0.0, 1.0)}  # noqa: RUF012

    def trouble(self, index: int) -> None:
        if self.spoil > 0.9:
            raise RuntimeError("too much spoil")


@dataclass(frozen=True)
class Loose(Lean):
    """No stage at all."""

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        net = Profiles(task.classes)
        self.train(net, task, ctx)
        return net


@dataclass(frozen=True)
class Loops(Lean):
    """Many loops in a stage, more checkpoints than the pruner's axis has room for."""

    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        for _ in range(5):
            super().train(net, task, ctx)


@dataclass(frozen=True)
class Aside(Lean):
    """A stage whose module is no task network, before the one that counts."""

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        ctx.stage(
            "aside", params=0, build=lambda: nn.Linear(2, 2), train=lambda _: list(ctx.steps(5))
        )
        return super().fit(task, ctx)


@dataclass(frozen=True)
class Twice(Lean):
    """Two stages with a task network each."""

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        ctx.stage(
            "before",
            params=self,
            build=lambda: Profiles(task.classes),
            train=lambda net: self.train(net, task, ctx),
        )
        return super().fit(task, ctx)


@dataclass(frozen=True)
class Early(Lean):
    """Stops before the loop ends, so that its last checkpoint is one that no loop showed."""

    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        optimizer = torch.optim.SGD(net.parameters(), lr=self.lr)
        for step in ctx.steps(self.steps, {"optimizer": optimizer}):
            x, y = step.batch(task.source, self.batch)
            loss = cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step.index == 6:
                ctx.stop("enough")
