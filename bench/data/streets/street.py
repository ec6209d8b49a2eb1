"""A street as a function of a seed: the camera, the ground, and everything that stands on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.data.streets import people, roadside, vehicles
from bench.data.streets.faces import LABEL, NOTHING, Colour, Face, Material, Place, distance, pick
from bench.data.streets.lens import Lens

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    pavement: tuple[float, float] = (2.5, 5.5)
    parked: float = 0.25
    walkers: tuple[int, int] = (2, 9)
    green: float = 0.45
    traffic: float = 0.6


@dataclass(frozen=True)
class Street:
    """Everything that can be seen.

    Attributes:
        lens: the camera.
        bend: how it curves: a point z metres ahead lies bend z**2 metres to the right of where
            its face has it.
        ground: faces that lie on the ground, in the order in which they cover each other.
        things: what stands on it, the farthest first.
    """

    lens: Lens
    bend: float
    ground: list[Face]
    things: list[list[Face]]


@dataclass(frozen=True)
class _Plan:
    """A street's outline: distances from the camera's path, by side (-1 left, 1 right)."""

    kerb: dict[int, float]
    parking: dict[int, bool]
    pavement: dict[int, float]
    verge: dict[int, float]
    crossing: tuple[float, float] | None
    ours: int

    def front(self, side: int) -> float:
        """Return where the plots begin."""
        return self.kerb[side] + self.pavement[side] + self.verge[side]


def street(rng: np.random.Generator, manner: Manner) -> Street:
    """Return a street of `manner`, made of the generator's next numbers."""
    lens = Lens(
        height=rng.uniform(1.25, 1.6),
        focal=rng.uniform(0.8, 1.1),
        pitch=rng.uniform(-0.015, 0.035),
        roll=rng.uniform(-0.015, 0.015),
    )
    bend = rng.uniform(-0.0016, 0.0016) if rng.random() < 0.5 else 0.0  # noqa: PLR2004
    plan = _plan(rng, manner)
    tram = rng.random() < 0.1 * manner.traffic / 0.6  # noqa: PLR2004
    ground = list(_ground(plan, rng, manner, tram=tram))
    things = [
        *_closing(rng, manner),
        *_plots(plan, rng, manner),
        *_kerbside(plan, rng, manner),
        *_traffic(plan, rng, manner, tram=tram),
        *_walkers(plan, rng, manner),
    ]
    things = [faces for faces in things if faces]
    things.sort(key=distance, reverse=True)
    if rng.random() < 0.3:  # noqa: PLR2004  the camera's own bonnet
        things.append(_bonnet(lens, rng))
    return Street(lens, bend, ground, things)


def _plan(rng: np.random.Generator, manner: Manner) -> _Plan:
    ours = -1 if rng.random() < 0.5 else 1  # noqa: PLR2004  which side one drives on
    lane, parking = rng.uniform(*manner.lane), {s: rng.random() < 0.55 for s in (-1, 1)}  # noqa: PLR2004
    more = lane if rng.random() < 0.2 else 0.0  # noqa: PLR2004  two lanes each way
    kerb = {ours: lane / 2, -ours: lane * 1.5 + more}
    if more and rng.random() < 0.5:  # noqa: PLR2004
        kerb = {ours: lane * 1.5, -ours: lane * 1.5 + more}
    wide = {side: 2.1 if parking[side] else rng.uniform(0.2, 1.2) for side in (-1, 1)}
    verge = rng.uniform(1.5, 5.0)
    start = rng.uniform(9, 45)
    return _Plan(
        kerb={side: kerb[side] + wide[side] for side in (-1, 1)},
        parking=parking,
        pavement={side: rng.uniform(*manner.pavement) for side in (-1, 1)},
        verge={s: verge if rng.random() < manner.green * 0.9 else 0.0 for s in (-1, 1)},
        crossing=(start, start + rng.uniform(7, 11)) if rng.random() < 0.4 else None,  # noqa: PLR2004
        ours=ours,
    )


