"""Rank correlations against SciPy's, and what rules choose against each rule's own word."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from bench.agreement import choices, rank_correlation, rank_correlations
from bench.select import INFOMAX, LAST, ORACLE

RULES = (LAST, ORACLE, INFOMAX)

SOME = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, -3.0, 1e300])
"""Few values: many ties."""

WITH_HOLES = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=SOME | st.just(float("nan")),
)


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant input, for which it is not defined
        rho = float(stats.spearmanr(a, b).statistic)
    return None if np.isnan(rho) else rho


@given(st.lists(st.tuples(SOME, SOME), max_size=12))
def test_a_rank_correlation_is_scipys(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs, np.float64).reshape(-1, 2).T
    assert rank_correlation(a.tolist(), b.tolist()) == pytest.approx(spearman(a, b), abs=1e-12)


@given(WITH_HOLES, st.randoms(use_true_random=False))
def test_many_rank_correlations_are_those_of_each_row_without_its_holes(
    a: np.ndarray, random: np.random.Generator
) -> None:
    b = np.array([[random.choice([0.1, 0.2, 0.9]) for _ in row] for row in a])
    found = rank_correlations(a, b)
    assert found.shape == (len(a),)
    for rho, left, right in zip(found, a, b, strict=True):
        known = ~np.isnan(left)
        expected = spearman(left[known], right[known])
        assert (None if np.isnan(rho) else rho) == pytest.approx(expected, abs=1e-12)


def test_a_rank_correlation_by_hand() -> None:
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
    assert rank_correlation([0.1, 0.5, 0.5, 0.9], [1, 2, 3, 4]) == pytest.approx(0.9**0.5)
    assert rank_correlation([3, 2, 1], [0.1, 0.2, 0.3]) == -1.0
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1, 2, 3], [7, 7, 7]) is None


@given(WITH_HOLES)
def test_choices_are_what_each_rule_would_choose(values: np.ndarray) -> None:
    for rule in RULES:
        found = choices(rule, values).tolist()
        for row, column in zip(values.tolist(), found, strict=True):
            by_step = {step: None if np.isnan(v) else v for step, v in enumerate(row)}
            assert rule.choose(by_step) == column


def test_choices_by_hand() -> None:
    values = np.array([[0.1, 0.7, 0.7, 0.2], [np.nan, np.nan, 0.1, np.nan], [np.nan] * 4])
    assert choices(LAST, values).tolist() == [3, 3, 3]
    assert choices(ORACLE, values).tolist() == [1, 2, 0]  # of equals the earliest
    assert choices(INFOMAX, values).tolist() == [2, 2, 3]  # of equals the latest
