"""The outline of a street: how wide its parts are, and where it is crossed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.data.streets.faces import chance

if TYPE_CHECKING:
    import numpy as np

END = 130.0
"""Metres to the end of the street, where something closes the view."""

KERB = 0.12
"""Metres that a pavement is above the road."""


@dataclass(frozen=True)
class Manner:
    """What the streets of one place have in common; pairs are the least and the most.

    Attributes:
        lane: metres of a lane.
        pavement: metres of a pavement.
        parked: part of the kerbs' length that cars are parked along.
        walkers: people on the pavements.
        green: probability of a tree, hedge or lawn where there could be one.
        traffic: probability of a vehicle where there could be one.
    """

    lane: tuple[float, float] = (3.0, 3.7)
    pavement: tuple[float, float] = (2.8, 6.0)
    parked: float = 0.25
    walkers: tuple[int, int] = (2, 9)
    green: float = 0.45
    traffic: float = 0.6


@dataclass(frozen=True)
class Plan:
    """A street's outline; what each side has is given by side, -1 the left and 1 the right.

    Attributes:
        kerb: metres from the camera's path to the kerb.
        parking: whether cars park along the kerb.
        pavement: metres from the kerb to the plots or the verge.
        verge: metres of lawn between pavement and plots.
        crossing: metres ahead where another road begins and ends, if one does.
        ours: the side that people drive on.
        lane: metres of a lane.
        tram: whether there are rails.
    """

    kerb: dict[int, float]
    parking: dict[int, bool]
    pavement: dict[int, float]
    verge: dict[int, float]
    crossing: tuple[float, float] | None
    ours: int
    lane: float
    tram: bool

    def front(self, side: int) -> float:
        """Return where the plots begin."""
        return self.kerb[side] + self.pavement[side] + self.verge[side]

    @property
    def theirs(self) -> float:
        """Return where the middle of the oncoming lane is, metres to the right."""
        return -self.ours * self.lane


def draft(rng: np.random.Generator, manner: Manner) -> Plan:
    """Return the outline of a street of `manner`."""
    ours = -1 if chance(rng, 0.5) else 1  # which side one drives on
    lane, parking = rng.uniform(*manner.lane), {s: chance(rng, 0.55) for s in (-1, 1)}
    more = lane if chance(rng, 0.2) else 0.0  # two lanes each way
    kerb = {ours: lane / 2, -ours: lane * 1.5 + more}
    if more and chance(rng, 0.5):
        kerb = {ours: lane * 1.5, -ours: lane * 1.5 + more}
    wide = {side: 2.1 if parking[side] else rng.uniform(0.2, 1.2) for side in (-1, 1)}
    verge = rng.uniform(2.0, 7.0)
    start = rng.uniform(9, 45)
    return Plan(
        kerb={side: kerb[side] + wide[side] for side in (-1, 1)},
        parking=parking,
        pavement={side: rng.uniform(*manner.pavement) for side in (-1, 1)},
        verge={s: verge if chance(rng, manner.green * 1.1) else 0.0 for s in (-1, 1)},
        crossing=(start, start + rng.uniform(7, 11)) if chance(rng, 0.4) else None,
        ours=ours,
        lane=lane,
        tram=chance(rng, 0.17 * manner.traffic),
    )
