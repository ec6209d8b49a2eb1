"""What a handful of seeds can say: intervals of means, and whether paired differences are luck.

Pure functions of float arrays. Two methods are compared by their differences d_i = a_i - b_i, one
for each seed that both ran with: what a seed does to both cancels out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Interval: TypeAlias = tuple[float, float]

LEVEL = 0.05
"""Share of false alarms that a verdict may have; intervals cover the rest, 95 %."""

EXACT = 20
"""Pairs up to which all 2^n assignments of signs are counted."""

FLIPS = 100_000
"""Assignments that are drawn beyond that."""

BOOTSTRAPPED = 20
"""Pairs from which an interval is a bootstrap's, not Student's."""

RESAMPLES = 9999
"""Of that bootstrap."""

_SEED = 0
_BLOCK = 10_000
_ROUNDING = 1e-9
"""Sums that differ by less, relative to the sum of all |d|, are equal but for rounding."""


def summary(values: Sequence[float]) -> tuple[float | None, float | None, Interval | None]:
    """Return mean, sample standard deviation and 95 % interval of the mean.

    The interval is mean -+ t * std / sqrt(n), where t is the 97.5 % point of Student's
    distribution with n - 1 degrees of freedom. It may leave 0..1. What n is too small for is None.

    >>> mean, std, (low, high) = summary([0.5, 0.7])
    >>> round(mean, 4), round(std, 4), round(low, 4), round(high, 4)
    (0.6, 0.1414, -0.6706, 1.8706)
    """
    n = len(values)
    if n == 0:
        return None, None, None
    mean = float(np.mean(values))
    if n == 1:
        return mean, None, None
    std = float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, 1 - LEVEL / 2)) * std / math.sqrt(n)
    return mean, std, (mean - half, mean + half)


def sign_flip(differences: ArrayLike) -> float:
    """Return the two-sided p-value of "no difference" by flipping signs.

    If neither method is better, each difference is as likely with the other sign. p is the share
    of all 2^n assignments of signs s whose |sum s_i d_i| is at least |sum d_i|: exact up to
    `EXACT` pairs, whatever the distribution, as long as it is symmetric under "no difference".
    Beyond, m = `FLIPS` of them are drawn with a fixed seed, and p = (b + 1) / (m + 1) for b that
    are at least as large, which is valid for any m. No p is below 2 / 2^n: see `needed`.

    Source: Fisher, The Design of Experiments, 1935, section 21; Phipson & Smyth, Statistical
    Applications in Genetics and Molecular Biology 9(1), 2010, for the drawn ones.

    Args:
        differences: (n,), finite; their order and common scale do not matter.

    Raises:
        ValueError: a difference is not finite, or this is no vector.

    >>> sign_flip([0.01, 0.02, 0.03, 0.04, 0.05])  # 2 of 32: all as they are, and all flipped
    0.0625
    >>> sign_flip([0.01, -0.01]), sign_flip([0.0, 0.0]), sign_flip([])
    (1.0, 1.0, 1.0)
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or not np.isfinite(d).all():
        message = f"expected a vector of finite differences, got {differences!r}"
        raise ValueError(message)
    # Sorted: equal pairs give one p in whatever order they come, and with a and b swapped.
    sizes = np.sort(np.abs(d))
    least = abs(float(d.sum())) - _ROUNDING * float(sizes.sum())
    if least <= 0:
        return 1.0
    return _counted(sizes, least) if len(d) <= EXACT else _drawn(sizes, least)


def _counted(sizes: NDArray[np.float64], least: float) -> float:
    """Return the share of all assignments with |sum| >= least > 0.

    Every sum is one of the first half of the pairs plus one of the second, so 2^(n/2) of each are
    enough to count among 2^n.
    """
    first, second = (_sums(half) for half in np.array_split(sizes, 2))
    below = np.searchsorted(np.sort(second), least - first)
    reached = int(np.sum(len(second) - below))
    return 2 * reached / 2 ** len(sizes)  # the other tail is as large


def _sums(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of `sizes` with all assignments of signs."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def _drawn(sizes: NDArray[np.float64], least: float) -> float:
    rng = np.random.default_rng(_SEED)
    n, reached = len(sizes), 0
    for _ in range(FLIPS // _BLOCK):
        octets = rng.integers(0, 256, (_BLOCK, -(-n // 8)), dtype=np.uint8)
        kept = np.unpackbits(octets, axis=1, count=n)  # a bit a sign: 1 for plus
        sums = kept @ (2 * sizes) - sizes.sum()
        reached += int(np.count_nonzero(np.abs(sums) >= least))
    return (reached + 1) / (FLIPS + 1)


def interval(differences: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of the mean difference; None with fewer than two pairs.

    Student's t below `BOOTSTRAPPED` pairs: a bootstrap of so few says little. From there on a
    symmetric studentised bootstrap, which a skewed distribution leads astray less: mean -+ q std /
    sqrt(n), where q is the 95 % point of |mean* - mean| sqrt(n) / std* over `RESAMPLES` resamples
    with a fixed seed. Simulated cover: tests/benchmarks/README.md. Differences that are all equal
    have an interval without width.

    Source: Hall, Journal of the Royal Statistical Society B 50(1), 1988.

    >>> low, high = interval([0.01, 0.02, 0.03])
    >>> round(low, 4), round(high, 4)
    (-0.0048, 0.0448)
    """
    _, std, by_student = summary(differences)
    if len(differences) < BOOTSTRAPPED or effect_size(differences) is None:
        return by_student
    # Sorted: equal pairs give one interval in whatever order they come.
    d, n = np.sort(differences), len(differences)
    drawn = d[np.random.default_rng(_SEED).integers(0, n, (RESAMPLES, n))]
    spreads = drawn.std(1, ddof=1)
    varied = spreads > _ROUNDING * np.abs(d).max()
    distances = np.abs(drawn.mean(1) - d.mean())[varied] / spreads[varied]
    half = float(np.quantile(distances, 1 - LEVEL)) * float(std or 0.0)
    middle = float(d.mean())
    return middle - half, middle + half


def effect_size(differences: Sequence[float]) -> float | None:
    """Return d_z: the mean difference in standard deviations (ddof 1) of the differences.

    How sure one more seed would show the same sign, not how much better a method is: a tiny
    difference that every seed repeats has a large d_z. None with fewer than two pairs, or if the
    differences are equal but for rounding.

    Source: Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, section 2.3.5.

    >>> round(effect_size([0.01, 0.02, 0.03]), 6)
    2.0
    """
    mean, std, _ = summary(differences)
    if mean is None or std is None or std <= _ROUNDING * float(np.max(np.abs(differences))):
        return None
    return mean / std


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being one of m tests, by Holm's step-down method.

    With p_(1) <= ... <= p_(m), the i-th becomes max_(j <= i) min(1, (m - j + 1) p_(j)). The
    chance of any false alarm among the m is then at most the level, however they depend.

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.

    >>> holm([0.25, 0.0625, 0.125])
    [0.25, 0.1875, 0.25]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, so_far = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = so_far
    return adjusted


def needed(tests: int = 1) -> int:
    """Return how many pairs `sign_flip` needs to reach 5 % after Holm over that many tests.

    The smallest n with 2 / 2^n <= 0.05 / tests.

    >>> [needed(tests) for tests in (1, 2, 3, 4)]
    [6, 7, 7, 8]
    """
    return math.ceil(math.log2(2 * tests / LEVEL))