def _flat(left: float, right: float, start: float, end: float, height: float = 0.0) -> np.ndarray:
    """Return a strip of ground along the road, with corners enough to bend."""
    z = np.concatenate([[start], np.geomspace(max(start, 1.0), end, 8)[1:]])
    x = np.concatenate([np.full(8, left), np.full(8, right)])
    return np.stack([x, np.full(16, height), np.concatenate([z, z[::-1]])], axis=1)


def _ground(
    plan: _Plan, rng: np.random.Generator, manner: Manner, *, tram: bool
) -> Iterator[Face]:
    grey = float(rng.uniform(0.3, 0.42))
    tar: Colour = (grey, grey, grey * 1.02)
    slab = pick(rng, ((0.58, 0.55, 0.52), (0.6, 0.5, 0.45), (0.52, 0.53, 0.55)))
    lawn: Colour = (0.32, 0.46, 0.16)
    yield Face(_flat(-250, 250, 0.3, 500), LABEL["terrain"], Material.GRASS, lawn)
    for side in (-1, 1):
        inner, outer = plan.kerb[side], plan.kerb[side] + plan.pavement[side]
        yield Face(
            _flat(side * inner, side * outer, 0.3, END, KERB), LABEL["sidewalk"], 3, slab
        )
        yield Face(
            _flat(side * inner, side * (inner + 0.18), 0.3, END, KERB), NOTHING, 7, (0.7, 0.7, 0.68)
        )
        kerb = _flat(side * inner, side * inner, 0.3, END)
        kerb[:8, 1] = KERB
        yield Face(kerb, LABEL["sidewalk"], Material.STONE, (0.62, 0.62, 0.6))
        if not plan.verge[side] and rng.random() < 0.15 * (1 - manner.green):  # noqa: PLR2004
            # A forecourt: where the houses stand back, nobody has to say what the ground is.
            yard = _flat(side * outer, side * (outer + 8), 5, END, KERB)
            yield Face(yard, LABEL["ground"], Material.PAVING, slab)
    left, right = -plan.kerb[-1], plan.kerb[1]
    yield Face(_flat(left, right, 0.3, END + 60), LABEL["road"], Material.ASPHALT, tar)
    for side in (-1, 1):
        if plan.parking[side] and rng.random() < 0.12:  # noqa: PLR2004
            bay = _flat(side * (plan.kerb[side] - 2.1), side * plan.kerb[side], 0.3, END)
            yield Face(bay, LABEL["parking"], Material.PAVING, slab)
    if plan.crossing:
        start, end = plan.crossing
        yield Face(_flat(-80, 80, start, end), LABEL["road"], Material.ASPHALT, tar)
    yield from _markings(plan, rng)
    if tram:
        middle = _tram_x(plan)
        track = _flat(middle - 1.3, middle + 1.3, 0.3, END)
        yield Face(track, LABEL["rail track"], Material.PAVING, (0.4, 0.38, 0.36))
        for rail in (-0.72, 0.72):
            line = _flat(middle + rail - 0.05, middle + rail + 0.05, 0.3, END)
            yield Face(line, NOTHING, Material.METAL, (0.6, 0.6, 0.62))


def _markings(plan: _Plan, rng: np.random.Generator) -> Iterator[Face]:
    """Yield lines on the road, which are part of it."""
    white: Colour = (0.86, 0.86, 0.84)

    def line(x: float, start: float, end: float, width: float = 0.13) -> Face:
        strip = _flat(x - width / 2, x + width / 2, start, end)
        return Face(strip, NOTHING, Material.MARKING, white)

    def clear(start: float, end: float) -> bool:
        return not plan.crossing or end < plan.crossing[0] - 1 or start > plan.crossing[1] + 1

    centre = -plan.ours * _lane(plan) / 2
    dash, gap, start = rng.uniform(2, 4), rng.uniform(3, 6), rng.uniform(1, 4)
    solid = rng.random() < 0.2  # noqa: PLR2004
    for z in np.arange(start, 90, dash + (0.01 if solid else gap)):
        if clear(z, z + dash):
            yield line(centre, z, z + dash)
    if rng.random() < 0.5:  # noqa: PLR2004  lines along the kerbs
        for side in (-1, 1):
            x = side * (plan.kerb[side] - (2.2 if plan.parking[side] else 0.35))
            yield line(x, 0.5, plan.crossing[0] - 1 if plan.crossing else 90)
    stop = plan.crossing[0] - 1.2 if plan.crossing else rng.uniform(8, 40)
    if plan.crossing or rng.random() < 0.25:  # noqa: PLR2004
        if rng.random() < 0.6:  # noqa: PLR2004  a zebra crossing, else a line to stop at
            for x in np.arange(-plan.kerb[-1] + 0.4, plan.kerb[1] - 0.4, 1.0):
                yield line(x + 0.25, stop - 3, stop, 0.5)
        else:
            half = _lane(plan) / 2
            yield Face(_flat(-half, half, stop - 0.4, stop), NOTHING, Material.MARKING, white)


