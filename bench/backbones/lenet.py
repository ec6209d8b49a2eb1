"""LeNet, the task network for MNIST and USPS (Hoffman et al. 2018, A.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 16
"""Height and width, in pixels, below which nothing is left after two convolutions and pools."""


class LeNet(nn.Module):
    """Two 5x5 convolutions (20, 50), one hidden layer of 500: 431,080 parameters at 28x28 grey.

    Dropout stands before the hidden layer's features are classified, not in them.
    """

    def __init__(self, classes: int = 10, channels: int = 1, size: int = 28) -> None:
        """Build the network for square images of `size` pixels, 16 or more.

        Raises:
            BenchError: `size` is below 16.
        """
        super().__init__()
        if size < SMALLEST:
            raise BenchError(
                f"the backbone 'lenet' needs images of {SMALLEST} pixels a side or more,"
                f" got {size}. Choose a larger size for the shift, or --backbone dtn."
            )
        side = ((size - 4) // 2 - 4) // 2
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, 20, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(20, 50, 5),
            nn.Dropout2d(0.5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(50 * side * side, 500),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(500, classes))

    def features(self, x: Tensor) -> Tensor:
        """Images (b, c, size, size) in -1..1 to features (b, 500)."""
        features: Tensor = self.trunk(x)
        return features

    def classify(self, f: Tensor) -> Tensor:
        """Features (b, 500) to logits (b, k)."""
        logits: Tensor = self.head(f)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        return self.classify(self.features(x))
