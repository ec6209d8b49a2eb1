"""People, riders, bicycles and motorcycles: flat figures with limbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.streets.faces import (
    LABEL,
    NOTHING,
    Colour,
    Face,
    Material,
    Outline,
    Place,
    bar,
    chance,
    disc,
    pick,
    rectangle,
    ring,
)

if TYPE_CHECKING:
    import numpy as np

CLOTHES: tuple[Colour, ...] = (
    (0.8, 0.1, 0.15),
    (0.1, 0.2, 0.55),
    (0.1, 0.1, 0.12),
    (0.85, 0.85, 0.8),
    (0.55, 0.4, 0.2),
    (0.15, 0.45, 0.3),
    (0.4, 0.15, 0.45),
    (0.35, 0.37, 0.4),
)
TROUSERS: tuple[Colour, ...] = (
    (0.12, 0.15, 0.3),
    (0.1, 0.1, 0.1),
    (0.35, 0.3, 0.22),
    (0.25, 0.27, 0.3),
)
SKINS: tuple[Colour, ...] = ((0.87, 0.65, 0.52), (0.6, 0.42, 0.3), (0.35, 0.23, 0.16))
HAIR: tuple[Colour, ...] = ((0.1, 0.08, 0.06), (0.35, 0.22, 0.1), (0.6, 0.5, 0.3), (0.5, 0.5, 0.5))
FRAMES: tuple[Colour, ...] = ((0.7, 0.1, 0.1), (0.1, 0.3, 0.6), (0.12, 0.12, 0.12), (0.2, 0.5, 0.3))

_TYRE: Colour = (0.06, 0.06, 0.06)


def person(place: Place, rng: np.random.Generator) -> list[Face]:
    """Return somebody who stands or walks, 1.5 to 1.9 m tall."""
    tall = rng.uniform(0.85, 1.06)
    stride, swing = rng.uniform(0.0, 0.28), rng.uniform(0.05, 0.3)
    top, legs, skin = pick(rng, CLOTHES), pick(rng, TROUSERS), pick(rng, SKINS)
    parts: list[tuple[Outline, Material, Colour]] = []
    for side in (-1, 1):
        foot = (side * (0.08 + stride), 0.0)
        parts.append((bar((side * 0.09, 0.9), foot, 0.21, 0.7), Material.CLOTH, legs))
        hand = (side * (0.27 + swing * 0.5), 0.82)
        parts.append((bar((side * 0.22, 1.42), hand, 0.14, 0.8), Material.CLOTH, top))
    coat = rng.uniform(0.6, 0.95)
    torso = [(-0.19, coat), (-0.24, 1.45), (-0.08, 1.53), (0.08, 1.53), (0.24, 1.45), (0.19, coat)]
    parts += [
        (torso, Material.CLOTH, top),
        (disc(0, 1.64, 0.115, 0.145), Material.SKIN, skin),
        (disc(0, 1.72, 0.12, 0.075, 8), Material.CLOTH, pick(rng, HAIR)),
    ]
    if chance(rng, 0.4):  # some carry a bag
        bag = rectangle(0.22, 0.45, 0.45, 0.8)
        parts.append((bag, Material.CLOTH, pick(rng, CLOTHES)))
    return [
        Face(
            place.upright([(x * tall, y * tall) for x, y in outline]), LABEL["person"], what, colour
        )
        for outline, what, colour in parts
    ]


def bicycle(place: Place, rng: np.random.Generator, label: str = "bicycle") -> list[Face]:
    """Return a bicycle or motorcycle, seen from its side and from its end."""
    motor = label == "motorcycle"
    id_, frame = LABEL[label], pick(rng, FRAMES)
    radius, base = (0.31, 0.68) if motor else (0.34, 0.53)
    faces = []
    for wheel in (-base, base):
        tyre = ring(wheel, radius, radius, 0.12 if motor else 0.055)
        # As in Cityscapes, what is seen through a wheel belongs to it.
        faces.append(Face(place.lengthwise(disc(wheel, radius, radius)), id_, NOTHING))
        faces.append(Face(place.lengthwise(tyre), id_, Material.RUBBER, _TYRE))
        hub = disc(wheel, radius, 0.12 if motor else 0.04, corners=6)
        faces.append(Face(place.lengthwise(hub), id_, Material.METAL, (0.5, 0.5, 0.5)))
    if motor:
        tank = [(-0.6, 0.5), (-0.75, 0.85), (-0.1, 0.78), (0.1, 0.98), (0.42, 0.9), (0.3, 0.35)]
        tank.append((-0.4, 0.3))
        fork = bar((0.68, radius), (0.36, 1.05), 0.09)
        bars: list[Outline] = [tank, fork]
    else:
        joints = {"rear": (-base, radius), "pedal": (-0.05, 0.3), "seat": (-0.2, 0.85)}
        joints |= {"head": (0.36, 0.82), "front": (base, radius)}
        pairs = ("rear pedal", "pedal seat", "seat rear", "pedal head", "seat head", "head front")
        ends = [pair.split() for pair in pairs]
        bars = [bar(joints[one], joints[other], 0.05) for one, other in ends]
        bars += [bar((0.36, 0.8), (0.32, 1.02), 0.05), rectangle(-0.34, -0.08, 0.85, 0.91)]
    faces += [Face(place.lengthwise(each), id_, Material.PAINT, frame) for each in bars]
    # Seen along its length it is a thin wall with handlebars.
    width = 0.16 if motor else 0.07
    end = disc(0, radius, width / 2, radius)
    faces.append(Face(place.upright(end, -base), id_, Material.RUBBER, _TYRE))
    handles = rectangle(-0.3, 0.3, 0.98, 1.03)
    faces.append(Face(place.upright(handles, 0.33), id_, Material.METAL, (0.2, 0.2, 0.2)))
    if motor:
        body = [(-0.1, 0.4), (-0.2, 0.85), (0.2, 0.85), (0.1, 0.4)]
        faces.append(Face(place.upright(body, -0.4), id_, Material.PAINT, frame))
        lamp = rectangle(-0.07, 0.07, 0.66, 0.76)
        faces.append(Face(place.upright(lamp, -0.45), id_, Material.LAMP, (0.85, 0.1, 0.05)))
    return faces


def rider(place: Place, rng: np.random.Generator, label: str = "bicycle") -> list[Face]:
    """Return somebody on a bicycle or motorcycle."""
    top, legs, skin = pick(rng, CLOTHES), pick(rng, TROUSERS), pick(rng, SKINS)
    seat, lift = (0.8, 0.0) if label == "motorcycle" else (0.9, 0.06)
    knee = rng.uniform(0.45, 0.62)
    from_side: list[tuple[Outline, Material, Colour]] = [
        (bar((-0.15, seat), (0.18, knee + 0.1), 0.19, 0.8), Material.CLOTH, legs),
        (bar((0.18, knee + 0.1), (0.0, 0.25), 0.15, 0.7), Material.CLOTH, legs),
        (bar((-0.16, seat - 0.05), (0.08, 1.42 + lift), 0.32, 0.9), Material.CLOTH, top),
        (bar((0.06, 1.34 + lift), (0.36, 1.02), 0.12, 0.8), Material.CLOTH, top),
        (disc(0.16, 1.6 + lift, 0.12, 0.145), Material.SKIN, skin),
        (disc(0.14, 1.66 + lift, 0.13, 0.1, 8), Material.PAINT, pick(rng, CLOTHES)),
    ]
    torso = [(-0.17, seat - 0.1), (-0.24, 1.36), (-0.09, 1.46), (0.09, 1.46), (0.24, 1.36)]
    torso.append((0.17, seat - 0.1))
    from_behind: list[tuple[Outline, Material, Colour]] = [
        (bar((-0.11, seat), (-0.15, 0.28), 0.18, 0.7), Material.CLOTH, legs),
        (bar((0.11, seat), (0.15, 0.42), 0.18, 0.7), Material.CLOTH, legs),
        ([(x, y + lift) for x, y in torso], Material.CLOTH, top),
        (bar((-0.22, 1.36 + lift), (-0.33, 1.02), 0.12), Material.CLOTH, top),
        (bar((0.22, 1.36 + lift), (0.33, 1.02), 0.12), Material.CLOTH, top),
        (disc(0, 1.6 + lift, 0.12, 0.145), Material.SKIN, skin),
        (disc(0, 1.67 + lift, 0.13, 0.1, 8), Material.PAINT, pick(rng, CLOTHES)),
    ]
    id_ = LABEL["rider"]
    return [
        *bicycle(place, rng, label),
        *(Face(place.lengthwise(each), id_, what, colour) for each, what, colour in from_side),
        *(Face(place.upright(each, -0.2), id_, what, colour) for each, what, colour in from_behind),
    ]
