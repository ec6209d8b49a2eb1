"""The three formats in which digits come: IDX, libsvm's text in bzip2, and MATLAB's.

The data folder's files are compared with their checksum before any of these readers sees them, so
what is tried here is a second wall. What stands in front of it is tried as well: archives.
"""

from __future__ import annotations

import bz2
import gzip
import io
import math
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from near_misses import MEBIBYTE, REFUSED, fuzzed, outcome, spoiled
from scipy.io import loadmat, savemat

from bench.data import store
from bench.data.domain import DataFile
from bench.data.matlab import read_array
from bench.data.mnist import read_idx
from bench.data.svhn import read_images, read_labels
from bench.data.usps import read_svmlight

if TYPE_CHECKING:
    from pathlib import Path

# ------------------------------------------------------------------ IDX


def idx(*shape: int, values: bytes = b"") -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + values


def slow_idx(content: bytes) -> list[int] | None:
    """Return the sizes and then the values of an IDX file of bytes, one by one."""
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 4:
        return None
    sizes, rest = [], content[4:]
    for _ in range(content[3]):
        if len(rest) < 4:
            return None
        sizes.append(int.from_bytes(rest[:4], "big"))
        rest = rest[4:]
    return [*sizes, *rest] if rest and math.prod(sizes) == len(rest) else None


@fuzzed
@given(
    content=spoiled(
        st.sampled_from((idx(2, 3, 2, values=bytes(range(12))), idx(5, values=b"hello")))
    )
)
@example(content=idx(2**16, 2**16, 2**16, 2**16))  # 2^64 values, which is none in 64 bits
@example(content=idx(34_724, 27_905, 49_477, 384_773, values=b"four"))  # 2^64 + 4
@example(content=idx(0, 2**32 - 1, 2**32 - 1))
@example(content=idx(10**9, 28, 28, values=bytes(28 * 28)))
@example(content=idx())
@example(content=idx(*[1] * 200, values=b"x"))
def test_idx(content: bytes) -> None:
    found = outcome("IDX", lambda: read_idx(content))
    expected = slow_idx(content)
    if found is REFUSED:
        assert expected is None
    else:
        assert [*found.shape, *found.flatten().tolist()] == expected


NAME = "MNIST/raw/t10k-labels-idx1-ubyte"
PLAIN = idx(40, values=bytes(range(40)))
FILE = DataFile(
    NAME, store.md5_of(PLAIN), len(PLAIN), packed_md5=store.md5_of(gzip.compress(PLAIN))
)


