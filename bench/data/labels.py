"""The only place that reads labels. An import contract says who may import it.

`bench.data.assemble` may, for the labels of the domain that plays the source. `bench.score` may,
for the target's test labels, after training has ended. Nothing else does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.data.order import hidden_order
from bench.errors import BenchError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.data.domain import Domain, Split


def train_labels(domain: Domain, root: Path) -> Tensor:
    """Return the labels of the training images, int64 (n,), in the order of the role "source".

    There is no function for the labels in the order of the role "target": nobody needs them.

    Raises:
        BenchError: they are no vector of integers in 0..classes-1.
    """
    labels = _checked(domain, root, "train")
    return labels[hidden_order(len(labels), "source")]


def test_labels(domain: Domain, root: Path) -> Tensor:
    """Return the labels of the test images, int64 (n,), in the order of the role "test".

    Raises:
        BenchError: they are no vector of integers in 0..classes-1.
    """
    labels = _checked(domain, root, "test")
    return labels[hidden_order(len(labels), "test")]


def _checked(domain: Domain, root: Path, split: Split) -> Tensor:
    labels = domain.labels(root, split)
    name = f"{type(domain).__name__}.labels(), {split}"
    if not isinstance(labels, torch.Tensor) or labels.ndim != 1 or labels.dtype != torch.int64:
        got = (
            f"{labels.dtype} {tuple(labels.shape)}"
            if isinstance(labels, torch.Tensor)
            else type(labels).__name__
        )
        raise BenchError(f"{name}: must be an int64 tensor of shape (n,), got {got}.")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < domain.classes:
        raise BenchError(
            f"{name}: must lie in 0..{domain.classes - 1},"
            f" got {int(labels.min())}..{int(labels.max())}. Map them in the domain's labels()."
        )
    return labels
