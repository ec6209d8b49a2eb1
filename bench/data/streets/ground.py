"""What lies on the ground: road, pavements, lawns, lines, rails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

from bench.data.streets.faces import LABEL, NOTHING, Colour, Face, Material, chance, pick
from bench.data.streets.plan import END, KERB, Manner, Plan


def ground(plan: Plan, rng: np.random.Generator, manner: Manner) -> Iterator[Face]:
    """Yield what lies on the ground, each covering what came before."""
    grey = float(rng.uniform(0.3, 0.42))
    tar: Colour = (grey, grey, grey * 1.02)
    slab = pick(rng, ((0.58, 0.55, 0.52), (0.6, 0.5, 0.45), (0.52, 0.53, 0.55)))
    lawn: Colour = (0.32, 0.46, 0.16)
    yield Face(_flat(-250, 250, 0.3, 500), LABEL["terrain"], Material.GRASS, lawn)
    for side in (-1, 1):
        inner, outer = plan.kerb[side], plan.kerb[side] + plan.pavement[side]
        pavement = _flat(side * inner, side * outer, 0.3, END, KERB)
        yield Face(pavement, LABEL["sidewalk"], Material.PAVING, slab)
        edge = _flat(side * inner, side * (inner + 0.18), 0.3, END, KERB)
        yield Face(edge, NOTHING, Material.STONE, (0.7, 0.7, 0.68))
        step = _flat(side * inner, side * inner, 0.3, END)
        step[:8, 1] = KERB
        yield Face(step, LABEL["sidewalk"], Material.STONE, (0.62, 0.62, 0.6))
        if not plan.verge[side] and chance(rng, 0.15 * (1 - manner.green)):
            # A forecourt: where the houses stand back, nobody has to say what the ground is.
            yard = _flat(side * outer, side * (outer + 8), 5, END, KERB)
            yield Face(yard, LABEL["ground"], Material.PAVING, slab)
    left, right = -plan.kerb[-1], plan.kerb[1]
    yield Face(_flat(left, right, 0.3, END + 60), LABEL["road"], Material.ASPHALT, tar)
    for side in (-1, 1):
        if plan.parking[side] and chance(rng, 0.12):
            bay = _flat(side * (plan.kerb[side] - 2.1), side * plan.kerb[side], 0.3, END)
            yield Face(bay, LABEL["parking"], Material.PAVING, slab)
    if plan.crossing:
        start, end = plan.crossing
        yield Face(_flat(-80, 80, start, end), LABEL["road"], Material.ASPHALT, tar)
    yield from _lines(plan, rng)
    if plan.tram:
        middle = plan.theirs
        track = _flat(middle - 1.3, middle + 1.3, 0.3, END)
        yield Face(track, LABEL["rail track"], Material.PAVING, (0.4, 0.38, 0.36))
        for rail in (-0.72, 0.72):
            line = _flat(middle + rail - 0.05, middle + rail + 0.05, 0.3, END)
            yield Face(line, NOTHING, Material.METAL, (0.6, 0.6, 0.62))


def _lines(plan: Plan, rng: np.random.Generator) -> Iterator[Face]:
    """Yield lines on the road, which are part of it."""
    white: Colour = (0.86, 0.86, 0.84)

    def line(x: float, start: float, end: float, width: float = 0.13) -> Face:
        strip = _flat(x - width / 2, x + width / 2, start, end)
        return Face(strip, NOTHING, Material.MARKING, white)

    def clear(start: float, end: float) -> bool:
        return not plan.crossing or end < plan.crossing[0] - 1 or start > plan.crossing[1] + 1

    centre = -plan.ours * plan.lane / 2
    dash, gap, start = rng.uniform(2, 4), rng.uniform(3, 6), rng.uniform(1, 4)
    solid = chance(rng, 0.2)
    for z in np.arange(start, 90, dash + (0.01 if solid else gap)):
        if clear(z, z + dash):
            yield line(centre, z, z + dash)
    if chance(rng, 0.5):  # lines along the kerbs
        for side in (-1, 1):
            x = side * (plan.kerb[side] - (2.2 if plan.parking[side] else 0.35))
            yield line(x, 0.5, plan.crossing[0] - 1 if plan.crossing else 90)
    stop = plan.crossing[0] - 1.2 if plan.crossing else rng.uniform(8, 40)
    if plan.crossing or chance(rng, 0.25):
        if chance(rng, 0.6):  # a zebra crossing, else a line to stop at
            for x in np.arange(-plan.kerb[-1] + 0.4, plan.kerb[1] - 0.4, 1.0):
                yield line(x + 0.25, stop - 3, stop, 0.5)
        else:
            half = plan.lane / 2
            yield Face(_flat(-half, half, stop - 0.4, stop), NOTHING, Material.MARKING, white)


def _flat(left: float, right: float, start: float, end: float, height: float = 0.0) -> np.ndarray:
    """Return a strip of ground along the road, with corners enough to bend."""
    z = np.concatenate([[start], np.geomspace(max(start, 1.0), end, 8)[1:]])
    x = np.concatenate([np.full(8, left), np.full(8, right)])
    return np.stack([x, np.full(16, height), np.concatenate([z, z[::-1]])], axis=1)
