"""Noticing, from the numbers that a stage logs, that its training has gone wrong."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from bench.errors import DivergedError

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST = 5
"""How many of the first values of a number say what is usual for it."""

TIMES = 1e4
"""A number has exploded above this many times the median of its first values ..."""

ABOVE = 1e3
"""... if it is above this, too.

A loss falls while it is learnt. One that grows by four orders of magnitude is of an optimiser that
left the region where it descends: the losses of GANs that recover swing within a factor of
hundreds. The second bound keeps quiet about losses that began at almost 0.
"""


class Event(TypedDict):
    """Something that went wrong in a stage, and did not end it.

    `step` counts the steps of the stage's loop from 0; `kind` is a few words that the table shows,
    and `reason` a sentence.
    """

    stage: str
    step: int
    kind: str
    reason: str


@dataclass
class Watch:
    """Looks at the numbers of one training loop, in the order in which they are logged.

    >>> watch = Watch()
    >>> for loss in (2.0, 2.0, 1.5):
    ...     assert watch.look({"loss": loss}) is None
    >>> watch.look({"loss": 2e5})
    "'loss' rose to 2e+05, from 2 at first"
    """

    _first: dict[str, list[float]] = field(default_factory=dict)

    def look(self, values: Mapping[str, float | None]) -> str | None:
        """Return in words how a number exploded, or None.

        Args:
            values: numbers by name; None stands for one that is not defined.

        Raises:
            DivergedError: one is NaN or infinite.
        """
        exploded = None
        for name, value in values.items():
            if value is None:
                continue
            if not math.isfinite(value):
                raise DivergedError(f"'{name}' is {value}")
            first, size = self._first.setdefault(name, []), abs(value)
            usual = statistics.median(first) if first else size
            if size > ABOVE and size > TIMES * usual:
                exploded = f"'{name}' rose to {value:.3g}, from {usual:.3g} at first"
            elif len(first) < FIRST:
                first.append(size)
        return exploded
