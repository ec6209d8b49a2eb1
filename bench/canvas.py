"""Pictures laid out pixel by pixel, with text around them, as PNG.

Nothing here touches `matplotlib.pyplot` or its global state, so that worker processes and threads
may draw at the same time, with or without a display. Equal input gives equal bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.files import atomic_path

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from numpy.typing import ArrayLike, NDArray

    Picture = NDArray[np.uint8]

INK, QUIET = "#1c2733", "#667788"
"""Colours of text: what is read first, and the rest."""

DPI = 120
"""Pixels per inch of every picture: two matrices fill the width of a page on screen."""


class Canvas:
    """White paper, ``width`` by ``height`` pixels, counted from the upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        """Start with an empty one."""
        self._pixels = np.full((height, width, 3), 255, dtype=np.uint8)
        # The hundredth of a pixel keeps matplotlib from rounding down to one pixel less.
        self._figure = Figure(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI)

    def fill(self, left: int, top: int, width: int, height: int, colour: ArrayLike) -> None:
        """Paint a rectangle; `colour` is one grey value, or red, green and blue, 0..255."""
        self._pixels[top : top + height, left : left + width] = colour

    def paste(self, left: int, top: int, picture: Picture) -> None:
        """Put a picture, uint8 (h, w, 3), there as it is."""
        height, width, _ = picture.shape
        self._pixels[top : top + height, left : left + width] = picture

    def write(
        self, x: float, y: float, text: str, align: Literal["left", "center"] = "center"
    ) -> None:
        """Write quiet text, its baseline at `y`."""
        height, width, _ = self._pixels.shape
        place = (x / width, 1 - y / height)
        self._figure.text(*place, text, ha=align, va="baseline", size=9, color=QUIET)

    def save(self, path: Path) -> None:
        """Write the PNG. Raises BenchError if that cannot be done."""
        axis = self._figure.add_axes((0, 0, 1, 1), zorder=-1)
        axis.set_axis_off()
        axis.imshow(self._pixels, interpolation="none", aspect="auto")
        save(self._figure, path)


def rgb(images: ArrayLike, name: str) -> Picture:
    """Return (n, c, h, w) images as (n, h, w, 3).

    Raises:
        BenchError: they are no such images; the message calls them `name`.
    """
    array = np.asarray(images)
    four = array.ndim == 4 and array.size > 0 and array.shape[1] in (1, 3)  # noqa: PLR2004
    if not four or array.dtype != np.uint8:
        message = (
            f"{name}: expected uint8 images (n, c, h, w) with c = 1 or 3,"
            f" got {array.dtype} of shape {array.shape}"
        )
        raise BenchError(message)
    channels_last = array.transpose(0, 2, 3, 1)
    return np.repeat(channels_last, 3, axis=3) if array.shape[1] == 1 else channels_last


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG. Raises BenchError if that cannot be done."""
    FigureCanvasAgg(figure)
    # matplotlib stamps its version otherwise; no date is written.
    metadata: dict[str, Any] = {"Software": None}
    try:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", metadata=metadata)
    except OSError as error:
        message = (
            f"cannot write {path}: {error.strerror or error}."
            " Choose a folder that you may write to, with free space (--runs, --out)."
        )
        raise BenchError(message) from error
