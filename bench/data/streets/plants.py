"""Trees and hedges: leaves, and what carries them."""

from __future__ import annotations

import math

import numpy as np

from bench.data.streets.faces import (
    LABEL,
    Colour,
    Face,
    Material,
    Place,
    along,
    bar,
    blob,
    chance,
    pick,
    shade,
)

LEAVES: tuple[Colour, ...] = ((0.2, 0.42, 0.1), (0.14, 0.34, 0.12), (0.32, 0.46, 0.12))
_TRUNK: Colour = (0.3, 0.22, 0.15)


def tree(place: Place, rng: np.random.Generator, size: float = 1.0) -> list[Face]:
    """Return a tree: a trunk, and a crown of clumps that get lighter to the front and top."""
    id_, colour = LABEL["vegetation"], pick(rng, LEAVES)
    stem, wide = rng.uniform(1.8, 3.2) * size, rng.uniform(1.4, 2.6) * size
    lean, character = rng.uniform(-0.2, 0.2), float(rng.random())
    tall = wide * rng.uniform(0.9, 1.5)
    faces = [
        Face(
            place.upright(bar((0, 0), (lean, stem + tall), 0.34 * size, 0.5)),
            id_,
            Material.BARK,
            _TRUNK,
        )
    ]
    if chance(rng, 0.35):  # branches show
        for _ in range(5):
            end = (lean + rng.uniform(-0.8, 0.8) * wide, stem + rng.uniform(0.5, 1.7) * tall)
            limb = bar((0, stem), end, 0.14, 0.4)
            faces.append(Face(place.upright(limb), id_, Material.BARK, _TRUNK))
    clumps = int(rng.integers(4, 8)) if place.z < 45 * size else 2
    for step in range(clumps):
        angle, reach = rng.uniform(0, 2 * math.pi), 0.55 if step else 0.1
        x = lean + reach * wide * math.cos(angle)
        y = stem + tall * (0.8 + reach * math.sin(angle))
        clump = blob(x, y, wide * rng.uniform(0.45, 0.75), tall * rng.uniform(0.4, 0.7), rng)
        light = 0.75 + 0.12 * (y - stem) / tall + 0.03 * step
        crown = place.upright(clump, -0.05 * step)
        faces.append(Face(crown, id_, Material.LEAF, shade(colour, light), character))
    return faces


def hedge(
    side: int, front: float, start: float, end: float, rng: np.random.Generator
) -> list[Face]:
    """Return a hedge or a row of bushes along the road."""
    high, colour, id_ = rng.uniform(0.9, 2.4), pick(rng, LEAVES), LABEL["vegetation"]
    z = np.linspace(start, end, 10)
    tops = high * rng.uniform(0.85, 1.12, 10)
    crest = list(zip(z.tolist(), tops.tolist(), strict=True))
    x = [side * (front + offset) for offset in (0.0, 0.0, 1.2, 1.2)]
    near = [(x[0], 0.0, start), (x[1], tops[0], start), (x[2], tops[0], start), (x[3], 0.0, start)]
    return [
        Face(np.array(near), id_, Material.LEAF, shade(colour, 0.8)),
        Face(along(side, front, [(start, 0), *crest, (end, 0)]), id_, Material.LEAF, colour),
    ]
