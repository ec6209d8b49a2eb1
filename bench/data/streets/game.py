"""Streets as a game shows them: vivid, clean, hard edges, bright sun and hard shadows."""

# ruff: noqa: PLR2004  a drawing is made of numbers
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from bench.data.streets import raster
from bench.data.streets.faces import Material, chance
from bench.data.streets.plan import Manner
from bench.data.streets.textures import SIDE, Patch, bricks, mixed, painted, repeat, windows

if TYPE_CHECKING:
    from bench.data.streets.lens import Singles
    from bench.data.streets.street import Street
    from bench.data.streets.textures import Brush

MANNER = Manner()
"""Wide streets with much green."""

_BLUE = (0.2, 0.46, 0.92)
_PALE = (0.72, 0.87, 1.0)


def rendering(street: Street, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Return the street as a picture of `size` (height, width)."""
    reach = rng.uniform(-1.6, 1.6), rng.uniform(-0.9, 0.9)
    cloudy = chance(rng, 0.4)
    direct, all_round = (0.25, 0.85) if cloudy else (0.62, 0.62)
    shown = raster.view(street, (2 * size[0], 2 * size[1]), None if cloudy else reach)
    surfaces = painted(shown, _brushes(int(rng.integers(SIDE)), cloudy=cloudy))
    sun = np.array([-reach[0], 1.0, -reach[1]]) / (1 + reach[0] ** 2 + reach[1] ** 2) ** 0.5
    nx, ny, nz = shown.normal
    facing = nx * np.float32(sun[0]) + ny * np.float32(sun[1]) + nz * np.float32(sun[2])
    light = np.float32(all_round) + np.float32(direct) * np.maximum(facing, 0) * ~shown.shadow
    light[np.isin(shown.material, (Material.SKY, Material.LAMP))] = 1.0
    tint = rng.uniform(0.75, 1.08) * np.array([rng.uniform(0.94, 1.06), 1, rng.uniform(0.9, 1.06)])
    picture = surfaces * light[..., None] * tint.astype(np.float32)
    far = np.where(shown.material == Material.SKY, 0, shown.z * np.float32(1 / 700))
    picture = mixed(picture, _PALE, np.clip(far, 0, 0.5))
    grey = picture.sum(2, keepdims=True) * np.float32(1 / 3)
    picture = grey + (picture - grey) * np.float32(rng.uniform(0.8, 1.25))
    small = (picture.clip(0, 1) * np.float32(255)).astype(np.uint8)
    reduced = Image.fromarray(small).reduce(2)
    return reduced.filter(ImageFilter.UnsharpMask(1, 70, 0))


def _brushes(drift: int, *, cloudy: bool) -> dict[Material, Brush]:
    def sky(patch: Patch) -> Singles:
        height = np.clip(patch.up * np.float32(2.2), 0, 1)
        blue = mixed(patch.colour * np.array(_PALE, np.float32), _BLUE, height)
        clouds = np.clip(patch.noise(5, 9.0, 3.5, drift) * 4 - np.float32(2.3), 0, 1)
        whole = np.maximum(clouds, np.float32(0.88 if cloudy else 0))
        return mixed(blue, (0.97, 0.98, 1.0), whole * np.float32(0.9))

    return _BRUSHES | {Material.SKY: sky}


def _asphalt(patch: Patch) -> Singles:
    return patch.colour * (0.94 + 0.12 * patch.noise(5, 0.25))[:, None]


def _paving(patch: Patch) -> Singles:
    joint = (repeat(patch.u, 1.0) < 0.07) | (repeat(patch.v, 1.0) < 0.07)
    return patch.colour * (1 - 0.3 * joint * patch.sharp(0.4))[:, None]


def _grass(patch: Patch) -> Singles:
    return patch.colour * (0.8 + 0.4 * patch.noise(3, 0.15))[:, None]


def _leaf(patch: Patch) -> Singles:
    # Three clear tones, as if painted with a stamp of leaves.
    tone = np.floor(patch.noise(2, 0.11) * np.float32(2.99)) * np.float32(0.5)
    return patch.colour * (0.65 + 0.65 * tone)[:, None]


def _facade(patch: Patch) -> Singles:
    panel = (repeat(patch.u, 3.0) < 0.025) | (repeat(patch.v, 3.0) < 0.03)
    face = patch.colour * (1.06 - 0.3 * panel * patch.sharp(0.5))[:, None]
    across, up, which = windows(patch, (2.2, 4.2), 3.0)
    inside = np.maximum(np.abs(across), np.abs(up))
    sill = (inside < 1.18) & (patch.v > 0.8)
    face = mixed(face, (0.93, 0.92, 0.9), sill * np.float32(0.8))
    pane = np.stack(
        [0.12 + 0.2 * which, 0.25 + 0.25 * which + 0.08 * up, 0.45 + 0.3 * which + 0.1 * up], axis=1
    )
    hole = ((inside < 1) & (patch.v > 0.8)).astype(np.float32)
    return mixed(face, pane, hole)


def _roof(patch: Patch) -> Singles:
    return patch.colour * (1 - 0.25 * (repeat(patch.v, 0.5) < 0.2) * patch.sharp(0.5))[:, None]


def _stone(patch: Patch) -> Singles:
    return patch.colour * (1 - 0.28 * bricks(patch, 1.2, 0.5, 0.06) * patch.sharp(0.3))[:, None]


def _paint(patch: Patch) -> Singles:
    gloss = np.clip(repeat(patch.v * np.float32(0.55), 1.0) - np.float32(0.35), 0, 1)
    return patch.colour + (0.32 * gloss)[:, None]


def _glass(patch: Patch) -> Singles:
    shine = repeat(patch.v * np.float32(0.9) + patch.u * np.float32(0.3), 1.0) > 0.6
    return mixed(patch.colour * np.float32(1.4), (0.45, 0.65, 0.9), shine * np.float32(0.45) + 0.1)


_BRUSHES: dict[Material, Brush] = {
    Material.ASPHALT: _asphalt,
    Material.PAVING: _paving,
    Material.GRASS: _grass,
    Material.LEAF: _leaf,
    Material.FACADE: _facade,
    Material.ROOF: _roof,
    Material.STONE: _stone,
    Material.PAINT: _paint,
    Material.GLASS: _glass,
}
