"""Cars, trucks, buses, trams and trailers: outlines drawn out to a width, with what is on them."""

# ruff: noqa: PLR2004  a drawing is made of numbers
from __future__ import annotations

import math
from dataclasses import dataclass
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
    disc,
    distance,
    pick,
    rectangle,
    shade,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

EYE = 1.4
"""Metres: how high the camera is, about; faces that look away from there are left out."""

PAINTS: tuple[Colour, ...] = (
    (0.75, 0.05, 0.05),
    (0.05, 0.15, 0.6),
    (0.85, 0.85, 0.85),
    (0.6, 0.62, 0.65),
    (0.08, 0.08, 0.1),
    (0.1, 0.35, 0.2),
    (0.8, 0.65, 0.1),
    (0.3, 0.32, 0.36),
    (0.35, 0.55, 0.75),
)
_DARK: Colour = (0.06, 0.07, 0.09)
_RED: Colour = (0.85, 0.08, 0.05)
_WHITE: Colour = (0.95, 0.95, 0.85)


@dataclass(frozen=True)
class Shape:
    """A kind of vehicle, seen from its left; metres forward from its middle, and up.

    Attributes:
        label: name of its class.
        profile: outline, clockwise from the bottom of its back.
        glass: numbers of the profile's edges that are windows all across.
        panes: outlines of the windows in its sides.
        wheels: where its wheels are, forward of its middle.
        width: metres.
        radius: of its wheels.
    """

    label: str
    profile: Outline
    glass: tuple[int, ...]
    panes: tuple[Outline, ...]
    wheels: tuple[float, ...]
    width: float
    radius: float = 0.32


def car(rng: np.random.Generator) -> Shape:
    """Return a saloon, a hatchback or a van."""
    kind, half, roof = rng.integers(4), rng.uniform(1.9, 2.2), rng.uniform(1.38, 1.55)
    trunk = -half + (0.75, 0.12, 0.05, 0.0)[kind]
    back = trunk + (0.55, 0.55, 0.35, 0.1)[kind]
    if kind == 3:  # the last: a van
        roof += 0.45
    belt, front = roof * 0.64, half - rng.uniform(0.8, 1.1)
    profile = [
        (-half, 0.28),
        (-half, 0.72),
        (trunk, belt),
        (back, roof),
        (front - 0.75, roof),
        (front, belt),
        (half - 0.1, 0.72),
        (half, 0.28),
    ]
    panes = [
        (trunk + 0.3, belt + 0.02),
        (back + 0.12, roof - 0.1),
        (front - 0.8, roof - 0.1),
        (front - 0.2, belt + 0.02),
    ]
    return Shape("car", profile, (2, 4), (panes,), (-half * 0.62, half * 0.64), 1.76)


def box(label: str, length: float, height: float, width: float, rng: np.random.Generator) -> Shape:
    """Return a bus or tram with windows all along, or the box of a truck with none."""
    half = length / 2
    profile = [(-half, 0.4), (-half, height), (half - 0.15, height), (half, height * 0.45)]
    profile.append((half, 0.4))
    panes: list[Outline] = []
    if label in {"bus", "train"}:
        pane, low, high = rng.uniform(1.1, 1.8), height * 0.48, height * 0.8
        starts = np.arange(-half + 0.3, half - pane, pane + 0.15)
        panes = [rectangle(start, start + pane, low, high) for start in starts]
    wheels = (-half * 0.6, half * 0.7) if length < 14 else (-half * 0.7, 0.0, half * 0.7)
    glass = (2,) if label in {"bus", "train"} else ()
    return Shape(label, profile, glass, tuple(panes), wheels, width, 0.46)


def cab(rng: np.random.Generator) -> Shape:
    """Return the front part of a truck, where the driver sits."""
    roof = rng.uniform(2.3, 2.8)
    profile = [(-0.9, 0.5), (-0.9, roof), (0.65, roof), (0.9, roof * 0.55), (0.95, 0.4)]
    pane = rectangle(-0.1, 0.6, roof * 0.55, roof * 0.85)
    return Shape("truck", profile, (2,), (pane,), (0.1,), 2.3, 0.48)


