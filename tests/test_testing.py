"""`bench check`: a method that breaks the contract in one way is found out in that check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bench.testing import GREY, check_method, tiny_task

if TYPE_CHECKING:
    from bench.api import Context, Task

ALL = (
    "is a frozen dataclass with fit",
    "its defaults and presets are valid",
    "fits a grey task of 10 classes",
    "fits a colour task of 7 classes",
    "leaves the task as it was",
    "equal seeds give equal logits",
    "a cached stage gives what a computed one gives",
    "an interrupted run ends like an uninterrupted one",
)


@dataclass(frozen=True)
class Good:
    """Trains in one stage; the methods below each break one thing in it."""

    steps: int = 4
    presets: ClassVar[dict[str, dict[str, object]]] = {}

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        return ctx.stage(
            "only",
            params=self,
            build=ctx.network,
            train=lambda net: self.train(net, task, ctx),
        )

    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        optimizer = torch.optim.Adam(net.parameters())
        for step in ctx.steps(self.steps, {"optimizer": optimizer}):
            x, y = step.batch(task.source, 16)
            self.step(net, optimizer, x, y)

    def step(
        self, net: nn.Module, optimizer: torch.optim.Adam, x: torch.Tensor, y: torch.Tensor
    ) -> None:
        loss = cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class NotFrozen:
    def fit(self, task: Task, ctx: Context) -> nn.Module:
        raise NotImplementedError


@dataclass(frozen=True)
class BadPreset(Good):
    presets: ClassVar[dict[str, dict[str, object]]] = {"fast": {"stops": 1}}


@dataclass(frozen=True)
class NotANetwork(Good):
    def fit(self, task: Task, ctx: Context) -> nn.Module:
        return super().fit(task, ctx).state_dict()  # type: ignore[return-value]


@dataclass(frozen=True)
class WrongShape(Good):
    def fit(self, task: Task, ctx: Context) -> nn.Module:
        return nn.Sequential(super().fit(task, ctx), nn.Linear(task.classes, 3))


@dataclass(frozen=True)
class AlwaysTen(Good):
    def fit(self, task: Task, ctx: Context) -> nn.Module:
        net = super().fit(task, ctx)
        return net if task.classes == GREY.classes else nn.Sequential(net, nn.Linear(7, 10))


@dataclass(frozen=True)
class NotANumber(Good):
    def fit(self, task: Task, ctx: Context) -> nn.Module:
        return nn.Sequential(super().fit(task, ctx), nn.Threshold(float("inf"), float("nan")))


@dataclass(frozen=True)
class Overruns(Good):
    steps: int = 5_000


@dataclass(frozen=True)
class LoopsOnItsOwnForever(Good):
    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters())
        while True:
            optimizer.step()


@dataclass(frozen=True)
class ChangesTheTask(Good):
    def fit(self, task: Task, ctx: Context) -> nn.Module:
        task.target.pixels[0, 0, 0, 0] += 1
        return super().fit(task, ctx)


COUNTER = [0]


@dataclass(frozen=True)
class DrawsElsewhere(Good):
    """Depends on something that no seed reaches."""

    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        COUNTER[0] += 1
        with torch.no_grad():
            next(net.parameters()).mul_(COUNTER[0])
        super().train(net, task, ctx)


@dataclass(frozen=True)
class ForgetsItsOptimizer(Good):
    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        optimizer = torch.optim.Adam(net.parameters())
        for step in ctx.steps(self.steps):
            self.step(net, optimizer, *step.batch(task.source, 16))


@dataclass(frozen=True)
class ChangingParams(Good):
    def fit(self, task: Task, ctx: Context) -> nn.Module:
        COUNTER[0] += 1
        return ctx.stage(
            "only",
            params=COUNTER[0],
            build=ctx.network,
            train=lambda net: self.train(net, task, ctx),
        )


@pytest.mark.parametrize(
    ("cls", "check", "said"),
    [
        (NotFrozen, 0, "not a frozen dataclass"),
        (BadPreset, 1, "The preset 'fast' of BadPreset is wrong"),
        (NotANetwork, 2, "must return a torch.nn.Module"),
        (WrongShape, 2, "logits (b, 10), got (64, 3)"),
        (NotANumber, 2, "NaN or infinity"),
        (Overruns, 2, "asks for 5000 steps"),
        (LoopsOnItsOwnForever, 2, "kept training past its budget"),
        (AlwaysTen, 3, "logits (b, 7), got (64, 10)"),
        (ChangesTheTask, 4, "changed the task's images"),
        (DrawsElsewhere, 5, "second run with the same seed gives other logits"),
        (ChangingParams, 6, "stage 'only' was computed again"),
        (ForgetsItsOptimizer, 7, "Name all that changes while training in ctx.steps"),
    ],
)
def test_a_broken_method_is_found_out(cls: type, check: int, said: str) -> None:
    outcomes = {outcome.name: outcome for outcome in check_method(cls)}
    found = outcomes[ALL[check]]
    assert not found.ok
    assert said in found.detail


def test_a_method_without_stages_or_steps_passes_with_a_remark() -> None:
    @dataclass(frozen=True)
    class Plain:
        def fit(self, task: Task, ctx: Context) -> nn.Module:
            torch.manual_seed(0)
            return ctx.network()

    checks = list(check_method(Plain))
    assert all(check.ok for check in checks)
    assert "no ctx.stage" in checks[-2].detail
    assert "does not use ctx.steps" in checks[-1].detail


def test_tiny_tasks_are_reproducible() -> None:
    assert tiny_task(GREY).digest() == tiny_task(GREY).digest()
