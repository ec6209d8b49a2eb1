"""Scores against independent libraries and a brute-force definition; the algebra of counts."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn import metrics as reference

from bench import kernels
from bench.classes import CITYSCAPES, IGNORED, UNKNOWN
from bench.errors import BenchError
from bench.metrics import (
    Counts,
    accuracy,
    checked,
    confusion_matrix,
    count,
    count_raw,
    frequency_weighted_iou,
    iou,
    mean_iou,
    normalised,
    per_class_accuracy,
    pixel_accuracy,
    spans,
)

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


# ------------------------------------------------------------------ counting label maps

INDEX = st.sampled_from([*range(CLASSES), IGNORED])
SHAPES = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)


@st.composite
def maps(draw: Any, ignored: bool = True) -> tuple[np.ndarray, np.ndarray]:  # noqa: FBT001, FBT002
    """Return a ground truth and a prediction of one shape; the values are indices or ignored."""
    elements = INDEX if ignored else st.integers(0, CLASSES - 1)
    shape = draw(SHAPES)
    return (
        draw(arrays(np.uint8, shape, elements=elements)),
        draw(arrays(np.uint8, shape, elements=elements)),
    )


def brute(truth: np.ndarray, guess: np.ndarray) -> tuple[list[list[int]], list[int]]:
    """Count by the definition, one pixel after another."""
    matrix, void = [[0] * CLASSES for _ in range(CLASSES)], [0] * CLASSES
    for t, p in zip(truth.ravel().tolist(), guess.ravel().tolist(), strict=True):
        if t == IGNORED:
            continue
        if p == IGNORED:
            void[t] += 1
        else:
            matrix[t][p] += 1
    return matrix, void


def assert_equal(counts: Counts, matrix: Any, void: Any) -> None:
    np.testing.assert_array_equal(counts.matrix, matrix)
    np.testing.assert_array_equal(counts.void, void)
    assert counts.matrix.dtype == counts.void.dtype == np.int64


def state(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    return counts.matrix, counts.void


@settings(deadline=None)  # the first call loads the compiled loop
@given(maps())
def test_counts_are_the_definition(found: tuple[np.ndarray, np.ndarray]) -> None:
    assert_equal(count(*found, CLASSES), *brute(*found))


@given(maps(), st.randoms(use_true_random=False))
def test_counts_of_pixels_add_up_in_any_order(
    found: tuple[np.ndarray, np.ndarray], random: Any
) -> None:
    truth, guess = (each.ravel() for each in found)
    order = random.sample(range(truth.size), truth.size)
    cut = random.randint(0, truth.size)
    parts = [count(truth[o], guess[o], CLASSES) for o in (order[:cut], order[cut:])]
    whole = count(truth, guess, CLASSES)
    assert_equal(sum(parts, Counts.zero(CLASSES)), whole.matrix, whole.void)
    assert_equal(parts[1] + parts[0], whole.matrix, whole.void)


@given(maps(), INDEX)
def test_ignored_pixels_change_nothing(found: tuple[np.ndarray, np.ndarray], guess: int) -> None:
    extra = [np.append(found[0], [IGNORED] * 3), np.append(found[1], [guess] * 3)]
    with_them = count(*(each.astype(np.uint8) for each in extra), CLASSES)
    assert_equal(with_them, *state(count(*found, CLASSES)))


@given(maps(), st.permutations(range(CLASSES)))
def test_renaming_classes_renames_scores_and_keeps_figures(
    found: tuple[np.ndarray, np.ndarray], names: list[int]
) -> None:
    table = np.full(256, UNKNOWN, np.uint8)
    table[:CLASSES], table[IGNORED] = names, IGNORED
    before, after = count(*found, CLASSES), count_raw(*found, table, table, CLASSES)
    assert_equal(count(table[found[0]], table[found[1]], CLASSES), *state(after))
    np.testing.assert_array_equal(iou(*state(after))[names], iou(*state(before)))
    for figure in (mean_iou, frequency_weighted_iou, pixel_accuracy):
        assert figure(*state(after)) == pytest.approx(figure(*state(before)), abs=1e-15)


BIG = [(1,), (7,), (8,), (9,), (1 << 12,), (613, 1021), (1024, 2048)]


@pytest.mark.parametrize("shape", BIG, ids=str)
@pytest.mark.parametrize("flat", [True, False])
def test_compiled_and_plain_loops_agree_at_every_size_and_thread_count(
    shape: tuple[int, ...], *, flat: bool
) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    if flat:
        first[..., shape[-1] // 3 :] = 255
        second[..., : shape[-1] // 2] = 7
    plain = np.zeros((256, 256), np.int64)
    np.add.at(plain, (first.ravel(), second.ravel()), 1)
    for threads in (None, 1, 2, 3):
        for compiled in (True, False):
            found = kernels.joint_counts(first, second, threads, compiled=compiled)
            np.testing.assert_array_equal(found, plain)
    second.flags.writeable = False
    on_device = kernels.joint_counts_on(torch.device("cpu"), torch.from_numpy(first), second)
    np.testing.assert_array_equal(on_device, plain)


def test_the_loop_before_it_is_compiled() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 3, (2, 64), dtype=np.uint8)
    first[:24], second[:16] = 9, 200
    counts, expected = np.zeros((2, 256, 256), np.int64)
    kernels.tally_words(first.view(np.uint64), second.view(np.uint64), counts)
    kernels.bincount(first, second, expected)
    np.testing.assert_array_equal(counts, expected)


def test_views_of_any_layout_and_alignment() -> None:
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, CLASSES, (2, 40, 41), dtype=np.uint8)
    whole = rng.integers(0, CLASSES, 100, dtype=np.uint8)
    whole.flags.writeable = False
    cases = [(truth[1:, 1:], guess[1:, 1:]), (truth.T, guess.T), (truth[::2], guess[::2])]
    cases += [(whole[i : i + 80], whole[j : j + 80]) for i in range(3) for j in range(9)]
    cases.append((truth.T, np.ascontiguousarray(guess.T)))
    for pair in cases:
        assert_equal(count(*pair, CLASSES), *brute(*pair))
        tensors = [torch.tensor(np.ascontiguousarray(each)) for each in pair]
        assert_equal(count(*tensors, CLASSES), *brute(*pair))
        assert_equal(count(tensors[0], pair[1], CLASSES), *brute(*pair))


@pytest.mark.skipif(
    not (torch.cuda.is_available() or torch.backends.mps.is_available()), reason="no GPU here"
)
def test_a_gpu_counts_the_same() -> None:
    device = "cuda" if torch.cuda.is_available() else "mps"
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, CLASSES, (2, 64, 65), dtype=np.uint8)
    there = [torch.tensor(each, device=device) for each in (truth, guess)]
    for pair in (there, (truth, there[1]), (there[0], guess)):
        assert_equal(count(*pair, CLASSES), *brute(truth, guess))


def test_file_values_count_as_what_they_mean() -> None:
    rng = np.random.default_rng(0)
    ids = [label.id for label in CITYSCAPES.labels]
    truth, guess = rng.choice(ids, (2, 30, 31)).astype(np.uint8)
    by_id = CITYSCAPES.by_id()
    expected = count(by_id[truth], by_id[guess], 19)
    assert_equal(count_raw(truth, guess, by_id, by_id, 19), *state(expected))
    train_ids = by_id[guess]
    mixed = count_raw(truth, train_ids, by_id, CITYSCAPES.by_train_id(), 19)
    assert_equal(mixed, *state(expected))


@pytest.mark.parametrize("where", ["ground truth", "prediction"])
@pytest.mark.parametrize("value", [CLASSES, UNKNOWN])
def test_what_is_no_index_is_named_wherever_it_stands(where: str, value: int) -> None:
    wrong, ignored = np.full((2, 3), value, np.uint8), np.full((2, 3), IGNORED, np.uint8)
    pair = (wrong, ignored) if where == "ground truth" else (ignored, wrong)
    said = rf"value of the {where} to be one of 0\.\.4, 255, got {value} \(6 pixels\)"
    with pytest.raises(BenchError, match=said):
        count(*pair, CLASSES)


def test_many_unknown_values_are_counted_not_listed() -> None:
    with pytest.raises(BenchError, match=r"got 5 \(1 pixels\), .*, 9 \(1 pixels\) and 15 other"):
        count(np.arange(5, 25, dtype=np.uint8), np.zeros(20, np.uint8), CLASSES)


@pytest.mark.parametrize(
    ("truth", "guess", "classes", "said"),
    [
        (np.zeros(3, np.int64), np.zeros(3, np.uint8), 5, "ground truth to be a map of uint8, got"),
        (np.zeros(3, np.uint8), torch.zeros(3), 5, "prediction to be a map of uint8, got torch.fl"),
        (np.zeros(3, np.uint8), np.zeros(3, bool), 5, "got bool"),
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 5, r"\(2, 3\) and \(3, 2\)"),
        (np.zeros(3, np.uint8), np.zeros(3, np.uint8), 255, "expected 1 to 254 classes, got 255"),
        (np.zeros(3, np.uint8), np.zeros(3, np.uint8), 0, "expected 1 to 254 classes, got 0"),
    ],
)
def test_what_are_no_maps(truth: Any, guess: Any, classes: int, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        count(truth, guess, classes)


def test_spans() -> None:
    assert spans([]) == ""
    assert spans([3]) == "3"
    assert spans([0, 1, 3, 7, 8, 9]) == "0..1, 3, 7..9"


COUNT = """
import sys
import numpy as np
from bench.metrics import count
found = count(np.arange(99, dtype=np.uint8) % 5, np.arange(99, dtype=np.uint8) % 3, 5)
assert int(found.matrix.sum()) == 99
print(*sorted({"numba", "torch"} & {name for name in sys.modules if sys.modules[name]}))
"""


@pytest.mark.parametrize(
    ("before", "loaded"),
    [("", "numba"), ("import sys; sys.modules['numba'] = None", "")],
    ids=["with numba", "without"],
)
def test_counting_needs_no_torch_and_no_numba(before: str, loaded: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", before + COUNT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == loaded


def test_compiling_needs_no_folder_to_keep_it_in(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    real = numba.njit

    def nowhere(*arguments: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*arguments, **options)

    monkeypatch.setattr(numba, "njit", nowhere)
    loops = kernels.compiled_loops.__wrapped__()
    counts = np.zeros((256, 256), np.int64)
    loops.tally_words(np.zeros(2, np.uint64), np.zeros(2, np.uint64), counts)
    assert counts[0, 0] == counts.sum() == 16


# ------------------------------------------------------------------ figures of segmentation


def exact(counts: Counts) -> dict[str, Any]:
    """Return all figures by their definitions, in fractions."""
    n, void = counts.matrix.tolist(), counts.void.tolist()
    k = range(len(n))
    t = [sum(n[i]) + void[i] for i in k]
    union = [t[i] + sum(n[j][i] for j in k) - n[i][i] for i in k]
    shares = [Fraction(n[i][i], union[i]) if union[i] else None for i in k]
    there = [share for share in shares if share is not None]
    total = sum(t)
    return {
        "iou": shares,
        "skip": sum(there) / len(there) if there else None,
        "zero": sum(there) / len(shares) if there else None,
        "fw": sum(t[i] * shares[i] for i in k if t[i]) / total if total else None,
        "pixel": Fraction(sum(n[i][i] for i in k), total) if total else None,
    }


def close(ours: float | None, theirs: Fraction | None) -> bool:
    if ours is None or theirs is None or np.isnan(ours):
        return theirs is None and (ours is None or bool(np.isnan(ours)))
    return ours == pytest.approx(float(theirs), abs=1e-14)


COUNTS = st.builds(
    Counts,
    arrays(np.int64, (CLASSES, CLASSES), elements=st.sampled_from([0, 0, 1, 5, 10**13])),
    arrays(np.int64, CLASSES, elements=st.sampled_from([0, 0, 0, 3, 10**13])),
)


@given(st.one_of(COUNTS, maps().map(lambda found: count(*found, CLASSES))))
def test_figures_are_their_definitions_and_in_range(counts: Counts) -> None:
    expected, found = exact(counts), state(counts)
    shares = iou(*found)
    assert shares.dtype == np.float64
    assert all(map(close, shares.tolist(), expected["iou"]))
    assert close(mean_iou(*found), expected["skip"])
    assert close(mean_iou(*found, absent="zero"), expected["zero"])
    fw, pixel = frequency_weighted_iou(*found), pixel_accuracy(*found)
    assert close(fw, expected["fw"])
    assert close(pixel, expected["pixel"])
    for figure in (*shares[~np.isnan(shares)], fw, pixel, mean_iou(*found)):
        assert figure is None or 0 <= figure <= 1 + 1e-15
    if pixel is not None:
        assert fw <= pixel + 1e-15
        # Equal exactly when every class that has true positives has no false positives.
        hits = np.diagonal(counts.matrix)
        false = counts.matrix.sum(axis=0) - hits
        assert (expected["fw"] == expected["pixel"]) == (not np.any(false[hits > 0]))


@given(maps(ignored=False))
def test_scikit_learn_agrees(found: tuple[np.ndarray, np.ndarray]) -> None:
    truth, guess = (each.ravel() for each in found)
    if not truth.size:
        return
    counts = count(*found, CLASSES)
    np.testing.assert_array_equal(
        counts.matrix, reference.confusion_matrix(truth, guess, labels=range(CLASSES))
    )
    shares = reference.jaccard_score(
        truth, guess, labels=range(CLASSES), average=None, zero_division=0
    )
    np.testing.assert_allclose(np.nan_to_num(iou(*state(counts))), shares, atol=1e-15)
    assert mean_iou(*state(counts), absent="zero") == pytest.approx(shares.mean(), abs=1e-14)
    weighted = reference.jaccard_score(truth, guess, average="weighted", zero_division=0)
    assert frequency_weighted_iou(*state(counts)) == pytest.approx(weighted, abs=1e-14)
    assert pixel_accuracy(*state(counts)) == reference.accuracy_score(truth, guess)


@settings(deadline=None)  # the first call imports it
@given(maps(ignored=False), st.data())
def test_torchmetrics_agrees(found: tuple[np.ndarray, np.ndarray], data: Any) -> None:
    functional = pytest.importorskip("torchmetrics.functional.classification")
    truth, guess = (torch.tensor(each.reshape(-1)) for each in found)
    if not len(truth):
        return
    kept = torch.tensor(
        data.draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth)))
    )
    truth[~kept] = IGNORED
    counts = count(truth, guess, CLASSES)
    options = {"num_classes": CLASSES, "ignore_index": IGNORED}
    theirs = functional.multiclass_confusion_matrix(guess.int(), truth.int(), **options)
    np.testing.assert_array_equal(counts.matrix, theirs)
    shares = functional.multiclass_jaccard_index(
        guess.int(), truth.int(), average="none", **options
    )
    np.testing.assert_allclose(np.nan_to_num(iou(*state(counts))), shares, atol=1e-6)


def test_a_segmentation_counted_by_hand() -> None:
    matrix, void = np.array([[4, 0, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0]]), [0, 3, 0, 0]
    # Class 1 is only in the ground truth, class 2 only predicted, class 3 nowhere.
    np.testing.assert_array_equal(iou(matrix, void), [4 / 5, 0, 0, np.nan])
    assert mean_iou(matrix, void) == pytest.approx(0.8 / 3)
    assert mean_iou(matrix, void, absent="zero") == pytest.approx(0.8 / 4)
    assert frequency_weighted_iou(matrix, void) == pytest.approx(0.8 * 5 / 10)
    assert pixel_accuracy(matrix, void) == pytest.approx(4 / 10)
    np.testing.assert_array_equal(per_class_accuracy(matrix, void), [0.8, 0, np.nan, np.nan])
    assert mean_iou(matrix, void, classes=[0, 3]) == pytest.approx(0.8)
    assert mean_iou(matrix, void, classes=[0, 3], absent="zero") == pytest.approx(0.4)
    assert mean_iou(matrix, void, classes=[3]) is None
    assert mean_iou(matrix, void, classes=[3], absent="zero") == 0
    assert mean_iou(matrix, void, classes=[]) is None


def test_nothing_has_no_figures() -> None:
    nothing = state(Counts.zero(3))
    assert np.isnan(iou(*nothing)).all()
    for figure in (mean_iou, frequency_weighted_iou, pixel_accuracy):
        assert figure(*nothing) is None
    assert mean_iou(*nothing, absent="zero") is None
    # Only void predictions: the class is there, and missed.
    missed = (np.zeros((2, 2), np.int64), np.array([7, 0]))
    assert (mean_iou(*missed), frequency_weighted_iou(*missed), pixel_accuracy(*missed)) == (
        0,
        0,
        0,
    )


def test_ten_to_the_fifteen_pixels_overflow_nothing() -> None:
    small = Counts(np.array([[6, 2], [1, 3]]), np.array([0, 4]))
    large = Counts(small.matrix * 10**15, small.void * 10**15)
    np.testing.assert_array_equal(iou(*state(large)), iou(*state(small)))
    for figure in (mean_iou, frequency_weighted_iou, pixel_accuracy):
        assert figure(*state(large)) == pytest.approx(figure(*state(small)), abs=1e-15)


@pytest.mark.parametrize("void", [[1], [1, 2, 3], [-1, 0], [0.5, 0], [[1, 2]]])
def test_what_is_no_void_is_an_error(void: Any) -> None:
    with pytest.raises(BenchError, match="expected void to be 2 counts >= 0"):
        iou(np.eye(2, dtype=np.int64), void)


def test_an_unknown_policy() -> None:
    with pytest.raises(BenchError, match="Unknown policy for absent classes 'skipp'. Did you mean"):
        mean_iou(np.eye(2, dtype=np.int64), absent="skipp")  # type: ignore[arg-type]


# ------------------------------------------------------------------ the paper's figures

# Hoffman et al. 2018, Table 4, as printed: 19 IoUs in the order of Cityscapes' train ids ("-" for
# an empty cell), then mIoU, fwIoU and pixel accuracy.
TABLE_4 = {
    "Source only (A)": "26.0 14.9 65.1 5.5 12.9 8.9 6.0 2.5 70.0 2.9 47.0 24.5 0.0 40.0 12.1 1.5"
    " 0.0 0.0 0.0 17.1 41.9 54.0",
    "FCN-wld (A)": "70.4 32.4 62.1 14.9 5.4 10.9 14.2 2.7 79.2 21.3 64.6 44.1 4.2 70.4 8.0 7.3"
    " 0.0 3.5 0.0 27.9 - -",
    "CDA (A)": "26.4 22.0 74.7 6.0 11.9 8.4 16.3 11.1 75.7 13.3 66.5 38.0 9.3 55.2 18.8 18.9"
    " 0.0 16.8 14.6 27.8 - -",
    "FCTN (A)": "72.2 28.4 74.9 18.3 10.8 24.0 25.3 17.9 80.1 36.7 61.1 44.7 0.0 74.5 8.9 1.5"
    " 0.0 - - 30.5 - -",
    "CyCADA (A)": "85.2 37.2 76.5 21.8 15.0 23.8 22.9 21.5 80.5 31.3 60.7 50.5 9.0 76.9 17.1 28.2"
    " 4.5 9.8 0.0 35.4 73.8 83.6",
    "Target supervised (A)": "96.4 74.5 87.1 35.3 37.8 36.4 46.9 60.1 89.0 54.3 89.8 65.6 35.9 89.4"
    " 38.6 64.1 38.6 40.5 65.1 60.3 87.6 93.1",
    "Source only (B)": "42.7 26.3 51.7 5.5 6.8 13.8 23.6 6.9 75.5 11.5 36.8 49.3 0.9 46.7 3.4 5.0"
    " 0.0 5.0 1.4 21.7 47.4 62.5",
    "CyCADA (B)": "79.1 33.1 77.9 23.4 17.3 32.1 33.3 31.8 81.5 26.7 69.0 62.8 14.7 74.5 20.9 25.6"
    " 6.9 18.8 20.4 39.5 72.4 82.3",
    "Target supervised (B)": "97.3 79.8 88.6 32.5 48.2 56.3 63.6 73.3 89.0 58.9 93.0 78.2 55.2 92.2"
    " 45.0 67.3 39.6 49.9 73.6 67.4 89.6 94.3",
}
# Rows whose printed mIoU is not the mean of their printed classes, and what that mean is.
DISAGREE = {"Source only (A)": 17.88, "FCN-wld (A)": 27.14, "CDA (A)": 26.52}


def row(name: str) -> tuple[np.ndarray, list[float | None]]:
    cells = [None if cell == "-" else float(cell) for cell in TABLE_4[name].split()]
    assert len(cells) == 22
    return np.array(cells[:19], dtype=np.float64) / 100, cells[19:]


@pytest.mark.parametrize("name", TABLE_4)
def test_the_papers_classes_average_to_its_miou_where_they_do(name: str) -> None:
    shares, (miou, _, _) = row(name)
    # A confusion matrix with these IoUs: n hits of 1000 pixels each, the misses void.
    known = ~np.isnan(shares)
    hits = np.round(np.nan_to_num(shares) * 1000).astype(np.int64)
    void = np.where(known, 1000 - hits, 0)
    average = 100 * mean_iou(np.diag(hits), void)
    if name in DISAGREE:
        assert average == pytest.approx(DISAGREE[name], abs=0.005)
        assert abs(average - miou) > 0.05
    elif name == "FCTN (A)":  # two cells are empty, and its mIoU counts them as 0
        assert average == pytest.approx(34.08, abs=0.005)
        zero = mean_iou(np.diag(hits), void, absent="zero")
        assert 100 * zero == pytest.approx(miou, abs=0.05)
    else:
        assert average == pytest.approx(miou, abs=0.05 + 1e-9)


@pytest.mark.parametrize("name", [name for name in TABLE_4 if row(name)[1][1] is not None])
def test_the_printed_fwiou_cannot_give_the_papers_figures(name: str) -> None:
    shares, (_, fwiou, accuracy_) = row(name)
    # As printed, without t_i: (1 / sum_k t_k) sum_i IoU_i, for the 500 images of Cityscapes val, of
    # whose 500 * 2048 * 1024 pixels more than half are labelled. It is next to nothing.
    assert 100 * shares.sum() / (500 * 2048 * 1024 / 2) < 1e-4 < fwiou
    # Nor does it with t_i in shares of the pixels, which add up to 1: it is then 19 mIoU.
    assert abs(100 * shares.sum() - fwiou) > 100
    # With t_i it is a weighted mean of the IoUs, and no larger than pixel accuracy: as printed.
    assert 100 * shares.min() < fwiou < 100 * shares.max()
    assert fwiou < accuracy_
