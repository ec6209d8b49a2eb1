"""Digits rendered from fonts, as house numbers look: colours, clutter, slant, light and noise."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bench.errors import MissingDataError

if TYPE_CHECKING:
    from torch import Tensor

    from bench.data.domain import Split

SIZE = 32
SPLITS: dict[Split, tuple[int, int]] = {"train": (1, 6_000), "test": (2, 1_500)}
"""Number that seeds a split, and how many images it has."""

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
    "cmr10",
    "cmss10",
    "cmtt10",
    "cmb10",
)
"""Fonts that matplotlib ships with upright lining digits; its symbol fonts have none."""

_CANVAS = 64
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_RAMP = np.linspace(-1.0, 1.0, SIZE, dtype=np.float32)


class Printed:
    """7,500 generated digits of 32x32 RGB pixels: 6,000 to train on, 1,500 to test.

    A light digit on a darker wall, in one of 16 fonts, as high as the picture and with neighbours
    cut off at the sides, as in SVHN. Each image is a function of its split and position alone, and
    the classes are balanced. Another version of Pillow, NumPy or matplotlib may render other
    pixels; the run id then changes, because it contains a digest of the images.
    """

    classes: ClassVar[int] = 10

    def images(self, root: Path, split: Split) -> Tensor:  # noqa: ARG002  embedded: no folder
        """Return uint8 (6000 or 1500, 3, 32, 32)."""
        return _rendered(split)

    def labels(self, root: Path, split: Split) -> Tensor:  # noqa: ARG002
        """Return int64 (6000 or 1500,), values 0..9."""
        return torch.arange(SPLITS[split][1]) % self.classes


@cache
def _rendered(split: Split) -> Tensor:
    seed, count = SPLITS[split]
    images = [render(index % 10, seed, index) for index in range(count)]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def render(digit: int, seed: int, index: int) -> np.ndarray:
    """Return one house number, uint8 (32, 32, 3): a function of the three arguments.

    The digit is at least 70 grey levels lighter than the wall, before blur and noise.
    """
    rng = np.random.default_rng((seed, index))
    ink = np.asarray(_ink(digit, rng), dtype=np.float32)[..., None] / 255
    wall = rng.uniform(0, 110, 3).astype(np.float32)
    tint = rng.uniform(-30, 30, 3).astype(np.float32)
    contrast = rng.uniform(70, 150) + tint - tint @ _LUMA
    down, across = rng.uniform(-25, 25, 2).astype(np.float32)
    light = down * _RAMP[:, None] + across * _RAMP
    noise = rng.standard_normal((SIZE, SIZE, 3), dtype=np.float32) * rng.uniform(4, 24)
    lit_wall = np.maximum(wall + light[..., None], 0)
    image: np.ndarray = lit_wall + contrast * ink + noise
    return image.clip(0, 255).astype(np.uint8)


def _ink(digit: int, rng: np.random.Generator) -> Image.Image:
    """Draw the digit and what can be seen of its neighbours: grey, 32x32, 255 where paint is."""
    name = FONTS[rng.integers(len(FONTS))]
    height, stroke = int(rng.integers(23, 31)), int(rng.integers(2))
    canvas = _glyph(name, height, stroke, digit).copy()
    left, top, right, bottom = canvas.getbbox() or (0, 0, _CANVAS, _CANVAS)
    middle = np.array([left + right, top + bottom]) / 2
    width = _font(name, height).getlength("0")
    for side in (-1, 1):
        if rng.random() < 0.8:  # noqa: PLR2004  most house numbers have more than one digit
            other = _glyph(name, height, stroke, int(rng.integers(10)))
            canvas.paste(255, (round(side * width * rng.uniform(0.95, 1.2)), 0), other)
    canvas = canvas.transform(
        (SIZE, SIZE),
        Image.Transform.AFFINE,
        _view(middle, rng),
        resample=Image.Resampling.BILINEAR,
    )
    return canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1)))


def _view(middle: np.ndarray, rng: np.random.Generator) -> tuple[float, ...]:
    """Return the affine map from picture to canvas: digits narrowed, slanted, turned, moved."""
    narrow, slant = rng.uniform(0.6, 0.95), rng.uniform(-0.2, 0.2)
    angle = np.deg2rad(rng.uniform(-8, 8))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = np.array([[1 / narrow, slant], [0, 1]]) @ turn
    offset = middle - linear @ (SIZE / 2 + rng.uniform(-1.5, 1.5, 2))
    return (*linear[0].tolist(), float(offset[0]), *linear[1].tolist(), float(offset[1]))


@cache
def _glyph(name: str, height: int, stroke: int, digit: int) -> Image.Image:
    """Draw one digit in the middle of a canvas, 64x64; `stroke` pixels bolder than the font."""
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    ImageDraw.Draw(canvas).text(
        (_CANVAS / 2, _CANVAS / 2),
        str(digit),
        fill=255,
        font=_font(name, height),
        anchor="mm",
        stroke_width=stroke,
    )
    return canvas


@cache
def _font(name: str, height: int) -> ImageFont.FreeTypeFont:
    """Return a font whose digits are `height` pixels high."""
    import matplotlib  # noqa: ICN001, PLC0415  only for the folder that its fonts lie in

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    if not path.is_file():
        raise MissingDataError(
            f"The font {path}, which matplotlib ships, is not there."
            " Install matplotlib again, from PyPI or conda-forge."
        )
    _, top, _, bottom = ImageFont.truetype(str(path), 200).getbbox("0", anchor="ls")
    return ImageFont.truetype(str(path), round(height * 200 / (bottom - top)))
