"""Loss values worked out by hand, their gradients, and independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cycada.losses import cycle_loss, lsgan, semantic_loss, task_loss

finite = st.floats(-10, 10, allow_subnormal=False)
shapes = npst.array_shapes(min_dims=1, max_dims=4, max_side=4)


def arrays(shape: st.SearchStrategy[tuple[int, ...]] | tuple[int, ...] = shapes):  # noqa: ANN201
    return npst.arrays(np.float64, shape, elements=finite)


# ------------------------------------------------------------------ Equation 2, as least squares


def test_lsgan_by_hand() -> None:
    """Wanted 1: (1 + 0 + 1 + 9) / 4. Wanted 0: (0 + 1 + 4 + 4) / 4."""
    prediction = torch.tensor([[0.0, 1.0], [2.0, -2.0]])
    assert lsgan(prediction, is_real=True).item() == 11 / 4
    assert lsgan(prediction, is_real=False).item() == 9 / 4


def test_lsgan_gradient_by_hand() -> None:
    """d/dp mean (p - t)^2 = 2 (p - t) / n."""
    prediction = torch.tensor([0.0, 1.0, 2.0, -2.0], requires_grad=True)
    (real,) = torch.autograd.grad(lsgan(prediction, is_real=True), prediction)
    (fake,) = torch.autograd.grad(lsgan(prediction, is_real=False), prediction)
    assert real.tolist() == [-0.5, 0.0, 0.5, -1.5]
    assert fake.tolist() == [0.0, 0.5, 1.0, -1.0]


@given(arrays())
def test_lsgan_against_numpy(p: np.ndarray) -> None:
    for is_real, wanted in ((True, 1.0), (False, 0.0)):
        loss = lsgan(torch.tensor(p), is_real=is_real)
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        # In 32 bits here too: near `wanted`, the difference keeps only what rounding left of p.
        squares = (p.astype(np.float32) - np.float32(wanted)) ** 2
        assert loss.item() == pytest.approx(np.mean(squares, dtype=np.float64), rel=1e-5)


@given(st.floats(-1, 2))
def test_between_equal_images_the_best_discriminator_says_one_half(p: float) -> None:
    """Where real and fake are alike, (p - 1)^2 + p^2 is smallest at 1/2, where it is 1/2."""
    prediction = torch.tensor([p], dtype=torch.float64)
    both = lsgan(prediction, is_real=True) + lsgan(prediction, is_real=False)
    assert both.item() >= 0.5 - 1e-6
    assert both.item() == pytest.approx(0.5 + 2 * (p - 0.5) ** 2, rel=1e-5)


# ------------------------------------------------------------------ Equation 3


def test_cycle_by_hand() -> None:
    """|0.5 - 0| + |-1 - 1| + |1 - 1| + |0 - (-0.5)| = 3, over 4 pixels."""
    reconstructed = torch.tensor([[[[0.5, -1.0], [1.0, 0.0]]]], requires_grad=True)
    original = torch.tensor([[[[0.0, 1.0], [1.0, -0.5]]]])
    loss = cycle_loss(reconstructed, original)
    assert loss.item() == 3 / 4
    loss.backward()
    assert reconstructed.grad is not None
    assert reconstructed.grad.flatten().tolist() == [0.25, -0.25, 0.0, 0.25]


@given(shapes.flatmap(lambda shape: st.tuples(arrays(shape), arrays(shape))))
def test_cycle_against_numpy_and_as_a_distance(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (torch.tensor(x) for x in pair)
    loss = cycle_loss(a, b)
    assert loss.item() == pytest.approx(np.abs(pair[0] - pair[1]).mean())
    assert loss.item() == cycle_loss(b, a).item() >= 0
    assert cycle_loss(a, a).item() == 0


# ------------------------------------------------------------------ Equation 4


def test_semantic_by_hand() -> None:
    """Softmax of (0, log 3) is (1/4, 3/4), of (0, 0) is (1/2, 1/2): the mean of log 4 and log 2."""
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]], requires_grad=True)
    loss = semantic_loss(logits, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((math.log(4) + math.log(2)) / 2)
    loss.backward()
    assert logits.grad is not None
    # (softmax - one hot) / b: the wanted class is pulled up, the others down.
    expected = torch.tensor([[-0.375, 0.375], [0.25, -0.25]])
    torch.testing.assert_close(logits.grad, expected)


@given(st.data(), st.integers(1, 5), st.integers(1, 6))
def test_semantic_against_numpy(data: st.DataObject, b: int, k: int) -> None:
    logits = data.draw(arrays((b, k)))
    labels = data.draw(npst.arrays(np.int64, b, elements=st.integers(0, k - 1)))
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(probability[np.arange(b), labels]).mean()
    loss = semantic_loss(torch.tensor(logits), torch.tensor(labels))
    assert loss.item() == pytest.approx(expected, abs=1e-9)
    shifted = semantic_loss(torch.tensor(logits + 100.0), torch.tensor(labels))
    assert shifted.item() == pytest.approx(expected, abs=1e-9), "scores have no origin"


def test_semantic_does_not_overflow() -> None:
    assert semantic_loss(torch.tensor([[1e4, -1e4]]), torch.tensor([1])).item() == 2e4


# ------------------------------------------------------------------ Equation 1 on label maps


@given(st.data())
def test_pixels_without_a_label_count_for_nothing(data: st.DataObject) -> None:
    b, k, h, w = 2, 3, 2, 4
    logits = torch.from_numpy(data.draw(arrays((b, k, h, w))))
    labels = torch.from_numpy(
        data.draw(npst.arrays(np.int64, (b, h, w), elements=st.sampled_from([0, 1, 2, 255])))
    )
    found = task_loss(logits, labels)
    total, count = 0.0, 0
    for i in range(b):
        for y in range(h):
            for x in range(w):
                if labels[i, y, x] != 255:
                    scores = logits[i, :, y, x]
                    total += (scores.logsumexp(0) - scores[labels[i, y, x]]).item()
                    count += 1
    assert math.isclose(found.item(), total / max(count, 1), abs_tol=1e-9)


def test_a_batch_without_a_label_has_no_gradient() -> None:
    logits = torch.ones(1, 3, 2, 2, requires_grad=True)
    task_loss(logits, torch.full((1, 2, 2), 255)).backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_of_class_indices_it_is_the_cross_entropy() -> None:
    logits, labels = torch.tensor([[1.0, 2.0], [0.5, 0.0]]), torch.tensor([1, 1])
    assert task_loss(logits, labels) == torch.nn.functional.cross_entropy(logits, labels)
