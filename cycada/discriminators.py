"""Networks that tell the domains apart: by patches of an image, or by a network's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from cycada.generators import initialise

if TYPE_CHECKING:
    from torch import Tensor


class PatchDiscriminator(nn.Module):
    """PatchGAN: one number for each overlapping patch of an image, high for real.

    Images (b, c, h, w) in -1..1 to (b, 1, h', w'). The paper's has 64 filters and 3 strided layers:
    2,764,737 parameters for 3 channels (Isola et al. 2017; Zhu et al. 2017).
    """

    def __init__(self, channels: int, filters: int = 64, layers: int = 3) -> None:
        """Build the network with CycleGAN's initial weights, N(0, 0.02)."""
        super().__init__()
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
        """Return one unbounded number a patch."""
        patches: Tensor = self.body(x)
        return patches


class ScoreDiscriminator(nn.Module):
    """ADDA's discriminator on the k scores of a task network: two hidden layers, two logits.

    Scores (b, k) to logits (b, 2); class 1 is "source", class 0 "target".
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
