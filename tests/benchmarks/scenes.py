"""Procedural label maps for the benchmarks: flat regions with curved borders, as in streets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def scene(seed: int, values: Sequence[int], height: int = 1024, width: int = 2048) -> np.ndarray:
    """Return uint8 (height, width): sky, road, and 150 wavy blobs of `values`."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:height, :width]
    picture = np.full((height, width), values[0], np.uint8)
    picture[rows > height * 0.4 + 40 * np.sin(columns / 200)] = values[1]
    for _ in range(150):
        y, x = rng.integers(0, height), rng.integers(0, width)
        tall, wide = rng.integers(5, 150), rng.integers(5, 200)
        top, bottom = max(0, y - 2 * tall), y + 2 * tall
        left, right = max(0, x - 2 * wide), x + 2 * wide
        part = picture[top:bottom, left:right]
        down, across = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        inside = ((across - x) / wide) ** 2 + ((down - y) / tall) ** 2
        part[inside < 1 + 0.2 * np.sin(across / 7)] = values[rng.integers(0, len(values))]
    return picture
