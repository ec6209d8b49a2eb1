"""How soon, and in how much memory, ``bench leaderboard`` tabulates 100,000 runs.

Two files of records, of about 3 KB each: many seeds of 150 configurations, as from repetitions, and
five seeds of each of 20,000 configurations, as from a search. A record has 10x10 matrices of three
checkpoints and two stages, and six rules' scores; 3 % of the runs did not finish. ``--folders N``
also measures N run folders, whose matrices are files of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from bench import migrate, records
from bench.config import RunConfig
from bench.digest import canonical_json
from bench.suites import DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RUNS = 100_000
LIMITS = {"150 configurations": 5.0, "20,000 configurations": 12.0}
"""Seconds of wall time that the best of some commands may take: the second prints 10 MB."""
GIB = 1.0
"""Resident memory of a command and its processes together, at most."""

METHODS = ("source-only", "adda", "dann", "deep-coral", "cycada")
STEPS = (282, 564, 704)
RULES = ("source-accuracy", "entropy", "infomax", "bnm", "snd", "dev")
CLASSES, IMAGES = 10, 1797


def configurations(weights: int, seeds: int) -> Iterator[RunConfig]:
    """Yield runs of five methods with `weights` settings each, on 3 shifts in 2 presets."""
    for shift in DIGITS.shifts:
        for preset in ("paper", "fast"):
            for method in METHODS:
                for weight in range(weights):
                    for seed in range(seeds):
                        yield config(method, preset, 0.001 * weight, shift.described(), seed)


def config(method: str, preset: str, weight: float, shift: dict[str, Any], seed: int) -> RunConfig:
    """Return a configuration with as many hyperparameters as ADDA has."""
    feature = {
        "batch": 128,
        "beta1": 0.5,
        "discriminator_lr": 0.001,
        "epochs": 15,
        "gate": 0.6,
        "hidden": 500,
        "lr": 0.0003,
        "max_steps": 1000,
        "weight_decay": weight,
    }
    source = {"batch": 128, "epochs": 20, "lr": 0.002, "max_steps": 1500, "schedule": "cosine"}
    return RunConfig(
        method=method,
        settings={"feature.weight_decay": weight} if weight else {},
        params={"feature": feature, "source": source},
        preset=preset,
        code="builtin-1",
        learns_from="source",
        shift=shift,
        seed=seed,
        backbone=shift["backbone"],
        budget=20_000,
        data="d" * 64,
    )


def record(made: RunConfig, rng: np.random.Generator) -> records.Record:
    """Return a run's exported record: made up, but of the size and shape of real ones."""
    status = "done" if rng.random() > 0.03 else str(rng.choice(["failed", "diverged", "pruned"]))
    done = status == "done"
    matrices = confusions(rng) if done else []
    scores = np.round(rng.normal(size=(len(RULES), len(STEPS))), 6).tolist()
    stage = {"cached": False, "key": f"{rng.integers(1 << 62):032x}", "steps": 704, "stop": None}
    seconds = round(float(rng.uniform(5, 50)), 3)
    return {
        "schema": migrate.CURRENT,
        "run_id": made.run_id,
        "status": status,
        "error": None if done else "RuntimeError: out of memory (adda.py, line 71)",
        "config": made.described(),
        "departure": None,
        "stages": [{**stage, "name": n, "seconds": seconds / 2} for n in ("source", "feature")],
        "checkpoints": list(STEPS) if done else [],
        "scores": {
            rule: dict(zip(map(str, STEPS), values, strict=True))
            for rule, values in zip(RULES, scores, strict=True)
        }
        if done
        else {},
        "events": [],
        "nondeterministic": [],
        "attempts": 1,
        "steps": 1408,
        "seconds": seconds,
        "threads": 1,
        "device": "cpu",
        "environment": {
            "cycada-bench": "0.1.0",
            "git": "f" * 40,
            "numpy": "2.4.6",
            "pillow": "13.0.0",
            "platform": "Linux-6.18-x86_64-with-glibc2.36",
            "processor": "x86_64",
            "python": "3.11.7",
            "torch": "2.14.1",
            "torchvision": "0.29.1",
        },
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
        "confusion": {
            "checkpoints": dict(zip(map(str, STEPS), matrices, strict=False)),
            "stages": dict(zip(("source", "feature"), matrices[len(STEPS) :], strict=False)),
        },
    }


