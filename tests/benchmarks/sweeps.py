"""What the harness adds to a trial, and what a second process takes off a sweep.

1. A trial of about a minute (LeNet, 54,000 images, source-only) against a bare loop over the
   same steps. Scoring its five checkpoints on all test images and by all rules, and drawing, are
   what a trial is asked for, and told apart; all else is what the harness adds.
2. A trial that is done already, by sweeps of many and of few of them.
3. A sweep of small trials with ``--jobs 1`` and ``--jobs 2``, whole commands, one thread a trial.
4. A plan of 10,000 trials, the whole command.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

import bench.run
from bench import backbones
from bench.request import Request
from bench.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

OVERHEAD, DONE, FASTER, PLAN = 0.02, 0.1, 1.6, 5.0
"""Limits: share of a trial, seconds a done trial, times faster, seconds of a plan."""

TOY = f"{Path(__file__).parent.parent / 'plugins' / 'toy_suite.py'}:TOY"

DOMAINS = """
    import torch
    from bench.suites import Entry, Shift, Suite

    class Bands:
        classes = 10

        def images(self, root, split):
            random = torch.Generator().manual_seed(len(split))
            count = 60_000 if split == "train" else 2_000
            images = torch.randint(0, 128, (count, 1, 28, 28), generator=random, dtype=torch.uint8)
            for label in range(10):  # a bright band, so that no network gives one answer for all
                images[label::10, :, 2 * label : 2 * label + 4] += 100
            return images

        def labels(self, root, split):
            return torch.arange(60_000 if split == "train" else 2_000) % 10

    class Others(Bands):
        pass

    SUITE = Suite(
        "bands", "Bright bands on noise.",
        (Shift("bands2bands", "suite.py:Bands", "suite.py:Others", size=28),),
        (Entry("source-only", "source-only"),),
    )
"""


def bare(steps: int) -> float:
    """Return the seconds of a training loop that somebody would write for this alone."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (54_000, 1, 28, 28), generator=random, dtype=torch.uint8)
    labels = torch.randint(0, 10, (54_000,), generator=random)
    net = backbones.build("lenet", classes=10, channels=1, size=28, weights="random")
    net = net.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    order = torch.randperm(len(images))
    began = time.perf_counter()
    for step in range(steps):
        chosen = order[torch.arange(step * 128, (step + 1) * 128) % len(order)]
        x = images[chosen].float().div(127.5).sub(1)
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(x), labels[chosen]).backward()
        optimizer.step()
    return time.perf_counter() - began


def aside(call: Callable[..., Any], seconds: dict[str, float], name: str) -> Callable[..., Any]:
    """Return `call`, whose wall time is added up."""

    def clocked(*arguments: object, **options: object) -> object:
        began = time.perf_counter()
        try:
            return call(*arguments, **options)
        finally:
            seconds[name] += time.perf_counter() - began

    return clocked


def timed(call: Callable[[], object]) -> float:
    """Return the wall time of a call, in seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def of_a_trial(folder: Path, steps: int, turns: int) -> bool:
    """Compare trials with bare loops."""
    asked = Request(
        suite=f"{folder}/suite.py:SUITE",
        seeds=(0,),
        preset="fast",
        threads=torch.get_num_threads(),
        settings=(f"source.max_steps={steps}", "source.lr=1e-3", "source.epochs=100"),
        runs=folder / "runs",
    )
    asides: dict[str, float] = {"scoring": 0.0, "drawing": 0.0}
    bench.run.score_images = aside(bench.run.score_images, asides, "scoring")
    bench.run.draw = aside(bench.run.draw, asides, "drawing")
    bare(5)  # torch loads parts of itself when an optimiser is first used
    sweep(replace(asked, settings=("source.max_steps=5",), runs=folder / "warm"))
    loops, trials, scored, drawn = [], [], [], []
    for turn in range(turns):
        loops.append(bare(steps))
        asides.update(scoring=0.0, drawing=0.0)
        trials.append(timed(lambda turn=turn: sweep(replace(asked, seeds=(turn,)))))
        scored.append(asides["scoring"])
        drawn.append(asides["drawing"])
    added = median(trials) - median(scored) - median(drawn) - median(loops)
    share = added / median(trials)
    print(
        f"trial {median(trials):.1f} s: a bare loop takes {median(loops):.1f}, scoring"
        f" {median(scored):.1f}, drawing {median(drawn):.1f}; all else {added:.1f} s,"
        f" {100 * share:.1f} %"
    )
    return share <= OVERHEAD


def of_done_trials(folder: Path, few: int, many: int) -> bool:
    """Time sweeps of which all is done, on tiny images: reading data is no part of a trial."""
    asked = Request(
        suite=TOY, methods=("source-only",), preset="smoke", threads=1, runs=folder / "done"
    )
    seconds = {}
    for count in (few, many):
        there = replace(asked, seeds=tuple(range(count)))
        sweep(there)
        seconds[count] = min(timed(lambda there=there: sweep(there)) for _ in range(3))
    each = (seconds[many] - seconds[few]) / (many - few)
    print(f"a trial that is done: {1000 * each:.1f} ms")
    return each <= DONE


def command(*words: str) -> float:
    """Return the seconds of a whole `bench` command."""
    argv = [sys.executable, "-m", "bench", *words]
    return timed(lambda: subprocess.run(argv, check=True, capture_output=True))


def of_two_processes(folder: Path, trials: int, steps: int) -> bool:
    """Time the same sweep in one process and in two."""
    words = ["run", "--suite", f"{folder}/suite.py:SUITE", "--seeds", str(trials), "--threads", "1"]
    words += ["--set", f"source.max_steps={steps}"]
    seconds = [
        command(*words, "--jobs", str(jobs), "--runs", str(folder / f"jobs-{jobs}"))
        for jobs in (1, 2)
    ]
    faster = seconds[0] / seconds[1]
    print(
        f"{trials} trials: {seconds[0]:.1f} s in one process,"
        f" {seconds[1]:.1f} s in two: {faster:.2f}x"
    )
    return faster >= FASTER


def of_a_plan() -> bool:
    """Time a plan of 10,000 trials."""
    seconds = min(
        command("run", "--suite", "digits", "--seeds", "556", "--dry-run") for _ in range(3)
    )
    print(f"a plan of 10,008 trials: {seconds:.2f} s")
    return seconds <= PLAN


def main() -> int:
    """Print all four, and fail if one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500, help="of a trial of about a minute")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.py").write_text(textwrap.dedent(DOMAINS))
        kept = [
            of_a_trial(folder, asked.steps, asked.turns),
            of_done_trials(folder, 2, 42),
            of_two_processes(folder, asked.trials, 200),
            of_a_plan(),
        ]
    return int(not all(kept))


if __name__ == "__main__":
    sys.exit(main())
