"""A file of records, line by line; a large one is read in parts, by a process for each core.

What other processes read comes back as columns, ten times faster than as objects. One that does
not start, or is killed, costs nothing but time: its part is read here.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from bench.confusions import Packed
from bench.kernels import cores
from bench.record_lines import Reader
from bench.stored import Brief, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.stored import Pool

LEAST = 16 << 20
"""Bytes of a part, about 5,000 records: for less, no process is worth its start."""

LEAD = 8 << 20
"""Bytes that this process has read until another has started, and sent what it read."""

MOST = 8
"""Processes: more would only wait for this one, which takes what they send."""


_OWN = frozenset({"run_id", "error", "seconds", "started", "seed", "events", "scores", "data"})
"""What no two runs have in common, of `Brief` and `Packed`."""


class Line(NamedTuple):
    """A line of the file.

    Attributes:
        offset: of its first byte.
        brief: what `bench.record_lines.Reader` says of it: None if it says nothing.
        text: the line; of one with a brief, perhaps b"".
    """

    offset: int
    brief: Brief | None
    text: bytes


def lines_of(
    path: Path, pool: Pool, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[Line]:
    """Yield all lines of a file of records, in order.

    Args:
        path: the file.
        pool: of what the records have in common.
        meanwhile: called when this process has read its part and others are still at theirs.

    Raises:
        OSError: it cannot be read.
    """
    ends = ends_of_parts(path, min(cores(), MOST))
    with contextlib.ExitStack() as stack:
        # All begin before this process reads its own part, the first.
        others = [stack.enter_context(_Other(path, *span)) for span in pairwise(ends)]
        yield from _read(path, 0, ends[0], pool)
        if others:
            meanwhile()
        yield from chain.from_iterable(other.lines(pool) for other in others)


def ends_of_parts(path: Path, count: int) -> list[int]:
    """Return where parts of a file end, in bytes: each after a line, the last beyond the file.

    Args:
        path: the file.
        count: of parts, if the file is large enough for so many.
    """
    size = path.stat().st_size
    count = min(count, size // LEAST)
    found: list[int] = []
    if count > 1:  # a pipe may be opened but once
        with path.open("rb") as file:
            for part in range(1, count):
                file.seek(max([LEAD + (size - LEAD) * part // count, *found[-1:]]))
                file.readline()
                found.append(file.tell())
    return [*found, sys.maxsize]


def _read(path: Path, begin: int, end: int, pool: Pool) -> Iterator[Line]:
    """Read the lines from one offset to another."""
    read = Reader(pool).read
    with path.open("rb", buffering=1 << 18) as file:  # the default takes twice the time
        if begin:  # a pipe has no other places than this
            file.seek(begin)
        for text in file:
            if begin >= end:
                break
            yield Line(begin, read(text), text)
            begin += len(text)


class _Other:
    """Another process, which reads a part, and is gone with the context."""

    def __init__(self, path: Path, begin: int, end: int) -> None:
        self._part = path, begin, end
        self._process: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(OSError, ValueError):
            self._process = subprocess.Popen(  # noqa: S603  this very module
                [sys.executable, "-P", "-m", "bench.record_parts", str(path), str(begin), str(end)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def lines(self, pool: Pool) -> Iterator[Line]:
        """Yield what it read, or read it here."""
        try:
            sent = self._sent()
        except (EOFError, OSError, msgspec.DecodeError):
            yield from _read(*self._part, pool)
            return
        briefs = _unpacked(sent.columns, pool)
        for offset, known in zip(sent.offsets, sent.known, strict=True):
            if known:
                yield Line(offset, next(briefs), b"")
            else:
                yield Line(offset, None, Place(self._part[0], offset).line())

    def _sent(self) -> _Sent:
        if self._process is None or self._process.stdout is None:
            raise EOFError
        return msgspec.msgpack.decode(self._process.stdout.read(), type=_Sent)


class _Column(msgspec.Struct, array_like=True):
    """One value of each of many rows; with `places`, the value that stands there."""

    values: list[Any]
    places: list[int] | None


class _Sent(msgspec.Struct):
    """Of every line the offset, and whether it has a brief; the columns of those briefs."""

    offsets: list[int]
    known: list[bool]
    columns: list[_Column]


def _packed(briefs: Iterable[Brief]) -> list[_Column]:
    """Return the columns of briefs that hold matrices, in place of which the last five are."""
    rows = [(*brief[:-1], *brief.matrices) for brief in briefs if brief.matrices]
    names = (*Brief._fields[:-1], *Packed._fields)
    return [
        _Column(list(values), None) if name in _OWN else _shared(values)
        for name, values in zip(names, zip(*rows, strict=True), strict=False)
    ]


def _shared(values: Sequence[Any]) -> _Column:
    """Send an object once that many rows have."""
    places: dict[int, int] = {}
    which = [places.setdefault(id(value), len(places)) for value in values]
    return _Column(list(dict(zip(which, values, strict=True)).values()), which)


def _unpacked(columns: Sequence[_Column], pool: Pool) -> Iterator[Brief]:
    """Return the briefs."""
    if not columns:
        return iter(())
    whole: list[list[Any]] = []
    for column in columns:  # msgpack has no tuples
        values = [tuple(each) if type(each) is list else each for each in column.values]
        places = column.places
        whole.append(values if places is None else [values[place] for place in places])
    count = len(Packed._fields)
    matrices = map(Packed._make, zip(*whole[-count:], strict=True))
    of = dict(zip(Brief._fields, [*whole[:-count], matrices], strict=False))
    pairs = zip(of["key"], of["config"], strict=True)
    of["config"] = [pool.setdefault(key, (key, config))[1] for key, config in pairs]
    return map(Brief._make, zip(*of.values(), strict=True))


def _send(path: str, begin: str, end: str) -> None:
    """Read a part, and write to standard output what it held."""
    lines = [line[:2] for line in _read(Path(path), int(begin), int(end), {})]
    sent = _Sent(
        [offset for offset, _ in lines],
        [brief is not None for _, brief in lines],
        _packed(brief for _, brief in lines if brief is not None),
    )
    sys.stdout.buffer.write(msgspec.msgpack.encode(sent))


if __name__ == "__main__":
    gc.disable()  # see `bench.records.without_collection`
    _send(*sys.argv[1:])
