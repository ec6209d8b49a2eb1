"""USPS: 9,298 digits from US mail, 16x16 pixels (Hull 1994), in the libsvm project's edition."""

from __future__ import annotations

import bz2
import io
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from bench.data import store
from bench.data.domain import DataFile
from bench.errors import MissingDataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from bench.data.domain import Split

SIZE = 16

MOST_BYTES = 2**26
"""Four times the text of the training images; no longer one is unpacked."""


def _file(name: str, md5: str, reencoded: str) -> DataFile:
    url = f"https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/{name}"
    same = "Other compressed bytes than the official file's; values and labels are the same."
    return DataFile(f"USPS/{name}", md5, urls=(url,), also={reencoded: same})


# URLs and checksums as in torchvision.datasets.USPS.
_FILES: dict[Split, DataFile] = {
    "train": _file(
        "usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197", "41a09b14f595f6a024a8423e918d3bd4"
    ),
    "test": _file(
        "usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118", "5c4ad9e0d50fcb6e3c41baffad9c1ad7"
    ),
}


class USPS:
    """Handwritten digits from envelopes, 16x16: 7,291 to train on, 2,007 to test."""

    classes: ClassVar[int] = 10
    files: ClassVar[tuple[DataFile, ...]] = tuple(_FILES.values())

    def images(self, root: Path, split: Split) -> Tensor:
        """Return uint8 (7291 or 2007, 1, 16, 16)."""
        return read_svmlight(store.read(root, _FILES[split], "usps"))[0]

    def labels(self, root: Path, split: Split) -> Tensor:
        """Return int64 (7291 or 2007,), values 0..9."""
        return read_svmlight(store.read(root, _FILES[split], "usps"))[1]


@lru_cache(maxsize=2)
def read_svmlight(content: bytes) -> tuple[Tensor, Tensor]:
    """Return images uint8 (n, 1, 16, 16) and labels int64 (n,) of a bzip2-compressed text.

    Each line is a class 1..10 for the digits 0..9, then 256 values in -1..1 as "index:value".
    Values become (v + 1) / 2 * 255, cut off rather than rounded, as in torchvision, whose own
    parser takes five times as long.

    Raises:
        MissingDataError: it is not such a text.
    """
    try:
        values, classes = _numbers(content)
    except (OSError, EOFError, ValueError, OverflowError) as error:
        message = f"This is no USPS file of libsvm's edition ({error}). Get the original file."
        raise MissingDataError(message) from error
    grey = (values.astype(np.float32) + 1) / 2 * 255
    images = torch.from_numpy(grey.astype(np.uint8)).view(-1, 1, SIZE, SIZE)
    return images, torch.from_numpy(classes).long() - 1


def _numbers(content: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values (n, 256) and classes (n,); raise whatever says that there are none."""
    from sklearn.datasets import load_svmlight_file  # noqa: PLC0415  slow to import

    with bz2.open(io.BytesIO(content)) as archive:
        text = archive.read(MOST_BYTES + 1)
    if not 0 < len(text) <= MOST_BYTES:
        raise ValueError(f"expected a text of at most {MOST_BYTES:,} bytes")
    rows, classes = load_svmlight_file(io.BytesIO(text), n_features=SIZE * SIZE, zero_based=False)
    values = rows.toarray()
    if not len(values) or not np.isin(classes, np.arange(1, 11)).all():
        raise ValueError("expected classes 1 to 10")
    if not (np.abs(values) <= 1).all():
        raise ValueError("expected values in -1..1")
    return values, classes
