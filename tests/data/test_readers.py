"""File formats: IDX, libsvm text and MATLAB, on small files of exactly those formats."""

from __future__ import annotations

import bz2
import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.io import savemat

from bench.data import svhn
from bench.data.mnist import read_idx
from bench.data.usps import read_svmlight
from bench.errors import MissingDataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@given(arrays(np.uint8, array_shapes(max_dims=3, max_side=9)))
def test_idx_round_trip(array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    assert np.array_equal(read_idx(header + array.tobytes()).numpy(), array)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x01\0\0",
        b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0",
        b"<html>not found</html>",
        b"\0\0\x08\x01\0\0\0\x03ab",
        b"\0\0\x08\x01\0\0\0\x03abcd",
    ],
)
def test_what_is_no_idx_file_is_refused(content: bytes) -> None:
    with pytest.raises(MissingDataError, match="IDX"):
        read_idx(content)


def usps_text(digits: list[int], pixels: np.ndarray) -> bytes:
    lines = [
        f"{digit + 1} " + " ".join(f"{i}:{v:g}" for i, v in enumerate(row, start=1))
        for digit, row in zip(digits, pixels, strict=True)
    ]
    return bz2.compress("\n".join(lines).encode())


def test_usps_classes_start_at_one_and_values_at_minus_one() -> None:
    pixels = np.full((3, 256), -1.0)
    pixels[1] = 1.0
    pixels[2, 16] = 0.5  # second row, first column: (0.5 + 1) / 2 * 255 = 191.25
    images, labels = read_svmlight(usps_text([0, 9, 4], pixels))
    assert labels.tolist() == [0, 9, 4]
    assert images.shape == (3, 1, 16, 16)
    assert images[0].eq(0).all()
    assert images[1].eq(255).all()
    assert images[2, 0, 1, 0] == 191
    assert images[2].count_nonzero() == 1


@pytest.mark.parametrize("content", [b"", b"BZh9", bz2.compress(b"<html>no</html>")])
def test_what_is_no_usps_file_is_refused(content: bytes) -> None:
    with pytest.raises(MissingDataError, match="USPS"):
        read_svmlight(content)


def mat(**variables: np.ndarray) -> bytes:
    file = io.BytesIO()
    savemat(file, variables, do_compression=True)
    return file.getvalue()


def svhn_file(n: int = 12) -> tuple[np.ndarray, bytes]:
    """Return n pictures (n, 32, 32, 3) and the file: y is 1..10, where 10 stands for zero."""
    pictures = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    y = (np.arange(n, dtype=np.uint8) % 10 + 1)[:, None]
    return pictures, mat(X=np.ascontiguousarray(pictures.transpose(1, 2, 3, 0)), y=y)


def test_svhn_pictures_and_labels() -> None:
    pictures, content = svhn_file()
    images = svhn.read_images(content)
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    assert np.array_equal(images.numpy(), pictures.transpose(0, 3, 1, 2))
    labels = svhn.read_labels(content)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]


def test_svhn_agrees_with_torchvisions_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, content = svhn_file()
    (tmp_path / "test_32x32.mat").write_bytes(content)
    # Their reader wants the official checksum, which no small file can have.
    monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda _: True)
    theirs = torchvision.datasets.SVHN(str(tmp_path), split="test")
    assert np.array_equal(svhn.read_images(content).numpy(), theirs.data)
    assert svhn.read_labels(content).tolist() == theirs.labels.tolist()


@pytest.mark.parametrize("read", [svhn.read_images, svhn.read_labels])
@pytest.mark.parametrize(
    "content", [b"", b"x" * 500, svhn_file()[1][:300], mat(other=np.zeros(3, np.uint8))]
)
def test_what_is_no_svhn_file_is_refused(
    read: Callable[[bytes], torch.Tensor], content: bytes
) -> None:
    with pytest.raises(MissingDataError, match="MATLAB"):
        read(content)


def test_svhn_pictures_of_another_shape_are_refused() -> None:
    with pytest.raises(MissingDataError, match=r"\(32, 32, 3, n\), got torch.uint8 \(8, 8, 3, 2\)"):
        svhn.read_images(mat(X=np.zeros((8, 8, 3, 2), np.uint8)))
