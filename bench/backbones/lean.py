"""A lean network for small machines: trains from scratch in minutes on two cores."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812  torch's own name for it
from torch import nn

from bench.backbones.dense import Dense, enlarged

if TYPE_CHECKING:
    from torch import Tensor

_WIDTHS = (16, 32, 64, 128, 192)
"""Channels at strides 2, 4, 8, 16 and 32."""


class Lean(Dense):
    """A U-Net that adds instead of concatenating: 1,609,475 parameters at k = 19.

    Each 2x2 block of pixels becomes channels first, so that nothing runs at full resolution. Down
    the strides, one residual block each; up again, the coarser map is brought to the finer one's
    width, enlarged, added, and convolved (Ronneberger et al. 2015; Lin et al. 2017). Ours, not the
    paper's: it is here for its speed, with what it is measured against in tests/benchmarks.
    """

    stride = 32
    optional = ("head.",)

    def __init__(self, classes: int = 19, channels: int = 3) -> None:
        """Build the network with torch's default random weights."""
        super().__init__(channels)
        finer = (4 * channels, *_WIDTHS)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(before, width, stride=1 if i == 0 else 2), _Residual(width))
            for i, (before, width) in enumerate(zip(finer, _WIDTHS, strict=False))
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairwise(_WIDTHS)
        )
        self.up = nn.ModuleList(_convolution(width, width) for width in _WIDTHS[:-1])
        self.head = nn.Conv2d(_WIDTHS[0], classes, 1)

    def features(self, x: Tensor) -> Tensor:
        """Images (b, 3, h, w) in -1..1 to features (b, 16, h/2, w/2) of the padded size."""
        x = F.pixel_unshuffle(self.prepared(x), 2)
        maps = []
        for down in self.down:
            x = down(x)
            maps.append(x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](maps[level] + enlarged(self.narrow[level](x), 2))
        return x

    def classify(self, f: Tensor) -> Tensor:
        """Features (b, 16, h/2, w/2) to logits (b, k, h, w)."""
        return enlarged(self.head(f), 2)


class _Residual(nn.Module):
    """Two 3x3 convolutions with batch norm, plus the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = _convolution(width, width)[:2]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)), inplace=True)


def _convolution(before: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
