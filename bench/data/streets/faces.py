"""What a street is made of: flat faces, each of one material, with the label that it has.

The functions here make faces out of outlines; `vehicles`, `people` and `roadside` make things out
of faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.classes import CITYSCAPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.data.streets.lens import Floats

Colour = tuple[float, float, float]
"""Red, green, blue, 0..1."""

Outline = list[tuple[float, float]]
"""Corners of a flat shape, metres, in order."""

LABEL = {label.name: label.id for label in CITYSCAPES.labels}
"""Cityscapes' label id of each class."""

NOTHING = -1
"""A face with this label hides no label; one with this material cannot be seen."""


class Material(IntEnum):
    """What a face is made of; the two renderings differ in how they paint each."""

    SKY = 0
    ASPHALT = 1
    MARKING = 2
    PAVING = 3
    GRASS = 4
    FACADE = 5
    ROOF = 6
    STONE = 7
    METAL = 8
    PAINT = 9
    GLASS = 10
    RUBBER = 11
    LEAF = 12
    BARK = 13
    CLOTH = 14
    SKIN = 15
    SIGN = 16
    LAMP = 17


class Face(NamedTuple):
    """A flat polygon.

    Attributes:
        points: float64 (n, 3), metres.
        label: id of its class, or `NOTHING` for a detail of what is behind it.
        material: a `Material`, or `NOTHING` for the gaps of a fence, which belong to it all the
            same.
        colour: of its surface, before light.
        character: 0..1, so that no two facades have the same windows.
    """

    points: Floats
    label: int
    material: int
    colour: Colour = (0.5, 0.5, 0.5)
    character: float = 0.0


@dataclass(frozen=True)
class Place:
    """Where a thing stands, and which way it looks.

    Attributes:
        x: metres to the right.
        z: metres ahead.
        yaw: radians; 0 looks away from the camera, pi/2 to the right.
        ground: metres that its feet are above the road.
    """

    x: float
    z: float
    yaw: float = 0.0
    ground: float = 0.0

    def put(self, along: Floats, up: Floats, across: Floats | float) -> Floats:
        """Return float64 (n, 3): points given by metres forward, up, and to the thing's right."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        x = self.x + along * sin + across * cos
        z = self.z + along * cos - across * sin
        return np.stack([x, self.ground + up + 0 * x, z], axis=1)

    def upright(self, outline: Outline, forward: float = 0.0) -> Floats:
        """Return an outline of (metres to the right, metres up) as a wall across the thing."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        x, z = self.x + forward * sin, self.z + forward * cos
        return np.array([(x + u * cos, self.ground + v, z - u * sin) for u, v in outline])

    def lengthwise(self, outline: Outline, across: float = 0.0) -> Floats:
        """Return an outline of (metres forward, metres up) as a wall along the thing."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        x, z = self.x + across * cos, self.z - across * sin
        return np.array([(x + u * sin, self.ground + v, z + u * cos) for u, v in outline])


def rectangle(left: float, right: float, bottom: float, top: float) -> Outline:
    """Return the outline of a rectangle.

    >>> rectangle(0, 1, 2, 3)
    [(0, 2), (0, 3), (1, 3), (1, 2)]
    """
    return [(left, bottom), (left, top), (right, top), (right, bottom)]


def disc(
    x: float, y: float, radius: float, height: float | None = None, corners: int = 14
) -> Outline:
    """Return the outline of an ellipse around (x, y); a circle if no `height` is given."""
    angles = [2 * math.pi * k / corners for k in range(corners)]
    tall = radius if height is None else height
    return [(x + radius * math.cos(a), y + tall * math.sin(a)) for a in angles]


def ring(x: float, y: float, radius: float, width: float) -> Outline:
    """Return the outline of a circle's rim: once round outside, and back inside."""
    outer, inner = disc(x, y, radius), disc(x, y, radius - width)
    return [*outer, outer[0], inner[0], *inner[:0:-1], inner[0]]


def bar(
    start: tuple[float, float], end: tuple[float, float], width: float, taper: float = 1.0
) -> Outline:
    """Return the outline of a straight limb that is `taper` times as wide at its end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    scale = width / 2 / max(math.hypot(dx, dy), 1e-9)
    nx, ny = -dy * scale, dx * scale
    return [
        (start[0] + nx, start[1] + ny),
        (end[0] + nx * taper, end[1] + ny * taper),
        (end[0] - nx * taper, end[1] - ny * taper),
        (start[0] - nx, start[1] - ny),
    ]


def blob(
    x: float, y: float, radius: float, height: float, rng: np.random.Generator, corners: int = 22
) -> Outline:
    """Return an outline like a clump of leaves: an ellipse with lobes of three sizes."""
    angles = 2 * math.pi * np.arange(corners) / corners
    reach = np.ones(corners)
    for lobes, depth in ((3, 0.10), (5, 0.09)):
        reach += depth * np.sin(lobes * angles + rng.uniform(0, 2 * math.pi))
    reach += rng.uniform(-0.09, 0.09, corners)
    across, up = x + radius * reach * np.cos(angles), y + height * reach * np.sin(angles)
    return list(zip(across.tolist(), up.tolist(), strict=True))


def shade(colour: Colour, factor: float) -> Colour:
    """Return a colour made darker or lighter.

    >>> shade((0.2, 0.4, 0.8), 1.5)
    (0.3, 0.6, 1.0)
    """
    red, green, blue = (min(1.0, round(part * factor, 4)) for part in colour)
    return red, green, blue


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with this probability."""
    return float(rng.random()) < probability


def pick(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """Return one of the colours, a little lighter or darker."""
    return shade(colours[int(rng.integers(len(colours)))], rng.uniform(0.8, 1.15))


def distance(faces: list[Face]) -> float:
    """Return the distance of the farthest point of a thing, by which things are sorted."""
    return float(np.concatenate([face.points for face in faces])[:, 2].max())


def along(side: int, front: float, outline: Outline) -> np.ndarray:
    """Return an outline of (metres ahead, metres up) as a wall along the road at `front`."""
    return np.array([(side * front, y, z) for z, y in outline], dtype=np.float64)
