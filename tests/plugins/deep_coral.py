"""Deep CORAL (Sun & Saenko, ECCV 2016 workshops): match the covariances of the two domains."""

from dataclasses import dataclass

import torch
from bench.api import Context, Task
from torch import nn
from torch.nn.functional import cross_entropy


@dataclass(frozen=True)
class DeepCORAL:
    """Minimise CE(source) + weight * |cov(f(x_s)) - cov(f(x_t))|^2 / (4 d^2), their Equation 1."""

    steps: int = 1500
    batch: int = 128
    lr: float = 1e-3
    weight: float = 1000.0

    presets = {"smoke": {"steps": 4, "batch": 16}}

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        return ctx.stage(
            "coral", params=self, build=ctx.network, train=lambda net: self.train(net, task, ctx)
        )

    def train(self, net: nn.Module, task: Task, ctx: Context) -> None:
        optimizer = torch.optim.Adam(net.parameters(), lr=self.lr)
        for step in ctx.steps(self.steps, {"optimizer": optimizer}):
            x, y = step.batch(task.source, self.batch)
            f_s, f_t = net.features(x), net.features(step.batch(task.target, self.batch))
            coral = (f_s.T.cov() - f_t.T.cov()).square().sum() / (4 * f_s.shape[1] ** 2)
            loss = cross_entropy(net.classify(f_s), y) + self.weight * coral
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step.index % 100 == 0:
                ctx.log(loss=loss.item(), coral=coral.item())
