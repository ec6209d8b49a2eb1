"""The only place that reads labels. An import contract says who may import it.

`bench.data.assemble` may, for the labels of the domain that plays the source. `bench.score` may,
for the target's test labels, after training has ended. Nothing else does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.order import hidden_order
from bench.errors import BenchError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.data.domain import Domain, Split


def train_labels(domain: Domain, root: Path) -> Tensor:
    """Return the labels of the training images, int64 (n,), in the order that a task shows."""
    return _labels(domain, root, "train")


def test_labels(domain: Domain, root: Path) -> Tensor:
    """Return the labels of the test images, int64 (n,), in the order that `test_images` has."""
    return _labels(domain, root, "test")


def _labels(domain: Domain, root: Path, split: Split) -> Tensor:
    labels = domain.labels(root, split)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= domain.classes:
        raise BenchError(
            f"{type(domain).__name__} {split} labels must lie in 0..{domain.classes - 1},"
            f" got {low}..{high}. Map them in the domain's labels()."
        )
    return labels.long()[hidden_order(len(labels), split)]
