"""Which figures a run is judged by, against definitions written out as loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.classes import CAMVID, PROTOCOLS, SYNTHIA13, SYNTHIA16
from bench.errors import BenchError
from bench.headline import (
    METRICS,
    class_ious,
    class_names,
    figures_of,
    figures_of_each,
    metrics_of,
    quality,
    ranked_by,
)
from bench.suites import MNIST_TO_USPS

DIGITS = MNIST_TO_USPS.described()


def scenes(protocol: str) -> dict[str, Any]:
    return {"name": "s", "task": "segmentation", "protocol": protocol}


def matrices(classes: int) -> st.SearchStrategy[Any]:
    return arrays(np.int64, (classes, classes), elements=st.integers(0, 50))


def iou_by_hand(matrix: Any, index: int) -> float | None:
    hits = int(matrix[index, index])
    union = int(matrix[index].sum() + matrix[:, index].sum()) - hits
    return hits / union if union else None


@given(matrices(10))
def test_digits_are_judged_by_accuracy(matrix: Any) -> None:
    total = int(matrix.sum())
    expected = int(np.trace(matrix)) / total if total else None
    assert figures_of(matrix, DIGITS) == {"accuracy": expected}
    assert quality(matrix, DIGITS) == expected
    assert class_ious(matrix, DIGITS) == {}


@given(matrices(11))
def test_scenes_are_judged_by_the_mean_iou_of_the_classes_that_occur(matrix: Any) -> None:
    shift = scenes("camvid-11")
    by_class = {name: iou_by_hand(matrix, i) for i, name in enumerate(CAMVID.names)}
    assert class_ious(matrix, shift) == pytest.approx(by_class)
    assert list(class_ious(matrix, shift)) == list(CAMVID.names)
    figures = figures_of(matrix, shift)
    assert tuple(figures) == METRICS["segmentation"]
    occurring = [value for value in by_class.values() if value is not None]
    total = int(matrix.sum())
    if not total:
        assert set(figures.values()) == {None}
        return
    assert quality(matrix, shift) == figures["miou"] == pytest.approx(np.mean(occurring))
    assert figures["pixel_accuracy"] == pytest.approx(np.trace(matrix) / total)
    pixels = matrix.sum(axis=1)
    weighted = sum(pixels[i] * (by_class[name] or 0) for i, name in enumerate(CAMVID.names))
    assert figures["fwiou"] == pytest.approx(weighted / total)


@given(matrices(16))
def test_thirteen_of_sixteen_averages_thirteen_of_the_whole_matrix(matrix: Any) -> None:
    shift = scenes("synthia-13-of-16")
    by_class = {name: iou_by_hand(matrix, i) for i, name in enumerate(SYNTHIA16.names)}
    thirteen = [by_class[name] for name in SYNTHIA13.names if by_class[name] is not None]
    assert quality(matrix, shift) == pytest.approx(np.mean(thirteen) if thirteen else None)
    assert len(class_ious(matrix, shift)) == 16
    sixteen = [value for value in by_class.values() if value is not None]
    whole = quality(matrix, scenes("synthia-16"))
    assert whole == pytest.approx(np.mean(sixteen) if sixteen else None)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_can_be_scored(name: str) -> None:
    matrix = np.eye(len(PROTOCOLS[name].classes), dtype=np.int64)
    assert figures_of(matrix, scenes(name)) == dict.fromkeys(METRICS["segmentation"], 1.0)


@given(st.sampled_from([np.uint16, np.uint32, np.int64]), st.data())
def test_many_matrices_are_judged_like_each_alone(dtype: Any, data: st.DataObject) -> None:
    large = st.integers(0, int(np.iinfo(dtype).max))
    counts = data.draw(arrays(dtype, (3, 2, 2), elements=st.sampled_from([0, 1, 7]) | large))
    found = figures_of_each(counts, DIGITS)["accuracy"]
    for accuracy, matrix in zip(found, counts.tolist(), strict=True):
        total = sum(map(sum, matrix))  # Python's integers: those of NumPy overflow
        if total:
            assert accuracy == pytest.approx((matrix[0][0] + matrix[1][1]) / total)
        else:
            assert np.isnan(accuracy)


@given(arrays(np.uint16, (3, 11, 11), elements=st.integers(0, 50)))
def test_many_scenes_are_judged_like_each_alone(counts: Any) -> None:
    found = figures_of_each(counts, scenes("camvid-11"))
    for place, matrix in enumerate(counts):
        alone = figures_of(matrix.astype(np.int64), scenes("camvid-11"))
        assert list(alone) == list(found)
        for name, value in alone.items():
            assert found[name][place] == pytest.approx(
                np.nan if value is None else value, nan_ok=True
            )


@pytest.mark.parametrize("name", PROTOCOLS)
def test_classes_are_named_in_the_order_of_their_ious(name: str) -> None:
    matrix = np.eye(len(PROTOCOLS[name].classes), dtype=np.int64)
    assert list(class_names(scenes(name))) == list(class_ious(matrix, scenes(name)))
    assert class_names(DIGITS) == ()
    assert metrics_of(scenes(name)) == METRICS["segmentation"]


def test_rows_are_ranked_by_the_first_metric_of_their_task() -> None:
    assert ranked_by(DIGITS) == METRICS["classification"][0] == "accuracy"
    assert ranked_by(scenes("camvid-11")) == METRICS["segmentation"][0] == "miou"


def test_a_matrix_of_other_classes_than_the_protocols_is_refused() -> None:
    matrix = np.eye(11, dtype=np.int64)
    for function in (figures_of, class_ious, quality):
        with pytest.raises(BenchError, match="the 19 classes of protocol cityscapes-19, got 11"):
            function(matrix, scenes("cityscapes-19"))
    with pytest.raises(BenchError, match="Did you mean 'camvid-11'"):
        figures_of(matrix, scenes("camvid-12"))
