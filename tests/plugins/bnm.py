"""Batch Nuclear-norm Maximization (Cui et al., CVPR 2020): target predictions sure and diverse."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bench.api import Context, Task


@dataclass(frozen=True)
class BNM:
    """Minimise CE(source) - weight * |softmax(net(x_t))|_* / b, the sum of singular values."""

    steps: int = 1500
    batch: int = 128
    lr: float = 1e-3
    weight: float = 1.0

    presets = {"smoke": {"steps": 4, "batch": 16}}  # noqa: RUF012  never changed

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        return ctx.stage(
            "bnm", params=self, build=ctx.network, train=lambda net: self.train(net, task, ctx)
        )

    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        optimizer = torch.optim.Adam(net.parameters(), lr=self.lr)
        for step in ctx.steps(self.steps, {"optimizer": optimizer}):
            x, y = step.batch(task.source, self.batch)
            predicted = net(step.batch(task.target, self.batch)).softmax(1)
            nuclear = torch.linalg.matrix_norm(predicted, "nuc") / self.batch
            loss = cross_entropy(net(x), y) - self.weight * nuclear
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step.index % 100 == 0:
                ctx.log(loss=loss.item(), nuclear=nuclear.item())
