"""Confusion matrices taken from JSON text by a compiled loop: their counts never are Python's."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from bench.kernels import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Scan = Callable[[Bytes, int, NDArray[np.int64], Bytes], tuple[int, int, int, int, int]]

COMMA, QUOTE, COLON, OPEN, CLOSE, ZERO, NINE = b',":[]09'
DIGITS = 18
"""What always fits into 64 bits."""


@functools.cache
def compiled_scan() -> Scan | None:
    """Return `scan`, compiled, or None if there is no numba."""
    try:
        from numba import types  # noqa: PLC0415  half a second
    except ImportError:
        return None
    text = types.Array(types.uint8, 1, "C", readonly=True)  # as bytes are
    scans = types.UniTuple(types.int64, 5)(text, types.int64, types.int64[::1], types.uint8[::1])
    found: Scan = compiled(scans, scan)
    return found


def scan(  # noqa: C901, PLR0911, PLR0912  a branch for each thing that may stand there
    text: Bytes, border: int, counts: NDArray[np.int64], names: Bytes
) -> tuple[int, int, int, int, int]:
    """Take named square matrices from text: ``"5":[[3,1],[2,4]],"10":[[4,0],[0,6]]``.

    Args:
        text: uint8 (b,), without blanks or escapes; its last byte is 0.
        border: a place in it.
        counts: int64 (b,), receives the numbers.
        names: uint8 (b,), receives the names, and a quotation mark after each.

    Returns:
        How many matrices there are; how many of them begin before the border; how many classes they
        have; the largest number; and the length of the names. -1 and zeros if the text is anything
        else, or a number has too many digits.
    """
    nothing = -1, 0, 0, 0, 0
    at = n = before = k = filled = top = length = 0
    while at < text.size - 1:
        if n:
            if text[at] != COMMA:
                return nothing
            at += 1
        if text[at] != QUOTE:
            return nothing
        before += at < border
        at += 1
        while text[at] not in (QUOTE, 0):
            names[length] = text[at]
            length += 1
            at += 1
        names[length] = QUOTE
        length += 1
        if text[at] == 0 or text[at + 1] != COLON or text[at + 2] != OPEN:
            return nothing
        at += 2
        rows = 0
        while text[at] == (COMMA if rows else OPEN):
            at += 1
            columns = 0
            if text[at] != OPEN:
                return nothing
            while text[at] == (COMMA if columns else OPEN):
                at += 1
                start, value = at, 0
                while ZERO <= text[at] <= NINE:
                    value = 10 * value + int(text[at]) - ZERO
                    at += 1
                digits = at - start
                if digits == 0 or digits > DIGITS or (digits > 1 and text[start] == ZERO):
                    return nothing
                counts[filled] = value
                filled += 1
                columns += 1
                top = max(top, value)
            k = k or columns
            if text[at] != CLOSE or columns != k:
                return nothing
            at += 1
            rows += 1
        if text[at] != CLOSE or rows != k:
            return nothing
        at += 1
        n += 1
    return n, before, k, top, length
