"""Steps a second of the `fast` source and pixel stages: float32, bf16, and both compiled.

Every arithmetic trains the same stages of CyCADA on printed2handwritten, with the same seed and
batches. The first steps, in which torch.compile makes its kernels, are timed apart. Seconds are of
the process' CPU time, which on one thread is what a machine that does nothing else would take.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench import backbones, hyperparameters, suites
from bench.context import Context
from bench.data.assemble import build_task
from bench.plugins import load_domain
from bench.stages import StageStore
from cycada.classifier import train_classifier
from cycada.method import CyCADA
from cycada.pixel_stage import train_translator
from cycada.translator import ImageTranslator

if TYPE_CHECKING:
    from bench.task import Task

FIRST = 40
"""Steps that are timed apart."""

STEPS = {"source": 240, "translator": 120}


def measure(task: Task, precision: str, *, compiled: bool) -> dict[str, tuple[float, float]]:
    """Return by stage the seconds of the first steps, and steps a second of the others."""
    method = hyperparameters.resolve(
        CyCADA, "fast", {f"{s}.max_steps": n for s, n in (("source", 240), ("pixel", 120))}
    )
    pixel = method.pixel
    assert pixel is not None
    marks: dict[str, dict[int, float]] = {}

    def look(stage: str, done: int, _: int) -> None:
        marks.setdefault(stage, {})[done] = time.process_time()

    with tempfile.TemporaryDirectory() as folder:
        context = Context(
            seed=0,
            device=torch.device("cpu"),
            network=lambda: backbones.build("lenet", classes=10, channels=1, size=task.size),
            workspace=Path(folder, "work"),
            store=StageStore(Path(folder, "stages")),
            identity="arithmetic benchmark",
            budget=1_000_000,
            on_step=look,
            precision=precision,
            compiled=compiled,
        )
        began = {}
        with context.fitting():
            began["source"] = time.process_time()
            f_s = context.stage(
                "source",
                params=method.source,
                build=context.network,
                train=lambda net: train_classifier(net, task.source, method.source, context),
            )
            began["translator"] = time.process_time()
            context.stage(
                "translator",
                params=pixel,
                build=lambda: ImageTranslator(pixel, task.channels),
                train=lambda g: train_translator(g, f_s, task, pixel, context),
            )
    return {
        stage: (
            marks[stage][FIRST] - began[stage],
            (n - FIRST) / (marks[stage][n] - marks[stage][FIRST]),
        )
        for stage, n in STEPS.items()
    }


def main() -> int:
    """Print medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    shift = suites.PRINTED_TO_HANDWRITTEN
    source, target = load_domain(shift.source), load_domain(shift.target)
    task = build_task(shift, source, target, Path(), torch.device("cpu"))
    kinds = list(product(("float32", "bf16"), (False, True)))
    found: dict[tuple[str, bool], list[dict[str, tuple[float, float]]]] = {k: [] for k in kinds}
    for _, kind in product(range(asked.rounds), kinds):
        found[kind].append(measure(task, kind[0], compiled=kind[1]))
        print(*kind, found[kind][-1], flush=True)
    print(f"{shift.name}, {asked.threads} threads, torch {torch.__version__}")
    for (precision, compiled), stage in product(kinds, STEPS):
        rounds = [each[stage] for each in found[precision, compiled]]
        speed = statistics.median(per_second for _, per_second in rounds)
        print(
            f"{stage:<11} {precision:<8} {'compiled' if compiled else 'eager':<9}"
            f" {speed:7.1f} steps/s, first {FIRST} steps {rounds[0][0]:5.1f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
