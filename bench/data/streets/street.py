"""A street as a function of a generator of random numbers: the camera and all it can see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.data.streets import plots, traffic
from bench.data.streets.faces import LABEL, Face, Material, Place, chance, distance, pick
from bench.data.streets.ground import ground
from bench.data.streets.lens import Lens
from bench.data.streets.plan import Manner, draft
from bench.data.streets.vehicles import PAINTS


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


def street(rng: np.random.Generator, manner: Manner) -> Street:
    """Return a street of `manner`, made of the generator's next numbers."""
    lens = Lens(
        height=rng.uniform(1.25, 1.6),
        focal=rng.uniform(0.8, 1.1),
        pitch=rng.uniform(-0.015, 0.035),
        roll=rng.uniform(-0.015, 0.015),
    )
    bend = rng.uniform(-0.0016, 0.0016) if chance(rng, 0.5) else 0.0
    plan = draft(rng, manner)
    lying = list(ground(plan, rng, manner))
    things = [
        *plots.far_end(rng, manner),
        *plots.plots(plan, rng, manner),
        *plots.kerbside(plan, rng, manner),
        *traffic.vehicles(plan, rng, manner),
        *traffic.walkers(plan, rng, manner),
    ]
    things.sort(key=distance, reverse=True)
    if chance(rng, 0.3):  # the camera's own bonnet
        things.append(_bonnet(lens, rng))
    return Street(lens, bend, lying, things)


def _bonnet(lens: Lens, rng: np.random.Generator) -> list[Face]:
    """Return the bonnet of the car that carries the camera, along the picture's lower edge."""
    z, wide = 1.0, 0.62 / lens.focal
    floor = lens.height - z * (lens.pitch + 0.25 / lens.focal)
    rise = rng.uniform(0.01, 0.045) / lens.focal
    arc = [(wide * t, floor + rise * (1 - t * t)) for t in np.linspace(-1, 1, 15).tolist()]
    outline = [(-wide, floor - 0.2), *arc, (wide, floor - 0.2)]
    points = Place(0.0, z).upright(outline)
    return [Face(points, LABEL["ego vehicle"], Material.PAINT, pick(rng, PAINTS))]
