"""Which methods of a table cannot be told apart: a compact letter display.

Methods that share a letter cannot be told apart; methods that share none can (Piepho, Journal of
Computational and Graphical Statistics 13(2), 2004).
"""

from __future__ import annotations

from itertools import combinations
from string import ascii_lowercase
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bench.paired import LEVEL, holm, needed, sign_flip

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    BySeed: TypeAlias = Mapping[int, float]

MOST = 30
"""Methods of one table up to which every two are tested."""


def letters(methods: Sequence[BySeed]) -> list[str]:
    """Return each method's letters by its figures, or "" for all if nothing can be told.

    Every two are tested by `bench.paired.sign_flip` on the seeds that both have, and the p-values
    are adjusted over all those tests. Two with too few seeds in common are never told apart.
    Nothing can be told of one method, of more than `MOST`, or with too few seeds for any two.

    Args:
        methods: figure by seed, in the order in which letters are given, the best first.

    >>> a = {seed: 0.9 for seed in range(7)}
    >>> b = {seed: 0.9 + (-1) ** seed / 100 for seed in range(7)}
    >>> c = {seed: 0.8 for seed in range(7)}
    >>> letters([a, b, c])
    ['a', 'a', 'b']
    """
    if len(methods) > MOST:
        return [""] * len(methods)
    pairs = list(combinations(range(len(methods)), 2))
    most = max((len(methods[i].keys() & methods[j].keys()) for i, j in pairs), default=0)
    if not pairs or most < needed(len(pairs)):
        return [""] * len(methods)
    adjusted = holm([_p_value(methods[i], methods[j]) for i, j in pairs])
    apart = {pair for pair, p in zip(pairs, adjusted, strict=True) if p <= LEVEL}
    return display(len(methods), apart)


def _p_value(a: BySeed, b: BySeed) -> float:
    seeds = sorted(a.keys() & b.keys())
    return sign_flip(np.array([a[seed] - b[seed] for seed in seeds]))


def display(count: int, apart: Collection[tuple[int, int]]) -> list[str]:
    """Return letters such that two methods share one exactly if they are not told apart.

    Each letter stands for a set of methods of which no two are told apart, as large as possible.

    Args:
        count: number of methods.
        apart: (i, j) with i < j of those that are told apart.

    >>> display(3, {(0, 2)})
    ['a', 'ab', 'b']
    """
    sets: list[set[int]] = []
    for i in range(count):
        for j in range(i, count):  # i with itself: whom all are told apart from has a letter, too
            if (i, j) in apart or any({i, j} <= found for found in sets):
                continue
            together = {i, j}
            for k in range(count):
                if not any((min(k, m), max(k, m)) in apart for m in together):
                    together.add(k)
            sets.append(together)
    return ["".join(_letter(n) for n, found in enumerate(sets) if i in found) for i in range(count)]


def _letter(place: int) -> str:
    """Return a, b, ..., z, a', b', ..."""
    return ascii_lowercase[place % 26] + "'" * (place // 26)
