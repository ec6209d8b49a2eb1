"""A street scene and its labels, as a function of a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.data.streets import camera, game
from bench.data.streets.raster import label_map
from bench.data.streets.street import street

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

Rendering = Literal["game", "camera"]

SIZE = (128, 256)
"""Height and width of the pictures."""

_RENDERINGS = {"game": (1, game), "camera": (2, camera)}
_SPLITS = {"train": 1, "val": 2}


def scene(
    rendering: Rendering, split: str, number: int, size: tuple[int, int] = SIZE
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Return a picture and its label map of Cityscapes' ids, uint8 (h, w).

    A function of its arguments alone. No two of them show the same street.

    >>> image, ids = scene("game", "train", 3)
    >>> image.size, image.mode, ids.shape, bool((ids == 7).any())
    ((256, 128), 'RGB', (128, 256), True)
    """
    seed, how = _RENDERINGS[rendering]
    rng = np.random.default_rng((20_180_703, seed, _SPLITS[split], number))
    made = street(rng, how.MANNER)
    return how.rendering(made, size, rng), label_map(made, size)
