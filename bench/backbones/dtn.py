"""DTN, the task network for SVHN (Hoffman et al. 2018, A.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class DTN(nn.Module):
    """Three strided 5x5 convolutions (64, 128, 256): 3,133,962 parameters at 32x32 RGB.

    Batch norm follows every layer but the last, the hidden one of 512 included.
    """

    def __init__(self, classes: int = 10, channels: int = 3, size: int = 32) -> None:
        """Build the network for square images of `size` pixels."""
        super().__init__()
        side = -(-size // 8)  # each convolution halves, and rounds up
        self.trunk = nn.Sequential(
            *_strided(channels, 64, 0.1),
            *_strided(64, 128, 0.3),
            *_strided(128, 256, 0.5),
            nn.Flatten(),
            nn.Linear(256 * side * side, 512),
            nn.BatchNorm1d(512),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, classes))

    def features(self, x: Tensor) -> Tensor:
        """Images (b, c, size, size) in -1..1 to features (b, 512)."""
        features: Tensor = self.trunk(x)
        return features

    def classify(self, f: Tensor) -> Tensor:
        """Features (b, 512) to logits (b, k)."""
        logits: Tensor = self.head(f)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        return self.classify(self.features(x))


def _strided(channels: int, width: int, dropout: float) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels, width, 5, stride=2, padding=2),
        nn.BatchNorm2d(width),
        nn.Dropout2d(dropout),
        nn.ReLU(),
    )
