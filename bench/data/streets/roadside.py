"""What stands beside the road: houses, walls, fences, trees, and what is put on poles."""

from __future__ import annotations

import math
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
    bar,
    blob,
    disc,
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
LEAVES: tuple[Colour, ...] = ((0.2, 0.42, 0.1), (0.14, 0.34, 0.12), (0.32, 0.46, 0.12))
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
_WHITE: Colour = (0.9, 0.9, 0.9)
_TRUNK: Colour = (0.3, 0.22, 0.15)


def along(side: int, front: float, outline: Outline) -> np.ndarray:
    """Return an outline of (metres ahead, metres up) as a wall along the road at `front`."""
    return np.array([(side * front, y, z) for z, y in outline], dtype=np.float64)


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
    if rng.random() < 0.6:  # noqa: PLR2004  the others have flat roofs
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
        if rng.random() < 0.5:  # noqa: PLR2004  a chimney
            x, z = side * (front + depth * 0.45), rng.uniform(start, end)
            stack = Place(x, z).upright(rectangle(-0.5, 0.5, top + rise - 1, top + rise + 1.4))
            faces.insert(0, Face(stack, id_, Material.STONE, pick(rng, STONES)))
    gable = np.array([(x, y, start) for x, y in [*across, *far]])
    faces.append(Face(gable, id_, facade, shade(colour, 0.92), character))
    wall = along(side, front, rectangle(start, end, 0, top))
    faces.append(Face(wall, id_, facade, colour, character))
    if rng.random() < 0.45:  # noqa: PLR2004  a shop on the ground floor
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
    if rng.random() < 0.3:  # noqa: PLR2004  of boards
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


def tree(place: Place, rng: np.random.Generator, size: float = 1.0) -> list[Face]:
    """Return a tree: a trunk, and a crown of clumps that get lighter to the front and top."""
    id_, colour = LABEL["vegetation"], pick(rng, LEAVES)
    stem, wide = rng.uniform(1.8, 3.2) * size, rng.uniform(1.4, 2.6) * size
    lean, character = rng.uniform(-0.2, 0.2), float(rng.random())
    tall = wide * rng.uniform(0.9, 1.5)
    faces = [
        Face(place.upright(bar((0, 0), (lean, stem + tall), 0.34 * size, 0.5)), id_, 13, _TRUNK)
    ]
    if rng.random() < 0.35:  # noqa: PLR2004  branches show
        for _ in range(5):
            end = (lean + rng.uniform(-0.8, 0.8) * wide, stem + rng.uniform(0.5, 1.7) * tall)
            limb = bar((0, stem), end, 0.14, 0.4)
            faces.append(Face(place.upright(limb), id_, Material.BARK, _TRUNK))
    clumps = int(rng.integers(4, 8)) if place.z < 45 * size else 2  # noqa: PLR2004
    for step in range(clumps):
        angle, reach = rng.uniform(0, 2 * math.pi), 0.55 if step else 0.1
        x = lean + reach * wide * math.cos(angle)
        y = stem + tall * (0.8 + reach * math.sin(angle))
        clump = blob(x, y, wide * rng.uniform(0.45, 0.75), tall * rng.uniform(0.4, 0.7), rng)
        light = 0.75 + 0.12 * (y - stem) / tall + 0.03 * step
        crown = place.upright(clump, -0.05 * step)
        faces.append(Face(crown, id_, Material.LEAF, shade(colour, light), character))
    return faces


def lamp_post(place: Place, rng: np.random.Generator, reach: float) -> list[Face]:
    """Return a street light whose arm reaches over the road."""
    high, id_ = rng.uniform(5.5, 8.5), LABEL["pole"]
    colour = pick(rng, (_GREY, (0.2, 0.24, 0.22), (0.6, 0.6, 0.6)))
    mast = bar((0, 0), (0, high), 0.18, 0.6)
    arm = bar((0, high), (reach, high + 0.25), 0.12)
    head = bar((reach * 0.75, high + 0.15), (reach * 1.25, high + 0.2), 0.22)
    return [Face(place.upright(part), id_, Material.METAL, colour) for part in (mast, arm, head)]


def bollard(place: Place, rng: np.random.Generator) -> list[Face]:
    """Return a low post at the kerb."""
    colour = pick(rng, (_DARK, _GREY))
    post = place.upright(rectangle(-0.09, 0.09, 0, 1.0))
    band = place.upright(rectangle(-0.09, 0.09, 0.75, 0.88))
    return [
        Face(post, LABEL["pole"], Material.METAL, colour),
        Face(band, NOTHING, Material.SIGN, _WHITE),
    ]


