"""What stands beside the road."""

# ruff: noqa: PLR2004  a drawing is made of numbers
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

from bench.data.streets import houses, people, plants, posts
from bench.data.streets.faces import LABEL, Face, Material, Place, chance, pick
from bench.data.streets.plan import END, KERB, Manner, Plan


def far_end(rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
    """Yield what stands across the end of the street, and far houses and trees to both sides."""
    for x in np.arange(-130, 130, 15.0):
        place = Place(float(x) + rng.uniform(-3, 3), END + rng.uniform(5, 60))
        if chance(rng, 0.35 + 0.5 * manner.green):
            yield plants.tree(place, rng, size=rng.uniform(1.2, 3.2))
        else:
            high, character = rng.uniform(5, 18), float(rng.random())
            face = place.upright([(-8, 0), (-8, high), (0, high + 3), (8, high), (8, 0)])
            colour = pick(rng, houses.FACADES)
            yield [Face(face, LABEL["building"], Material.FACADE, colour, character)]
    if chance(rng, 0.05):
        yield houses.bridge(rng.uniform(40, 90), rng)


def plots(plan: Plan, rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
    """Yield what stands on the plots along both sides."""
    for side in (-1, 1):
        z = rng.uniform(-4, 3)
        while z < END - 5:
            end = z + rng.uniform(7, 18)
            if plan.crossing and z < plan.crossing[1] and end > plan.crossing[0] - 2:
                if z > plan.crossing[0] - 7:
                    z = plan.crossing[1] + 2
                    continue
                end = plan.crossing[0] - 2
            yield from _plot(side, plan.front(side), z, end, rng, manner)
            z = end + (rng.uniform(0, 4) if chance(rng, 0.2) else 0.0)


def _plot(
    side: int, front: float, start: float, end: float, rng: np.random.Generator, manner: Manner
) -> Iterator[list[Face]]:
    if rng.random() > manner.green * 0.75:
        back = rng.uniform(0, 1.0) if chance(rng, 0.7) else rng.uniform(3, 6)
        yield houses.building(side, front + back, start, end, rng)
        if back < 2 and chance(rng, 0.85):  # no room for more
            return
    else:
        for _ in range(int(rng.integers(2, 5))):
            place = Place(side * (front + rng.uniform(2, 7)), rng.uniform(start, end))
            if place.z > 3:
                yield plants.tree(place, rng, size=rng.uniform(0.9, 1.7))
    edge = rng.random()
    if edge < 0.28:
        yield houses.wall(side, front, start, end, rng)
    elif edge < 0.6:
        yield houses.fence(side, front, start, end, rng)
    elif edge < 0.8:
        yield plants.hedge(side, front, start, end, rng)


def kerbside(plan: Plan, rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
    """Yield what stands on the pavements near the kerb."""
    for side in (-1, 1):
        yield from _lights(side, plan, rng, manner)
        yield from _furniture(side, plan, rng)
        if not plan.parking[side] and chance(rng, 0.2):
            start, front = rng.uniform(3, 20), plan.kerb[side] + 0.25
            if chance(rng, 0.75):
                yield houses.fence(side, front, start, start + rng.uniform(8, 25), rng)
            else:
                yield houses.guard_rail(side, front, start, start + rng.uniform(10, 40))


def _lights(
    side: int, plan: Plan, rng: np.random.Generator, manner: Manner
) -> Iterator[list[Face]]:
    """Yield street lights, with trees between them in some streets, and traffic lights."""
    x, gap = side * (plan.kerb[side] + 0.45), rng.uniform(22, 36)
    planted = chance(rng, manner.green)
    for z in np.arange(rng.uniform(4, 16), 100, gap).tolist():
        yield posts.lamp_post(Place(x, z), rng, -side * 1.8)
        if planted:
            at = Place(side * (plan.kerb[side] + 1.0), z + gap / 2)
            yield plants.tree(at, rng, size=rng.uniform(0.7, 1.1))
    if plan.crossing:
        before, behind = plan.crossing[0] - 1, plan.crossing[1] + 1
        for z in (before, behind):
            yield posts.traffic_light(Place(x, z, ground=KERB), rng, -side * 2.6)
    elif chance(rng, 0.3):
        at = Place(x, rng.uniform(8, 40), ground=KERB)
        yield posts.traffic_light(at, rng, -side * 2.6)


def _furniture(side: int, plan: Plan, rng: np.random.Generator) -> Iterator[list[Face]]:
    """Yield signs, bins, bollards, and bicycles and motorcycles that somebody left there."""
    x = side * (plan.kerb[side] + 0.45)
    for _ in range(int(rng.integers(0, 4))):
        yield posts.sign(Place(x, rng.uniform(7, 45), ground=KERB), rng)
    for _ in range(int(rng.integers(0, 3))):
        reach = rng.uniform(0.6, plan.pavement[side])
        at = Place(side * (plan.kerb[side] + reach), rng.uniform(6, 35), ground=KERB)
        yield posts.clutter(at, rng)
    if chance(rng, 0.1):
        for z in np.arange(rng.uniform(4, 10), 40, 2.5).tolist():
            yield posts.bollard(Place(x, z, ground=KERB), rng)
    if chance(rng, 0.45):
        label = "motorcycle" if chance(rng, 0.3) else "bicycle"
        z, yaw = rng.uniform(6, 24), rng.uniform(0.3, 2.6)
        for number in range(int(rng.integers(1, 4))):
            at = Place(x + side * 0.4, z + 0.8 * number, yaw, KERB)
            yield people.bicycle(at, rng, label)
