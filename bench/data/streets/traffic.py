"""Who is on the road and on the pavements."""

# ruff: noqa: PLR2004  a drawing is made of numbers
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.data.streets.faces import (
    LABEL,
    NOTHING,
    Colour,
    Face,
    Material,
    Outline,
    Place,
    along,
    bar,
    blob,
    chance,
    disc,
    pick,
    rectangle,
    shade,
)

def _traffic(
    plan: Plan, rng: np.random.Generator, manner: Manner, *, tram: bool
) -> Iterator[list[Face]]:
    """Yield what drives and what is parked."""
    for side in (-1, 1):
        if plan.parking[side]:
            z = rng.uniform(4, 9)
            while z < 90:
                if chance(rng, manner.parked * 1.6):
                    x = side * (plan.kerb[side] - 1.05)
                    yaw = 0.0 if side == plan.ours else math.pi
                    yield _some_vehicle(Place(x, z, yaw + rng.uniform(-0.03, 0.03)), rng, 0.04)
                z += rng.uniform(5.3, 7.0)
    lane = plan.lane
    ahead, theirs = rng.uniform(9, 30), -plan.ours * lane
    while ahead < 80:
        if chance(rng, manner.traffic):
            x = rng.uniform(-0.3, 0.3)
            yield _some_vehicle(Place(x, ahead, rng.uniform(-0.03, 0.03)), rng, 0.13)
        ahead += rng.uniform(12, 35)
    oncoming = rng.uniform(8, 40)
    if tram:
        heading = math.pi if chance(rng, 0.6) else 0.0
        body = vehicles.box("train", rng.uniform(18, 28), 3.5, 2.5, rng)
        at = Place(plan.tram, rng.uniform(24, 50), heading)
        yield vehicles.vehicle(body, at, pick(rng, vehicles.PAINTS))
        oncoming = 70.0
    while oncoming < 80:
        if chance(rng, manner.traffic):
            x = theirs + rng.uniform(-0.3, 0.3)
            at = Place(x, oncoming, math.pi + rng.uniform(-0.03, 0.03))
            yield _some_vehicle(at, rng, 0.13)
        oncoming += rng.uniform(10, 30)
    if plan.crossing and chance(rng, manner.traffic * 0.7):
        middle = sum(plan.crossing) / 2
        yaw = math.pi / 2 if chance(rng, 0.5) else -math.pi / 2
        at = Place(rng.uniform(-9, 9), middle + math.copysign(1.6, yaw), yaw)
        yield _some_vehicle(at, rng, 0.13)
    for _ in range(int(rng.integers(0, 3))):
        if chance(rng, 0.55):
            yield people.rider(*_ridden(plan, rng))


def _some_vehicle(place: Place, rng: np.random.Generator, heavy: float) -> list[Face]:
    """Return a car, or with probability `heavy` something larger."""
    if rng.random() > heavy or place.z < 15:  # something large would hide the street
        return vehicles.vehicle(vehicles.car(rng), place, pick(rng, vehicles.PAINTS))
    kind = rng.random()
    if kind < 0.45:
        return vehicles.truck(place, rng)
    if kind < 0.88:
        label, size = "bus", (rng.uniform(9, 12), rng.uniform(2.9, 3.3), 2.4)
    else:
        label, size = ("caravan" if kind < 0.94 else "trailer"), (rng.uniform(4, 6), 2.5, 2.1)
    body = vehicles.box(label, *size, rng)
    return vehicles.vehicle(body, place, pick(rng, vehicles.PAINTS))


def _ridden(plan: Plan, rng: np.random.Generator) -> tuple[Place, np.random.Generator, str]:
    label = "motorcycle" if chance(rng, 0.35) else "bicycle"
    z = rng.uniform(7, 28)
    if chance(rng, 0.3):  # across the road
        yaw = math.pi / 2 if chance(rng, 0.5) else -math.pi / 2
        return Place(rng.uniform(-plan.kerb[-1], plan.kerb[1]), z, yaw), rng, label
    side = -1 if chance(rng, 0.5) else 1
    room = 2.6 if plan.parking[side] else 0.6
    yaw = (0.0 if side == plan.ours else math.pi) + rng.uniform(-0.3, 0.3)
    return Place(side * (plan.kerb[side] - room), z, yaw), rng, label


def _walkers(plan: Plan, rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
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
