"""Scores as pure functions of a confusion matrix.

A confusion matrix is int64, shape (k, k), rows = ground truth: ``matrix[i, j]`` counts the items
of class i that were predicted as class j. Matrices of disjoint sets of items add up, in any order,
so one matrix is all the state that an evaluation needs. Figures are float64 fractions in 0..1.

In segmentation the items are pixels, and a prediction may also be a label that is not evaluated.
That is a miss, but in no column of the matrix: ``void``, int64 of shape (k,), counts such pixels by
their true class. Below, t_i = sum_j n_ij + void_i is the number of pixels of class i, and
U_i = t_i + sum_j n_ji - n_ii the number where class i is in the ground truth or predicted.
A `Counts` has both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from bench.classes import IGNORED, UNKNOWN
from bench.errors import BenchError, unknown
from bench.kernels import joint_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from bench.classes import Lut

    Map: TypeAlias = "NDArray[np.uint8] | Tensor"

Confusion: TypeAlias = "NDArray[np.int64]"
Absent: TypeAlias = Literal["skip", "zero"]
ABSENT = ("skip", "zero")
"""What mean IoU does about a class that occurs neither in the ground truth nor as a prediction."""


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


@dataclass(frozen=True, eq=False)
class Counts:
    """All that an evaluation of label maps needs to remember; counts of disjoint sets add up.

    Attributes:
        matrix: int64 (k, k), rows = ground truth.
        void: int64 (k,), pixels by true class whose prediction is known but not evaluated.

    >>> (Counts.zero(2) + count(np.uint8([1, 1, 255]), np.uint8([1, 255, 0]), 2)).void.tolist()
    [0, 1]
    """

    matrix: Confusion
    void: NDArray[np.int64]

    @classmethod
    def zero(cls, classes: int) -> Counts:
        """Return the counts of no pixels."""
        return cls(np.zeros((classes, classes), np.int64), np.zeros(classes, np.int64))

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both sets of pixels together."""
        return Counts(self.matrix + other.matrix, self.void + other.void)


def count(truth: Map, prediction: Map, classes: int, *, threads: int | None = None) -> Counts:
    """Count the pixels of two maps of class indices.

    Args:
        truth: uint8 of any shape: 0..classes-1, or 255 where a pixel is ignored. A NumPy array, or
            a tensor on any device; on a GPU the work is done there.
        prediction: uint8 of the same shape; 255 is a prediction that is not evaluated: a miss.
        classes: the number of classes k, 1..254.
        threads: how many CPU threads to use at most; all cores if None.

    Raises:
        BenchError: another value stands in a map (also where it is ignored), a map is not uint8, or
            the shapes differ.

    >>> count(np.uint8([[0, 0, 1]]), np.uint8([[0, 1, 1]]), classes=2).matrix.tolist()
    [[1, 1], [0, 1]]
    """
    if not 1 <= classes <= UNKNOWN:
        raise BenchError(f"expected 1 to {UNKNOWN} classes, got {classes}")
    meaning = np.full(IGNORED + 1, UNKNOWN, np.uint8)
    meaning[:classes] = np.arange(classes)
    meaning[IGNORED] = IGNORED
    return count_raw(truth, prediction, meaning, meaning, classes, threads=threads)


def count_raw(
    truth: Map,
    prediction: Map,
    truth_lut: Lut,
    prediction_lut: Lut,
    classes: int,
    *,
    threads: int | None = None,
    compiled: bool = True,
) -> Counts:
    """Count the pixels of two maps of values as they are in files.

    The same as ``count(truth_lut[truth], prediction_lut[prediction], classes)``, in one pass.

    Args:
        truth: uint8 of any shape, as in `count`.
        prediction: uint8 of the same shape.
        truth_lut: uint8 (256,): value to index, 255 (ignored), or 254 for a value that is an error,
            such as `bench.classes.ClassList.by_id` returns.
        prediction_lut: the same for `prediction`.
        classes: the number of classes k.
        threads: how many CPU threads to use at most; all cores if None.
        compiled: False for a slower loop that needs no loading, see `bench.kernels.joint_counts`.

    Raises:
        BenchError: as in `count`.
    """
    for what, values in (("ground truth", truth), ("prediction", prediction)):
        if str(values.dtype).removeprefix("torch.") != "uint8":
            raise BenchError(f"expected the {what} to be a map of uint8, got {values.dtype}")
    if tuple(truth.shape) != tuple(prediction.shape):
        raise BenchError(
            "expected ground truth and prediction of one shape,"
            f" got {tuple(truth.shape)} and {tuple(prediction.shape)}"
        )
    pairs = joint_counts(truth, prediction, threads, compiled=compiled)
    _refuse_unknown("ground truth", pairs.sum(axis=1), truth_lut, classes)
    _refuse_unknown("prediction", pairs.sum(axis=0), prediction_lut, classes)
    counts = np.zeros_like(pairs)
    seen = np.nonzero(pairs)
    np.add.at(counts, (truth_lut[seen[0]], prediction_lut[seen[1]]), pairs[seen])
    return Counts(counts[:classes, :classes].copy(), counts[:classes, IGNORED].copy())


