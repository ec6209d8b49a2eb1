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

    Colour becomes grey by ITU-R 601 (0.299 R + 0.587 G + 0.114 B); then comes the antialiased
    resize; each is rounded to 8 bits. Grey becomes colour by repetition.

    Args:
        images: uint8 (n, c, h, w), c 1 or 3.
        size: height and width to return, in pixels.
        channels: 1 or 3.
        interpolation: "bilinear" or "nearest".

    Raises:
        BenchError: an unknown interpolation.

    >>> prepare(torch.full((2, 3, 8, 8), 7, dtype=torch.uint8), size=4, channels=1).shape
    torch.Size([2, 1, 4, 4])
    """
    if interpolation not in _MODES:
        raise unknown("interpolation", interpolation, _MODES)
    if images.shape[1:] == (channels, size, size):
        return images
    parts = torch.split(images, _CHUNK)  # the resize works in float32: four times the memory
    return torch.cat([_prepared(part, size, channels, interpolation) for part in parts])


def _prepared(images: Tensor, size: int, channels: int, interpolation: str) -> Tensor:
    if channels == 1 and images.shape[1] != 1:
        images = _grey(images)
    if images.shape[-2:] != (size, size):
        images = transforms.resize(
            images, [size, size], interpolation=_MODES[interpolation], antialias=True
        )
    return images.expand(-1, channels, -1, -1)


def _grey(images: Tensor) -> Tensor:
    """Return the luma of RGB images, rounded; a grey picture stored as RGB comes out unchanged.

    In integers, because torchvision's rgb_to_grayscale cuts off and turns white (255) into 254.
    """
    red, green, blue = images.to(torch.int32).unbind(1)
    luma = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return luma.to(torch.uint8)[:, None]
