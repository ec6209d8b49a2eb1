"""What segmentation networks share: one value range in, any size in, the same size out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812  torch's own name for it
from torch import nn

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue in 0..1 that ImageNet networks expect."""


class Dense(nn.Module, ABC):
    """A network that answers for every pixel: images (b, 3, h, w) in -1..1 to logits (b, k, h, w).

    It works on multiples of `stride`: `features` repeats the last row and column until h and w are,
    so `classify` answers for that padded size, and ``net(x)`` cuts the answer back to x's::

        net(x) == net.classify(net.features(x))[..., :h, :w]

    which is ``net.classify(net.features(x))`` itself wherever h and w are multiples of `stride`.

    Attributes:
        stride: what height and width are padded to a multiple of.
        optional: prefixes of the parts that a file of initial weights may lack, each as a whole.
    """

    stride: int
    mean: Tensor
    std: Tensor
    optional: tuple[str, ...]

    def __init__(
        self, channels: int, mean: Sequence[float] = IMAGENET[0], std: Sequence[float] = IMAGENET[1]
    ) -> None:
        """Remember the normalisation, which is part of the network, pretrained or not.

        Raises:
            BenchError: `channels` is not 3.
        """
        super().__init__()
        if channels != 3:  # noqa: PLR2004  red, green, blue
            raise BenchError(
                f"a segmentation network takes images of 3 channels, got {channels}."
                " Choose a shift of colour images, or --backbone lenet."
            )
        # Constants, so no part of a file of weights.
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Images (b, 3, h, w) in -1..1 to features (b, d, h', w') at a lower resolution."""

    @abstractmethod
    def classify(self, f: Tensor) -> Tensor:
        """Features to logits (b, k, H, W), H and W being h and w rounded up to the stride."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (b, 3, h, w) in -1..1 to logits (b, k, h, w)."""
        h, w = x.shape[-2:]
        return self.classify(self.features(x))[..., :h, :w]

    def prepared(self, x: Tensor) -> Tensor:
        """Return images in -1..1 normalised as the network expects, and padded to the stride."""
        x = ((x + 1) / 2 - self.mean) / self.std
        h, w = x.shape[-2:]
        below, right = -h % self.stride, -w % self.stride
        return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Return maps (b, d, h, w) as (b, d, factor h, factor w), bilinearly.

    Away from the border these are the numbers of a transposed convolution with a fixed bilinear
    kernel of 2 factor x 2 factor (Long et al. 2015); at it, the edge goes on instead of fading.

    >>> enlarged(torch.tensor([[[[0.0, 4.0]]]]), 2)
    tensor([[[[0., 1., 3., 4.],
              [0., 1., 3., 4.]]]])
    """
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
