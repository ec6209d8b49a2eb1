"""Deep CORAL (Sun & Saenko, ECCV 2016 workshops): match the covariances of both domains' scores."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bench.api import Context, Task


@dataclass(frozen=True)
class DeepCORAL:
    """Minimise CE(source) + weight * |cov(net(x_s)) - cov(net(x_t))|^2 / (4 d^2)."""

    steps: int = 1500
    batch: int = 128
    lr: float = 1e-3
    weight: float = 1.0

    presets = {"smoke": {"steps": 4, "batch": 16}}  # noqa: RUF012  never changed

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        return ctx.stage(
            "coral", params=self, build=ctx.network, train=lambda net: self.train(net, task, ctx)
        )

    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        optimizer = torch.optim.Adam(net.parameters(), lr=self.lr)
        for step in ctx.steps(self.steps, {"optimizer": optimizer}):
            x, y = step.batch(task.source, self.batch)
            scores, scores_t = net(x), net(step.batch(task.target, self.batch))
            coral = (scores.T.cov() - scores_t.T.cov()).square().sum() / (4 * task.classes**2)
            loss = cross_entropy(scores, y) + self.weight * coral
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step.index % 100 == 0:
                ctx.log(loss=loss.item(), coral=coral.item())
