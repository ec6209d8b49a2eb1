"""Patterns on surfaces, as functions of metres along and up them.

Only sums, products, quotients and look-ups: another machine's sine may differ in the last digit,
these do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from bench.data.streets.faces import Material
    from bench.data.streets.lens import Singles
    from bench.data.streets.raster import View

    Brush = Callable[["Patch"], Singles]

SIDE = 256
"""Cells of a noise table in each direction, after which it repeats."""


@dataclass(frozen=True)
class Patch:
    """All pixels of one material, arrays of (n,); see `View`."""

    view: View
    where: NDArray[np.int64]

    @cached_property
    def u(self) -> Singles:
        """Metres along the surface."""
        return self.view.u.ravel()[self.where]

    @cached_property
    def v(self) -> Singles:
        """Metres up the surface."""
        return self.view.v.ravel()[self.where]

    @cached_property
    def character(self) -> Singles:
        """What makes two faces of one material differ, 0..1."""
        return self.view.character.ravel()[self.where]

    @cached_property
    def colour(self) -> Singles:
        """Colour of the surface, float32 (n, 3)."""
        return self.view.colour.reshape(-1, 3)[self.where]

    @cached_property
    def up(self) -> Singles:
        """How far the pixel looks up."""
        return self.view.up.ravel()[self.where]

    def sharp(self, wave: float) -> Singles:
        """Return 1 where a pattern that repeats after `wave` metres shows, 0 where it blurs."""
        footprint = self.view.footprint.ravel()[self.where]
        return np.clip(wave / (3 * footprint) - np.float32(0.5), 0, 1)

    def noise(self, table: int, across: float, up: float | None = None, shift: int = 0) -> Singles:
        """Return noise, 0..1, whose cells are `across` metres wide and `up` metres high.

        With another `shift`, other noise comes out.
        """
        column = (self.u * np.float32(1 / across)).astype(np.int32) + shift & (SIDE - 1)
        row = (self.v * np.float32(1 / (up or across))).astype(np.int32) & (SIDE - 1)
        return noise_table(table).ravel()[row * SIDE + column]


def painted(view: View, brushes: Mapping[Material, Brush]) -> Singles:
    """Return the colours of all surfaces, float32 (h, w, 3), each material by its brush.

    A material without a brush has the plain colour of its faces.
    """
    picture = view.colour.copy()
    pixels = picture.reshape(-1, 3)
    for material, brush in brushes.items():
        where = np.flatnonzero(view.material == material)
        if len(where):
            pixels[where] = brush(Patch(view, where))
    return picture


@cache
def noise_table(smooth: int) -> Singles:
    """Return noise that repeats, float32 (256, 256), 0..1, in larger lumps if more `smooth`."""
    rng = np.random.default_rng((20_180_703, smooth))
    table = rng.random((SIDE, SIDE)).astype(np.float64)
    for reach in range(smooth):
        for axis in (0, 1):
            table = 2 * table + np.roll(table, 2**reach, axis) + np.roll(table, -(2**reach), axis)
    table -= table.min()
    return (table / table.max()).astype(np.float32)


def repeat(position: Singles, wave: float | Singles) -> Singles:
    """Return where in its period each position lies, 0..1."""
    turns = position / np.float32(wave) if isinstance(wave, float) else position / wave
    part: Singles = turns - np.floor(turns)
    return part


def bricks(patch: Patch, wide: float, high: float, joint: float) -> NDArray[np.bool_]:
    """Return where the joints are between bricks of which every other row is shifted by half."""
    row = np.floor(patch.v * np.float32(1 / high))
    shifted = patch.u + np.float32(wide / 2) * (row % 2)
    return (repeat(shifted, wide) < joint / wide) | (repeat(patch.v, high) < joint / high)


def windows(
    patch: Patch, width: tuple[float, float], storey: float
) -> tuple[Singles, Singles, Singles]:
    """Return how each pixel of a facade lies to its nearest window.

    Args:
        patch: the facades.
        width: the least and the greatest distance of windows, chosen by the face's character.
        storey: metres between floors.

    Returns:
        Position across the window and up it, -1..1 inside, and a number 0..1 for each window.
    """
    wave = width[0] + (width[1] - width[0]) * repeat(patch.character * 7, 1.0)
    narrow = 0.3 + 0.35 * repeat(patch.character * 13, 1.0)
    tall = 0.44 + 0.2 * repeat(patch.character * 29, 1.0)
    across = (repeat(patch.u, wave) - np.float32(0.5)) * 2 / narrow
    up = (repeat(patch.v - np.float32(0.9), storey) - np.float32(0.42)) * 2 / tall
    column = np.floor(patch.u / wave).astype(np.int32)
    floor = np.floor(patch.v * np.float32(1 / storey)).astype(np.int32)
    which = noise_table(0).ravel()[((floor * 37 + 11) & (SIDE - 1)) * SIDE + (column & (SIDE - 1))]
    return across.astype(np.float32), up.astype(np.float32), which


def mixed(one: Singles, other: Singles | tuple[float, ...], part: Singles | float) -> Singles:
    """Return colours (n, 3) or (h, w, 3) that are `part` of the other, and the rest of the one."""
    target = np.asarray(other, dtype=np.float32)
    share = part[..., None] if isinstance(part, np.ndarray) else np.float32(part)
    return one + (target - one) * share
