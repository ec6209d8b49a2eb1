"""Mean, spread and interval of many groups of values at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from bench.paired import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

Maybe = float | None


@dataclass(frozen=True)
class Spreads:
    """What `bench.paired.summary` says of each group, as lists; None of what n is too small for.

    Attributes:
        n: number of values.
        mean: their mean.
        std: sample standard deviation.
        ci95: 95 % interval of the mean.
    """

    n: list[int]
    mean: list[Maybe]
    std: list[Maybe]
    ci95: list[tuple[float, float] | None]

    def of(self, group: int) -> dict[str, Maybe]:
        """Return mean and standard deviation of one group by name."""
        return {"mean": self.mean[group], "std": self.std[group]}


def spreads(values: NDArray[np.float64], groups: NDArray[np.intp], count: int) -> Spreads:
    """Summarise values by group.

    Args:
        values: float64 (n,); NaN is no value.
        groups: (n,), the group of each, 0..count-1.
        count: number of groups.

    >>> spreads(np.array([0.5, 0.7, np.nan]), np.array([0, 0, 1]), 2).mean
    [0.6, None]
    """
    known = ~np.isnan(values)
    values, groups = values[known], groups[known]
    n = np.bincount(groups, minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is the NaN that becomes None
        mean = np.bincount(groups, values, count) / n
        squares = np.bincount(groups, (values - mean[groups]) ** 2, count)
        std = np.where(n > 1, np.sqrt(squares / (n - 1)), np.nan)
        half = stdtrit(n - 1, 1 - LEVEL / 2) * std / np.sqrt(n)
    ends = zip(_listed(mean - half), _listed(mean + half), strict=True)
    ci95 = [None if low is None or high is None else (low, high) for low, high in ends]
    return Spreads(n.tolist(), _listed(mean), _listed(std), ci95)


def _listed(values: NDArray[np.float64]) -> list[Maybe]:
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  NaN
