"""Density ratios: against one that is known, and where data leave little to learn from."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bench import importance
from bench.importance import LARGEST, density_ratio

PLACES = np.linspace(-2, 3, 21)[:, None]


def normal(n: int, middle: float, features: int = 1, seed: int = 0) -> np.ndarray:
    """Return features (n, f), the first of N(middle, 1), the others of N(0, 1)."""
    found = np.random.default_rng(seed).normal(0, 1, (n, features))
    found[:, 0] += middle
    return found.astype(np.float32)


def test_a_known_ratio_of_two_normal_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of N(0, 1) to N(1, 1) it is exp(x - 1/2). With little regularisation it is found."""
    monkeypatch.setattr(importance, "STRENGTHS", (1.0,))
    w = density_ratio(normal(4000, 0), normal(4000, 1, seed=1), PLACES)
    assert w.dtype == np.float64
    np.testing.assert_allclose(np.log(w), PLACES[:, 0] - 0.5, atol=0.2)


@pytest.mark.parametrize("features", [1, 3, 20])
def test_regularised_it_is_milder_and_in_the_same_order(features: int) -> None:
    source, target = normal(500, 0, features), normal(500, 1, features, seed=1)
    places = np.zeros((21, features), np.float32)
    places[:, :1] = PLACES
    logs = np.log(density_ratio(source, target, places))
    assert (np.diff(logs) > 0).all()
    slope, middle = np.polyfit(PLACES[:, 0] - 0.5, logs, 1)
    assert 0.05 < slope < 1.2
    assert abs(middle) < 0.3


def test_domains_of_different_size_do_not_tilt_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many more source images make each one look like the source; the factor undoes that."""
    monkeypatch.setattr(importance, "STRENGTHS", (1.0,))
    w = density_ratio(normal(4000, 0), normal(500, 1, seed=1), PLACES)
    np.testing.assert_allclose(np.log(w), PLACES[:, 0] - 0.5, atol=0.4)
    same = density_ratio(normal(3000, 0), normal(300, 0, seed=1), PLACES[5:12])
    np.testing.assert_allclose(same, 1, atol=0.3)


def test_the_classifier_that_does_best_on_held_out_images_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With as many features as images of a domain, a free classifier learns noise by heart."""
    source, target = normal(500, 0, 400), normal(500, 2, 400, seed=1)
    found = {}
    for strengths in ((1e-3,), (1e2,), (1e-3, 1e2), (1e2, 1e-3)):
        monkeypatch.setattr(importance, "STRENGTHS", strengths)
        found[strengths] = density_ratio(source, target, source[:50])
    mild, free = found[(1e-3,)], found[(1e2,)]
    assert np.log(free).std() > 10 * np.log(mild).std()
    assert np.array_equal(found[1e-3, 1e2], mild)
    assert np.array_equal(found[1e2, 1e-3], mild)


def test_it_is_the_same_each_time_and_leaves_random_state_and_features_alone() -> None:
    source, target = normal(100, 0, 3), normal(90, 1, 3, seed=1)
    copies = source.copy(), target.copy()
    before = np.random.get_state()[1].tolist()
    first = density_ratio(source, target, source)
    np.random.seed(7)
    assert np.array_equal(density_ratio(source, target, source), first)
    np.random.seed(7)
    seeded = np.random.get_state()[1].tolist()
    density_ratio(source, target, source)
    assert np.random.get_state()[1].tolist() == seeded != before
    assert np.array_equal(source, copies[0])
    assert np.array_equal(target, copies[1])


def test_its_first_use_leaves_pythons_random_state_alone() -> None:
    """A library that is imported for it may draw from it."""
    code = (
        "import random, numpy; from bench.importance import density_ratio;"
        " random.seed(0); before = random.getstate();"
        " density_ratio(*numpy.arange(60.0).reshape(3, 20, 1));"
        " assert random.getstate() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_swapped_domains_invert_it() -> None:
    source, target = normal(500, 0, 5), normal(500, 1, 5, seed=1)
    here, there = density_ratio(source, target, source), density_ratio(target, source, source)
    np.testing.assert_allclose(here * there, 1, rtol=1e-2)


def test_scale_and_offset_of_features_do_not_count() -> None:
    source, target = normal(300, 0, 4), normal(300, 1, 4, seed=1)
    scale, offset = np.array([1e3, 1e-3, 1, 8]), np.array([5, 0, -7, 0])
    plain = density_ratio(source, target, source)
    moved = density_ratio(*(x * scale + offset for x in (source, target, source)))
    np.testing.assert_allclose(moved, plain, rtol=1e-4)


@pytest.mark.parametrize("constant", [0.0, 0.1, -3e7])
def test_constant_features_do_not_count(constant: float) -> None:
    """A unit that is always off, or always on."""
    source, target = normal(303, 0, 2), normal(301, 1, 2, seed=1)
    more = [
        np.concatenate([x, np.full((len(x), 3), constant, np.float32)], axis=1)
        for x in (source, target, source)
    ]
    more[2][:5, 2:] += 0.5  # an image in question may differ there
    plain = density_ratio(source, target, source)
    np.testing.assert_allclose(density_ratio(*more)[5:], plain[5:], rtol=1e-3)
    assert (density_ratio(*more)[:5] < 10).all()


def test_nothing_but_constants_says_nothing() -> None:
    w = density_ratio(*(np.full((n, 3), 0.1, np.float32) for n in (50, 50, 7)))
    np.testing.assert_allclose(w, 1, rtol=1e-6)


def test_more_features_than_images() -> None:
    w = density_ratio(normal(20, 0, 300), normal(30, 1, 300, seed=1), normal(10, 0, 300, seed=2))
    assert w.shape == (10,)
    assert np.isfinite(w).all()


@pytest.mark.parametrize("here", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("there", [1, 3, 5])
def test_few_images(here: int, there: int) -> None:
    w = density_ratio(normal(here, 0), normal(there, 5, seed=1), PLACES)
    assert np.isfinite(w).all()
    assert (w > 0).all()


def test_domains_that_have_nothing_in_common_give_bounded_weights() -> None:
    source, target = normal(500, 0, 50), normal(500, 0, 50, seed=1) + 100
    here, there = (density_ratio(source, target, x * 1e3) for x in (source, target))
    for w in (here, there):
        assert ((w >= 1 / LARGEST) & (w <= LARGEST)).all()
    assert there.max() == LARGEST


def test_no_image_in_question() -> None:
    assert density_ratio(normal(9, 0), normal(9, 1), normal(0, 0)).shape == (0,)
