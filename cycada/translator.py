"""The two generators as one module, at the images' own size or at one of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from bench.api import Translator
from cycada.generators import ResNetGenerator, UnshuffleGenerator

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cycada.pixel_stage import Pixel


class ImageTranslator(Translator):
    """The generators G_ST and G_TS, at the images' own size or at one of theirs."""

    def __init__(self, how: Pixel, channels: int) -> None:
        """Build both generators, untrained."""
        super().__init__()
        self._size = how.size
        make = ResNetGenerator if how.generator == "resnet" else UnshuffleGenerator
        self.source_to_target = make(channels, filters=how.filters, blocks=how.blocks)
        self.target_to_source = make(channels, filters=how.filters, blocks=how.blocks)

    def forward(self, source: Tensor) -> Tensor:
        """Translate source images to the target domain: (b, c, h, w) in -1..1, same out."""
        return self._resized(self.source_to_target, source)

    def back(self, target: Tensor) -> Tensor:
        """Translate target images to the source domain: (b, c, h, w) in -1..1, same out."""
        return self._resized(self.target_to_source, target)

    def _resized(self, generator: nn.Module, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        translated: Tensor = generator(resize(x, self._size))
        return resize(translated, size)


def resize(x: Tensor, size: int | tuple[int, int] | torch.Size | None) -> Tensor:
    """Return images (b, c, h, w) resized bilinearly to `size`; None or the same size is a no-op."""
    wanted = (size, size) if isinstance(size, int) else size
    if wanted is None or tuple(x.shape[-2:]) == tuple(wanted):
        return x
    return F.interpolate(x, size=tuple(wanted), mode="bilinear", align_corners=False)
