"""The figures that a run is judged by: which, and from which part of its confusion matrix.

What to measure follows from the *shift* in a run's configuration: it names the task and, for
segmentation, the protocol, which says what classes a matrix has and which of them mIoU averages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench import metrics
from bench.classes import Protocol, protocol
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bench.metrics import Confusion

METRICS: Mapping[str, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "segmentation": ("miou", "fwiou", "pixel_accuracy"),
}
"""By task: what is measured. Rows are ranked by the first, and rules that look at scores maximise
it."""


def metrics_of(shift: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what is measured on `shift`; rows are ranked by the first."""
    return METRICS[_task(shift)]


def class_names(shift: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the classes of a segmentation, each of which has an IoU; () of a classification."""
    if _task(shift) == "classification":
        return ()
    return tuple(protocol(shift["protocol"]).classes.names)


def ranked_by(shift: Mapping[str, Any]) -> str:
    """Return the name of the metric by which runs on `shift` are ranked.

    >>> ranked_by({"name": "mnist2usps"}), ranked_by({"task": "segmentation"})
    ('accuracy', 'miou')
    """
    return metrics_of(shift)[0]


def figures_of(matrix: Confusion, shift: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what was measured, by metric: fractions, or None where nothing was.

    Args:
        matrix: int64 (k, k), rows = ground truth; for segmentation over the protocol's classes.
        shift: as a run's configuration holds it: "task" (absent: classification), "protocol".

    Raises:
        BenchError: the protocol is unknown, or has another number of classes.

    >>> figures_of(np.array([[3, 1], [0, 4]]), {"protocol": "full"})
    {'accuracy': 0.875}
    """
    if _task(shift) == "classification":
        return {"accuracy": metrics.accuracy(matrix)}
    played = _played(matrix, shift)
    averaged = [played.classes.names.index(name) for name in played.averaged]
    return {
        "miou": metrics.mean_iou(matrix, classes=averaged),
        "fwiou": metrics.frequency_weighted_iou(matrix),
        "pixel_accuracy": metrics.pixel_accuracy(matrix),
    }


def figures_of_each(
    matrices: NDArray[Any], shift: Mapping[str, Any]
) -> dict[str, NDArray[np.float64]]:
    """Return `figures_of` many matrices at once, by metric: float64 (n,), NaN for None.

    Args:
        matrices: integers (n, k, k); those of a classification in one go.
        shift: of them all.

    >>> figures_of_each(np.array([[[3, 1], [0, 4]], [[0, 0], [0, 0]]]), {})["accuracy"].tolist()
    [0.875, nan]
    """
    if _task(shift) == "classification":
        # Sums of uint16 and uint32 are uint64, and exact; int64 might overflow.
        exact = matrices.astype(np.float64) if matrices.dtype == np.int64 else matrices
        hits, total = np.trace(exact, axis1=1, axis2=2), exact.sum(axis=(1, 2))
        nothing = np.full(len(matrices), np.nan)
        return {"accuracy": np.divide(hits, total, out=nothing, where=total > 0)}
    each = [figures_of(matrix, shift) for matrix in matrices]
    return {name: np.array([f[name] for f in each], np.float64) for name in METRICS[_task(shift)]}


def quality(matrix: Confusion, shift: Mapping[str, Any]) -> float | None:
    """Return the figure by which runs are ranked: the higher, the better."""
    return figures_of(matrix, shift)[ranked_by(shift)]


def class_ious(matrix: Confusion, shift: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the IoU of every class of a segmentation, in the order of its protocol.

    None for a class that occurs neither in ground truth nor in predictions. Empty for a
    classification. Raises as `figures_of` does.
    """
    if _task(shift) == "classification":
        return {}
    names = _played(matrix, shift).classes.names
    values = metrics.iou(matrix)
    return {n: None if np.isnan(v) else float(v) for n, v in zip(names, values, strict=True)}


def _task(shift: Mapping[str, Any]) -> str:
    return str(shift.get("task", "classification"))  # records from before segmentation lack it


def _played(matrix: Confusion, shift: Mapping[str, Any]) -> Protocol:
    played = protocol(shift["protocol"])
    if len(matrix) != len(played.classes):
        message = (
            f"expected a confusion matrix of the {len(played.classes)} classes of protocol"
            f" {played.name}, got {len(matrix)}"
        )
        raise BenchError(message)
    return played
