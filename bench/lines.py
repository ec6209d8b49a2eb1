"""Lines of exported records, taken apart without making an object of every number in them.

A line is mostly matrices, and a configuration that many runs share. `bench.records` writes keys in
alphabetical order, so both stand in one piece between "checkpoints" and "departure": they are cut
out, a configuration is read once, and the matrices of many lines are read at once. A line that is
not written like that, or is malformed, is left to whoever reads any JSON and can say what is wrong.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from bench.confusions import Packed, parsed, smallest
from bench.errors import BenchError
from bench.schema import check_config
from bench.stored import shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from bench.stored import Pool, Shared

_BATCH = 50
"""Lines whose matrices are read at once: more do not fit into a processor's cache."""

_BEGIN = re.compile(rb'\{(?:"attempts":[0-9]+,)?"checkpoints":\[')
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,17}")
_DIGITS = b"0123456789"
_WIDEST = 18
"""Digits of a count that surely fits into int64."""


class Parts(NamedTuple):
    """A record in three parts.

    Attributes:
        rest: the record without "config" and "confusion": not checked, nor brought up to date.
        shared: its configuration, checked.
        seed: of its configuration.
        matrices: those of "confusion".
    """

    rest: dict[str, Any]
    shared: Shared
    seed: int
    matrices: Packed


def parts_of(lines: Iterable[bytes], pool: Pool) -> Iterator[tuple[bytes, Parts | None]]:
    """Yield each line and its parts, or None for one that must be read as a whole.

    Args:
        lines: of a file of records.
        pool: of the records among which these are read.
    """
    source = iter(lines)
    while batch := list(islice(source, _BATCH)):
        cut = [_cut(line) for line in batch]
        matrices = _read_all([text for _, _, text in filter(None, cut)], pool)
        for line, found in zip(batch, cut, strict=True):
            counts = next(matrices) if found else None
            yield line, _put_together(found, counts, pool) if found and counts else None


