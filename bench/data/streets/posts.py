"""What stands on a pavement: lamps, traffic lights, signs, bollards, bins."""

# ruff: noqa: PLR2004  a drawing is made of numbers
from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.streets.faces import (
    LABEL,
    NOTHING,
    Colour,
    Face,
    Material,
    Place,
    bar,
    chance,
    disc,
    pick,
    rectangle,
    shade,
)

if TYPE_CHECKING:
    import numpy as np

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
    overhead = chance(rng, 0.35)
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
        (
            (disc(0, high, size), blue),
            (bar((0, high - size / 2), (0, high + size / 2), 0.2), _WHITE),
        ),
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
    if kind == 3:  # the last: a pushchair, which moves
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
