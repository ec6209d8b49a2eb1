"""The one resizing chain of a shift, the same for every method and both domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from bench.errors import unknown

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 5_000
_MODES = {"bilinear": InterpolationMode.BILINEAR, "nearest": InterpolationMode.NEAREST_EXACT}


def prepare(images: Tensor, *, size: int, channels: int, interpolation: str = "bilinear") -> Tensor:
    """Return images at a shift's size and number of channels.

    Colour becomes grey by ITU-R 601 (0.299 R + 0.587 G + 0.114 B), grey becomes colour by
    repetition; then the antialiased resize; each rounded to 8 bits.

    Args:
        images: uint8 (n, c, h, w), c 1 or 3.
        size: height and width to return, in pixels.
        channels: 1 or 3.
        interpolation: "bilinear" or "nearest".

    >>> prepare(torch.full((2, 3, 8, 8), 7, dtype=torch.uint8), size=4, channels=1).shape
    torch.Size([2, 1, 4, 4])
    """
    if interpolation not in _MODES:
        raise unknown("interpolation", interpolation, _MODES)
    parts = []
    for part in images.split(_CHUNK):
        x = part
        if x.shape[1] == 3 and channels == 1:  # noqa: PLR2004  RGB
            x = transforms.rgb_to_grayscale(x)
        elif x.shape[1] == 1 and channels == 3:  # noqa: PLR2004
            x = x.expand(-1, 3, -1, -1)
        if tuple(x.shape[-2:]) != (size, size):
            x = transforms.resize(
                x, [size, size], interpolation=_MODES[interpolation], antialias=True
            )
        parts.append(x.contiguous())
    return torch.cat(parts)