@fuzzed
@given(content=spoiled(gzip.compress(PLAIN)), packed=st.booleans())
@example(content=gzip.compress(bytes(2**24)) * 64, packed=True)  # a megabyte that becomes 1 GiB
@example(content=gzip.compress(PLAIN, 1), packed=True)
@example(content=PLAIN, packed=False)
def test_a_file_of_the_data_folder_is_the_known_one_or_refused(
    content: bytes,
    packed: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    for old in tmp_path.rglob("t10k*"):
        old.unlink()
    path = tmp_path / (f"{NAME}.gz" if packed else NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = outcome("gzip", lambda: store.read(tmp_path, FILE, "mnist"), path)
    inflated = content
    if packed:
        try:
            inflated = gzip.GzipFile(fileobj=io.BytesIO(content)).read(len(PLAIN) + 1)
        except (OSError, EOFError, zlib.error):
            inflated = b""
    assert (found is REFUSED) == (inflated != PLAIN)
    assert found is REFUSED or found == PLAIN


# ------------------------------------------------------------------ USPS


def usps(*rows: tuple[int, dict[int, float]]) -> bytes:
    lines = (
        f"{digit} " + " ".join(f"{place}:{value:g}" for place, value in values.items()) + " \n"
        for digit, values in rows
    )
    return "".join(lines).encode()


DIGITS = usps(
    (7, {place: ((place * 37) % 201 - 100) / 100 for place in range(1, 257)}),
    (10, {1: -1, 200: 1, 256: 0.25}),
)


def slow_usps(text: bytes) -> list[tuple[int, list[int]]] | None:
    """Return (digit, 256 grey values) of each line, read word by word."""
    rows = []
    for line in text.split(b"\n"):
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        try:
            digit, values, before = float(words[0]), [0.0] * 256, 0
            for word in words[1:]:
                place, colon, value = word.partition(b":")
                if place == b"qid" and word is words[1]:  # libsvm's number of a query, passed over
                    continue
                if not colon or not before < int(place) <= 256:
                    return None
                before = int(place)
                values[before - 1] = float(value)
        except ValueError:
            return None
        if digit not in range(1, 11) or not all(-1 <= value <= 1 for value in values):
            return None
        grey = (np.array(values).astype(np.float32) + 1) / 2 * 255
        rows.append((int(digit) - 1, grey.astype(np.uint8).tolist()))
    return rows or None


@fuzzed
@given(text=spoiled(DIGITS))
@example(text=DIGITS)
@example(text=b"11 1:0\n")
@example(text=b"1.5 1:0\n")
@example(text=b"0 1:0\n")
@example(text=b"nan 1:0\n")
@example(text=b"3 1:1.5\n")
@example(text=b"3 1:nan\n")
@example(text=b"3 1:inf\n")
@example(text=b"3 0:1 255:1\n")
@example(text=b"3 1:0 257:0\n")
@example(text=b"3 99999999999999999999:0\n")
@example(text=b"3 1:0 1:0.5\n")
@example(text=b"3,4 1:0\n")
@example(text=b"3 qid:1 1:0\n")
@example(text=b"\n")
def test_usps(text: bytes) -> None:
    packed = bz2.compress(text, 1)
    read_svmlight.cache_clear()
    found = outcome("USPS", lambda: read_svmlight(packed))
    expected = slow_usps(text)
    if found is REFUSED:
        return  # the libsvm reader is stricter than words are, and may be
    images, labels = found
    assert images.shape == (len(labels), 1, 16, 16)
    assert list(zip(labels.tolist(), images.flatten(1).tolist(), strict=True)) == expected


def test_sound_digits_are_read() -> None:
    assert outcome("USPS", lambda: read_svmlight(bz2.compress(DIGITS))) is not REFUSED


@fuzzed
@given(content=spoiled(bz2.compress(DIGITS)))
@example(content=bz2.compress(bytes(2**24)) * 64)  # a few kilobytes that become 1 GiB
@example(content=bz2.compress(b"3 " + b" " * 2**24) * 64)
@example(content=bz2.compress(DIGITS) * 2)
def test_usps_in_a_damaged_archive(content: bytes) -> None:
    read_svmlight.cache_clear()
    found = outcome("USPS", lambda: read_svmlight(content), memory=768 * MEBIBYTE)
    if found is not REFUSED:  # bzip2 has checksums: what comes out is what went in
        assert found[1].tolist() in ([6, 9], [6, 9, 6, 9])


# ------------------------------------------------------------------ SVHN


def mat(*, compressed: bool, **variables: np.ndarray) -> bytes:
    file = io.BytesIO()
    savemat(file, variables, do_compression=compressed)
    return file.getvalue()


PICTURES = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 2), np.uint8)
ANSWERS = np.array([[10], [3]], np.uint8)
MATS = [mat(compressed=packed, X=PICTURES, y=ANSWERS) for packed in (True, False)]
SMALL = [mat(compressed=packed, y=ANSWERS) for packed in (True, False)]


def element(kind: int, content: bytes, claimed: int | None = None) -> bytes:
    size = len(content) if claimed is None else claimed
    return struct.pack("<II", kind, size) + content + bytes(-len(content) % 8)


def hostile(
    size: int, *, shape: tuple[int, ...] = (32, 32, 3, 10**6), packed: bool = False
) -> bytes:
    """Return a MATLAB file whose X claims `size` bytes and has a few."""
    flags = element(6, struct.pack("<II", 9, 0))
    dimensions = element(5, struct.pack(f"<{len(shape)}i", *shape))
    body = flags + dimensions + element(1, b"X") + element(2, b"few", size)
    whole = element(14, body, min(len(body) + size, 2**32 - 1))
    if packed:
        whole = element(15, zlib.compress(whole))
    return MATS[1][:128] + whole


