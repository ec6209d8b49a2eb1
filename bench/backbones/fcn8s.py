"""VGG16-FCN8s, architecture A of the paper (Long et al. 2015; Simonyan and Zisserman 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812  torch's own name for it
from torch import nn

from bench.backbones.dense import Dense, enlarged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_AFTER_POOL3, _AFTER_POOL4 = 17, 24  # where `trunk` is cut


class FCN8s(Dense):
    """VGG16 made convolutional, scored at strides 8, 16 and 32: 134,353,017 parameters at k = 19.

    The three maps that scoring reads, pool3 (256, h/8, w/8), pool4 (512, h/16, w/16) and fc7
    (4096, h/32, w/32), make one tensor of features: the finer two are folded to stride 32, each
    4x4 or 2x2 block of pixels becoming channels, with nothing lost. So d = 4096 + 2048 + 4096.

    As in the code released with CyCADA, pool4 and pool3 are multiplied by 0.01 and 0.0001 before
    they are scored, scoring them starts at zero, and dropout drops whole maps. Upsampling is fixed,
    bilinear. Departure: the convolutions keep the size (7x7 with padding 3) where theirs pad the
    image by 100 pixels and cut the answer back, which differs near the border and, on an image of
    192x96, would compute six times as many pixels.
    """

    stride = 32
    optional = ("score_fc7.", "score_pool4.", "score_pool3.")

    def __init__(self, classes: int = 19, channels: int = 3) -> None:
        """Build the network with random weights (He et al. 2015), drawn as torchvision does."""
        super().__init__(channels)
        layers: list[nn.Module] = []
        before = channels
        for block in _WIDTHS:
            for width in block:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*layers)
        self.fc6 = nn.Conv2d(512, 4096, 7, padding=3)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.dropout = nn.Dropout2d(0.5)
        self.score_fc7 = nn.Conv2d(4096, classes, 1)
        self.score_pool4 = nn.Conv2d(512, classes, 1)
        self.score_pool3 = nn.Conv2d(256, classes, 1)
        for module in (*self.trunk, self.fc6, self.fc7):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for parameter in (*self.score_pool4.parameters(), *self.score_pool3.parameters()):
            nn.init.zeros_(parameter)

    def features(self, x: Tensor) -> Tensor:
        """Images (b, 3, h, w) in -1..1 to features (b, 10240, h/32, w/32), rounded up."""
        pool3 = self.trunk[:_AFTER_POOL3](self.prepared(x))
        pool4 = self.trunk[_AFTER_POOL3:_AFTER_POOL4](pool3)
        fc6 = self.dropout(F.relu(self.fc6(self.trunk[_AFTER_POOL4:](pool4)), inplace=True))
        fc7 = F.relu(self.fc7(fc6), inplace=True)
        return torch.cat([F.pixel_unshuffle(pool3, 4), F.pixel_unshuffle(pool4, 2), fc7], 1)

    def classify(self, f: Tensor) -> Tensor:
        """Features (b, 10240, h/32, w/32) to logits (b, k, h, w)."""
        pool3, pool4, fc7 = f.split([16 * 256, 4 * 512, 4096], 1)
        pool3, pool4 = F.pixel_shuffle(pool3, 4), F.pixel_shuffle(pool4, 2)
        scores = enlarged(self.score_fc7(self.dropout(fc7)), 2) + self.score_pool4(0.01 * pool4)
        scores = enlarged(scores, 2) + self.score_pool3(0.0001 * pool3)
        return enlarged(scores, 8)

    def adopted(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return a VGG16 classifier's weights, in torchvision's names, under this network's."""
        if "features.0.weight" not in state:
            return state
        own = {
            key.replace("features.", "trunk.", 1): value
            for key, value in state.items()
            if key.startswith("features.")
        }
        for theirs, ours in (("classifier.0", "fc6"), ("classifier.3", "fc7")):
            for kind in ("weight", "bias"):
                value, wanted = state.get(f"{theirs}.{kind}"), getattr(getattr(self, ours), kind)
                if value is not None:
                    fits = value.numel() == wanted.numel()
                    own[f"{ours}.{kind}"] = value.reshape(wanted.shape) if fits else value
        return own
