"""Digits rendered from fonts, as house numbers look: colours, clutter, slant, light and noise."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bench.seeding import seed_from

if TYPE_CHECKING:
    from torch import Tensor

    from bench.data.domain import Split

SIZE = 32
COUNTS = {"train": 6_000, "test": 1_500}
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
"""TrueType fonts that matplotlib ships, with digits at their ASCII places."""


class Printed:
    """7,500 generated digits of 32x32 RGB pixels: 6,000 to train on, 1,500 to test.

    A light digit on a darker wall, in one of 16 fonts, with neighbours cut off at the sides, as in
    SVHN. Each image is a function of its split and position alone, and the classes are balanced.
    Another version of Pillow or matplotlib may render other pixels; the run id then changes,
    because it contains a digest of the images.
    """

    classes: ClassVar[int] = 10

    def images(self, root: Path, split: Split) -> Tensor:  # noqa: ARG002  embedded: no folder
        """Return uint8 (6000 or 1500, 3, 32, 32)."""
        return _rendered(split)

    def labels(self, root: Path, split: Split) -> Tensor:  # noqa: ARG002
        """Return int64 (6000 or 1500,), values 0..9."""
        return torch.arange(COUNTS[split]) % self.classes


@cache
def _rendered(split: Split) -> Tensor:
    images = [render(index % 10, split, index) for index in range(COUNTS[split])]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def render(digit: int, split: str, index: int) -> np.ndarray:
    """Return one house number, uint8 (32, 32, 3): a function of the three arguments."""
    rng = np.random.default_rng(seed_from("printed", split, index))
    font = _font(FONTS[rng.integers(len(FONTS))], int(rng.integers(23, 32)))
    wall = rng.integers(0, 110, 3).astype(np.float64)
    paint = np.clip(wall + rng.integers(70, 150) + rng.integers(-30, 31, 3), 0, 255)
    ink = np.asarray(_mask(digit, font, rng), dtype=np.float64)[..., None] / 255.0
    image = wall * (1.0 - ink) + paint * ink
    image += _light(rng)[..., None]
    image += rng.normal(0.0, rng.uniform(2.0, 14.0), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def _mask(digit: int, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> Image.Image:
    """Draw the digit and what can be seen of its neighbours, slanted, turned and blurred."""
    mask = Image.new("L", (SIZE, SIZE))
    pen = ImageDraw.Draw(mask)
    x, y = SIZE / 2 + rng.uniform(-2, 2), SIZE / 2 + rng.uniform(-2, 2)
    pen.text((x, y), str(digit), font=font, fill=255, anchor="mm")
    for side in (-1, 1):
        if rng.random() < 0.6:  # noqa: PLR2004  most house numbers have neighbours
            place = (x + side * rng.uniform(16, 21), y + rng.uniform(-2, 2))
            pen.text(place, str(rng.integers(10)), font=font, fill=255, anchor="mm")
    slant = rng.uniform(-0.25, 0.25)
    mask = mask.transform(
        mask.size,
        Image.Transform.AFFINE,
        (1, slant, -slant * SIZE / 2, 0, 1, 0),
        resample=Image.Resampling.BILINEAR,
    )
    mask = mask.rotate(rng.uniform(-10, 10), resample=Image.Resampling.BILINEAR)
    return mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 1.0)))


def _light(rng: np.random.Generator) -> np.ndarray:
    """Return a linear change of brightness across the picture: float64 (32, 32), grey levels."""
    ramp = np.linspace(-1.0, 1.0, SIZE)
    return np.asarray(rng.uniform(-25, 25) * ramp[:, None] + rng.uniform(-25, 25) * ramp[None, :])


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # noqa: PLC0415  only for the folder that its fonts lie in

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), size)