@fuzzed
@given(content=spoiled(st.sampled_from(MATS + SMALL)), images=st.booleans())
@example(content=hostile(32 * 32 * 3 * 10**6), images=True)
@example(content=hostile(32 * 32 * 3 * 10**6, packed=True), images=True)
@example(content=hostile(2**32 - 1), images=True)
@example(content=hostile(0), images=True)
@example(content=hostile(3, shape=(-1, -1, -3, 1)), images=True)
@example(content=mat(compressed=True, y=np.array([[0.5], [11.0]])), images=False)
@example(content=mat(compressed=True, y=np.array([[np.nan], [1.0]])), images=False)
@example(content=mat(compressed=True, y=np.array([["a"], ["b"]])), images=False)
@example(content=mat(compressed=True, y=np.array([["a", 1]], dtype=object)), images=False)
@example(content=mat(compressed=True, y=np.array([[0], [255]], np.uint8)), images=False)
@example(content=mat(compressed=True, y=np.array([[1j]])), images=False)
def test_svhn(content: bytes, images: bool) -> None:  # noqa: FBT001
    found = outcome("MAT", lambda: (read_images if images else read_labels)(content))
    if found is REFUSED:
        return
    if images:
        assert found.shape[1:] == (3, 32, 32)
        assert found.numel() <= len(content) * 1100  # zlib packs a thousand to one, and no more
    else:
        assert 0 <= int(found.min()) <= int(found.max()) <= 9


@fuzzed
@given(
    array=arrays(
        st.sampled_from(
            [
                np.dtype(kind)
                for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "f4", "f8")
            ]
        ),
        array_shapes(min_dims=2, max_dims=4, max_side=5),
    ),
    compressed=st.booleans(),
    name=st.sampled_from(("X", "y", "a_name_of_many_letters")),
)
def test_sound_matrices_are_scipys(array: np.ndarray, compressed: bool, name: str) -> None:  # noqa: FBT001
    content = mat(compressed=compressed, before=np.ones(3), **{name: array})
    theirs = loadmat(io.BytesIO(content))[name]
    ours = outcome("MAT", lambda: read_array(content, name, 2**20))
    assert ours is not REFUSED
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("packed", [False, True])
def test_sound_pictures_are_read(packed: bool) -> None:  # noqa: FBT001
    content = mat(compressed=packed, X=PICTURES, y=ANSWERS)
    found = outcome("MAT", lambda: (read_images(content), read_labels(content)))
    assert np.array_equal(found[0].numpy(), PICTURES.transpose(3, 2, 0, 1))
    assert found[1].tolist() == [0, 3]


def test_compressed_pictures_without_their_checksum_are_refused() -> None:
    packed = MATS[0]
    length = int.from_bytes(packed[132:136], "little")
    cut = packed[:132] + struct.pack("<I", length - 4) + packed[136 : 136 + length - 4]
    assert outcome("MAT", lambda: read_images(packed)) is not REFUSED
    assert outcome("MAT", lambda: read_images(cut)) is REFUSED


def bomb(size: int) -> bytes:
    """Return a MATLAB file with one compressed element that inflates to `size` zeros."""
    deflate = zlib.compressobj(9)
    shape = (32, 32, 3, size // 3072)
    flags, name = element(6, struct.pack("<II", 9, 0)), element(1, b"X")
    head = flags + element(5, struct.pack("<4i", *shape)) + name
    head = struct.pack("<II", 14, len(head) + 8 + size) + head + struct.pack("<II", 2, size)
    begin = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    # What follows a full flush stands for itself, so that it can be repeated.
    zeros = deflate.compress(bytes(MEBIBYTE)) + deflate.flush(zlib.Z_FULL_FLUSH)
    whole = begin + zeros * (size // MEBIBYTE) + deflate.flush()
    return MATS[1][:128] + struct.pack("<II", 15, len(whole)) + whole


def test_a_megabyte_of_pictures_becomes_no_gigabyte() -> None:
    content = bomb(2**30)
    assert len(content) < 2 * MEBIBYTE
    assert outcome("MAT", lambda: read_images(content), memory=768 * MEBIBYTE) is REFUSED
