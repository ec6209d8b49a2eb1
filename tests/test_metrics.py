"""Scores against scikit-learn, and the algebra that makes shards and batches add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from bench.errors import BenchError
from bench.metrics import accuracy, checked, confusion_matrix, normalised, per_class_accuracy

CLASSES = 5


def pairs(least: int = 0, classes: int = CLASSES) -> st.SearchStrategy[list[tuple[int, int]]]:
    index = st.integers(0, classes - 1)
    return st.lists(st.tuples(index, index), min_size=least, max_size=60)


def matrix_of(items: list[tuple[int, int]], classes: int = CLASSES) -> np.ndarray:
    return confusion_matrix([t for t, _ in items], [p for _, p in items], classes)


def test_a_case_counted_by_hand() -> None:
    matrix = confusion_matrix([0, 0, 0, 1, 2, 2], [0, 2, 2, 1, 2, 0], classes=4)
    assert matrix.tolist() == [[1, 0, 2, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert matrix.dtype == np.int64
    assert accuracy(matrix) == 3 / 6
    np.testing.assert_array_equal(per_class_accuracy(matrix), [1 / 3, 1.0, 0.5, np.nan])
    np.testing.assert_array_equal(normalised(matrix)[0], [1 / 3, 0.0, 2 / 3, 0.0])


@given(pairs(least=1))
def test_it_agrees_with_scikit_learn(items: list[tuple[int, int]]) -> None:
    truth, guess = [t for t, _ in items], [p for _, p in items]
    matrix = confusion_matrix(truth, guess, CLASSES)
    expected = reference.confusion_matrix(truth, guess, labels=range(CLASSES))
    np.testing.assert_array_equal(matrix, expected)
    assert accuracy(matrix) == pytest.approx(reference.accuracy_score(truth, guess), abs=1e-15)
    recalls = reference.recall_score(
        truth, guess, labels=range(CLASSES), average=None, zero_division=np.nan
    )
    np.testing.assert_allclose(per_class_accuracy(matrix), recalls, rtol=1e-15)


@given(pairs(), st.integers(0, 60), st.randoms(use_true_random=False))
def test_matrices_of_shards_add_up_in_any_order(
    items: list[tuple[int, int]], cut: int, random: object
) -> None:
    whole = matrix_of(items)
    random.shuffle(items)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(matrix_of(items[:cut]) + matrix_of(items[cut:]), whole)
    assert whole.sum() == len(items)


@given(pairs(least=1), st.permutations(range(CLASSES)))
def test_renaming_classes_permutes_the_matrix_and_keeps_accuracy(
    items: list[tuple[int, int]], names: list[int]
) -> None:
    matrix, renamed = matrix_of(items), matrix_of([(names[t], names[p]) for t, p in items])
    np.testing.assert_array_equal(renamed[np.ix_(names, names)], matrix)
    assert accuracy(renamed) == accuracy(matrix)
    np.testing.assert_array_equal(per_class_accuracy(renamed)[names], per_class_accuracy(matrix))


@given(pairs(least=1))
def test_figures_are_shares(items: list[tuple[int, int]]) -> None:
    matrix = matrix_of(items)
    shares = normalised(matrix)
    seen = matrix.sum(axis=1) > 0
    np.testing.assert_allclose(shares[seen].sum(axis=1), 1.0)
    assert np.isnan(shares[~seen]).all()
    assert 0 <= (accuracy(matrix) or 0) <= 1


def test_nothing_has_no_accuracy() -> None:
    empty = confusion_matrix([], [], classes=3)
    assert empty.tolist() == [[0] * 3] * 3
    assert accuracy(empty) is None
    assert np.isnan(per_class_accuracy(empty)).all()


def test_huge_counts_do_not_overflow() -> None:
    assert accuracy(np.array([[3 * 10**18, 10**18], [0, 0]])) == 0.75


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_small_integer_types_and_tensors_of_any_shape_count_the_same(dtype: torch.dtype) -> None:
    # 199 * 200 + 150 overflows 8 and 16 bits.
    truth = torch.tensor([[199, 0], [3, 3]], dtype=dtype)
    guess = torch.tensor([[150, 0], [3, 4]], dtype=dtype)
    matrix = confusion_matrix(truth, guess, classes=200)
    assert matrix[199, 150] == matrix[0, 0] == matrix[3, 3] == matrix[3, 4] == 1
    assert matrix.sum() == 4


@pytest.mark.parametrize(
    ("labels", "predictions", "said"),
    [
        ([0, 1], [0, 3], r"prediction in 0\.\.2, got 3"),
        ([0, 1], [-1, 0], r"prediction in 0\.\.2, got -1"),
        ([0, 255], [0, 0], r"label in 0\.\.2, got 255"),
        ([0, 1], [0.0, 1.0], "prediction to be a class index"),
        ([0, 1], [True, False], "prediction to be a class index"),
        ([0, 1], [0], r"one prediction per label, got \(1,\) for \(2,\)"),
    ],
)
def test_what_is_no_class_is_an_error_and_not_a_silent_drop(
    labels: list[int], predictions: list[float], said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        confusion_matrix(labels, predictions, classes=3)


@pytest.mark.parametrize("wrong", [[[1, 2]], [1, 2], [[1, -1], [0, 0]], [[0.5]], [[True]], []])
def test_what_is_no_confusion_matrix_is_an_error(wrong: list[object]) -> None:
    with pytest.raises(BenchError, match="expected a confusion matrix"):
        checked(np.array(wrong))
