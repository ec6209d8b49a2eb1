"""Summaries of many groups against those of each alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.paired import summary
from bench.spread import spreads

NAN = float("nan")


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1) | st.just(NAN)), max_size=30))
def test_each_group_is_summarised_as_if_it_were_alone(values: list[tuple[int, float]]) -> None:
    groups = np.array([group for group, _ in values], np.intp)
    found = spreads(np.array([value for _, value in values], np.float64), groups, 4)
    for group in range(4):
        own = [value for g, value in values if g == group and not math.isnan(value)]
        mean, std, ci95 = summary(own)
        assert found.n[group] == len(own)
        assert found.mean[group] == pytest.approx(mean, abs=1e-12)
        assert found.std[group] == pytest.approx(std, abs=1e-12)
        assert found.of(group) == {"mean": found.mean[group], "std": found.std[group]}
        assert (found.ci95[group] is None) == (ci95 is None)
        if ci95 is not None:
            assert found.ci95[group] == pytest.approx(ci95, abs=1e-9)


def test_by_hand() -> None:
    # 94, 95, 96 %: std 1, t(2, 97.5 %) = 4.302653, / sqrt(3). Then nothing, and a single value.
    found = spreads(np.array([0.94, 0.5, 0.96, 0.95, NAN]), np.array([0, 2, 0, 0, 1]), 3)
    assert found.n == [3, 0, 1]
    assert found.mean == [pytest.approx(0.95), None, 0.5]
    assert found.std == [pytest.approx(0.01), None, None]
    assert found.ci95 == [pytest.approx((0.92515862, 0.97484138), abs=1e-8), None, None]
