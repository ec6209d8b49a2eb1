"""Two domains in one small file: bars in three directions, bright on dark and dark on bright."""

from pathlib import Path

import torch
from torch import Tensor

SIZES = {"train": 300, "test": 90}


class BrightBars:
    """Generated: 16x16 grey images of one bar; horizontal, vertical or diagonal."""

    classes = 3

    def images(self, root: Path, split: str) -> Tensor:
        """Return uint8 (n, 1, 16, 16)."""
        random = torch.Generator().manual_seed(SIZES[split])
        labels = self.labels(root, split)
        canvas = torch.randint(0, 60, (len(labels), 1, 16, 16), generator=random)
        places = torch.randint(3, 13, (len(labels),), generator=random).tolist()
        for image, place, label in zip(canvas[:, 0], places, labels.tolist(), strict=True):
            bar = [image[place : place + 2], image[:, place : place + 2], image.diagonal(place - 8)]
            bar[label] += 180
        return canvas.to(torch.uint8)

    def labels(self, root: Path, split: str) -> Tensor:
        """Return int64 (n,), values 0..2."""
        return torch.arange(SIZES[split]) % self.classes


class DarkBars(BrightBars):
    """The same bars, dark on bright."""

    def images(self, root: Path, split: str) -> Tensor:
        """Return uint8 (n, 1, 16, 16)."""
        return 255 - super().images(root, split)
