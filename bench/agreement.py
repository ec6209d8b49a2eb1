"""What selection rules choose, and how well they agree with test labels, of many runs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.select import Rule

    Floats = NDArray[np.float64]

NEEDED = 3
"""Values, at least, of which a rank correlation says anything."""


def choices(rule: Rule, values: Floats) -> NDArray[np.intp]:
    """Return of each row the column that `Rule.choose` would take.

    Args:
        rule: the rule.
        values: (runs, checkpoints), checkpoints in the order of training, NaN for None.

    >>> from bench.select import LAST, ORACLE
    >>> [choices(rule, np.array([[0.9, 0.8]])).tolist() for rule in (LAST, ORACLE)]
    [[1], [0]]
    """
    last = values.shape[1] - 1
    known = np.where(np.isnan(values), -np.inf, values)
    if rule.looks_at_target_labels:
        return known.argmax(axis=1)
    if rule.score is None:
        return np.full(len(values), last)
    return last - known[:, ::-1].argmax(axis=1)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, -1..1, equal values sharing their mean rank.

    None for fewer than three pairs, or if all values on one side are equal.

    Source: Spearman, The American Journal of Psychology 15(1), 1904.

    >>> rank_correlation([1.0, 2.0, 30.0], [0.1, 0.3, 0.2])
    0.5
    """
    x, y = (_ranks(np.asarray(values, np.float64)) for values in (a, b))
    rho = float(_correlation(x[:, None], y[:, None])[0])
    return None if np.isnan(rho) else rho


def rank_correlations(a: Floats, b: Floats) -> Floats:
    """Return the rank correlation of each row of `a` with the same row of `b`.

    Args:
        a: (n, m); pairs in which it is NaN are left out.
        b: (n, m), without NaN.

    Returns:
        (n,), NaN where `rank_correlation` is None.

    >>> rank_correlations(np.array([[1.0, 2.0, 30.0]]), np.array([[0.1, 0.3, 0.2]])).tolist()
    [0.5]
    """
    holes = np.isnan(a).any(axis=1)
    found = np.full(len(a), np.nan)
    whole = ~holes
    found[whole] = _correlation(_ranks_of_each(a[whole]), _ranks_of_each(b[whole]))
    for row in np.flatnonzero(holes):
        known = ~np.isnan(a[row])
        rho = rank_correlation(a[row, known].tolist(), b[row, known].tolist())
        found[row] = np.nan if rho is None else rho
    return found


def _correlation(x: Floats, y: Floats) -> Floats:
    """Return the correlation of the columns of `x` and `y`, (m, n); NaN where it is not defined."""
    nothing = np.full(x.shape[1], np.nan)
    if len(x) < NEEDED:
        return nothing
    x, y = (r - r.mean(axis=0) for r in (x, y))
    spread = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    # Ranks are multiples of one half and so is their mean: what has no spread is exactly zero.
    return np.divide((x * y).sum(axis=0), spread, out=nothing, where=spread > 0)


def _ranks(values: Floats) -> Floats:
    """Return ranks 1..n; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: Floats = (last - (counts - 1) / 2)[inverse]
    return ranks


def _ranks_of_each(values: Floats) -> Floats:
    """Return `_ranks` of each row as columns (m, n), by counting: rows are many, and short."""
    columns = np.ascontiguousarray(values.T)  # NumPy adds up long rows five times as fast
    ranks = [
        (columns < own).sum(axis=0) + ((columns == own).sum(axis=0) + 1) / 2 for own in columns
    ]
    return np.array(ranks).reshape(columns.shape)
