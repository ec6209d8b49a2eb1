"""What a method is given to learn from: labelled source images and unlabelled target images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch

from bench.digest import digest_of
from bench.modes import evaluating, in_float32

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


class Streamed(Protocol):
    """Images or label maps that are read when they are asked for, and otherwise a uint8 tensor."""

    @property
    def shape(self) -> torch.Size:
        """As of the whole tensor: (n, c, h, w), or (n, h, w) for label maps."""
        ...

    @property
    def device(self) -> torch.device:
        """The CPU; what is read goes to the index's device."""
        ...

    def __len__(self) -> int:
        """Return n."""
        ...

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the items at `index` (int64, (b,)), as `torch.Tensor.index_select` with dim 0."""
        ...

    def prefetch(self, index: Tensor) -> None:
        """Begin to read what will be asked for next."""
        ...

    def digest(self) -> str:
        """Return a SHA-256 of the content; it does not depend on paths or dates."""
        ...


Pixels: TypeAlias = torch.Tensor | Streamed

TRANSLATED_PIXELS = 2**19
"""Pixels, in all images together, that `LabeledImages.translated` passes through at a time."""


@dataclass(frozen=True, eq=False)
class Images:
    """Unlabelled images of one domain.

    Attributes:
        pixels: uint8, shape (n, c, h, w), values 0..255; on the trial's device, or streamed from
            files.
        role: "source" or "target"; part of the seed that decides the order of batches.
    """

    pixels: Pixels
    role: str

    def __len__(self) -> int:
        """Return the number of images n."""
        return len(self.pixels)

    def __getitem__(self, index: Tensor) -> Tensor:
        """Return the images at `index` (int64, shape (b,)) as float32 (b, c, h, w) in -1..1."""
        return to_unit_range(self.pixels.index_select(0, index))

    @property
    def streamed(self) -> bool:
        """Whether the images are read from files when they are asked for."""
        return not isinstance(self.pixels, torch.Tensor)

    def prefetch(self, index: Tensor) -> None:
        """Begin to read the images at `index`, if they are streamed."""
        _prefetch(self.pixels, index)

    def digest(self) -> str:
        """Return a SHA-256 of the content; it does not depend on paths or dates."""
        return digest_of(_content(self.pixels))


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Images with one class index each, or one a pixel.

    Attributes:
        pixels: as of `Images`.
        labels: int64, shape (n,), values 0..k-1; for segmentation uint8, shape (n, h, w), where
            255 stands for a pixel without a label.
        role: see `Images`.
    """

    pixels: Pixels
    labels: Pixels
    role: str

    def __len__(self) -> int:
        """Return the number of images n."""
        return len(self.pixels)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return (images, labels) at `index`.

        Images are float32 (b, c, h, w) in -1..1, labels int64 (b,) or (b, h, w).
        """
        # Nine times faster than self.pixels[index].
        images = to_unit_range(self.pixels.index_select(0, index))
        return images, self.labels.index_select(0, index).long()

    @property
    def streamed(self) -> bool:
        """Whether the images are read from files when they are asked for."""
        return not isinstance(self.pixels, torch.Tensor)

    def prefetch(self, index: Tensor) -> None:
        """Begin to read the images and labels at `index`, if they are streamed."""
        _prefetch(self.pixels, index)
        _prefetch(self.labels, index)

    def images(self) -> Images:
        """Return the same images without their labels."""
        return Images(self.pixels, self.role)

    def translated(self, translator: nn.Module) -> LabeledImages:
        """Return these images passed once through `translator`, with their labels unchanged.

        The translation is rounded to 8 bits, as if it had been written to an image file.
        The translator runs in evaluation mode, in float32 whatever the trial trains in, and is left
        in the mode it was found in. Images
        that are streamed from files are translated each time they are asked for.
        """
        if not isinstance(self.pixels, torch.Tensor):
            return LabeledImages(_Translated(self.pixels, translator), self.labels, self.role)
        height, width = self.pixels.shape[-2:]
        batch = max(1, min(500, TRANSLATED_PIXELS // (height * width)))
        parts = [_translate(translator, part) for part in torch.split(self.pixels, batch)]
        return LabeledImages(torch.cat(parts), self.labels, self.role)

    def digest(self) -> str:
        """Return a SHA-256 of images and labels."""
        return digest_of(_content(self.pixels), _content(self.labels))


@dataclass(frozen=True, eq=False)
class _Translated:
    """Streamed images as a translator shows them."""

    original: Streamed
    translator: nn.Module

    @property
    def shape(self) -> torch.Size:
        return self.original.shape

    @property
    def device(self) -> torch.device:
        return self.original.device

    def __len__(self) -> int:
        return len(self.original)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        return _translate(self.translator, self.original.index_select(dim, index))

    def prefetch(self, index: Tensor) -> None:
        self.original.prefetch(index)

    def digest(self) -> str:
        weights = self.translator.state_dict()
        return digest_of(
            self.original.digest(), *(part for pair in weights.items() for part in pair)
        )


def _translate(translator: nn.Module, pixels: Tensor) -> Tensor:
    x = to_unit_range(pixels)
    with evaluating(translator), torch.no_grad(), in_float32(x.device):
        return to_bytes(translator(x))


def _prefetch(pixels: Pixels, index: Tensor) -> None:
    if not isinstance(pixels, torch.Tensor):
        pixels.prefetch(index)


def _content(pixels: Pixels) -> Tensor | str:
    return pixels if isinstance(pixels, torch.Tensor) else pixels.digest()


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
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, the same for both domains."""
        height, width = self.source.pixels.shape[-2:]
        return height, width

    @property
    def dense(self) -> bool:
        """Whether there is one class a pixel (segmentation) and not one an image."""
        return len(self.source.labels.shape) > 1

    def digest(self) -> str:
        """Return a SHA-256 of everything in the task."""
        return digest_of(self.source.digest(), self.validation.digest(), self.target.digest())
