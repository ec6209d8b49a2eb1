"""SVHN: 99,289 house numbers seen from the street, 32x32 RGB, cropped (Netzer et al. 2011)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from bench.data import store
from bench.data.domain import DataFile
from bench.data.matlab import read_array
from bench.errors import MissingDataError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.data.domain import Split


def _file(name: str, size: int, md5: str) -> DataFile:
    url = f"http://ufldl.stanford.edu/housenumbers/{name}"
    return DataFile(f"SVHN/{name}", md5, size, (url,))


# URLs and checksums as in torchvision.datasets.SVHN. The "extra" part is not used.
_FILES: dict[Split, DataFile] = {
    "train": _file("train_32x32.mat", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
    "test": _file("test_32x32.mat", 64_275_384, "eb5a983be6a315427106f1b164d9cef3"),
}


MOST_BYTES = 2**28
"""A fifth more than the training images take; no file that unpacks to more is read."""


class SVHN:
    """House numbers, 32x32 RGB: 73,257 to train on, 26,032 to test."""

    classes: ClassVar[int] = 10
    files: ClassVar[tuple[DataFile, ...]] = tuple(_FILES.values())

    def images(self, root: Path, split: Split) -> Tensor:
        """Return uint8 (73257 or 26032, 3, 32, 32)."""
        return read_images(store.read(root, _FILES[split], "svhn"))

    def labels(self, root: Path, split: Split) -> Tensor:
        """Return int64 (73257 or 26032,), values 0..9."""
        return read_labels(store.read(root, _FILES[split], "svhn"))


def read_images(content: bytes) -> Tensor:
    """Return uint8 (n, 3, 32, 32) from a MATLAB file's variable X, uint8 (32, 32, 3, n).

    Raises:
        MissingDataError: there is no such variable.
    """
    images = _variable(content, "X")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3):  # noqa: PLR2004
        raise MissingDataError(
            "SVHN's X must be uint8 of shape (32, 32, 3, n),"
            f" got {images.dtype} {tuple(images.shape)}. Get the original file."
        )
    return images.permute(3, 2, 0, 1).contiguous()


def read_labels(content: bytes) -> Tensor:
    """Return int64 (n,) from a MATLAB file's variable y, (n, 1), in which 10 stands for zero.

    Raises:
        MissingDataError: there is no such variable.
    """
    labels = _variable(content, "y").flatten()
    known = torch.arange(1, 11, dtype=torch.float64)
    if labels.is_complex() or not torch.isin(labels.double(), known).all():
        raise MissingDataError("SVHN's y must hold 1 to 10. Get the original file.")
    return torch.where(labels == 10, 0, labels.long())  # noqa: PLR2004


def _variable(content: bytes, name: str) -> Tensor:
    try:
        return torch.from_numpy(read_array(content, name, MOST_BYTES))
    except ValueError as error:
        message = f"This is no MATLAB file with a variable {name} ({error}). Get the original file."
        raise MissingDataError(message) from error
