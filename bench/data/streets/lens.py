"""The camera: where a point of the street falls in the picture, and back.

Metres, camera above the origin of the ground: x to the right, y up, z ahead. Pixels: column and
row, the middle of the first pixel at (0, 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Singles = NDArray[np.float32]

NEAR = 0.5
"""Metres ahead of the camera, nearer than which nothing is drawn."""


@dataclass(frozen=True)
class Lens:
    """A pinhole camera on a car.

    Attributes:
        height: metres above the ground.
        focal: focal length in widths of the picture; 1.1 is Cityscapes' camera.
        pitch: radians that it looks down.
        roll: radians that it leans to the left.
    """

    height: float = 1.4
    focal: float = 0.9
    pitch: float = 0.0
    roll: float = 0.0

    def project(self, points: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return columns and rows, float64 (n, 2), and depths, float64 (n,).

        Pixels of points nearer than `NEAR` mean nothing.

        Args:
            points: float64 (n, 3).
            size: height and width of the picture.

        >>> pixels, depth = Lens(1.4, 1.0).project(np.array([[0.0, 1.4, 5.0]]), (128, 256))
        >>> pixels.tolist(), depth.tolist()
        ([[127.5, 63.5]], [5.0])
        """
        x, y, z = points[:, 0], points[:, 1] - self.height, points[:, 2]
        down, turned = math.sin(self.pitch), math.cos(self.pitch)
        y, z = y * turned + z * down, z * turned - y * down
        lean, upright = math.sin(self.roll), math.cos(self.roll)
        scale = self.focal * size[1] / np.maximum(z, NEAR)
        column = (size[1] - 1) / 2 + scale * (x * upright - y * lean)
        row = (size[0] - 1) / 2 - scale * (x * lean + y * upright)
        return np.stack([column, row], axis=1), z

    def rays(self, size: tuple[int, int]) -> tuple[Singles, Singles, Singles]:
        """Return x, y and z of the direction in which each pixel looks, float32 (h, w) each."""
        across, down = (
            np.arange(size[1]) - (size[1] - 1) / 2,
            np.arange(size[0]) - (size[0] - 1) / 2,
        )
        scale = 1 / (self.focal * size[1])
        right, up = across * scale, -down[:, None] * scale
        lean, upright = math.sin(self.roll), math.cos(self.roll)
        x = (right * upright).astype(np.float32) + (up * lean).astype(np.float32)
        y = (up * upright).astype(np.float32) - (right * lean).astype(np.float32)
        sin, cos = np.float32(math.sin(self.pitch)), np.float32(math.cos(self.pitch))
        return x, y * cos - sin, y * sin + cos
