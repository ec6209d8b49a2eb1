"""Who is on the road and on the pavements."""

# ruff: noqa: PLR2004  a drawing is made of numbers
from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.data.streets import people
from bench.data.streets.faces import Face, Place, chance, pick
from bench.data.streets.plan import KERB, Manner, Plan
from bench.data.streets.vehicles import PAINTS, box, car, truck, vehicle

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


def vehicles(plan: Plan, rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
    """Yield what drives and what is parked."""
    for side in (-1, 1):
        if plan.parking[side]:
            yield from _parked(side, plan, rng, manner)
    yield from _lane(0.0, 0.0, rng.uniform(9, 30), rng, manner)
    if plan.tram:
        heading = math.pi if chance(rng, 0.6) else 0.0
        body = box("train", rng.uniform(18, 28), 3.5, 2.5, rng)
        at = Place(plan.theirs, rng.uniform(24, 50), heading)
        yield vehicle(body, at, pick(rng, PAINTS))
    else:
        yield from _lane(plan.theirs, math.pi, rng.uniform(8, 40), rng, manner)
    if plan.crossing and chance(rng, manner.traffic * 0.7):
        middle, yaw = sum(plan.crossing) / 2, _either(rng, math.pi / 2)
        at = Place(rng.uniform(-9, 9), middle + math.copysign(1.6, yaw), yaw)
        yield _some_vehicle(at, rng, 0.13)
    for _ in range(int(rng.integers(0, 3))):
        if chance(rng, 0.55):
            label = "motorcycle" if chance(rng, 0.35) else "bicycle"
            yield people.rider(_ridden(plan, rng), rng, label)


def _parked(
    side: int, plan: Plan, rng: np.random.Generator, manner: Manner
) -> Iterator[list[Face]]:
    z, heading = rng.uniform(4, 9), 0.0 if side == plan.ours else math.pi
    while z < 90:
        if chance(rng, manner.parked * 1.6):
            x, yaw = side * (plan.kerb[side] - 1.05), heading + rng.uniform(-0.03, 0.03)
            yield _some_vehicle(Place(x, z, yaw), rng, 0.04)
        z += rng.uniform(5.3, 7.0)


def _lane(
    middle: float, heading: float, start: float, rng: np.random.Generator, manner: Manner
) -> Iterator[list[Face]]:
    z = start
    while z < 80:
        if chance(rng, manner.traffic):
            x, yaw = middle + rng.uniform(-0.3, 0.3), heading + rng.uniform(-0.03, 0.03)
            yield _some_vehicle(Place(x, z, yaw), rng, 0.15)
        z += rng.uniform(11, 32)


def _either(rng: np.random.Generator, value: float) -> float:
    return -value if chance(rng, 0.5) else value


def _some_vehicle(place: Place, rng: np.random.Generator, heavy: float) -> list[Face]:
    """Return a car, or with probability `heavy` something larger."""
    if rng.random() > heavy or place.z < 15:  # something large would hide the street
        return vehicle(car(rng), place, pick(rng, PAINTS))
    kind = rng.random()
    if kind < 0.45:
        return truck(place, rng)
    if kind < 0.88:
        label, size = "bus", (rng.uniform(9, 12), rng.uniform(2.9, 3.3), 2.4)
    else:
        label, size = ("caravan" if kind < 0.94 else "trailer"), (rng.uniform(4, 6), 2.5, 2.1)
    body = box(label, *size, rng)
    return vehicle(body, place, pick(rng, PAINTS))


def _ridden(plan: Plan, rng: np.random.Generator) -> Place:
    """Return where somebody rides: near a kerb, or across the road."""
    z = rng.uniform(7, 28)
    if chance(rng, 0.3):
        x = rng.uniform(-plan.kerb[-1], plan.kerb[1])
        return Place(x, z, _either(rng, math.pi / 2))
    side = -1 if chance(rng, 0.5) else 1
    room = 2.6 if plan.parking[side] else 0.6
    yaw = (0.0 if side == plan.ours else math.pi) + rng.uniform(-0.3, 0.3)
    return Place(side * (plan.kerb[side] - room), z, yaw)


def walkers(plan: Plan, rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
    """Yield people on the pavements, and some who cross the road."""
    for _ in range(int(rng.integers(manner.walkers[0], manner.walkers[1] + 1))):
        side = -1 if chance(rng, 0.5) else 1
        z = 5 + 38 * rng.random() ** 1.5
        x = side * (plan.kerb[side] + rng.uniform(0.5, max(0.6, plan.pavement[side] - 0.4)))
        yield people.person(Place(x, z, rng.uniform(-0.5, 0.5), KERB), rng)
    if chance(rng, 0.25):
        z = plan.crossing[0] - 2 if plan.crossing else rng.uniform(9, 30)
        for _ in range(int(rng.integers(1, 4))):
            x = rng.uniform(-plan.kerb[-1], plan.kerb[1])
            yield people.person(Place(x, z + rng.uniform(-0.8, 0.8)), rng)