def traffic_light(place: Place, rng: np.random.Generator, reach: float) -> list[Face]:
    """Return a traffic light on a pole; some hang over the road on an arm, too."""
    high = rng.uniform(2.6, 3.2)
    pole, id_ = LABEL["pole"], LABEL["traffic light"]
    overhead = rng.random() < 0.35  # noqa: PLR2004
    top = 5.6 if overhead else high + 0.4
    faces = [Face(place.upright(bar((0, 0), (0, top), 0.14)), pole, Material.METAL, _GREY)]
    heads = [(0.0, high)]
    if overhead:
        arm = bar((0, 5.5), (reach, 5.6), 0.13)
        faces.append(Face(place.upright(arm), pole, Material.METAL, _GREY))
        heads.append((reach * 0.95, 5.3))
    lit = int(rng.integers(3))
    lamps: tuple[Colour, ...] = ((0.95, 0.1, 0.08), (1.0, 0.65, 0.05), (0.1, 0.9, 0.45))
    for x, y in heads:
        case = place.upright(rectangle(x - 0.24, x + 0.24, y - 0.62, y + 0.62), -0.05)
        faces.append(Face(case, id_, Material.RUBBER, (0.05, 0.06, 0.06)))
        for number, colour in enumerate(lamps):
            lamp = place.upright(disc(x, y + 0.38 - 0.38 * number, 0.15, corners=8), -0.06)
            material, light = (Material.LAMP, 1.0) if number == lit else (Material.RUBBER, 0.25)
            faces.append(Face(lamp, NOTHING, material, shade(colour, light)))
    return faces


def sign(place: Place, rng: np.random.Generator) -> list[Face]:
    """Return a traffic sign: round, triangular, or a board with a direction."""
    high, id_ = rng.uniform(2.1, 2.9), LABEL["traffic sign"]
    size, kind = rng.uniform(0.36, 0.52), int(rng.integers(5))
    blue: Colour = (0.05, 0.25, 0.7)
    red: Colour = (0.85, 0.08, 0.1)
    triangle = [(-size, high - size * 0.7), (0.0, high + size), (size, high - size * 0.7)]
    inner = [(x * 0.62, high + (y - high) * 0.62) for x, y in triangle]
    board = rectangle(-size * 1.7, size * 1.7, high - size * 0.7, high + size * 0.7)
    arrow = bar((-size, high), (size, high), size * 0.35)
    ground, mark = (
        ((disc(0, high, size), red), (disc(0, high, size * 0.68), _WHITE)),
        ((triangle, red), (inner, _WHITE)),
        ((disc(0, high, size), blue), (bar((0, high - size / 2), (0, high + size / 2), 0.2), _WHITE)),
        ((board, blue), (arrow, _WHITE)),
        ((board, (0.95, 0.8, 0.1)), (arrow, _DARK)),
    )[kind]
    post = place.upright(rectangle(-0.06, 0.06, 0, high))
    return [
        Face(post, LABEL["pole"], Material.METAL, _GREY),
        Face(place.upright(ground[0], -0.05), id_, Material.SIGN, ground[1]),
        Face(place.upright(mark[0], -0.06), NOTHING, Material.SIGN, mark[1]),
    ]


def clutter(place: Place, rng: np.random.Generator) -> list[Face]:
    """Return a bin, a cabinet, an advertisement or a pushchair: known, but not evaluated."""
    kind = int(rng.integers(4))
    if kind == 3:  # noqa: PLR2004  the last: a pushchair, which moves
        hood = [(-0.25, 0.35), (-0.3, 0.9), (0.1, 1.05), (0.3, 0.5)]
        wheel = disc(0, 0.14, 0.14)
        return [
            Face(place.upright(hood), LABEL["dynamic"], Material.CLOTH, pick(rng, BOARDS)),
            Face(place.upright(wheel), LABEL["dynamic"], Material.RUBBER, _DARK),
        ]
    wide, high = ((0.3, 1.05), (0.45, 1.3), (0.6, 2.1))[kind]
    body = place.upright(rectangle(-wide, wide, 0, high))
    trim = place.upright(rectangle(-wide * 0.8, wide * 0.8, high * 0.55, high * 0.9))
    colours = (pick(rng, BOARDS), shade(pick(rng, BOARDS), 0.8))
    return [
        Face(body, LABEL["static"], Material.PAINT, colours[0]),
        Face(trim, NOTHING, Material.SIGN, colours[1]),
    ]


def bridge(z: float, rng: np.random.Generator) -> list[Face]:
    """Return a bridge across the road, which is not evaluated."""
    low, colour = rng.uniform(5.0, 6.5), pick(rng, STONES)
    face = Place(0.0, z).upright(rectangle(-60, 60, low, low + rng.uniform(1.2, 2.2)))
    return [Face(face, LABEL["bridge"], Material.STONE, colour)]
