"""Networks that turn an image of one domain into an image of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812
from torch import nn

from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor


class ResNetGenerator(nn.Module):
    """CycleGAN's generator: two strided convolutions, residual blocks, two transposed ones.

    Images (b, c, h, w) in -1..1 to the same shape and range; h and w multiples of 4, 8 or more.
    Instance norm keeps no statistics: an image's translation depends on no other image. The
    paper's has 64 filters and 9 blocks: 11,365,633 parameters for 1 channel, 11,378,179 for 3
    (Zhu et al. 2017; Johnson et al. 2016).
    """

    def __init__(self, channels: int, filters: int = 64, blocks: int = 9) -> None:
        """Build the network with CycleGAN's initial weights, N(0, 0.02), and biases zero."""
        super().__init__()
        f = filters
        self.body = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, f, 7),
            *_norm_relu(f),
            nn.Conv2d(f, 2 * f, 3, stride=2, padding=1),
            *_norm_relu(2 * f),
            nn.Conv2d(2 * f, 4 * f, 3, stride=2, padding=1),
            *_norm_relu(4 * f),
            *(ReflectedBlock(4 * f) for _ in range(blocks)),
            nn.ConvTranspose2d(4 * f, 2 * f, 3, stride=2, padding=1, output_padding=1),
            *_norm_relu(2 * f),
            nn.ConvTranspose2d(2 * f, f, 3, stride=2, padding=1, output_padding=1),
            *_norm_relu(f),
            nn.ReflectionPad2d(3),
            nn.Conv2d(f, channels, 7),
            nn.Tanh(),
        )
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Translate (b, c, h, w) in -1..1.

        Raises:
            BenchError: h or w is not a multiple of 4, or is below 8.
        """
        _check_divides(x, 4, "resnet")
        translated: Tensor = self.body(x)
        return translated


class ReflectedBlock(nn.Module):
    """CycleGAN's residual block: two 3x3 convolutions with reflection padding."""

    def __init__(self, width: int) -> None:
        """Build a block of `width` channels."""
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            *_norm_relu(width),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus what the block adds: (b, width, h, w)."""
        return x + self.body(x)


class UnshuffleGenerator(nn.Module):
    """A generator that works on `factor` x `factor` blocks of pixels, for small machines.

    Space moves to channels (pixel unshuffle, Shi et al. 2016), so that all convolutions run at
    1/factor of the resolution: for 28x28 images about 1/70 of the paper's generator's arithmetic.
    Images (b, c, h, w) in -1..1 to the same shape and range; h and w multiples of `factor`, and
    at least two of them, since instance norm needs more than one position.
    """

    def __init__(self, channels: int, filters: int = 64, blocks: int = 2, factor: int = 4) -> None:
        """Build the network with PyTorch's default initial weights."""
        super().__init__()
        self._factor = factor
        self.enter = nn.Conv2d(channels * factor**2, filters, 3, padding=1)
        self.blocks = nn.ModuleList(PlainBlock(filters) for _ in range(blocks))
        self.leave = nn.Conv2d(filters, channels * factor**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Translate (b, c, h, w) in -1..1.

        Raises:
            BenchError: h or w is not a multiple of the factor, or is below twice the factor.
        """
        _check_divides(x, self._factor, "unshuffle")
        h = F.relu(self.enter(F.pixel_unshuffle(x, self._factor)))
        for block in self.blocks:
            h = block(h)
        return F.pixel_shuffle(self.leave(h), self._factor).tanh()


class PlainBlock(nn.Module):
    """A residual block with zero padding, for feature maps too small to reflect."""

    def __init__(self, width: int) -> None:
        """Build a block of `width` channels."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            *_norm_relu(width),
            nn.Conv2d(width, width, 3, padding=1),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus what the block adds: (b, width, h, w)."""
        return x + self.body(x)


def _check_divides(x: Tensor, factor: int, generator: str) -> None:
    """Raise unless height and width are multiples of `factor`, two or more."""
    height, width = x.shape[-2:]
    if height % factor or width % factor or min(height, width) < 2 * factor:
        raise BenchError(
            f"the {generator} generator needs a height and width that {factor} divides,"
            f" {2 * factor} or more, got {height}x{width}. Set pixel.size to such a number."
        )


def _norm_relu(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(width), nn.ReLU(inplace=True)


def initialise(module: nn.Module) -> None:
    """Give a convolution CycleGAN's initial weights: N(0, 0.02), biases zero."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