def _refuse_unknown(what: str, pixels: NDArray[np.int64], lut: Lut, classes: int) -> None:
    known = (lut < classes) | (lut == IGNORED)
    wrong = np.flatnonzero((pixels > 0) & ~known)
    if wrong.size:
        found = ", ".join(f"{value} ({pixels[value]:,} pixels)" for value in wrong[:5])
        more = f" and {wrong.size - 5} other values" if wrong.size > 5 else ""  # noqa: PLR2004
        raise BenchError(
            f"expected each value of the {what} to be one of {spans(np.flatnonzero(known))},"
            f" got {found}{more}"
        )


def spans(values: Iterable[int]) -> str:
    """Return sorted whole numbers in words.

    >>> spans([0, 1, 2, 7, 255])
    '0..2, 7, 255'
    """
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(f"{low}..{high}" if low < high else f"{low}" for low, high in runs)


def accuracy(matrix: Confusion) -> float | None:
    """Return the share of items predicted correctly: sum_i n_ii / sum_ij n_ij.

    None if the matrix is empty. `pixel_accuracy` is the same where predictions may be void.

    >>> accuracy(np.array([[3, 1], [0, 4]]))
    0.875
    """
    counts = checked(matrix)
    total = int(counts.sum())
    return int(np.trace(counts)) / total if total else None


def per_class_accuracy(matrix: Confusion, void: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return n_ii / t_i for each class i: float64, shape (k,).

    NaN for a class that has no items.

    >>> per_class_accuracy(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])).tolist()
    [0.75, 1.0, nan]
    """
    hits, truth, _ = _hits_truth_union(matrix, void)
    return _ratio(hits, truth)


def iou(matrix: Confusion, void: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return n_ii / U_i, the intersection over union of each class i: float64, shape (k,).

    NaN for a class that occurs neither in the ground truth nor as a prediction; 0 for one that is
    only predicted. As in the evaluation script of Cityscapes (Cordts et al. 2016).

    >>> iou(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), void=[0, 3, 0]).tolist()
    [0.75, 0.5, nan]
    """
    hits, _, union = _hits_truth_union(matrix, void)
    return _ratio(hits, union)


def mean_iou(
    matrix: Confusion,
    void: ArrayLike | None = None,
    *,
    absent: Absent = "skip",
    classes: Sequence[int] | None = None,
) -> float | None:
    """Return the mean IoU: (1/N) sum_i n_ii / U_i.

    Args:
        matrix: int64 (k, k), rows = ground truth.
        void: int64 (k,), see the top of this file; zeros if None.
        absent: whether a class that occurs nowhere is left out of the mean ("skip"), or counts as 0
            in it ("zero", the formula as it is written).
        classes: indices of the classes to average; all if None. The others still count as false
            positives and misses: this is how 13 of SYNTHIA's 16 classes are averaged.

    Returns:
        None if the matrix and `void` are empty, or if no class is left to average.

    Raises:
        BenchError: `absent` is neither of the two.

    >>> matrix = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    >>> mean_iou(matrix), mean_iou(matrix, absent="zero", classes=[0, 2])
    (0.775, 0.375)
    """
    if absent not in ABSENT:
        raise unknown("policy for absent classes", absent, ABSENT)
    shares = iou(matrix, void)
    if bool(np.isnan(shares).all()):
        return None
    if classes is not None:
        shares = shares[list(classes)]
    shares = shares[~np.isnan(shares)] if absent == "skip" else np.nan_to_num(shares)
    return float(shares.mean()) if shares.size else None


def frequency_weighted_iou(matrix: Confusion, void: ArrayLike | None = None) -> float | None:
    """Return the IoU weighted by frequency: (1 / sum_k t_k) sum_i t_i n_ii / U_i.

    None if there are no pixels. This is the definition of Long et al. (2015). Hoffman et al. (2018)
    print it without t_i, which would be at most N / sum_k t_k, far below the figures they give.

    >>> frequency_weighted_iou(np.array([[3, 1], [0, 4]]))
    0.775
    """
    hits, truth, union = _hits_truth_union(matrix, void)
    total = truth.sum()
    # A class without pixels has the weight 0, so no policy about absent ones matters here.
    return float((truth * np.nan_to_num(_ratio(hits, union))).sum() / total) if total else None


def pixel_accuracy(matrix: Confusion, void: ArrayLike | None = None) -> float | None:
    """Return the share of pixels that are predicted correctly: sum_i n_ii / sum_i t_i.

    None if there are no pixels.

    >>> pixel_accuracy(np.array([[3, 1], [0, 4]]), void=[6, 0])
    0.5
    """
    hits, truth, _ = _hits_truth_union(matrix, void)
    total = truth.sum()
    return float(hits.sum() / total) if total else None


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


def _hits_truth_union(
    matrix: Confusion, void: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return n_ii, t_i and U_i: float64 at once, because t_i n_ii would overflow int64."""
    counts = checked(matrix)
    missed = np.zeros(len(counts), dtype=np.int64) if void is None else np.asarray(void)
    whole = missed.dtype.kind in "iu" and not bool((missed < 0).any())
    if missed.shape != (len(counts),) or not whole:
        raise BenchError(
            f"expected void to be {len(counts)} counts >= 0, one a class;"
            f" got shape {missed.shape} and dtype {missed.dtype}"
        )
    exact = counts.astype(np.float64)
    hits, truth = np.diagonal(exact), exact.sum(axis=1) + missed
    return hits, truth, truth + exact.sum(axis=0) - hits


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


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
