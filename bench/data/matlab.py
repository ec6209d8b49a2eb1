"""Reading an array of numbers from a MATLAB file of version 5.

SciPy reads more kinds of variables, but a damaged file can crash its compiled reader, and with it
the process. Source: MathWorks, "MAT-File Format", chapter 1.
"""

from __future__ import annotations

import struct
import zlib
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_ORDERS = {b"IM": "<", b"MI": ">"}
_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
"""How numbers may be stored, whatever their array's class is."""
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8"}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_COMPLEX = 1 << 11

Element = tuple[int, memoryview]
"""Its type and its content."""


def read_array(content: bytes, name: str, most_bytes: int) -> NDArray[Any]:
    """Return the array that is called `name`, of the numbers and shape that the file says.

    Args:
        content: the file's.
        name: of a variable.
        most_bytes: to which one of the file's elements may unpack.

    Raises:
        ValueError: it is no such file, is damaged, or has no such array of real numbers.
    """
    order = _ORDERS.get(content[126:128])
    if order is None:
        raise ValueError("it has no header of version 5")
    try:
        for kind, body in _elements(memoryview(content)[128:], order, aligned=False):
            found = _array(_matrix(kind, body, order, most_bytes), order, name)
            if found is not None:
                return found
    except (struct.error, zlib.error) as error:
        raise ValueError(f"it is damaged: {error}") from error
    raise ValueError("it has no such variable")


def _elements(data: memoryview, order: str, *, aligned: bool) -> Iterator[Element]:
    """Yield the elements that lie one after another; inside others, each begins at 8 bytes."""
    place = 0
    while place < len(data):
        kind, length = struct.unpack_from(f"{order}II", data, place)
        small = kind >> 16  # then four bytes of content stand in the place of the length
        begin = place + (4 if small else 8)
        kind, length = (kind & 0xFFFF, small) if small else (kind, length)
        if length > (4 if small else len(data) - begin):
            raise ValueError("an element is longer than what it is in")
        yield kind, data[begin : begin + length]
        place = place + 8 if small else begin + length + (-length % 8 if aligned else 0)


def _matrix(kind: int, body: memoryview, order: str, most_bytes: int) -> memoryview:
    """Return the content of a matrix, unpacked if need be; nothing of any other element."""
    if kind == _COMPRESSED:
        inflate = zlib.decompressobj()
        unpacked = inflate.decompress(body, most_bytes)
        if not inflate.eof:
            raise ValueError(f"it is truncated, or unpacks to more than {most_bytes:,} bytes")
        kind, body = next(_elements(memoryview(unpacked), order, aligned=False), (0, body))
    return body if kind == _MATRIX else body[:0]


def _array(body: memoryview, order: str, name: str) -> NDArray[Any] | None:
    """Return the array in a matrix, or None if that is called otherwise."""
    parts = _elements(body, order, aligned=True)
    flags, shape, called = (next(parts, (0, body[:0])) for _ in range(3))
    if (flags[0], shape[0], called[0]) != (_UINT32, _INT32, _INT8) or called[1] != name.encode():
        return None
    (word, _) = struct.unpack(f"{order}II", flags[1])
    sizes = np.frombuffer(shape[1], f"{order}i4").tolist()
    kind, values = next(parts, (0, body[:0]))
    if word & 0xFF not in _CLASSES or kind not in _STORED or word & _COMPLEX:
        raise ValueError("it is no array of real numbers")
    stored = np.dtype(_STORED[kind]).newbyteorder(order)  # type: ignore[arg-type]
    if min(sizes, default=0) < 1 or prod(sizes) * stored.itemsize != len(values):
        raise ValueError(f"an array of shape {tuple(sizes)} has {len(values):,} bytes")
    numbers = np.frombuffer(values, stored).astype(_CLASSES[word & 0xFF])
    return numbers.reshape(sizes, order="F")