def _cut(line: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return the texts of the record without the two, of its configuration, and of its matrices.

    Quotes inside of a JSON string are escaped, so what is looked for cannot stand in one. It may
    stand deeper than it should, and then one of the three texts has unequal brackets.
    """
    if not _BEGIN.match(line):
        return None
    config = line.find(b'],"config":{')
    matrices = line.find(b'},"confusion":{"checkpoints":{', config)
    end = line.find(b'}},"departure":', matrices)
    if min(config, matrices, end) < 0:
        return None
    rest = line[: config + 1] + line[end + 2 :]
    return rest, line[config + 11 : matrices + 1], line[matrices + 14 : end + 2]


def _put_together(texts: tuple[bytes, bytes, bytes], counts: Packed, pool: Pool) -> Parts | None:
    try:
        rest = orjson.loads(texts[0])
        found = _configuration(texts[1], pool)
    except (ValueError, BenchError):
        return None
    if found is None or "config" in rest or "confusion" in rest:
        return None
    return Parts(rest, *found, counts)


def _configuration(text: bytes, pool: Pool) -> tuple[Shared, int] | None:
    """Return a configuration without its seed, read only if it is new, and the seed."""
    begin, end = text.find(b',"seed":'), text.find(b',"settings":{')
    seed = text[begin + 8 : end]
    if begin < 0 or not _NUMBER.fullmatch(seed) or text.count(b'"seed":') != 1:
        return None
    name = text[:begin] + text[end:]
    if name not in pool:
        config = orjson.loads(text)
        check_config(config, "")
        pool[name], _ = shared(config, pool)
    return pool[name], int(seed)


# ------------------------------------------------------------------ matrices


class _Layout(NamedTuple):
    """What stands between matrices: steps and stages, and where each matrix belongs."""

    steps: tuple[int, ...]
    stages: tuple[str, ...]
    order: list[int] | None
    """Positions of the matrices in the order of `Packed`; None if they stand in it."""


def _read_all(texts: list[bytes], pool: Pool) -> Iterator[Packed | None]:
    """Yield the matrices of each text, or None."""
    split = [_split(text, pool) for text in texts]
    values = _integers(b",".join([flat for _, flat, _ in filter(None, split) if flat]))
    if values is None:
        yield from [None] * len(texts)
        return
    values = values.astype(smallest(int(values.max(initial=0))))
    begin = 0
    for found in split:
        if found is None:
            yield None
            continue
        layout, _, shape = found
        end = begin + shape[0] * shape[1] * shape[2]
        counts = values[begin:end].reshape(shape)
        yield Packed(
            layout.steps, layout.stages, counts if layout.order is None else counts[layout.order]
        )
        begin = end


def _split(found: bytes, pool: Pool) -> tuple[_Layout, bytes, tuple[int, int, int]] | None:
    """Return what stands between the matrices, their numbers with commas, and their shape."""
    pieces = found.split(b"]]")
    between, bodies = [], []
    for piece in pieces[:-1]:
        before, _, body = piece.partition(b"[[")
        between.append(before)
        bodies.append(body)
    key = (*between, pieces[-1])
    if key not in pool:
        pool[key] = _layout(key)
    layout: _Layout | None = pool[key]
    if layout is None:
        return None
    if not all(bodies):
        return None
    size = bodies[0].count(b"[") + 1 if bodies else 1
    text = b"],[".join(bodies)
    numbers = text.replace(b"],[", b",")  # a digit beside a bracket would keep the bracket
    if text.translate(None, _DIGITS) != _skeleton(len(bodies) * size, size, pool):
        return None
    if b"]" in numbers:
        return None
    return layout, numbers, (len(bodies), size, size)


def _layout(between: tuple[bytes, ...]) -> _Layout | None:
    """Read the names of matrices, with each matrix replaced by its position."""
    if not all(before.endswith(b'":') for before in between[:-1]):
        return None
    places = (str(place).encode() for place in range(len(between)))
    text = b"".join(part for pair in zip(between, places, strict=True) for part in pair)
    count = len(between) - 1
    try:
        named = orjson.loads(text[: len(text) - len(str(count))])
        if named.keys() != {"checkpoints", "stages"}:
            return None
        order = [*named["checkpoints"].values(), *named["stages"].values()]
        if sorted(order) != list(range(count)):
            return None
        # An empty matrix each, for the names to be judged as they always are.
        empty = parsed(*({name: [[0]] for name in named[k]} for k in ("checkpoints", "stages")))
    except (ValueError, TypeError, AttributeError):
        return None
    by_step = {int(name): place for name, place in named["checkpoints"].items()}
    order = [*(by_step[step] for step in empty.steps), *named["stages"].values()]
    return _Layout(empty.steps, empty.stages, None if order == list(range(count)) else order)


def _skeleton(rows: int, size: int, pool: Pool) -> bytes:
    """Return what is left of a number of rows of a size without their digits."""
    key = (rows, size)
    if key not in pool:
        pool[key] = b"],[".join([b"," * (size - 1)] * rows)
    found: bytes = pool[key]
    return found


def _integers(text: bytes) -> NDArray[np.int64] | None:
    """Return the integers >= 0 in a text of digits and commas; None if it has others.

    >>> _integers(b"0,7,120"), _integers(b"1,,2"), _integers(b"01")
    (array([  0,   7, 120]), None, None)
    """
    if not text:
        return np.zeros(0, np.int64)
    letters = np.frombuffer(text + b",", np.uint8)
    ends = np.flatnonzero(letters == ord(","))
    begins = np.concatenate([[0], ends[:-1] + 1])
    widths = ends - begins
    digits = letters - np.uint8(ord("0"))
    padded = (widths > 1) & (digits[begins] == 0)
    if widths.min() == 0 or widths.max() > _WIDEST or padded.any():
        return None
    values = digits[ends - 1].astype(np.int64)
    for place in range(1, int(widths.max())):
        there = np.flatnonzero(widths > place)
        values[there] += digits[ends[there] - 1 - place] * np.int64(10**place)
    return values
