"""One iteration of a training loop, and the batches that belong to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, overload

import torch

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from bench.task import Images, LabeledImages

T = TypeVar("T", "Tensor", "list[tuple[slice, slice]]")


@dataclass(eq=False)
class Step:
    """One iteration of a training loop; it hands out that iteration's batches."""

    index: int
    """0-based position in the loop."""

    _order: Callable[[Images | LabeledImages, int, int], Tensor] = field(repr=False)
    _random: Callable[[str, int], torch.Generator] = field(repr=False)
    _rank: int = field(default=0, repr=False)
    _processes: int = field(default=1, repr=False)

    @overload
    def batch(
        self, images: LabeledImages, size: int, crop: int | None = None
    ) -> tuple[Tensor, Tensor]: ...
    @overload
    def batch(self, images: Images, size: int, crop: int | None = None) -> Tensor: ...
    def batch(
        self, images: Images | LabeledImages, size: int, crop: int | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return this step's batch: a pure function of (seed, stage, step), `size` and `crop`.

        Images are float32 (size, c, h, w) in -1..1; labels int64 (size,), or (size, h, w) for
        segmentation. Every image comes once before any comes again. Asking twice in one step
        gives the same batch. With `crop`, a random window of each image, and the same of its
        label map: at most `crop` pixels high and wide.

        Where n processes train one trial, each gets its own n-th of that batch.

        Raises:
            BenchError: several processes cannot share the batch equally.
        """
        got = images[self._share(self._order(images, self.index, size))]
        if images.streamed:
            images.prefetch(self._share(self._order(images, self.index + 1, size)))
        if crop is None:
            return got
        parts = [got] if isinstance(got, torch.Tensor) else list(got)
        shape = torch.Size((size, *parts[0].shape[1:]))
        windows = self._share(_windows(shape, crop, self._random(images.role, self.index)))
        cut = [_cut(part, windows) for part in parts]
        return cut[0] if isinstance(got, torch.Tensor) else (cut[0], cut[1])

    def _share(self, whole: T) -> T:
        """Return what is this process' of a batch."""
        share, rest = divmod(len(whole), self._processes)
        if rest:
            raise BenchError(
                f"{self._processes} processes cannot share a batch of {len(whole)} equally. Set the"
                f" method's batch size to a multiple of {self._processes}, or start fewer of them."
            )
        return whole[self._rank * share : (self._rank + 1) * share]


def _windows(shape: torch.Size, crop: int, random: torch.Generator) -> list[tuple[slice, slice]]:
    """Return a random window for each image of a batch (b, c, h, w): rows, columns."""
    count, (height, width) = shape[0], shape[-2:]
    tall, wide = min(crop, height), min(crop, width)
    tops = torch.randint(height - tall + 1, (count,), generator=random).tolist()
    lefts = torch.randint(width - wide + 1, (count,), generator=random).tolist()
    return [
        (slice(top, top + tall), slice(left, left + wide))
        for top, left in zip(tops, lefts, strict=True)
    ]


def _cut(part: Tensor, windows: list[tuple[slice, slice]]) -> Tensor:
    """Return the window of each image or label map; a class index has no place, and stays."""
    if part.ndim == 1:
        return part
    return torch.stack(
        [item[..., rows, columns] for item, (rows, columns) in zip(part, windows, strict=True)]
    )
