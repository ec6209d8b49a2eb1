"""Pictures of a run, as PNG: confusion matrices and translated images.

Nothing here touches `matplotlib.pyplot` or its global state, so that worker processes and threads
may draw at the same time, with or without a display. Equal input gives equal bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from bench.errors import BenchError
from bench.files import atomic_path
from bench.metrics import accuracy, checked, normalised

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from bench.metrics import Confusion

INK, QUIET = "#1c2733", "#667788"
"""Colours of text: what is read first, and the rest."""

NUMBERED = 20
"""Classes up to which each cell of a confusion matrix carries its number."""

DPI = 120
"""Pixels per inch of every picture: two matrices fill the width of a page on screen."""

COLUMNS = 3
"""Triples beside each other."""

FRAME = 200
"""Grey value of the frame around images, 0..255."""

TILE = 112
"""Least width, in pixels, that an image is magnified to, by a whole factor."""


def confusion_pair(
    before: Confusion | None,
    after: Confusion,
    path: Path,
    titles: tuple[str, str] | None = None,
) -> None:
    """Draw two confusion matrices side by side, as the paper's Figure 3.

    Each row is divided by its sum: a cell says how many per cent of a true class were predicted
    as which. A cell without a number is an exact zero. The colour follows the square root of the
    share, so that a confusion of 2 % can be seen beside a diagonal of 97 %.

    Args:
        before: int64 (k, k), rows = ground truth; None leaves the left matrix out.
        after: int64 (k, k).
        path: the PNG to write.
        titles: of the two matrices, "Before adaptation" and "After adaptation" if not given; the
            accuracy is printed beneath each.

    Raises:
        BenchError: not a confusion matrix, or the file cannot be written.
    """
    alone = "Target test set" if before is None else "After adaptation"
    pairs = zip((before, after), titles or ("Before adaptation", alone), strict=True)
    panels = [(checked(matrix), title) for matrix, title in pairs if matrix is not None]
    # Inches. Set by hand: an automatic layout knows nothing of square axes and cuts the titles.
    side, left, below, above, gap = 4.9, 0.65, 0.65, 0.75, 0.45
    wide = left + len(panels) * side + (len(panels) - 1) * gap + 0.2
    tall = below + side + above
    figure = Figure(figsize=(wide, tall), dpi=DPI)
    for position, (matrix, title) in enumerate(panels):
        corner = left + position * (side + gap)
        axis = figure.add_axes((corner / wide, below / tall, side / wide, side / tall))
        _draw_confusion(axis, matrix, title)
        axis.set_xlabel("predicted class", color=QUIET, labelpad=6)
        if position == 0:
            axis.set_ylabel("true class", color=QUIET, labelpad=6)
    _save(figure, path)


def _draw_confusion(axis: Axes, matrix: Confusion, title: str) -> None:
    share, classes = normalised(matrix), len(matrix)
    axis.imshow(share, cmap="Blues", norm=PowerNorm(0.5, vmin=0.0, vmax=1.0))
    total = accuracy(matrix)
    score = "no images" if total is None else f"{100 * total:.2f} % correct"
    axis.set_title(f"{title}\n{score}", color=INK, fontsize=12, pad=8)
    ticks = range(0, classes, 1 if classes <= NUMBERED else classes // 10)
    axis.set_xticks(ticks)
    axis.set_yticks(ticks)
    axis.tick_params(length=0, colors=INK)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(1, classes) - 0.5, minor=True)
    axis.set_yticks(np.arange(1, classes) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.0)
    axis.tick_params(which="minor", length=0)
    if classes > NUMBERED:
        return
    size = min(8.5, 90 / classes)
    for (row, column), value in np.ndenumerate(share):
        if value > 0:
            # White on the dark half of the map: the norm maps a share of 0.36 to 0.6 of the range.
            ink = "white" if value > 0.36 else INK  # noqa: PLR2004
            weight = "bold" if row == column else "normal"
            text = _per_cent(value)
            axis.text(
                column, row, text, ha="center", va="center", color=ink, size=size, weight=weight
            )


def _per_cent(share: float) -> str:
    """Return a positive share as a short per cent; what rounds to 0 or 100 says so honestly.

    >>> [_per_cent(share) for share in (0.0001, 0.0123, 0.5, 0.9999, 1.0)]
    ['<0.1', '1.2', '50.0', '>99.9', '100']
    """
    if share == 1:
        return "100"
    text = f"{100 * share:.1f}"
    return {"0.0": "<0.1", "100.0": ">99.9"}.get(text, text)


def translation_triples(
    source: ArrayLike,
    translated: ArrayLike,
    reconstructed: ArrayLike,
    path: Path,
    titles: tuple[str, str, str] = ("original", "translated", "reconstructed"),
) -> None:
    """Draw images, their translations and the way back, as the paper's Figure 4.

    Use it for both directions. A translation that failed is visible at once: noise, one image for
    all, or another digit than the original's.

    Args:
        source: uint8 (n, c, h, w), values 0..255, c = 1 (grey) or 3 (RGB), n >= 1.
        translated: the same shape and type.
        reconstructed: the same shape and type.
        path: the PNG to write. Pixels are magnified by a whole factor, never smoothed.
        titles: of the three pictures of each triple.

    Raises:
        BenchError: wrong shapes or types, or the file cannot be written.
    """
    pictures = (source, translated, reconstructed)
    parts = [_rgb(images, name) for images, name in zip(pictures, titles, strict=True)]
    if len({images.shape for images in parts}) > 1:
        shapes = ", ".join(str(np.shape(images)) for images in pictures)
        message = f"expected three stacks of images of one shape, got {shapes}"
        raise BenchError(message)
    count, height, width, _ = parts[0].shape
    factor = -(-TILE // width)
    tall, wide = height * factor, width * factor
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    # Pixels: a hairline between the images of a triple, a wide gap between triples.
    hair, gap, between, head, edge = 2, 36, 10, 44, 18
    block = 3 * wide + 2 * hair
    size_x = 2 * edge + columns * block + (columns - 1) * gap
    size_y = head + rows * tall + (rows - 1) * between + edge
    canvas = np.full((size_y, size_x, 3), 255, dtype=np.uint8)
    # The hundredth of a pixel keeps matplotlib from rounding down to one pixel less.
    figure = Figure(figsize=((size_x + 0.01) / DPI, (size_y + 0.01) / DPI), dpi=DPI)
    for index in range(count):
        row, column = divmod(index, columns)
        top, left = head + row * (tall + between), edge + column * (block + gap)
        # A grey ground frames each image, or a white one would have no edge on white paper.
        canvas[top - hair : top + tall + hair, left - hair : left + block + hair] = FRAME
        for part, title in zip(parts, titles, strict=True):
            tile = part[index].repeat(factor, axis=0).repeat(factor, axis=1)
            canvas[top : top + tall, left : left + wide] = tile
            if row == 0:
                x, y = (left + wide / 2) / size_x, 1 - (head - 13) / size_y
                figure.text(x, y, title, ha="center", va="baseline", size=9, color=QUIET)
            left += wide + hair
    axis = figure.add_axes((0, 0, 1, 1), zorder=-1)
    axis.set_axis_off()
    axis.imshow(canvas, interpolation="none", aspect="auto")
    _save(figure, path)


def _rgb(images: ArrayLike, name: str) -> NDArray[np.uint8]:
    """Return (n, c, h, w) images as (n, h, w, 3)."""
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


def _save(figure: Figure, path: Path) -> None:
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
