"""The confusion matrices of one run: by name for reading, and packed for many runs at once."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError
from bench.metrics import Confusion, checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


@dataclass(frozen=True, eq=False, slots=True)
class Packed:
    """The same in one array, a quarter as large for ten classes: for tables of 100,000 runs.

    Attributes:
        steps: of the checkpoints, ascending.
        stages: names.
        counts: integers (m, k, k), the checkpoints' matrices and then the stages'.
    """

    steps: tuple[int, ...]
    stages: tuple[str, ...]
    counts: np.ndarray


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
    return Packed(tuple(steps), tuple(confusions.stages), np.array(matrices))


def unpacked(matrices: Packed) -> Confusions:
    """Return what `packed` was given.

    >>> unpacked(Packed((5,), (), np.array([[[3, 1], [2, 4]]]))).checkpoints[5].tolist()
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
    counts = counts_of(list(chain.from_iterable(lines))).reshape(-1, k, k)
    ascending = sorted(steps)
    if steps != ascending:  # as text, "1000" comes before "500"
        order = [*map(steps.index, ascending), *range(len(steps), len(counts))]
        counts = counts[order]
    return Packed(tuple(ascending), tuple(stages), counts)


def counts_of(values: Sequence[Any]) -> np.ndarray:
    """Return integers >= 0 as an array: `struct` is three times as fast as NumPy at this."""
    for letter, dtype in _TYPES.items():
        try:
            found = np.frombuffer(struct.pack(f"={len(values)}{letter}", *values), dtype)
        except struct.error:  # too large, or no integer
            continue
        if dtype is np.int64 and bool((found < 0).any()):
            break
        return found
    raise ValueError("not whole numbers >= 0")
