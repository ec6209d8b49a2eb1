"""Criteria against their definitions in plain loops, against torch, and how each is fooled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench import criteria
from bench.criteria import (
    embedded_validation,
    infomax,
    negative_entropy,
    neighbourhood_density,
    nuclear_norm,
    source_accuracy,
)

if TYPE_CHECKING:
    from collections.abc import Callable

UNLABELLED = (negative_entropy, infomax, nuclear_norm, neighbourhood_density)
K = 4

Logits = np.ndarray


def logits(least: int = 2, most: int = 12) -> st.SearchStrategy[Logits]:
    shapes = st.tuples(st.integers(least, most), st.integers(2, 6))
    return arrays(np.float32, shapes, elements=st.floats(-20, 20, width=32))


def saying(classes: list[int], sure: float = 50.0) -> Logits:
    """Return logits that give these classes to as many images."""
    return sure * np.eye(K, dtype=np.float32)[classes]


def softmax(row: np.ndarray) -> list[float]:
    largest = max(row.tolist())
    powers = [math.exp(x - largest) for x in row.tolist()]
    return [power / sum(powers) for power in powers]


def entropy(p: list[float]) -> float:
    return -sum(x * math.log(x) for x in p if x > 0)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


# ------------------------------------------------------------------ by definition


@given(logits())
def test_entropy_and_infomax_by_definition_and_by_torch(x: Logits) -> None:
    rows = [softmax(row) for row in x]
    inside = mean([entropy(p) for p in rows])
    outside = entropy([mean(list(column)) for column in zip(*rows, strict=True)])
    assert negative_entropy(x) == pytest.approx(-inside, abs=1e-9)
    assert infomax(x) == pytest.approx(outside - inside, abs=1e-9)
    said = torch.distributions.Categorical(logits=torch.from_numpy(x).double())
    marginal = torch.distributions.Categorical(probs=said.probs.mean(0))
    assert negative_entropy(x) == pytest.approx(-said.entropy().mean().item(), abs=1e-6)
    expected = marginal.entropy().item() - said.entropy().mean().item()
    assert infomax(x) == pytest.approx(expected, abs=1e-6)


@given(logits(least=1))
def test_nuclear_norm_by_torch(x: Logits) -> None:
    p = torch.from_numpy(x).double().softmax(1)
    expected = torch.linalg.matrix_norm(p, "nuc").item() / math.sqrt(p.numel())
    assert nuclear_norm(x) == pytest.approx(expected, abs=1e-9)


@given(logits())
def test_neighbourhood_density_by_definition(x: Logits) -> None:
    rows = [softmax(row) for row in x]
    unit = [[v / math.sqrt(sum(w * w for w in p)) for v in p] for p in rows]
    entropies = []
    for i, a in enumerate(unit):
        others = [b for j, b in enumerate(unit) if j != i]
        near = [math.exp(sum(u * v for u, v in zip(a, b, strict=True)) / 0.05) for b in others]
        entropies.append(entropy([s / sum(near) for s in near]))
    assert neighbourhood_density(x) == pytest.approx(mean(entropies), abs=1e-9)


def test_neighbourhood_density_takes_the_first_images(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(0, 3, (9, K)).astype(np.float32)
    expected = neighbourhood_density(x[:6])
    monkeypatch.setattr(criteria, "SND_IMAGES", 6)
    assert neighbourhood_density(x) == expected != neighbourhood_density(x[3:])


# ------------------------------------------------------------------ properties


@given(logits())
def test_bounds(x: Logits) -> None:
    n, k = x.shape
    near = 1e-9
    assert -math.log(k) - near <= negative_entropy(x) <= near
    assert -near <= infomax(x) <= math.log(k) + near
    # Singular values cannot sum to less than the largest of a matrix whose rows sum to 1.
    assert 1 / k - near <= nuclear_norm(x) <= min(1, math.sqrt(n / k)) + near
    assert -near <= neighbourhood_density(x) <= math.log(n - 1) + near


@pytest.mark.parametrize("criterion", UNLABELLED)
@given(x=logits(), random=st.randoms(use_true_random=False))
def test_order_of_images_and_names_of_classes_do_not_count(
    criterion: Callable[[Logits], float], x: Logits, random: object
) -> None:
    """Of images that is right; of classes it is how they are fooled.

    Who calls every 3 an 8, and every 8 a 3, is as good as who is right.
    """
    images, classes = list(range(len(x))), list(range(x.shape[1]))
    random.shuffle(images)  # type: ignore[attr-defined]
    random.shuffle(classes)  # type: ignore[attr-defined]
    assert criterion(x[images]) == pytest.approx(criterion(x), abs=1e-9)
    assert criterion(x[:, classes]) == pytest.approx(criterion(x), abs=1e-9)


@pytest.mark.parametrize("criterion", UNLABELLED)
@given(x=arrays(np.float32, (5, 3), elements=st.integers(-20, 20).map(float)), shift=st.data())
def test_a_constant_added_to_all_logits_of_an_image_does_not_count(
    criterion: Callable[[Logits], float], x: Logits, shift: st.DataObject
) -> None:
    added = shift.draw(arrays(np.float32, (5, 1), elements=st.integers(-99, 99).map(float)))
    assert criterion(x + added) == pytest.approx(criterion(x), abs=1e-9)


@pytest.mark.parametrize("criterion", UNLABELLED)
@pytest.mark.parametrize("n", [2, 3, 200])
@pytest.mark.parametrize("size", [0.0, 1e4, 1e37])
def test_huge_logits_and_few_images_give_a_number(
    criterion: Callable[[Logits], float], n: int, size: float
) -> None:
    x = (size * np.random.default_rng(0).normal(0, 1, (n, K))).astype(np.float32)
    before = x.copy()
    assert math.isfinite(criterion(x))
    assert np.array_equal(x, before)


@pytest.mark.parametrize("criterion", UNLABELLED)
def test_logits_are_left_as_they_were_whatever_their_type(
    criterion: Callable[[Logits], float],
) -> None:
    x = np.random.default_rng(0).normal(0, 3, (9, K))
    before = x.copy()
    assert criterion(x) == pytest.approx(criterion(x.astype(np.float32)), rel=1e-5)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("criterion", [negative_entropy, infomax, nuclear_norm])
def test_one_image_is_enough(criterion: Callable[[Logits], float]) -> None:
    assert math.isfinite(criterion(saying([2])))


# ------------------------------------------------------------------ what they prefer


def test_extremes() -> None:
    balanced, collapsed = saying([0, 1, 2, 3] * 5), saying([3] * 20)
    unsure = np.zeros((20, K), np.float32)
    assert [round(infomax(x), 6) for x in (balanced, collapsed, unsure)] == [
        *(pytest.approx(math.log(K), abs=1e-6), 0, 0)
    ]
    assert nuclear_norm(balanced) == pytest.approx(1)
    assert nuclear_norm(collapsed) == pytest.approx(1 / math.sqrt(K))
    assert nuclear_norm(unsure) == pytest.approx(1 / K)
    assert negative_entropy(unsure) == pytest.approx(-math.log(K))
    assert neighbourhood_density(unsure) == pytest.approx(math.log(19))
    # Four of one's own class are left; their similarity is 1, that of the others is 0.
    assert neighbourhood_density(balanced) == pytest.approx(math.log(4), abs=1e-5)


def test_entropy_and_density_prefer_a_collapsed_network_to_a_good_one() -> None:
    good, collapsed = saying([0, 1, 2, 3] * 5, sure=3.0), saying([3] * 20)
    for fooled in (negative_entropy, neighbourhood_density):
        assert fooled(collapsed) > fooled(good)
    for steady in (infomax, nuclear_norm):
        assert steady(collapsed) < steady(good)


@pytest.mark.parametrize("criterion", [infomax, nuclear_norm])
def test_infomax_and_nuclear_norm_prefer_a_wrong_balance_to_a_true_imbalance(
    criterion: Callable[[Logits], float],
) -> None:
    truth = [0] * 14 + [1, 2, 3] * 2
    wrong = [1, 2, 3, 0] * 5
    assert sum(a == b for a, b in zip(truth, wrong, strict=True)) == 3
    assert criterion(saying(wrong)) > criterion(saying(truth)) + 0.05


# ------------------------------------------------------------------ with source labels


def test_source_accuracy() -> None:
    assert source_accuracy(saying([0, 1, 2, 2]), np.array([0, 1, 2, 3])) == 0.75
    assert source_accuracy(saying([1]), np.array([1])) == 1.0
    assert math.isnan(source_accuracy(saying([]), np.array([], np.int64)))


def cross_entropies(x: Logits, labels: np.ndarray) -> list[float]:
    return [-math.log(softmax(row)[label]) for row, label in zip(x, labels.tolist(), strict=True)]


def test_embedded_validation_counted_by_hand() -> None:
    """Losses 0, log 2; weights 1, 3: w l = 0, 3 log 2; eta = -(3 log 2 / 2)."""
    x = np.array([[60, 0], [0, 0]], np.float32)
    risk = 1.5 * math.log(2) - 1.5 * math.log(2) * (2 - 1)
    found = embedded_validation(x, np.array([0, 1]), np.array([1.0, 3.0]))
    assert found == pytest.approx(-risk, abs=1e-9)
    # At weights 1, 2 the mean is 1.5 and eta -2 log 2: log 2 - 2 log 2 (1.5 - 1) = 0.
    assert embedded_validation(x, np.array([0, 1]), np.array([1.0, 2.0])) == pytest.approx(0)
    # At weights 2, 4: 2 log 2 - 2 log 2 (3 - 1) = -2 log 2.
    found = embedded_validation(x, np.array([0, 1]), np.array([2.0, 4.0]))
    assert found == pytest.approx(2 * math.log(2))


@given(
    logits(least=3).filter(lambda x: np.ptp(x) < 25),
    st.integers(0, 10**6),
)
def test_embedded_validation_by_definition(x: Logits, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, weights = random.integers(0, x.shape[1], len(x)), random.uniform(0.1, 5, len(x))
    loss = np.array(cross_entropies(x, labels))
    covariance = np.cov(weights * loss, weights, ddof=0)
    eta = -covariance[0, 1] / covariance[1, 1]
    risk = (weights * loss).mean() + eta * (weights.mean() - 1)
    found = embedded_validation(x, labels, weights)
    assert found == pytest.approx(-risk, rel=1e-9, abs=1e-9)


def test_weights_that_say_nothing_leave_the_plain_weighted_risk() -> None:
    random = np.random.default_rng(0)
    x, labels = random.normal(0, 2, (50, K)).astype(np.float32), random.integers(0, K, 50)
    plain = mean(cross_entropies(x, labels))
    assert embedded_validation(x, labels, np.ones(50)) == pytest.approx(-plain)
    # Equal weights differ from their own mean by rounding, of which no eta can be made.
    for weight in (0.1, 1e-6, 1e6):
        found = embedded_validation(x, labels, np.full(50, weight))
        assert found == pytest.approx(-weight * plain)
    # Weights and weighted losses without correlation: eta is 0.
    x = np.array([[0, 0], [9, 0], [9, 0], [0, 0]], np.float32)
    weights = np.array([1.0, 2.0, 3.0, 2.0])
    loss = np.array(cross_entropies(x, np.zeros(4, np.int64)))
    loss[2] = loss[0] / 3  # w l is equal at both ends of w
    x[2] = [0, math.log(math.expm1(loss[2]))]
    found = embedded_validation(x, np.zeros(4, np.int64), weights)
    assert found == pytest.approx(-float((weights * loss).mean()), rel=1e-5)


def test_the_control_variate_makes_the_variance_smaller() -> None:
    """From N(0, 1) to N(1, 1) the ratio is exp(x - 1/2); the network is right where x is small."""
    random = np.random.default_rng(0)
    plain, controlled = [], []
    for _ in range(200):
        x = random.normal(0, 1, 400)
        weights = np.exp(x - 0.5)
        says = np.stack([np.full(400, 0.5), x], axis=1).astype(np.float32)
        labels = np.zeros(400, np.int64)
        plain.append(float((weights * cross_entropies(says, labels)).mean()))
        controlled.append(-embedded_validation(says, labels, weights))
    there = random.normal(1, 1, 100_000)
    truth = float(np.log1p(np.exp(there - 0.5)).mean())
    assert np.var(controlled) < np.var(plain) / 4
    assert np.mean(controlled) == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("size", [1e4, 1e37])
def test_a_sure_mistake_costs_a_finite_loss(size: float) -> None:
    x = saying([0, 1], sure=size)
    found = embedded_validation(x, np.array([1, 1]), np.array([1.0, 1.0]))
    assert found == pytest.approx(math.log(1e-12) / 2)


def test_embedded_validation_of_few_images() -> None:
    assert embedded_validation(saying([0]), np.array([0]), np.array([2.0])) == pytest.approx(0)
    assert math.isnan(embedded_validation(saying([]), np.array([], np.int64), np.array([])))
