"""UCI handwritten digits, embedded in scikit-learn: real handwriting without a download."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar

import torch

from bench.seeding import generator_from

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.data.domain import Split

TRAIN = 1_200


class Handwritten:
    """1,797 handwritten digits of 8x8 pixels, white on black: 1,200 to train on, 597 to test.

    scikit-learn ships the *test* part of UCI's optdigits (Alpaydin and Kaynak 1998), which names
    no writers, so a fixed random split divides images, not people.
    """

    classes: ClassVar[int] = 10

    def images(self, root: Path, split: Split) -> Tensor:  # noqa: ARG002  embedded: no folder
        """Return uint8 (1200 or 597, 1, 8, 8)."""
        return _split(split)[0]

    def labels(self, root: Path, split: Split) -> Tensor:  # noqa: ARG002
        """Return int64 (1200 or 597,), values 0..9."""
        return _split(split)[1]


@cache
def _split(split: Split) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits  # noqa: PLC0415  slow to import, needed only here

    digits = load_digits()
    levels = torch.from_numpy(digits.images)  # 0..16
    images = (levels * (255 / 16)).round().to(torch.uint8)[:, None]
    order = torch.randperm(len(images), generator=generator_from("handwritten split"))
    chosen = order[:TRAIN] if split == "train" else order[TRAIN:]
    return images[chosen], torch.from_numpy(digits.target).long()[chosen]