def vehicle(shape: Shape, place: Place, paint: Colour, *, plate: bool = True) -> list[Face]:
    """Return the faces of a vehicle that look at the camera, the far ones first."""
    label, half = LABEL[shape.label], shape.width / 2
    panels: list[tuple[float, list[Face]]] = []
    along, up = (np.asarray(part) for part in zip(*shape.profile, strict=True))

    def add(points: np.ndarray, material: Material, details: Sequence[Face]) -> None:
        if _faces_camera(points):
            near = float((points[:, 0] ** 2 + points[:, 2] ** 2).mean())
            colour = _DARK if material == Material.GLASS else paint
            panels.append((near, [Face(points, label, material, colour), *details]))

    for edge in range(len(shape.profile)):
        ends = [edge, (edge + 1) % len(shape.profile)]
        s, y = along[ends], up[ends]
        corners = place.put(s[[0, 0, 1, 1]], y[[0, 0, 1, 1]], half * np.array([-1, 1, 1, -1]))
        details: list[Face] = []
        if plate and edge in {0, len(shape.profile) - 2}:
            details = _lamps(shape, place, edge == 0)
        add(corners, Material.GLASS if edge in shape.glass else Material.PAINT, details)
    for side in (-1, 1):
        order = slice(None) if side < 0 else slice(None, None, -1)
        across = side * (half + 0.005)
        details = [
            Face(place.lengthwise(pane, across), NOTHING, Material.GLASS, _DARK)
            for pane in shape.panes
        ]
        for s0 in shape.wheels:
            tyre = disc(s0, shape.radius, shape.radius)
            hub = disc(s0, shape.radius, shape.radius * 0.55, corners=8)
            details += [
                Face(place.lengthwise(tyre, across), label, Material.RUBBER, (0.05, 0.05, 0.05)),
                Face(place.lengthwise(hub, across), NOTHING, Material.METAL, (0.6, 0.6, 0.62)),
            ]
        add(place.put(along[order], up[order], side * half), Material.PAINT, details)
    panels.sort(key=lambda panel: -panel[0])
    return [face for _, faces in panels for face in faces]


def truck(place: Place, rng: np.random.Generator) -> list[Face]:
    """Return a truck: its box and its cab."""
    paint, cargo = pick(rng, PAINTS), pick(rng, PAINTS)
    length = rng.uniform(4.5, 7.5)
    load = box("truck", length, rng.uniform(2.9, 3.7), 2.4, rng)
    ahead = length / 2 + 1.0
    sin, cos = math.sin(place.yaw), math.cos(place.yaw)
    front = Place(place.x + ahead * sin, place.z + ahead * cos, place.yaw)
    parts = [vehicle(load, place, cargo), vehicle(cab(rng), front, paint)]
    parts.sort(key=distance, reverse=True)
    return [*parts[0], *parts[1]]


def _lamps(shape: Shape, place: Place, back: bool) -> list[Face]:  # noqa: FBT001
    """Return the lamps and the number plate on a vehicle's back or front."""
    end = shape.profile[0][0] - 0.02 if back else shape.profile[-1][0] + 0.02
    half, high = shape.width / 2, max(y for _, y in shape.profile) * 0.3 + 0.2
    low = high - 0.16
    lamp, colour = Material.LAMP, _RED if back else _WHITE
    details = [
        Face(place.upright(rectangle(left, left + 0.32, low, high), end), NOTHING, lamp, colour)
        for left in (-half + 0.06, half - 0.38)
    ]
    plate, dark = rectangle(-0.26, 0.26, 0.42, 0.54), rectangle(-half, half, 0.28, 0.38)
    details.append(Face(place.upright(dark, end), NOTHING, Material.RUBBER, (0.1, 0.1, 0.1)))
    details.append(Face(place.upright(plate, end), NOTHING, Material.SIGN, (0.9, 0.9, 0.7)))
    if not back:
        grille = rectangle(-half * 0.5, half * 0.5, low - 0.02, high)
        details.append(Face(place.upright(grille, end), NOTHING, Material.METAL, shade(_DARK, 2)))
    return details


def _faces_camera(points: np.ndarray) -> bool:
    """Return whether a face, whose corners go clockwise seen from outside, looks at the camera."""
    corners = points.tolist()
    out = 0.0
    # Newell's normal is right for any number of corners; the eye is at (0, EYE, 0).
    middle = [sum(axis) / len(corners) for axis in zip(*corners, strict=True)]
    for (x, y, z), (nx, ny, nz) in zip(corners, [*corners[1:], corners[0]], strict=True):
        out += (y * nz - z * ny) * middle[0]
        out += (z * nx - x * nz) * (middle[1] - EYE)
        out += (x * ny - y * nx) * middle[2]
    return out > 0
