"""What a method is given to learn from: labelled source images and unlabelled target images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bench.digest import digest_of
from bench.modes import evaluating

if TYPE_CHECKING:
    from torch import Tensor, nn


def to_unit_range(images: Tensor) -> Tensor:
    """Map stored images to what networks see: uint8 0..255 to float32 -1..1.

    >>> to_unit_range(torch.tensor([0, 255], dtype=torch.uint8))
    tensor([-1.,  1.])
    """
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def to_bytes(images: Tensor) -> Tensor:
    """Invert `to_unit_range`: float -1..1 (clamped) to uint8 0..255, rounded to the nearest.

    >>> to_bytes(torch.tensor([-1.0, 0.0, 1.0, 7.0]))
    tensor([  0, 128, 255, 255], dtype=torch.uint8)
    """
    return images.clamp(-1.0, 1.0).add(1.0).mul(127.5).round().to(torch.uint8)


@dataclass(frozen=True, eq=False)
class Images:
    """Unlabelled images of one domain, in memory on the trial's device.

    Attributes:
        pixels: uint8, shape (n, c, h, w), values 0..255.
        role: "source" or "target"; part of the seed that decides the order of batches.
    """

    pixels: Tensor
    role: str

    def __len__(self) -> int:
        """Return the number of images n."""
        return len(self.pixels)

    def __getitem__(self, index: Tensor) -> Tensor:
        """Return the images at `index` (int64, shape (b,)) as float32 (b, c, h, w) in -1..1."""
        return to_unit_range(self.pixels.index_select(0, index))

    def digest(self) -> str:
        """Return a SHA-256 of the content; it does not depend on paths or dates."""
        return digest_of(self.pixels)


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Images with one class index each.

    Attributes:
        pixels: uint8, shape (n, c, h, w), values 0..255.
        labels: int64, shape (n,), values 0..k-1.
        role: see `Images`.
    """

    pixels: Tensor
    labels: Tensor
    role: str

    def __len__(self) -> int:
        """Return the number of images n."""
        return len(self.pixels)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return (images, labels) at `index`: float32 (b, c, h, w) in -1..1, and int64 (b,)."""
        # Nine times faster than self.pixels[index].
        return to_unit_range(self.pixels.index_select(0, index)), self.labels[index]

    def images(self) -> Images:
        """Return the same images without their labels."""
        return Images(self.pixels, self.role)

    def translated(self, translator: nn.Module, batch: int = 500) -> LabeledImages:
        """Return these images passed once through `translator`, with their labels unchanged.

        The translation is rounded to 8 bits, as if it had been written to an image file.
        The translator runs in evaluation mode and is left in the mode it was found in.
        """
        with evaluating(translator), torch.no_grad():
            batches = torch.split(self.pixels, batch)
            parts = [to_bytes(translator(to_unit_range(pixels))) for pixels in batches]
        return LabeledImages(torch.cat(parts), self.labels, self.role)

    def digest(self) -> str:
        """Return a SHA-256 of images and labels."""
        return digest_of(self.pixels, self.labels)


@dataclass(frozen=True, eq=False)
class Task:
    """One shift as a method sees it. There is no slot for a target label, masked or not.

    Attributes:
        source: labelled training images of the source domain.
        validation: a seeded tenth of the source training set, held out from `source`.
        target: unlabelled training images of the target domain, in a fixed random order.
        classes: the number of classes k.
    """

    source: LabeledImages
    validation: LabeledImages
    target: Images
    classes: int

    @property
    def channels(self) -> int:
        """Number of image channels c, the same for both domains."""
        return self.source.pixels.shape[1]

    @property
    def size(self) -> int:
        """Height and width in pixels, the same for both domains."""
        return self.source.pixels.shape[-1]

    def digest(self) -> str:
        """Return a SHA-256 of everything in the task."""
        return digest_of(self.source.digest(), self.validation.digest(), self.target.digest())
