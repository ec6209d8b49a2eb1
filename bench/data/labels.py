"""The only place that reads labels. An import contract says who may import it.

`bench.data.assemble` may, for the labels of the domain that plays the source. `bench.score` may,
for the target's test labels, after training has ended. Nothing else does.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from bench.data.frames import Frames, read_indices
from bench.data.order import hidden_order
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from torch import Tensor

    from bench.data.domain import Domain, Scenes, Split


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


def train_maps(
    scenes: Scenes, root: Path, protocol: str, size: tuple[int, int], part: slice
) -> Frames:
    """Return label maps of training images, uint8 (n, h, w), in the order of the role "source".

    Args:
        scenes: the domain that plays the source.
        root: the data folder.
        protocol: decides the class indices.
        size: height and width in pixels; maps are resized to it by the nearest pixel.
        part: which of them, counted in that order.

    Raises:
        MissingDataError: a file is absent or broken, or holds an unknown value.
    """
    paths = [scene.label for scene in scenes.scenes(root, "train")]
    order = hidden_order(len(paths), "source")[part].tolist()
    read = partial(read_indices, scenes=scenes, protocol=protocol, size=size)
    return Frames([paths[i] for i in order], read, size)


def test_maps(scenes: Scenes, root: Path, protocol: str) -> Iterator[np.ndarray]:
    """Yield the label maps of the test images, uint8 (h, w), each at its own size, one by one.

    They come in the order of the role "test". 255 stands for a pixel that is not evaluated.

    Raises:
        MissingDataError: a file is absent or broken, or holds an unknown value.
    """
    paths = [scene.label for scene in scenes.scenes(root, "test")]
    for index in hidden_order(len(paths), "test").tolist():
        yield read_indices(paths[index], scenes, protocol, None).numpy()


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
