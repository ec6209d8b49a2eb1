"""How often a verdict is wrong, and how often an interval misses, by simulation.

Differences are drawn from known distributions, and judged by the functions that `bench compare`
uses. False alarms: no difference in truth, but a verdict. Cover: the share of 95 % intervals that
hold the true difference. Power: the share of true differences that a verdict finds. The mean is
varied by standard deviations of the differences (d_z), so that their scale does not matter.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING

import numpy as np

from bench.paired import BOOTSTRAPPED, EXACT, LEVEL, holm, interval, needed, sign_flip, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]

IMAGES, RIGHT = 2007, 0.92
"""USPS' test images, and the share of them that both methods get right."""

SHIFTS = 3
SIZES = (5, 7, 10, 20)


def accuracies(rng: np.random.Generator, size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return differences of two accuracies, in standard deviations: discrete, and often tied."""
    a, b = (rng.binomial(IMAGES, RIGHT, size) / IMAGES for _ in range(2))
    return (a - b) / math.sqrt(2 * RIGHT * (1 - RIGHT) / IMAGES)


# Mean 0, standard deviation 1.
SYMMETRIC: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "Laplace": lambda rng, size: rng.laplace(scale=math.sqrt(0.5), size=size),
    "uniform": lambda rng, size: rng.uniform(-math.sqrt(3), math.sqrt(3), size),
    "accuracies": accuracies,
}
SKEWED: dict[str, Draw] = {"exponential": lambda rng, size: rng.exponential(size=size) - 1}


def share(hits: Iterable[bool]) -> tuple[float, float]:
    """Return the share of hits, and its Monte Carlo standard error."""
    found = list(hits)
    p = sum(found) / len(found)
    return p, math.sqrt(max(p * (1 - p), 1 / len(found)) / len(found))


def shown(p: float, error: float) -> str:
    """Write a share and its error in per cent."""
    return f"{100 * p:.2f} \u00b1 {100 * error:.2f}"


def false_alarms(repetitions: int) -> int:
    """Print shares of verdicts where nothing differs; return how many are too many."""
    wrong = 0
    print(f"| no difference: {SHIFTS} shifts | seeds | any shift, Holm | overall |")
    print("| :-- | --: | --: | --: |")
    for name, draw in (SYMMETRIC | SKEWED).items():
        for n in SIZES:
            rng = np.random.default_rng(n)
            d = draw(rng, (repetitions, SHIFTS, n))
            by_shift = share(min(holm([sign_flip(x) for x in each])) <= LEVEL for each in d)
            pooled = d if SHIFTS * n <= EXACT else d[: repetitions // 10]
            overall = share(sign_flip(each.ravel()) <= LEVEL for each in pooled)
            if name in SYMMETRIC:
                wrong += sum(p > LEVEL + 4 * error for p, error in (by_shift, overall))
            print(f"| {name} | {n} | {shown(*by_shift)} | {shown(*overall)} |", flush=True)
    return wrong


def cover(repetitions: int) -> int:
    """Print shares of intervals that hold the truth; return how many normal ones miss too often."""
    wrong = 0
    print("\n| true difference: 1 standard deviation | pairs | interval | holds it |")
    print("| :-- | --: | :-- | --: |")
    for name, draw in (SYMMETRIC | SKEWED).items():
        for n in SIZES:
            d = 1 + draw(np.random.default_rng(n), (repetitions, n))
            held = share(_holds(summary(list(each))[2]) for each in d)
            if name == "normal":
                wrong += abs(held[0] - (1 - LEVEL)) > 4 * held[1]
            print(f"| {name} | {n} | Student's t | {shown(*held)} |", flush=True)
        held = share(_holds(interval(list(each))) for each in d[: repetitions // 2])
        print(f"| {name} | {BOOTSTRAPPED} | bootstrap | {shown(*held)} |", flush=True)
    return wrong


def _holds(found: tuple[float, float] | None) -> bool:
    return found is not None and found[0] <= 1 <= found[1]


def power(repetitions: int) -> None:
    """Print shares of true differences that a verdict finds, on one shift and on three."""
    sizes = (0.5, 1.0, 1.5, 2.0)
    print(f"\n| shifts | seeds | {' | '.join(f'd_z {size}' for size in sizes)} |")
    print("| --: | --: |" + " --: |" * len(sizes))
    for shifts in (1, SHIFTS):
        for n in (5, needed(), needed(SHIFTS), 10, 20):
            cells = []
            for size in sizes:
                d = size + np.random.default_rng(n).normal(size=(repetitions, shifts, n))
                # Of one of the shifts: all have the same difference here.
                found = share(holm([sign_flip(x) for x in each])[0] <= LEVEL for each in d)
                cells.append(f"{100 * found[0]:.0f}")
            print(f"| {shifts} | {n} | {' | '.join(cells)} |", flush=True)


def main() -> int:
    """Print three tables; fail if false alarms or misses are more than chance explains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1000)
    repetitions = parser.parse_args().repetitions
    wrong = false_alarms(repetitions) + cover(repetitions)
    power(repetitions)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
