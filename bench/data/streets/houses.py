"""Houses, walls, fences and bridges."""

from __future__ import annotations

import numpy as np

from bench.data.streets.faces import (
    LABEL,
    NOTHING,
    Colour,
    Face,
    Material,
    Place,
    along,
    chance,
    pick,
    rectangle,
    shade,
)

FACADES: tuple[Colour, ...] = (
    (0.78, 0.66, 0.5),
    (0.72, 0.42, 0.3),
    (0.62, 0.6, 0.58),
    (0.82, 0.78, 0.7),
    (0.5, 0.36, 0.3),
    (0.6, 0.5, 0.38),
    (0.66, 0.7, 0.72),
    (0.75, 0.58, 0.42),
)
ROOFS: tuple[Colour, ...] = ((0.45, 0.2, 0.14), (0.28, 0.27, 0.28), (0.38, 0.3, 0.26))
STONES: tuple[Colour, ...] = ((0.55, 0.5, 0.44), (0.5, 0.5, 0.5), (0.6, 0.42, 0.34))
BOARDS: tuple[Colour, ...] = (
    (0.75, 0.08, 0.08),
    (0.08, 0.25, 0.65),
    (0.1, 0.45, 0.2),
    (0.85, 0.7, 0.1),
    (0.12, 0.12, 0.14),
)
_GREY: Colour = (0.45, 0.46, 0.47)
_DARK: Colour = (0.1, 0.11, 0.12)


def building(
    side: int, front: float, start: float, end: float, rng: np.random.Generator
) -> list[Face]:
    """Return a house whose front stands along the road from `start` to `end`."""
    storeys, id_, colour = int(rng.integers(1, 5)), LABEL["building"], pick(rng, FACADES)
    top, character, depth = 3.9 + 2.9 * storeys, float(rng.random()), rng.uniform(8, 12)
    facade = Material.FACADE
    across = [(side * front, 0.0), (side * front, top)]
    far = [(side * (front + depth), top), (side * (front + depth), 0.0)]
    faces = []
    if chance(rng, 0.6):  # the others have flat roofs
        rise, roof = rng.uniform(2.0, 4.0), pick(rng, ROOFS)
        ridge = side * (front + depth / 2)
        slope = np.array(
            [
                (side * (front - 0.3), top - 0.1, start),
                (ridge, top + rise, start),
                (ridge, top + rise, end),
                (side * (front - 0.3), top - 0.1, end),
            ]
        )
        faces.append(Face(slope, id_, Material.ROOF, roof))
        across.append((ridge, top + rise))
        if chance(rng, 0.5):  # a chimney
            x, z = side * (front + depth * 0.45), rng.uniform(start, end)
            stack = Place(x, z).upright(rectangle(-0.5, 0.5, top + rise - 1, top + rise + 1.4))
            faces.insert(0, Face(stack, id_, Material.STONE, pick(rng, STONES)))
    gable = np.array([(x, y, start) for x, y in [*across, *far]])
    faces.append(Face(gable, id_, facade, shade(colour, 0.92), character))
    wall = along(side, front, rectangle(start, end, 0, top))
    faces.append(Face(wall, id_, facade, colour, character))
    if chance(rng, 0.45):  # a shop on the ground floor
        faces += _shop(side, front - 0.02, start, end, rng)
    elif start > 0:
        z = rng.uniform(start + 1, max(start + 1.1, end - 2))
        door = along(side, front - 0.02, rectangle(z, z + 1.1, 0, 2.2))
        faces.append(Face(door, NOTHING, Material.CLOTH, pick(rng, BOARDS)))
    return faces


def _shop(
    side: int, front: float, start: float, end: float, rng: np.random.Generator
) -> list[Face]:
    board = along(side, front, rectangle(start + 0.4, end - 0.4, 2.75, 3.4))
    faces = [Face(board, NOTHING, Material.CLOTH, pick(rng, BOARDS))]
    z, width = start + 0.6, rng.uniform(1.8, 3.2)
    while z + width < end - 0.4:
        pane = along(side, front, rectangle(z, z + width, 0.45, 2.6))
        faces.append(Face(pane, NOTHING, Material.GLASS, (0.16, 0.17, 0.18)))
        z += width + 0.35
    return faces


def wall(side: int, front: float, start: float, end: float, rng: np.random.Generator) -> list[Face]:
    """Return a wall along the road, 1.2 to 3 m high, with a coping."""
    high, colour = rng.uniform(1.2, 3.0), pick(rng, STONES)
    id_ = LABEL["wall"]
    across = [(side * front, 0.0), (side * front, high)]
    across += [(side * (front + 0.4), high), (side * (front + 0.4), 0.0)]
    return [
        Face(np.array([(x, y, start) for x, y in across]), id_, Material.STONE, colour),
        Face(
            along(side, front, rectangle(start, end, 0, high)),
            id_,
            Material.STONE,
            colour,
            float(rng.random()),
        ),
        Face(
            along(side, front - 0.05, rectangle(start, end, high - 0.15, high)),
            NOTHING,
            Material.STONE,
            shade(colour, 1.25),
        ),
    ]


def fence(
    side: int, front: float, start: float, end: float, rng: np.random.Generator
) -> list[Face]:
    """Return a fence along the road: railings that one sees through, or boards.

    As in Cityscapes, what is seen through a fence belongs to it.
    """
    high, id_ = rng.uniform(1.0, 1.9), LABEL["fence"]
    whole = along(side, front, rectangle(start, end, 0, high))
    if chance(rng, 0.3):  # of boards
        return [Face(whole, id_, Material.BARK, pick(rng, ((0.5, 0.36, 0.22), (0.4, 0.42, 0.4))))]
    colour = pick(rng, (_DARK, (0.15, 0.3, 0.2), (0.75, 0.75, 0.75), _GREY))
    strips = [rectangle(start, end, high - 0.12, high - 0.04), rectangle(start, end, 0.1, 0.18)]
    step = rng.uniform(0.25, 0.5)
    z = max(start, 2.5)
    while z < end:
        strips.append(rectangle(z, z + 0.06 + 0.003 * z, 0, high))
        z += step * (1 + z / 12)  # nobody can tell the far bars apart
    return [
        Face(whole, id_, NOTHING),
        *(Face(along(side, front, each), NOTHING, Material.METAL, colour) for each in strips),
    ]


def guard_rail(side: int, front: float, start: float, end: float) -> list[Face]:
    """Return a crash barrier, which is not evaluated."""
    rail = along(side, front, rectangle(start, end, 0.45, 0.8))
    posts = [rectangle(z, z + 0.15, 0, 0.5) for z in np.arange(max(start, 3), min(end, 40), 2.5)]
    id_ = LABEL["guard rail"]
    return [
        *(Face(along(side, front, post), id_, Material.METAL, _GREY) for post in posts),
        Face(rail, id_, Material.METAL, (0.65, 0.66, 0.68)),
    ]


def bridge(z: float, rng: np.random.Generator) -> list[Face]:
    """Return a bridge across the road, which is not evaluated."""
    low, colour = rng.uniform(5.0, 6.5), pick(rng, STONES)
    face = Place(0.0, z).upright(rectangle(-60, 60, low, low + rng.uniform(1.2, 2.2)))
    return [Face(face, LABEL["bridge"], Material.STONE, colour)]
