"""Networks that tell the domains apart: by patches of an image, or by a network's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from bench.errors import BenchError
from cycada.generators import initialise

if TYPE_CHECKING:
    from torch import Tensor


class PatchDiscriminator(nn.Module):
    """PatchGAN: one number for each overlapping patch of an image, high for real.

    Images (b, c, h, w) in -1..1 to (b, 1, h', w') with h' = floor(h / 2^layers) - 2. The paper's
    has 64 filters and 3 strided layers: 2,764,737 parameters for 3 channels (Isola et al. 2017;
    Zhu et al. 2017). It has no sigmoid: the loss is least squares (see `cycada.losses`).
    """

    def __init__(self, channels: int, filters: int = 64, layers: int = 3) -> None:
        """Build the network with CycleGAN's initial weights, N(0, 0.02), and biases zero."""
        super().__init__()
        self._layers = layers
        body: list[nn.Module] = [
            nn.Conv2d(channels, filters, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        width = filters
        for layer in range(1, layers + 1):
            wider = filters * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            body += [
                nn.Conv2d(width, wider, 4, stride=stride, padding=1),
                nn.InstanceNorm2d(wider),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            width = wider
        body.append(nn.Conv2d(width, 1, 4, padding=1))
        self.body = nn.Sequential(*body)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Return one unbounded number a patch.

        Raises:
            BenchError: h or w is below 3 * 2^layers, too small to leave a patch.
        """
        height, width = x.shape[-2:]
        smallest = 3 * 2**self._layers
        if min(height, width) < smallest:
            raise BenchError(
                f"a patch discriminator of {self._layers} layers needs images of {smallest} pixels"
                f" a side or more, got {height}x{width}. Lower pixel.discriminator_layers, or set"
                f" pixel.size to {smallest} or more."
            )
        patches: Tensor = self.body(x)
        return patches


class SpatialDiscriminator(nn.Module):
    """The same for score maps: 1x1 convolutions, a decision for each position.

    Scores (b, k, h, w) to logits (b, 2, h, w). The paper's has widths 512 and 256: 142,082
    parameters for 19 classes (Hoffman et al. 2018, A.1.2, and its released code).
    """

    def __init__(self, inputs: int, hidden: int = 512) -> None:
        """Build the network for `inputs` scores; the second layer is half as wide as the first."""
        super().__init__()
        half = max(1, hidden // 2)
        self.body = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, half, 1),
            nn.ReLU(),
            nn.Conv2d(half, 2, 1),
        )

    def forward(self, scores: Tensor) -> Tensor:
        """Return logits (b, 2, h, w)."""
        logits: Tensor = self.body(scores)
        return logits


class ScoreDiscriminator(nn.Module):
    """ADDA's discriminator on the k scores of a task network: two hidden layers, two logits.

    Scores (b, k) to logits (b, 2); class 1 is "source", class 0 "target" (Tzeng et al. 2017).
    """

    def __init__(self, inputs: int, hidden: int = 500) -> None:
        """Build the network for `inputs` scores."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2),
        )

    def forward(self, scores: Tensor) -> Tensor:
        """Return logits (b, 2)."""
        logits: Tensor = self.body(scores)
        return logits
