"""A file of records, line by line; a large one is read in parts, by a process for each core.

What other processes read comes back as columns, ten times faster than as objects. One that does
not start, or is killed, costs nothing but time: its part is read here.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import subprocess
import sys
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from bench.kernels import cores
from bench.record_lines import Reader
from bench.stored import Brief, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.stored import Pool

LEAST = 16 << 20
"""Bytes of a part, about 5,000 records: for less, no process is worth its start."""

LEAD = 16 << 20
"""Bytes that this process has read until another has started, and sent what it read."""

MOST = 8
"""Processes: more would only wait for this one, which takes what they send."""


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


def lines_of(path: Path, pool: Pool) -> Iterator[Line]:
    """Yield all lines of a file of records, in order.

    Args:
        path: the file.
        pool: of what the records have in common.

    Raises:
        OSError: it cannot be read.
    """
    ends = ends_of_parts(path, min(cores(), MOST))
    with contextlib.ExitStack() as stack:
        # All begin before this process reads its own part, the first.
        others = [stack.enter_context(_Other(path, *span)) for span in pairwise(ends)]
        yield from _read(path, 0, ends[0], pool)
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
            offsets, known, columns = self._sent()
        except (EOFError, OSError, pickle.UnpicklingError):
            yield from _read(*self._part, pool)
            return
        if columns:
            of = dict(zip(Brief._fields, columns, strict=True))
            pairs = zip(of["key"], of["config"], strict=True)
            of["config"] = [pool.setdefault(key, (key, config))[1] for key, config in pairs]
            columns = list(of.values())
        briefs = map(Brief._make, zip(*columns, strict=True))
        for offset, is_known in zip(offsets, known, strict=True):
            if is_known:
                yield Line(offset, next(briefs), b"")
            else:
                yield Line(offset, None, Place(self._part[0], offset).line())

    def _sent(self) -> tuple[list[int], list[bool], list[Sequence[Any]]]:
        """Return the offset of each line, whether it has a brief, and the briefs' columns."""
        if self._process is None or self._process.stdout is None:
            raise EOFError
        found: tuple[list[int], list[bool], list[Sequence[Any]]]
        found = pickle.load(self._process.stdout)  # noqa: S301  of our own process
        return found


def _send(path: str, begin: str, end: str) -> None:
    """Read a part, and write to standard output what `_Other._sent` returns."""
    lines = [line[:2] for line in _read(Path(path), int(begin), int(end), {})]
    briefs = [brief for _, brief in lines if brief is not None]
    known = [brief is not None for _, brief in lines]
    columns = list(zip(*briefs, strict=True))
    pickle.dump(([offset for offset, _ in lines], known, columns), sys.stdout.buffer)


if __name__ == "__main__":
    gc.disable()  # see `bench.records.without_collection`
    _send(*sys.argv[1:])