def confusions(rng: np.random.Generator) -> list[Any]:
    """Return the matrices of one run's checkpoints and stages: most images are on the diagonal."""
    share = np.full((CLASSES, CLASSES), 0.02)
    np.fill_diagonal(share, rng.uniform(0.3, 0.8))
    counts = rng.poisson(share * IMAGES / CLASSES, (len(STEPS) + 2, CLASSES, CLASSES))
    return list(counts.tolist())


def write_folders(runs: Path, made: Iterable[records.Record]) -> None:
    """Write run folders as `bench run` leaves them, but for logs and pictures."""
    for content in made:
        folder = runs / content["run_id"]
        confusion = content.pop("confusion")
        records.write_run(folder, content)
        if content["status"] == "done":
            steps = {int(step): np.array(m) for step, m in confusion["checkpoints"].items()}
            stages = {name: np.array(m) for name, m in confusion["stages"].items()}
            records.write_confusions(folder, records.Confusions(steps, stages))


def measure(*options: str) -> tuple[float, float]:
    """Return wall and CPU seconds of one `bench leaderboard`, its processes included."""
    start = time.perf_counter()
    child = begin(*options)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    stop_if_failed(child)
    return wall, usage.ru_utime + usage.ru_stime


def peak_of(*options: str) -> float:
    """Return GiB that one `bench leaderboard` and its processes had in memory at any moment seen.

    Pages that they share count for each. Looking takes time, so that this is a command of its own.
    """
    child = begin(*options)
    found = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(child.pid)
        while child.poll() is None:
            total = 0
            for process in (parent, *parent.children()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
            found = max(found, total)
            time.sleep(0.02)
    child.wait()
    stop_if_failed(child)
    return found / 2**30


def begin(*options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench", "leaderboard", "--suite", "digits", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def stop_if_failed(child: subprocess.Popen[bytes]) -> None:
    if child.returncode:
        sys.exit(f"{child.args} ended with {child.returncode}")


def main() -> int:
    """Print a table and fail if a file of records takes more than the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--folders", type=int, default=0, help="run folders to measure, too")
    parser.add_argument("--repetitions", type=int, default=3)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"| runs | bytes each | wall ({asked.repetitions} runs) | CPU | peak memory |")
    print("| :-- | --: | --: | --: | --: |")
    slow = 0
    with tempfile.TemporaryDirectory() as temporary:
        mixes = {
            "150 configurations": (5, asked.runs // 150 + 1),
            "20,000 configurations": (667, 5),
        }
        for name, (weights, seeds) in mixes.items():
            path = Path(temporary) / "records.jsonl"
            with path.open("w") as file:
                for made in islice(configurations(weights, seeds), asked.runs):
                    file.write(canonical_json(record(made, rng)) + "\n")
            each = path.stat().st_size / asked.runs
            slow += show(name, asked.runs, each, asked.repetitions, "--records", str(path))
            path.unlink()
        if asked.folders:
            runs = Path(temporary) / "runs"
            made = islice(configurations(667, 5), asked.folders)
            write_folders(runs, (record(one, rng) for one in made))
            show("run folders", asked.folders, 0, asked.repetitions, "--runs", str(runs))
    return slow


def show(name: str, count: int, each: float, repetitions: int, *options: str) -> int:
    """Print one line, and return 1 if the best of some processes is over a limit."""
    found = [measure(*options) for _ in range(repetitions)]
    peak = peak_of(*options)
    wall, cpu = (min(values) for values in zip(*found, strict=True))
    slowest = max(seconds for seconds, _ in found)
    size = f"{each:,.0f}" if each else ""
    print(
        f"| {count:,}: {name} | {size} | {wall:.2f} to {slowest:.2f} s | {cpu:.2f} s"
        f" | {peak:.2f} GiB |",
        flush=True,
    )
    return int(wall > LIMITS.get(name, math.inf) or peak > GIB)


if __name__ == "__main__":
    sys.exit(main())
