"""Scores as pure functions of a confusion matrix.

A confusion matrix is int64, shape (k, k), rows = ground truth: ``matrix[i, j]`` counts the items
of class i that were predicted as class j. Matrices of disjoint sets of items add up, in any order,
so one matrix is all the state that an evaluation needs. Figures are float64 fractions in 0..1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bench.errors import BenchError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Confusion: TypeAlias = "NDArray[np.int64]"


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int) -> Confusion:
    """Count how often each class was predicted as each class.

    n_ij = number of items with label i and prediction j, for i, j in 0..classes-1.

    Args:
        labels: integers of any shape, 0..classes-1; NumPy arrays, lists and CPU tensors.
        predictions: integers of the same shape, 0..classes-1.
        classes: the number of classes k, at least 1.

    Raises:
        BenchError: a value lies outside 0..classes-1, is no integer, or the shapes differ.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    truth = _indices(labels, classes, "label")
    guess = _indices(predictions, classes, "prediction")
    if truth.shape != guess.shape:
        message = f"expected one prediction per label, got {guess.shape} for {truth.shape} labels"
        raise BenchError(message)
    # One number per (row, column) pair turns the two-dimensional count into one bincount.
    counts = np.bincount((truth * classes + guess).ravel(), minlength=classes * classes)
    return counts.astype(np.int64).reshape(classes, classes)


def accuracy(matrix: Confusion) -> float | None:
    """Return the share of items predicted correctly: sum_i n_ii / sum_ij n_ij.

    None if the matrix is empty. For segmentation, where items are pixels, this is pixel accuracy.

    >>> accuracy(np.array([[3, 1], [0, 4]]))
    0.875
    """
    counts = checked(matrix)
    total = int(counts.sum())
    return int(np.trace(counts)) / total if total else None


def per_class_accuracy(matrix: Confusion) -> NDArray[np.float64]:
    """Return n_ii / sum_j n_ij for each class i: float64, shape (k,).

    NaN for a class that has no items.

    >>> per_class_accuracy(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])).tolist()
    [0.75, 1.0, nan]
    """
    return np.diagonal(normalised(matrix)).copy()


def normalised(matrix: Confusion) -> NDArray[np.float64]:
    """Return each row divided by its sum, float64 (k, k): the share of class i predicted as j.

    The row of a class that has no items is NaN.

    >>> normalised(np.array([[3, 1], [0, 4]])).tolist()
    [[0.75, 0.25], [0.0, 1.0]]
    """
    counts = checked(matrix).astype(np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.full_like(counts, np.nan)
    np.divide(counts, totals, out=shares, where=totals > 0)
    return shares


def checked(matrix: ArrayLike) -> Confusion:
    """Return `matrix` as int64, or raise BenchError if it is not square, whole and >= 0."""
    array = np.asarray(matrix)
    square = array.ndim == 2 and array.shape[0] == array.shape[1] > 0  # noqa: PLR2004  a matrix
    if not square or array.dtype.kind not in "iu" or bool((array < 0).any()):
        message = (
            "expected a confusion matrix: square, of counts >= 0;"
            f" got shape {array.shape} and dtype {array.dtype}"
        )
        raise BenchError(message)
    return array.astype(np.int64, copy=False)


def _indices(values: ArrayLike, classes: int, what: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        message = f"expected each {what} to be a class index (an integer), got {array.dtype}"
        raise BenchError(message)
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        message = f"expected each {what} in 0..{classes - 1}, got {wrong}"
        raise BenchError(message)
    return array.astype(np.int64)
