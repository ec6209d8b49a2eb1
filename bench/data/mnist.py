"""MNIST: 70,000 handwritten digits of 28x28 pixels (LeCun et al. 1998)."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from bench.data import store
from bench.data.domain import DataFile
from bench.errors import MissingDataError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.data.domain import Split

MOST_DIMENSIONS = 4

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)


def _file(name: str, size: int, md5: str, packed_md5: str) -> DataFile:
    urls = tuple(f"{mirror}{name}.gz" for mirror in MIRRORS)
    return DataFile(f"MNIST/raw/{name}", md5, size, urls, packed_md5)


# Mirrors and checksums of the archives as in torchvision.datasets.MNIST; those of the unpacked
# files were computed from them.
_IMAGES: dict[Split, DataFile] = {
    "train": _file(
        "train-images-idx3-ubyte",
        47_040_016,
        "6bbc9ace898e44ae57da46a324031adb",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ),
    "test": _file(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "2646ac647ad5339dbf082846283269ea",
        "9fb629c4189551a2d022fa330f9573f3",
    ),
}
_LABELS: dict[Split, DataFile] = {
    "train": _file(
        "train-labels-idx1-ubyte",
        60_008,
        "a25bea736e30d166cdddb491f175f624",
        "d53e105ee54ea40749a09fcbcd1e9432",
    ),
    "test": _file(
        "t10k-labels-idx1-ubyte",
        10_008,
        "27ae3e4e09519cfbb04c329615203637",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
}


class MNIST:
    """Handwritten digits, white on black, 28x28: 60,000 to train on, 10,000 to test."""

    classes: ClassVar[int] = 10
    files: ClassVar[tuple[DataFile, ...]] = (*_IMAGES.values(), *_LABELS.values())

    def images(self, root: Path, split: Split) -> Tensor:
        """Return uint8 (60000 or 10000, 1, 28, 28)."""
        return read_idx(store.read(root, _IMAGES[split], "mnist"))[:, None]

    def labels(self, root: Path, split: Split) -> Tensor:
        """Return int64 (60000 or 10000,), values 0..9."""
        return read_idx(store.read(root, _LABELS[split], "mnist")).long()


def read_idx(content: bytes) -> Tensor:
    """Return the uint8 tensor that an IDX file holds.

    The format, from MNIST's web page: two zero bytes, a byte for the type (8: uint8), a byte for
    the number of dimensions d, d big-endian 32-bit sizes, then the values in C order.

    Raises:
        MissingDataError: it is no IDX file of bytes, or its length does not fit its sizes.

    >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    tensor([7, 8, 9], dtype=torch.uint8)
    """
    dimensions = content[3] if len(content) > 3 else 0  # noqa: PLR2004  magic number's last byte
    start = 4 + 4 * dimensions
    if content[:3] != b"\0\0\x08" or not 1 <= dimensions <= MOST_DIMENSIONS or len(content) < start:
        raise MissingDataError("This is no IDX file of unsigned bytes. Get the original file.")
    shape = np.frombuffer(content, ">u4", dimensions, offset=4).tolist()
    if not len(content) - start == prod(shape) > 0:  # of Python's integers, which never overflow
        raise MissingDataError(
            f"An IDX file of shape {tuple(shape)} must hold {prod(shape):,} values, at least one;"
            f" this one holds {len(content) - start:,}. Get the original file."
        )
    values = np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    return torch.from_numpy(values.copy())  # frombuffer's memory is read-only
