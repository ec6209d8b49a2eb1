"""Methods that do not end by themselves as they should, for tests of what then happens.

Each looks at a folder that the environment variable UNRULY names: where it has a file `slow`,
a step takes a second.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.api import Context, Task


def _here() -> Path:
    return Path(os.environ["UNRULY"])


def _train(net: torch.nn.Module, task: Task, ctx: Context) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for step in ctx.steps(30, {"optimizer": optimizer}):
        x, y = step.batch(task.source, 8)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        if (_here() / "slow").exists():
            time.sleep(1)


@dataclass(frozen=True)
class Killed:
    """Its process is killed in the middle of training, as long as the file `deadly` is there."""

    def fit(self, task: Task, ctx: Context) -> torch.nn.Module:
        def train(net: torch.nn.Module) -> None:
            _train(net, task, ctx)
            if (_here() / "deadly").exists():
                os.kill(os.getpid(), signal.SIGKILL)

        return ctx.stage("whole", params=self, build=ctx.network, train=train)


@dataclass(frozen=True)
class Slow:
    """Says when it has begun, and in which process."""

    def fit(self, task: Task, ctx: Context) -> torch.nn.Module:
        def train(net: torch.nn.Module) -> None:
            (_here() / f"begun-{ctx.seed}-{os.getpid()}").touch()
            if (_here() / "loud").exists():
                print("loud and clear")
            _train(net, task, ctx)

        return ctx.stage("whole", params=self, build=ctx.network, train=train)
