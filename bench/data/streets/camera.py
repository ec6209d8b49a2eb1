"""Streets as a cheap camera on a car shows them: dull, grainy, in any weather.

Not the colours alone differ from `game`: so do what walls, roads and trees are made of, where light
comes from, and what air, lens, sensor and compression do to a picture.
"""

# ruff: noqa: PLR2004  a drawing is made of numbers
from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from bench.data.streets import raster
from bench.data.streets.faces import Material
from bench.data.streets.plan import Manner
from bench.data.streets.textures import Patch, bricks, mixed, painted, windows

if TYPE_CHECKING:
    from bench.data.streets.lens import Singles
    from bench.data.streets.raster import View
    from bench.data.streets.street import Street
    from bench.data.streets.textures import Brush

MANNER = Manner(
    lane=(2.7, 3.3), pavement=(2.2, 4.8), parked=0.4, walkers=(3, 11), green=0.38, traffic=0.5
)
"""Narrow streets full of parked cars."""


@dataclass(frozen=True)
class Weather:
    """What the air and the light are like.

    Attributes:
        clear: metres after which half of a thing's light is lost.
        air: colour of haze and sky.
        wet: part of the light that the road mirrors.
        rain: streaks of rain in the picture.
        sun: metres to the right and ahead that the shadow of a post of one metre reaches, or None.
        glow: strength of the sun's glare.
        bare: how many of the trees' leaves have fallen, 0..1.
    """

    clear: float
    air: tuple[float, float, float]
    wet: float = 0.0
    rain: int = 0
    sun: tuple[float, float] | None = None
    glow: float = 0.0
    bare: float = 0.0