def _lane(plan: _Plan) -> float:
    """Return the width of the lane that the camera drives in, about."""
    ours, theirs = plan.kerb[plan.ours], plan.kerb[-plan.ours]
    return min(3.5, max(2.8, (ours + theirs - 2.4) / 2))


def _tram_x(plan: _Plan) -> float:
    return -plan.ours * _lane(plan)


def _closing(rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
    """Yield what stands across the end of the street, and far houses and trees to both sides."""
    for x in np.arange(-130, 130, 15.0):
        place = Place(float(x) + rng.uniform(-3, 3), END + rng.uniform(5, 60))
        if rng.random() < 0.35 + 0.5 * manner.green:  # noqa: PLR2004
            yield roadside.tree(place, rng, size=rng.uniform(1.2, 3.2))
        else:
            high, character = rng.uniform(5, 18), float(rng.random())
            face = place.upright([(-8, 0), (-8, high), (0, high + 3), (8, high), (8, 0)])
            colour = pick(rng, roadside.FACADES)
            yield [Face(face, LABEL["building"], Material.FACADE, colour, character)]
    if rng.random() < 0.05:  # noqa: PLR2004
        yield roadside.bridge(rng.uniform(40, 90), rng)


def _plots(plan: _Plan, rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
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
            z = end + (rng.uniform(0, 4) if rng.random() < 0.2 else 0.0)  # noqa: PLR2004


def _plot(
    side: int, front: float, start: float, end: float, rng: np.random.Generator, manner: Manner
) -> Iterator[list[Face]]:
    if rng.random() > manner.green * 0.75:
        back = rng.uniform(0, 1.0) if rng.random() < 0.7 else rng.uniform(3, 6)  # noqa: PLR2004
        yield roadside.building(side, front + back, start, end, rng)
        if back < 2 and rng.random() < 0.85:  # noqa: PLR2004  no room for more
            return
    else:
        for _ in range(int(rng.integers(2, 5))):
            place = Place(side * (front + rng.uniform(2, 7)), rng.uniform(start, end))
            if place.z > 3:  # noqa: PLR2004
                yield roadside.tree(place, rng, size=rng.uniform(0.9, 1.7))
    edge = rng.random()
    if edge < 0.28:  # noqa: PLR2004
        yield roadside.wall(side, front, start, end, rng)
    elif edge < 0.6:  # noqa: PLR2004
        yield roadside.fence(side, front, start, end, rng)
    elif edge < 0.8:  # noqa: PLR2004
        yield roadside.hedge(side, front, start, end, rng)


def _kerbside(plan: _Plan, rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
    """Yield what stands on the pavement near the kerb: poles, signs, trees, bins, bicycles."""
    for side in (-1, 1):
        x = side * (plan.kerb[side] + 0.45)
        gap = rng.uniform(22, 36)
        planted = rng.random() < manner.green
        for z in np.arange(rng.uniform(4, 16), 100, gap):
            yield roadside.lamp_post(Place(x, float(z)), rng, -side * 1.8)
            if planted:
                at = Place(side * (plan.kerb[side] + 1.0), float(z) + gap / 2)
                yield roadside.tree(at, rng, size=rng.uniform(0.7, 1.1))
        for _ in range(int(rng.integers(0, 4))):
            yield roadside.sign(Place(x, rng.uniform(7, 45), ground=KERB), rng)
        if plan.crossing or rng.random() < 0.3:  # noqa: PLR2004
            z = plan.crossing[0] - 1.0 if plan.crossing else rng.uniform(8, 40)
            yield roadside.traffic_light(Place(x, z, ground=KERB), rng, -side * 2.6)
            if plan.crossing:
                far = Place(x, plan.crossing[1] + 1.0, ground=KERB)
                yield roadside.traffic_light(far, rng, -side * 2.6)
        for _ in range(int(rng.integers(0, 3))):
            reach = rng.uniform(0.6, plan.pavement[side])
            at = Place(side * (plan.kerb[side] + reach), rng.uniform(6, 35), ground=KERB)
            yield roadside.clutter(at, rng)
        if rng.random() < 0.45:  # noqa: PLR2004  bicycles, and sometimes motorcycles, left there
            label = "motorcycle" if rng.random() < 0.3 else "bicycle"  # noqa: PLR2004
            z, yaw = rng.uniform(6, 24), rng.uniform(0.3, 2.6)
            for number in range(int(rng.integers(1, 4))):
                at = Place(x + side * 0.4, z + 0.8 * number, yaw, KERB)
                yield people.bicycle(at, rng, label)
        if rng.random() < 0.1:  # noqa: PLR2004
            for z in np.arange(rng.uniform(4, 10), 40, 2.5):
                yield roadside.bollard(Place(x, float(z), ground=KERB), rng)
        if not plan.parking[side] and rng.random() < 0.2:  # noqa: PLR2004
            start, front = rng.uniform(3, 20), plan.kerb[side] + 0.25
            if rng.random() < 0.75:  # noqa: PLR2004
                yield roadside.fence(side, front, start, start + rng.uniform(8, 25), rng)
            else:
                yield roadside.guard_rail(side, front, start, start + rng.uniform(10, 40))


def _traffic(
    plan: _Plan, rng: np.random.Generator, manner: Manner, *, tram: bool
) -> Iterator[list[Face]]:
    """Yield what drives and what is parked."""
    for side in (-1, 1):
        if plan.parking[side]:
            z = rng.uniform(4, 9)
            while z < 90:  # noqa: PLR2004
                if rng.random() < manner.parked * 1.6:
                    x = side * (plan.kerb[side] - 1.05)
                    yaw = 0.0 if side == plan.ours else math.pi
                    yield _some_vehicle(Place(x, z, yaw + rng.uniform(-0.03, 0.03)), rng, 0.04)
                z += rng.uniform(5.3, 7.0)
    lane = _lane(plan)
    ahead, theirs = rng.uniform(9, 30), -plan.ours * lane
    while ahead < 80:  # noqa: PLR2004
        if rng.random() < manner.traffic:
            x = rng.uniform(-0.3, 0.3)
            yield _some_vehicle(Place(x, ahead, rng.uniform(-0.03, 0.03)), rng, 0.13)
        ahead += rng.uniform(12, 35)
    oncoming = rng.uniform(8, 40)
    if tram:
        heading = math.pi if rng.random() < 0.6 else 0.0  # noqa: PLR2004
        body = vehicles.box("train", rng.uniform(18, 28), 3.5, 2.5, rng)
        at = Place(_tram_x(plan), rng.uniform(24, 50), heading)
        yield vehicles.vehicle(body, at, pick(rng, vehicles.PAINTS))
        oncoming = 70.0
    while oncoming < 80:  # noqa: PLR2004
        if rng.random() < manner.traffic:
            x = theirs + rng.uniform(-0.3, 0.3)
            at = Place(x, oncoming, math.pi + rng.uniform(-0.03, 0.03))
            yield _some_vehicle(at, rng, 0.13)
        oncoming += rng.uniform(10, 30)
    if plan.crossing and rng.random() < manner.traffic * 0.7:
        middle = sum(plan.crossing) / 2
        yaw = math.pi / 2 if rng.random() < 0.5 else -math.pi / 2  # noqa: PLR2004
        at = Place(rng.uniform(-9, 9), middle + math.copysign(1.6, yaw), yaw)
        yield _some_vehicle(at, rng, 0.13)
    for _ in range(int(rng.integers(0, 3))):
        if rng.random() < 0.55:  # noqa: PLR2004
            yield people.rider(*_ridden(plan, rng))


def _ridden(plan: _Plan, rng: np.random.Generator) -> tuple[Place, np.random.Generator, str]:
    label = "motorcycle" if rng.random() < 0.35 else "bicycle"  # noqa: PLR2004
    z = rng.uniform(7, 28)
    if rng.random() < 0.3:  # noqa: PLR2004  across the road
        yaw = math.pi / 2 if rng.random() < 0.5 else -math.pi / 2  # noqa: PLR2004
        return Place(rng.uniform(-plan.kerb[-1], plan.kerb[1]), z, yaw), rng, label
    side = -1 if rng.random() < 0.5 else 1  # noqa: PLR2004
    room = 2.6 if plan.parking[side] else 0.6
    yaw = (0.0 if side == plan.ours else math.pi) + rng.uniform(-0.3, 0.3)
    return Place(side * (plan.kerb[side] - room), z, yaw), rng, label


def _some_vehicle(place: Place, rng: np.random.Generator, heavy: float) -> list[Face]:
    """Return a car, or with probability `heavy` something larger."""
    if rng.random() > heavy or place.z < 15:  # noqa: PLR2004  something large would hide the street
        return vehicles.vehicle(vehicles.car(rng), place, pick(rng, vehicles.PAINTS))
    kind = rng.random()
    if kind < 0.45:  # noqa: PLR2004
        return vehicles.truck(place, rng)
    if kind < 0.88:  # noqa: PLR2004
        label, size = "bus", (rng.uniform(9, 12), rng.uniform(2.9, 3.3), 2.4)
    else:
        label, size = ("caravan" if kind < 0.94 else "trailer"), (rng.uniform(4, 6), 2.5, 2.1)  # noqa: PLR2004
    body = vehicles.box(label, *size, rng)
    return vehicles.vehicle(body, place, pick(rng, vehicles.PAINTS))


def _walkers(plan: _Plan, rng: np.random.Generator, manner: Manner) -> Iterator[list[Face]]:
    """Yield people on the pavements, and some who cross the road."""
    for _ in range(int(rng.integers(manner.walkers[0], manner.walkers[1] + 1))):
        side = -1 if rng.random() < 0.5 else 1  # noqa: PLR2004
        z = 5 + 38 * rng.random() ** 1.5
        x = side * (plan.kerb[side] + rng.uniform(0.5, max(0.6, plan.pavement[side] - 0.4)))
        yield people.person(Place(x, z, rng.uniform(-0.5, 0.5), KERB), rng)
    if rng.random() < 0.25:  # noqa: PLR2004
        z = plan.crossing[0] - 2 if plan.crossing else rng.uniform(9, 30)
        for _ in range(int(rng.integers(1, 4))):
            x = rng.uniform(-plan.kerb[-1], plan.kerb[1])
            yield people.person(Place(x, z + rng.uniform(-0.8, 0.8)), rng)


def _bonnet(lens: Lens, rng: np.random.Generator) -> list[Face]:
    """Return the bonnet of the car that carries the camera, along the picture's lower edge."""
    z, wide = 1.0, 0.62 / lens.focal
    floor = lens.height - z * (lens.pitch + 0.25 / lens.focal)
    rise = rng.uniform(0.01, 0.045) / lens.focal
    arc = [(wide * t, floor + rise * (1 - t * t)) for t in np.linspace(-1, 1, 15).tolist()]
    outline = [(-wide, floor - 0.2), *arc, (wide, floor - 0.2)]
    points = Place(0.0, z).upright(outline)
    return [Face(points, LABEL["ego vehicle"], Material.PAINT, pick(rng, vehicles.PAINTS))]

