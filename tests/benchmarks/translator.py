"""Time to a given accuracy: the `fast` pixel stage against a plain small CycleGAN generator.

Both train the same pixel stage, with the same losses, seed and batches; only the generator
differs: `unshuffle` (64 filters, 2 blocks, on 4x4 blocks of pixels) or CycleGAN's ResNet made small
(16 filters, 2 blocks). Every few hundred steps the clock stops, a fresh LeNet is trained briefly on
the translated source images, and its accuracy on the target's test images is printed. Nothing is
chosen by that accuracy.

With BENCH_DATA set the shift is mnist2usps, otherwise printed2handwritten.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from bench import backbones, hyperparameters, suites
from bench.context import Context
from bench.data.assemble import build_task, test_images
from bench.data.labels import test_labels
from bench.plugins import load_domain
from bench.predict import predict
from bench.seeding import seed_everything
from bench.stages import StageStore
from cycada.classifier import Classifier, train_classifier
from cycada.method import CyCADA
from cycada.pixel_stage import train_translator
from cycada.translator import ImageTranslator

GENERATORS = {
    "unshuffle 64 filters, 2 blocks": {},
    "resnet 16 filters, 2 blocks": {"pixel.generator": "resnet", "pixel.filters": "16"},
}


class Trial:
    """One shift's images, and a judge for translations."""

    def __init__(self, threads: int) -> None:
        """Load the shift."""
        torch.set_num_threads(threads)
        data = os.environ.get("BENCH_DATA")
        self.shift = suites.MNIST_TO_USPS if data else suites.PRINTED_TO_HANDWRITTEN
        root, device = Path(data or "."), torch.device("cpu")
        source, target = load_domain(self.shift.source), load_domain(self.shift.target)
        self.task = build_task(self.shift, source, target, root, device)
        self.test = test_images(self.shift, target, root, device)
        self.labels = test_labels(target, root)

    def context(self, folder: str, on_step: object = None) -> Context:
        """Return a harness of its own."""
        return Context(
            seed=0,
            device=torch.device("cpu"),
            network=lambda: backbones.build(
                self.shift.backbone, classes=10, channels=1, size=self.shift.size
            ),
            workspace=Path(folder, "work"),
            store=StageStore(Path(folder, "stages")),
            identity="translator benchmark",
            budget=1_000_000,
            on_step=on_step,  # type: ignore[arg-type]
        )

    def accuracy(self, translator: ImageTranslator) -> float:
        """Train a fresh LeNet on translated images for 400 steps; return its test accuracy."""
        translated = self.task.source.translated(translator)
        with tempfile.TemporaryDirectory() as folder:
            context = self.context(folder)
            how = Classifier(max_steps=400, lr=1e-3)
            net = context.stage(
                "judge",
                params=how,
                build=context.network,
                train=lambda net: train_classifier(net, translated, how, context),
            )
        return float((predict(net, self.test, 10).argmax(1) == self.labels).float().mean())

    def curve(self, settings: dict[str, str], steps: int, every: int) -> list[tuple[float, float]]:
        """Return (seconds of pixel training, accuracy) every so many steps."""
        method = hyperparameters.resolve(
            CyCADA, "fast", {"pixel.max_steps": steps, "pixel.epochs": 1000, **settings}
        )
        pixel = method.pixel
        assert pixel is not None
        points: list[tuple[float, float]] = []
        paused = 0.0
        translator = ImageTranslator(pixel, self.task.channels)

        def look(stage: str, done: int, _: int) -> None:
            nonlocal paused
            if stage == "translator" and done % every == 0:
                now = time.perf_counter()
                points.append((now - start - paused, self.accuracy(translator)))
                seed_everything(0, "translator", done)
                print(
                    f"  {done} steps, {points[-1][0]:.0f} s: {100 * points[-1][1]:.1f} %",
                    flush=True,
                )
                paused += time.perf_counter() - now

        with tempfile.TemporaryDirectory() as folder:
            context = self.context(folder, look)
            f_s = context.stage(
                "source",
                params=method.source,
                build=context.network,
                train=lambda net: train_classifier(net, self.task.source, method.source, context),
            )
            start = time.perf_counter()
            context.stage(
                "translator",
                params=pixel,
                build=lambda: translator,
                train=lambda g: train_translator(g, f_s, self.task, pixel, context),
            )
        return points


def main() -> int:
    """Print both curves, and the time each takes to the accuracy that both reach."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    trial = Trial(asked.threads)
    print(f"{trial.shift.name}, {asked.steps} steps, {asked.threads} threads")
    curves = {}
    for name, settings in GENERATORS.items():
        print(name)
        curves[name] = trial.curve(settings, asked.steps, asked.every)
    reached = min(max(accuracy for _, accuracy in curve) for curve in curves.values())
    print(f"\nTime to {100 * reached:.1f} %, the best that both reach:")
    times = []
    for name, curve in curves.items():
        times.append(next(seconds for seconds, accuracy in curve if accuracy >= reached))
        print(f"  {name}: {times[-1]:.0f} s")
    print(f"ratio {times[1] / times[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
