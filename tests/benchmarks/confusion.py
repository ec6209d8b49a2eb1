"""How fast a 19-class confusion matrix accumulates from label maps of 2048x1024 pixels.

Ours, torchmetrics without its input checks, and NumPy's bincount as in the released CyCADA code
(``fast_hist``) count the same uint8 maps, in turns in one process; the smallest time of each
counts. Maps are a street scene against itself, moved by a few pixels and with some noise, and, as
the worst case for a loop that profits from flat regions, uniformly random classes.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from scenes import scene
from torchmetrics.classification import MulticlassConfusionMatrix

from bench.metrics import Counts, count

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = 19
LIMITS = {"torchmetrics": 8.0, "bincount": 4.0}
"""How many times faster than each ours should be."""


def fast_hist(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Count as the released code does."""
    truth, prediction = truth.flatten(), prediction.flatten()
    known = (truth >= 0) & (truth < CLASSES)
    pairs = CLASSES * truth[known].astype(int) + prediction[known]
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def maps() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return ground truth and prediction, uint8 (1024, 2048), by name."""
    rng = np.random.default_rng(0)
    truth = scene(0, range(CLASSES))
    moved = np.roll(truth, 5, axis=1)
    noise = rng.random(moved.shape) < 0.05
    moved[noise] = rng.integers(0, CLASSES, int(noise.sum()))
    truth[900:] = 255
    random = rng.integers(0, CLASSES, (2, 1024, 2048), dtype=np.uint8)
    return {"street scene": (truth, moved), "random": (random[0], random[1])}


def main() -> int:
    """Print a table and fail if a ratio is under its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    slow = 0
    print("| maps | ours | torchmetrics | bincount | faster than these |")
    print("| :-- | --: | --: | --: | :-- |")
    for name, (truth, guess) in maps().items():
        tensors = torch.from_numpy(guess), torch.from_numpy(truth)
        metric = MulticlassConfusionMatrix(CLASSES, ignore_index=255, validate_args=False)
        total = [Counts.zero(CLASSES)]

        def ours(truth: np.ndarray = truth, guess: np.ndarray = guess, total: list = total) -> None:
            total[0] += count(truth, guess, CLASSES, threads=asked.threads)

        ways: dict[str, Callable[[], object]] = {
            "ours": ours,
            "torchmetrics": lambda metric=metric, tensors=tensors: metric.update(*tensors),
            "bincount": lambda truth=truth, guess=guess: fast_hist(truth, guess),
        }
        best = dict.fromkeys(ways, float("inf"))
        for repetition in range(asked.repetitions + 1):
            for way, call in ways.items():
                start = time.perf_counter()
                call()
                elapsed = time.perf_counter() - start
                if repetition:  # the first loads, compiles and warms up
                    best[way] = min(best[way], elapsed)
        once = total[0].matrix // (asked.repetitions + 1)
        assert np.array_equal(once, fast_hist(truth, guess))
        assert np.array_equal(total[0].matrix, metric.compute().numpy())
        ratios = {way: best[way] / best["ours"] for way in LIMITS}
        slow += sum(ratios[way] < limit for way, limit in LIMITS.items())
        cells = " | ".join(f"{1e3 * seconds:.2f} ms" for seconds in best.values())
        said = ", ".join(f"{ratios[way]:.1f}x (limit {limit:g})" for way, limit in LIMITS.items())
        print(f"| {name} | {cells} | {said} |")
    return slow


if __name__ == "__main__":
    sys.exit(main())
