"""Where the time of source-only training goes: the network, its optimiser, and everything else.

Trains LeNet on 54,000 random images of 28x28, as many as MNIST has to train on, with the `fast`
preset's batch. "Everything else" is what the harness adds: drawing the batch, seeding, saving,
logging; its share should stay under 5 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench import backbones
from bench.context import Context
from bench.seeding import generator_from
from bench.stages import StageStore
from bench.task import LabeledImages
from cycada.classifier import Classifier, train_classifier

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 0.05


class Clock:
    """Adds up the wall time spent inside wrapped callables."""

    def __init__(self) -> None:
        """Start at zero."""
        self.seconds: dict[str, float] = {}

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return `call`, timed under `name`."""

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                elapsed = time.perf_counter() - start
                self.seconds[name] = self.seconds.get(name, 0.0) + elapsed

        return timed


def main() -> int:
    """Print the profile, and fail if the harness takes more than its share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    random = generator_from("overhead")
    pixels = torch.randint(0, 256, (54_000, 1, 28, 28), generator=random, dtype=torch.uint8)
    labels = torch.randint(0, 10, (54_000,), generator=random)
    images = LabeledImages(pixels, labels, "source")
    how = Classifier(epochs=100, max_steps=asked.steps, lr=1e-3)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        context = Context(
            seed=0,
            device=torch.device("cpu"),
            network=lambda: backbones.build("lenet", classes=10, channels=1, size=28),
            workspace=Path(folder, "work"),
            store=StageStore(Path(folder, "stages")),
            identity="overhead",
            budget=asked.steps + 5,
        )
        backward, step = torch.Tensor.backward, torch.optim.Adam.step
        loss = torch.nn.functional.cross_entropy
        torch.nn.functional.cross_entropy = clock.wrap("loss", loss)
        torch.Tensor.backward = clock.wrap("backward", backward)  # type: ignore[method-assign]
        zero = torch.optim.Adam.zero_grad
        torch.optim.Adam.zero_grad = clock.wrap("optimiser zero_grad", zero)  # type: ignore[method-assign]
        torch.optim.Adam.step = clock.wrap("optimiser step", step)  # type: ignore[method-assign]

        # torch loads parts of itself when an optimiser is first used: seconds, once a process.
        warm = Classifier(max_steps=5, lr=1e-3)
        context.stage(
            "warm up",
            params=warm,
            build=context.network,
            train=lambda net: train_classifier(net, images, warm, context),
        )
        clock.seconds.clear()

        def train(net: torch.nn.Module) -> None:
            net.forward = clock.wrap("forward", net.forward)
            start = time.perf_counter()
            train_classifier(net, images, how, context)
            clock.seconds["all"] = time.perf_counter() - start

        context.stage("source", params=how, build=context.network, train=train)
    total = clock.seconds.pop("all")
    rest = total - sum(clock.seconds.values())
    print(f"{asked.steps} steps of 128 images in {total:.2f} s, {asked.threads} threads\n")
    print("| part | seconds | share |\n| :-- | --: | --: |")
    for name, seconds in (*clock.seconds.items(), ("everything else", rest)):
        print(f"| {name} | {seconds:.3f} | {100 * seconds / total:.1f} % |")
    return int(rest / total > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
