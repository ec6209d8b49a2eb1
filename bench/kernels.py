"""The hot loops of scoring label maps, compiled by numba.

One counts how often each byte of one map meets each byte of another. Counting stored bytes, and
looking up what they mean in the few pairs that occur afterwards, takes one pass over the pixels
whatever the encoding, and misses no value that has no meaning. The other undoes PNG's filters.

Where there is no numba, or too little to do to be worth loading it, NumPy's bincount and Pillow do
the same. numba keeps what it compiled beside this file, or in its per-user cache.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    Bytes = NDArray[np.uint8]
    Tally = Callable[[NDArray[Any], NDArray[Any], NDArray[np.int64]], None]

VALUES = 256
WORD = 8
"""Bytes that the compiled loop reads at once."""

BLOCK = 1 << 18
"""Pixels below which a further thread costs more than it saves; also the block of the fallback."""


class Loops(NamedTuple):
    """The compiled forms of the functions of these names."""

    tally_words: Tally
    unfilter: Callable[[Bytes, Bytes], bool]


def joint_counts(
    first: Bytes | Tensor,
    second: Bytes | Tensor,
    threads: int | None = None,
    *,
    compiled: bool = True,
) -> NDArray[np.int64]:
    """Count how often each value of one map stands where each value of another does.

    Args:
        first: uint8 of any shape; a NumPy array, or a tensor on any device.
        second: uint8 of as many elements; likewise. If either is on a GPU, so is the work.
        threads: how many CPU threads to use at most; all cores if None.
        compiled: whether to use the compiled loop, if numba is there. It is ten times faster, but
            the first use in a process takes half a second, and a second or two if it was never
            compiled before.

    Returns:
        int64 (256, 256): element [a, b] is the number of places with a in `first`, b in `second`.

    >>> counts = joint_counts(np.array([7, 7], np.uint8), np.array([7, 0], np.uint8))
    >>> int(counts[7, 7]), int(counts[7, 0]), int(counts.sum())
    (1, 1, 2)
    """
    for values in (first, second):
        device = getattr(values, "device", "cpu")  # NumPy's arrays have one since 2.0: "cpu"
        if getattr(device, "type", "cpu") != "cpu":
            return joint_counts_on(device, first, second)  # type: ignore[arg-type]
    loops = compiled_loops() if compiled else None
    tally, unit = (loops.tally_words, WORD) if loops else (bincount, 1)
    one, other = _aligned(np.asarray(first)), _aligned(np.asarray(second))
    whole = one.size // unit * unit
    counts = _shared(tally, _words(one[:whole], unit), _words(other[:whole], unit), threads)
    np.add.at(counts, (one[whole:], other[whole:]), 1)
    return counts


def joint_counts_on(
    device: torch.device, first: Bytes | Tensor, second: Bytes | Tensor
) -> NDArray[np.int64]:
    """Count as `joint_counts` does, by torch on `device`, with 24 bytes a pixel there."""
    import torch  # noqa: PLC0415  a second or two, and only who has a tensor needs it

    one, other = (
        torch.as_tensor(values if isinstance(values, torch.Tensor) else np.array(values))
        .to(device, torch.int64)
        .flatten()
        for values in (first, second)
    )
    counts = torch.bincount(one * VALUES + other, minlength=VALUES * VALUES)
    return counts.cpu().numpy().reshape(VALUES, VALUES)


def cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def compiled_loops() -> Loops | None:
    """Return the compiled loops, or None if there is no numba."""
    try:
        from numba import njit, types  # noqa: PLC0415  only who counts needs it
    except ImportError:
        return None
    words = types.Array(types.uint64, 1, "C", readonly=True)  # pictures are; others may be
    filtered = types.Array(types.uint8, 2, "C", readonly=True)
    tallies = types.void(words, words, types.int64[:, ::1])
    unfilters = types.boolean(filtered, types.uint8[:, ::1])

    def build(*, cache: bool) -> Loops:
        return Loops(
            njit(tallies, nogil=True, cache=cache)(tally_words),
            njit(unfilters, nogil=True, cache=cache)(unfilter),
        )

    try:
        return build(cache=True)
    except (RuntimeError, OSError):  # numba found no folder in which to keep the machine code
        return build(cache=False)


def tally_words(
    first: NDArray[np.uint64], second: NDArray[np.uint64], counts: NDArray[np.int64]
) -> None:
    """Add eight pixels a word to `counts`; the order of bytes in a word does not matter.

    Label maps are mostly flat, so most words hold eight equal pixels and need one addition. Each
    pixel on its own would wait for the addition before it, to the same counter.
    """
    low, shift, repeated = np.uint64(0xFF), np.uint64(8), np.uint64(0x0101010101010101)
    for index in range(first.size):
        one, other = first[index], second[index]
        row, column = one & low, other & low
        if one == row * repeated and other == column * repeated:
            counts[row, column] += 8
        else:
            for _ in range(8):
                counts[one & low, other & low] += 1
                one >>= shift
                other >>= shift


def bincount(first: Bytes, second: Bytes, counts: NDArray[np.int64]) -> None:
    """Add to `counts` what `tally_words` would, without a compiler, in bounded memory."""
    for start in range(0, first.size, BLOCK):
        block = slice(start, start + BLOCK)
        pairs = (first[block].astype(np.uint16) << 8) | second[block]
        counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)


def unfilter(raw: Bytes, pixels: Bytes) -> bool:  # noqa: C901  one branch a filter
    """Undo the filters of a PNG image of one byte a pixel (ISO/IEC 15948, section 9).

    Args:
        raw: uint8 (h, w + 1): in each row the number of its filter, then what it left.
        pixels: uint8 (h, w), written.

    Returns:
        False if there is no filter of some row's number; `pixels` is then not complete.
    """
    height, width = pixels.shape
    above = np.zeros(width, np.uint8)
    for y in range(height):
        kind, line = raw[y, 0], pixels[y]
        left = corner = 0
        if kind > 4:  # noqa: PLR2004  PNG has five
            return False
        for x in range(width):
            up = int(above[x])
            if kind == 0:
                guess = 0
            elif kind == 1:
                guess = left
            elif kind == 2:  # noqa: PLR2004
                guess = up
            elif kind == 3:  # noqa: PLR2004
                guess = (left + up) // 2
            # Paeth's: whichever of the three is nearest to left + up - corner. Where two are equal,
            # as in most of a label map, it is the third, or any.
            elif left == corner:
                guess = up
            elif up == corner:
                guess = left
            else:
                by_left, by_up = abs(up - corner), abs(left - corner)
                by_corner = abs(left + up - 2 * corner)
                if by_left <= by_up and by_left <= by_corner:
                    guess = left
                else:
                    guess = up if by_up <= by_corner else corner
            left, corner = (guess + int(raw[y, x + 1])) & 0xFF, up
            line[x] = left
        above = line
    return True


def _shared(
    tally: Tally, first: NDArray[Any], second: NDArray[Any], threads: int | None
) -> NDArray[np.int64]:
    """Cut the work into one piece a thread, each with counters of its own, and add those up."""
    pieces = max(1, min(threads or cores(), first.nbytes // BLOCK))
    cuts = [first.size * piece // pieces for piece in range(pieces + 1)]
    counts = np.zeros((pieces, VALUES, VALUES), dtype=np.int64)
    work = [(first[a:b], second[a:b], counts[i]) for i, (a, b) in enumerate(zip(cuts, cuts[1:]))]  # noqa: B905, RUF007  one shorter
    helpers = [threading.Thread(target=tally, args=piece) for piece in work[1:]]
    for helper in helpers:
        helper.start()
    tally(*work[0])
    for helper in helpers:
        helper.join()
    return counts.sum(axis=0)


def _aligned(values: Bytes) -> Bytes:
    flat = np.ascontiguousarray(values).reshape(-1)
    return flat if flat.ctypes.data % WORD == 0 else flat.copy()


def _words(values: Bytes, unit: int) -> NDArray[Any]:
    return values.view(np.uint64) if unit == WORD else values