def rendering(street: Street, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Return the street as a picture of `size` (height, width)."""
    weather = _weather(rng)
    shown = raster.view(street, (2 * size[0], 2 * size[1]), weather.sun)
    surfaces = painted(shown, _brushes(weather))
    # Faded, some days more than others.
    grey = surfaces.sum(2, keepdims=True) * np.float32(1 / 3)
    surfaces = grey + (surfaces - grey) * np.float32(rng.uniform(0.6, 0.9))
    lit = surfaces * _light(shown, weather)[..., None]
    lost = np.where(shown.material == Material.SKY, 0, shown.z / (shown.z + weather.clear))
    fine = mixed(lit, weather.air, lost.astype(np.float32))
    picture: Singles = fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]
    picture *= np.float32(0.25)
    if weather.wet:
        picture = _mirrored(picture, shown, weather.wet)
    if weather.glow:
        picture = _glared(picture, weather.glow, rng)
    return _taken(picture, weather.rain, rng)


def _weather(rng: np.random.Generator) -> Weather:
    """Return an overcast, wet, rainy, foggy or low-sun day."""
    kind, grey = rng.random(), rng.uniform(0.72, 0.95)
    air = (grey, grey * rng.uniform(0.98, 1.02), grey * rng.uniform(0.98, 1.06))
    bare = float(rng.choice([0.0, 0.3, 0.7]))
    if kind < 0.4:  # overcast
        return Weather(rng.uniform(250, 600), air, bare=bare)
    if kind < 0.55:  # after rain
        return Weather(rng.uniform(200, 500), air, wet=rng.uniform(0.35, 0.6), bare=bare)
    if kind < 0.7:  # rain
        wet, drops = rng.uniform(0.3, 0.55), int(rng.integers(40, 120))
        return Weather(rng.uniform(110, 250), air, wet=wet, rain=drops, bare=bare)
    if kind < 0.82:  # fog
        return Weather(rng.uniform(45, 110), air, bare=bare)
    sun = rng.uniform(-3, 3), rng.uniform(-3.5, 1.0)
    warm = (0.95, 0.88, 0.76)
    return Weather(rng.uniform(250, 500), warm, sun=sun, glow=rng.uniform(0.2, 0.7), bare=bare)


def _light(shown: View, weather: Weather) -> Singles:
    """Return the light of a grey sky: from above, and less of it near the ground."""
    up = shown.normal[1]
    sheltered = np.clip(shown.y * np.float32(0.35) + np.float32(0.62), 0, 1)
    light = (np.float32(0.68) + np.float32(0.22) * up) * np.where(np.abs(up) > 0.9, 1, sheltered)
    if weather.sun:
        x, z = weather.sun
        low = 1 / (1 + x * x + z * z) ** 0.5
        nx, _, nz = shown.normal
        facing = nx * np.float32(-x * low) + up * np.float32(low) + nz * np.float32(-z * low)
        light += np.float32(0.5) * np.maximum(facing, 0) * ~shown.shadow
    lamps = np.isin(shown.material, (Material.SKY, Material.LAMP))
    return np.where(lamps, np.float32(1), light)


def _brushes(weather: Weather) -> dict[Material, Brush]:
    def sky(patch: Patch) -> Singles:
        cloud = patch.noise(6, 25.0, 9.0) - np.float32(0.5)
        bright = np.float32(1.02) + np.float32(0.25) * cloud - np.float32(0.12) * patch.up
        return patch.colour * np.array(weather.air, np.float32) * bright[:, None]

    def leaf(patch: Patch) -> Singles:
        grain = patch.noise(0, 0.05)
        tone = np.float32(0.35) + np.float32(0.75) * grain * patch.noise(3, 0.2)
        brown = mixed(patch.colour, (0.4, 0.33, 0.24), weather.bare)
        # Through thin crowns one sees the sky.
        holes = (patch.noise(1, 0.06, 0.16) < 0.2 + 0.45 * weather.bare) & (patch.v > 2.2)
        return mixed(brown * tone[:, None], weather.air, holes * np.float32(0.75))

    return _BRUSHES | {Material.SKY: sky, Material.LEAF: leaf}


def _asphalt(patch: Patch) -> Singles:
    grain = np.float32(0.5) * (patch.noise(0, 0.035) - np.float32(0.5)) * patch.sharp(0.035)
    stains = np.float32(0.55) * (patch.noise(6, 0.12) - np.float32(0.5))
    crack = np.abs(patch.noise(4, 0.07) - np.float32(0.5)) < 0.012
    patched = patch.noise(0, 3.1, 7.0) < 0.18
    tone = 1 + grain + stains - 0.3 * crack * patch.sharp(0.1) - np.float32(0.2) * patched
    return patch.colour * np.float32(1.3) * tone.astype(np.float32)[:, None]


def _marking(patch: Patch) -> Singles:
    worn = np.clip(patch.noise(1, 0.05) * 3 - np.float32(0.6), 0, 1)
    return mixed(np.full_like(patch.colour, 0.4), patch.colour * np.float32(0.9), worn)


def _paving(patch: Patch) -> Singles:
    joint = bricks(patch, 0.3, 0.2, 0.05) * patch.sharp(0.2)
    tone = np.float32(0.42) + np.float32(0.5) * patch.noise(2, 0.25) - np.float32(0.25) * joint
    return patch.colour * tone.astype(np.float32)[:, None]


def _grass(patch: Patch) -> Singles:
    tone = np.float32(0.45) + np.float32(0.8) * patch.noise(0, 0.04, 0.15)
    earth = np.clip(patch.noise(4, 0.2) * 4 - np.float32(2.0), 0, 1)
    return mixed(patch.colour * np.float32(0.8), (0.42, 0.36, 0.28), earth) * tone[:, None]


def _facade(patch: Patch) -> Singles:
    mortar = bricks(patch, 0.5, 0.22, 0.06) * patch.sharp(0.22)
    dirt = np.float32(0.5) * (patch.noise(4, 0.15, 0.9) - np.float32(0.5))
    grain = np.float32(0.3) * (patch.noise(0, 0.5, 0.22) - np.float32(0.5)) * patch.sharp(0.22)
    tone = np.float32(0.82) + dirt + grain + np.float32(0.22) * mortar
    face = mixed(patch.colour, (0.5, 0.38, 0.3), 0.45) * tone.astype(np.float32)[:, None]
    across, up, which = windows(patch, (1.5, 2.6), 2.8)
    across = across * np.float32(1.15)
    inside, above = np.maximum(np.abs(across), np.abs(up)), patch.v > 0.8
    hole = (inside < 1) & above
    sash = (np.abs(across) < 0.1) | (np.abs(up - np.float32(0.1)) < 0.07) | (inside > 0.86)
    curtain = np.float32(0.08) + np.float32(0.4) * which * (np.abs(across) > 0.5)
    pane = np.repeat(curtain[:, None], 3, axis=1)
    face = np.where(hole[:, None], np.where(sash[:, None], np.float32(0.72), pane), face)
    lintel = (inside < 1.3) & (up > 1) & above
    return mixed(face, (0.5, 0.48, 0.46), lintel * np.float32(0.6))


def _roof(patch: Patch) -> Singles:
    tone = np.float32(0.6) + np.float32(0.6) * patch.noise(0, 0.35, 0.25)
    return patch.colour * tone[:, None]


def _stone(patch: Patch) -> Singles:
    moss = np.clip(patch.noise(4, 0.12) * 3 - np.float32(1.6), 0, 1)
    tone = np.float32(0.55) + np.float32(0.7) * patch.noise(2, 0.1)
    return mixed(patch.colour * tone[:, None], (0.28, 0.31, 0.2), moss * np.float32(0.7))


def _paint(patch: Patch) -> Singles:
    dust = np.clip(np.float32(0.75) - patch.v, 0, np.float32(0.5))
    sky = np.clip(patch.v * np.float32(0.5) - np.float32(0.25), 0, np.float32(0.28))
    # Most people here buy grey cars.
    grey = np.repeat(patch.colour.sum(1, keepdims=True) * np.float32(1 / 3), 3, axis=1)
    body = mixed(patch.colour, grey, 0.8)
    return mixed(mixed(body, (0.35, 0.32, 0.28), dust), (0.8, 0.8, 0.82), sky)


def _glass(patch: Patch) -> Singles:
    trees = patch.noise(3, 0.06, 0.12)
    return mixed(patch.colour, (0.55, 0.57, 0.6), np.float32(0.5) * trees)


def _cloth(patch: Patch) -> Singles:
    folds = np.float32(0.35) + np.float32(0.5) * patch.noise(2, 0.03, 0.08)
    return patch.colour * folds[:, None]


_BRUSHES: dict[Material, Brush] = {
    Material.ASPHALT: _asphalt,
    Material.MARKING: _marking,
    Material.PAVING: _paving,
    Material.GRASS: _grass,
    Material.FACADE: _facade,
    Material.ROOF: _roof,
    Material.STONE: _stone,
    Material.PAINT: _paint,
    Material.GLASS: _glass,
    Material.CLOTH: _cloth,
}


def _mirrored(picture: Singles, shown: View, wet: float) -> Singles:
    """Return the picture with what stands behind it mirrored, smeared, in the wet road."""
    middle = shown.up[::2, shown.up.shape[1] // 2]
    horizon = int((middle > 0).sum())
    rows = np.clip(2 * horizon - np.arange(len(picture)), 0, len(picture) - 1)
    seen = picture[rows]
    for reach in (2, 4):
        seen = (seen + np.roll(seen, reach, 0) + np.roll(seen, -reach, 0)) * np.float32(1 / 3)
    road = np.isin(shown.material[::2, ::2], (Material.ASPHALT, Material.MARKING, Material.PAVING))
    ripples = Patch(shown, np.arange(shown.z.size)).noise(5, 0.2).reshape(shown.z.shape)
    puddles = np.clip(ripples[::2, ::2] * 4 - np.float32(1.2), np.float32(0.35), 1)
    return mixed(
        picture * np.where(road, 0.8, 1)[..., None], seen, road * puddles * np.float32(wet)
    )


def _glared(picture: Singles, glow: float, rng: np.random.Generator) -> Singles:
    """Return the picture with a low sun in or beside it."""
    high, wide = picture.shape[:2]
    row, column = np.ogrid[:high, :wide]
    x, y = rng.uniform(-0.2, 1.2) * wide, rng.uniform(-0.1, 0.35) * high
    square = ((column - x) ** 2 + (row - y) ** 2) / (0.3 * high) ** 2
    return mixed(picture, (1.0, 0.95, 0.82), (glow / (1 + square)).astype(np.float32))


def _taken(picture: Singles, rain: int, rng: np.random.Generator) -> Image.Image:
    """Return what lens, sensor and compression make of the light."""
    high, wide = picture.shape[:2]
    row = np.linspace(-1, 1, high, dtype=np.float32)[:, None]
    column = np.linspace(-1, 1, wide, dtype=np.float32)
    falloff = 1 - np.float32(rng.uniform(0.1, 0.4)) * (row * row + column * column) / 2
    rolling = 1 + np.float32(rng.uniform(-0.12, 0.12)) * row
    balance = rng.uniform(0.93, 1.07, 3).astype(np.float32) * np.float32(rng.uniform(0.55, 1.05))
    light = picture * (falloff * rolling)[..., None] * balance
    # A curve that lifts the dark parts and lets the bright ones run into white.
    light = light * np.float32(1.45) / (light + np.float32(0.45)) - np.float32(0.06)
    image = Image.fromarray((light.clip(0, 1) * np.float32(255)).astype(np.uint8))
    if rain:
        image = _rained(image, rain, rng)
    blur = rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.7)
    soft = image.filter(ImageFilter.BoxBlur(blur if rng.random() < 0.5 else blur[::-1]))
    noise = rng.standard_normal((high, wide, 3), dtype=np.float32)
    noise[..., 1:] = noise[..., :1] * np.float32(0.7) + noise[..., 1:] * np.float32(0.4)
    levels = np.asarray(soft).astype(np.float32) + noise * np.float32(rng.uniform(2, 8))
    grainy = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    packed = io.BytesIO()
    grainy.save(packed, "JPEG", quality=int(rng.integers(40, 85)))
    with Image.open(packed, formats=("JPEG",)) as unpacked:
        return unpacked.convert("RGB")


def _rained(image: Image.Image, drops: int, rng: np.random.Generator) -> Image.Image:
    veil = Image.new("L", image.size, 0)
    draw, slant = ImageDraw.Draw(veil), rng.uniform(-0.3, 0.3)
    for x, y, length in zip(
        rng.uniform(0, image.width, drops).tolist(),
        rng.uniform(-10, image.height, drops).tolist(),
        rng.uniform(4, 16, drops).tolist(),
        strict=True,
    ):
        draw.line((x, y, x + slant * length, y + length), fill=70)
    return Image.composite(Image.new("RGB", image.size, (225, 225, 230)), image, veil)
