"""The confusion matrices of one run: by name for reading, and packed for many runs at once."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.errors import BenchError
from bench.metrics import Confusion, checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

_TYPES = {"H": np.uint16, "I": np.uint32, "q": np.int64}
"""What counts are kept as, the smallest that holds them all: a letter of `struct`, and a dtype."""


@dataclass(frozen=True, eq=False)
class Confusions:
    """The confusion matrices of one run: int64 (k, k), rows = ground truth.

    Attributes:
        checkpoints: by training step of the last stage, ascending; the last is rule `last`.
        stages: by name, for every stage whose result is a task network, in no fixed order.
    """

    checkpoints: dict[int, Confusion] = field(default_factory=dict)
    stages: dict[str, Confusion] = field(default_factory=dict)


class Packed(NamedTuple):
    """The same in a string of bytes, a quarter as large for ten classes: for 100,000 runs.

    Attributes:
        steps: of the checkpoints, ascending.
        stages: names.
        size: number k of classes.
        kind: of integer, a letter of `struct`: H, I or q.
        data: the counts (m, k, k), the checkpoints' matrices and then the stages'.
    """

    steps: tuple[int, ...]
    stages: tuple[str, ...]
    size: int
    kind: str
    data: bytes

    @property
    def counts(self) -> NDArray[Any]:
        """The counts, integers (m, k, k)."""
        return counted([self.data], self.kind, self.size)


def packed(confusions: Confusions) -> Packed:
    """Return the matrices in one array. Raises BenchError unless they are of one size.

    >>> packed(Confusions({5: np.array([[3, 1], [2, 4]])}, {})).counts.tolist()
    [[[3, 1], [2, 4]]]
    """
    steps = sorted(confusions.checkpoints)
    matrices = [*(confusions.checkpoints[step] for step in steps), *confusions.stages.values()]
    sizes = {matrix.shape for matrix in matrices}
    if len(sizes) > 1:
        message = f"confusion matrices of several sizes: {sorted(sizes)}"
        raise BenchError(message)
    (size, _), kind = sizes.pop() if sizes else (1, 1), "q"
    data = b"".join(np.ascontiguousarray(matrix, np.int64).tobytes() for matrix in matrices)
    return Packed(tuple(steps), tuple(confusions.stages), size, kind, data)


def unpacked(matrices: Packed) -> Confusions:
    r"""Return what `packed` was given.

    >>> unpacked(Packed((5,), (), 2, "H", b"\3\0\1\0\2\0\4\0")).checkpoints[5].tolist()
    [[3, 1], [2, 4]]
    """
    counts = [checked(matrix) for matrix in matrices.counts]
    split = len(matrices.steps)
    return Confusions(
        dict(zip(matrices.steps, counts[:split], strict=True)),
        dict(zip(matrices.stages, counts[split:], strict=True)),
    )


def parsed(checkpoints: Mapping[str, Any], stages: Mapping[str, Any]) -> Packed:
    """Return the matrices that a record holds as nested lists.

    Raises:
        ValueError, TypeError, AttributeError: not square matrices of one size, of counts >= 0, or
            a step is no whole number >= 0.

    >>> parsed({"20": [[1, 0], [0, 1]], "5": [[3, 1], [2, 4]]}, {}).steps
    (5, 20)
    """
    steps, matrices = [*map(int, checkpoints)], [*checkpoints.values(), *stages.values()]
    lines = list(chain.from_iterable(matrices))
    sizes = {*map(len, matrices), *map(len, lines)} or {1}
    k = sizes.pop()
    if sizes or k == 0:
        raise ValueError("not square matrices of one size")
    if min(steps, default=0) < 0 or len({*steps}) < len(steps):
        raise ValueError("a training step is negative, or stands there twice")
    kind, data = as_bytes(list(chain.from_iterable(lines)))
    ascending = sorted(steps)
    if steps != ascending:  # as text, "1000" comes before "500"
        order = [*map(steps.index, ascending), *range(len(steps), len(matrices))]
        data = counted([data], kind, k)[order].tobytes()
    return Packed(tuple(ascending), tuple(stages), k, kind, data)


def as_bytes(values: Sequence[Any]) -> tuple[str, bytes]:
    r"""Return the smallest kind of integer that holds these, which are >= 0, and them as such.

    Raises ValueError for anything else. `struct` is three times as fast as NumPy at this.

    >>> as_bytes([3, 1])
    ('H', b'\x03\x00\x01\x00')
    """
    for kind, dtype in _TYPES.items():
        try:
            data = struct.pack(f"={len(values)}{kind}", *values)
        except struct.error:  # too large, or no integer
            continue
        if dtype is np.int64 and bool((np.frombuffer(data, dtype) < 0).any()):
            break
        return kind, data
    raise ValueError("not whole numbers >= 0")


def counted(data: Iterable[bytes], kind: str, size: int) -> NDArray[Any]:
    """Return what `Packed` objects of one kind and size hold, one after another: (n, k, k)."""
    return np.frombuffer(b"".join(data), _TYPES[kind]).reshape(-1, size, size)
