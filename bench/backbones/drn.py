"""DRN-26, architecture B of the paper: a dilated residual network, DRN-C-26 (Yu et al. 2017)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812  torch's own name for it
from torch import nn

from bench.backbones.dense import Dense, enlarged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class DRN26(Dense):
    """Residual blocks that stop at stride 8 and dilate instead: 20,623,331 parameters at k = 19.

    Layers 5 and 6 dilate by 2 and 4; layers 7 and 8, by 2 and 1 and without a residual path, remove
    the gridding that this leaves. One 1x1 convolution scores, then come 8x bilinear upsampling.
    The names inside `trunk` are those of the authors' released weights.
    """

    stride = 8
    optional = ("head.",)

    def __init__(self, classes: int = 19, channels: int = 3) -> None:
        """Build the network with random weights (He et al. 2015), as its authors draw them."""
        super().__init__(channels)
        self.trunk = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, 16, 7, padding=3, bias=False),
                bn1=nn.BatchNorm2d(16),
                relu=nn.ReLU(inplace=True),
                layer1=nn.Sequential(_Block(16, 16)),
                layer2=nn.Sequential(_Block(16, 32, stride=2)),
                layer3=nn.Sequential(_Block(32, 64, stride=2), _Block(64, 64)),
                layer4=nn.Sequential(_Block(64, 128, stride=2), _Block(128, 128)),
                layer5=nn.Sequential(_Block(128, 256, dilation=2), _Block(256, 256, dilation=2)),
                layer6=nn.Sequential(_Block(256, 512, dilation=4), _Block(512, 512, dilation=4)),
                layer7=nn.Sequential(_Block(512, 512, dilation=2, residual=False)),
                layer8=nn.Sequential(_Block(512, 512, residual=False)),
            )
        )
        self.head = nn.Conv2d(512, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Tensor) -> Tensor:
        """Images (b, 3, h, w) in -1..1 to features (b, 512, h/8, w/8), rounded up."""
        features: Tensor = self.trunk(self.prepared(x))
        return features

    def classify(self, f: Tensor) -> Tensor:
        """Features (b, 512, h/8, w/8) to logits (b, k, h, w)."""
        return enlarged(self.head(f), 8)

    def adopted(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return a DRN-C-26 classifier's weights, in its authors' names, under this network's."""
        if "conv1.weight" not in state:
            return state
        return {f"trunk.{k}": value for k, value in state.items() if not k.startswith("fc.")}


class _Block(nn.Module):
    """Two 3x3 convolutions with batch norm, plus the input unless `residual` is off."""

    def __init__(
        self, before: int, width: int, stride: int = 1, dilation: int = 1, *, residual: bool = True
    ) -> None:
        super().__init__()
        d = dilation
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=d, dilation=d, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=d, dilation=d, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.residual = residual
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            if stride != 1 or before != width
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        if self.residual:
            out = out + (x if self.downsample is None else self.downsample(x))
        return F.relu(out, inplace=True)
