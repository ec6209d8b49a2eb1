"""Pictures of a run, as PNG: confusion matrices, translated images, segmented scenes.

Nothing here touches `matplotlib.pyplot` or its global state, so that worker processes and threads
may draw at the same time, with or without a display. Equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from PIL import Image

from bench.canvas import DPI, INK, QUIET, Canvas, rgb, save
from bench.classes import IGNORED
from bench.errors import BenchError
from bench.metrics import accuracy, checked, normalised

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from bench.canvas import Picture
    from bench.classes import ClassList
    from bench.metrics import Confusion

NUMBERED = 20
"""Classes up to which each cell of a confusion matrix carries its number."""

COLUMNS = 3
"""Triples beside each other."""

FRAME = 200
"""Grey value of the frame around images, 0..255."""

TILE = 112
"""Least width, in pixels, that a small image is magnified to, by a whole factor."""

WIDTH = 1200
"""Width, in pixels, of a picture of large images."""

EDGE, HEAD, GAP = 18, 44, 6
"""Pixels of paper around everything, above it for titles, and between large images."""


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
    save(figure, path)


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
    parts = [rgb(images, name) for images, name in zip(pictures, titles, strict=True)]
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
    hair, gap, between = 2, 36, 10
    block = 3 * wide + 2 * hair
    canvas = Canvas(
        2 * EDGE + columns * block + (columns - 1) * gap,
        HEAD + rows * tall + (rows - 1) * between + EDGE,
    )
    for index in range(count):
        row, column = divmod(index, columns)
        top, left = HEAD + row * (tall + between), EDGE + column * (block + gap)
        # A grey ground frames each image, or a white one would have no edge on white paper.
        canvas.fill(left - hair, top - hair, block + 2 * hair, tall + 2 * hair, FRAME)
        for part, title in zip(parts, titles, strict=True):
            canvas.paste(left, top, part[index].repeat(factor, axis=0).repeat(factor, axis=1))
            if row == 0:
                canvas.write(left + wide / 2, HEAD - 13, title)
            left += wide + hair
    canvas.save(path)


def translation_pairs(pairs: Mapping[str, tuple[ArrayLike, ArrayLike]], path: Path) -> None:
    """Draw large images and their translations, as the paper's Figure 6: a row for each example.

    Args:
        pairs: by the name of the domain that they come from, images and what they were translated
            to: uint8 (n, c, h, w), values 0..255, c = 1 or 3, n >= 1. Two names are both directions
            between two domains.
        path: the PNG to write, 1,200 pixels wide.

    Raises:
        BenchError: wrong shapes or types, or the file cannot be written.
    """
    if len(pairs) not in {1, 2}:
        message = f"expected images of one or two domains, got {len(pairs)}"
        raise BenchError(message)
    columns: list[tuple[str, Picture]] = []
    for name, (originals, translated) in pairs.items():
        others = [other for other in pairs if other != name]
        title = f"{name} \u2192 {others[0]}" if others else f"{name}, translated"
        both = rgb(originals, name), rgb(translated, title)
        if len(both[0]) != len(both[1]):
            message = f"{title}: expected {len(both[0])} translations, got {len(both[1])}"
            raise BenchError(message)
        columns += zip((name, title), both, strict=True)
    wide = _column_width(len(columns))
    tiles = [(title, [_resized(image, wide) for image in images]) for title, images in columns]
    _draw_columns(tiles, 0)[0].save(path)


def segmentations(
    images: ArrayLike,
    predictions: ArrayLike | Mapping[str, ArrayLike],
    truths: ArrayLike,
    classes: ClassList,
    path: Path,
    titles: Sequence[str] | None = None,
) -> None:
    """Draw scenes beside their segmentations, as the paper's Figure 5: a row for each scene.

    Columns are the input, each prediction, and the ground truth; the classes' colours are
    explained beneath. Pixels that are ignored are black.

    Args:
        images: uint8 (n, c, h, w), values 0..255, c = 1 or 3, n >= 1.
        predictions: class indices (n, h', w'), integers 0..k-1, or 255 for ignored; several such
            by name, as before and after adaptation. Their size may be another than the images'.
        truths: the same for the ground truth.
        classes: names and colours of the k classes.
        path: the PNG to write, 1,200 pixels wide.
        titles: one for each column; by default "input", the names of the predictions, and
            "ground truth".

    Raises:
        BenchError: wrong shapes, types or values, or the file cannot be written.
    """
    named = predictions if isinstance(predictions, Mapping) else {"prediction": predictions}
    scenes = rgb(images, "input")
    maps = {**named, "ground truth": truths}
    coloured = [_coloured(values, classes, name, len(scenes)) for name, values in maps.items()]
    heads = list(titles or ("input", *maps))
    if len(heads) != 1 + len(maps):
        message = f"expected a title for each of the {1 + len(maps)} columns, got {len(heads)}"
        raise BenchError(message)
    wide = _column_width(len(heads))
    inputs = [_resized(scene, wide) for scene in scenes]
    tiles = [(heads[0], inputs)]
    for head, maps_of in zip(heads[1:], coloured, strict=True):
        tall = [len(tile) for tile in inputs]
        pairs = zip(maps_of, tall, strict=True)
        # Never smoothed: a colour between two classes would be that of a third.
        tiles.append((head, [_resized(each, wide, height, smooth=False) for each, height in pairs]))
    entries = [*zip(classes.names, classes.colours, strict=True), ("ignored", (0, 0, 0))]
    across = max(1, (WIDTH - 2 * EDGE) // (46 + 9 * max(len(name) for name, _ in entries)))
    line, square = 26, 16
    canvas, bottom = _draw_columns(tiles, GAP + line * -(-len(entries) // across))
    for index, (name, colour) in enumerate(entries):
        row, column = divmod(index, across)
        left = EDGE + column * (WIDTH - 2 * EDGE) // across
        top = bottom + 2 * GAP + row * line
        canvas.fill(left, top, square, square, colour)
        canvas.write(left + square + 8, top + 13, name, "left")
    canvas.save(path)


def _column_width(columns: int) -> int:
    return (WIDTH - 2 * EDGE - (columns - 1) * GAP) // columns


def _draw_columns(
    columns: Sequence[tuple[str, Sequence[Picture]]], below: int
) -> tuple[Canvas, int]:
    """Return a canvas with titled columns of images of one width, and where they end.

    `below` is how many pixels of paper to leave beneath them.
    """
    count = max(len(tiles) for _, tiles in columns)
    wide = _column_width(len(columns))
    heights = [max(len(tiles[i]) for _, tiles in columns if i < len(tiles)) for i in range(count)]
    bottom = HEAD + sum(heights) + (count - 1) * GAP
    canvas = Canvas(WIDTH, bottom + below + EDGE)
    for column, (title, tiles) in enumerate(columns):
        left, top = EDGE + column * (wide + GAP), HEAD
        canvas.write(left + wide / 2, HEAD - 13, title)
        for tile, height in zip(tiles, heights, strict=False):
            # A hairline, or a white sky would have no edge on white paper.
            canvas.fill(left - 1, top - 1, wide + 2, len(tile) + 2, FRAME)
            canvas.paste(left, top, tile)
            top += height + GAP
    return canvas, bottom


def _resized(
    picture: Picture, width: int, height: int | None = None, *, smooth: bool = True
) -> Picture:
    """Return a picture, uint8 (h, w, 3), in another size, by default of the same proportions."""
    tall, wide, _ = picture.shape
    size = (width, height or max(1, round(tall * width / wide)))
    how = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, how))


def _coloured(values: ArrayLike, classes: ClassList, name: str, count: int) -> Picture:
    """Return class indices (n, h, w) as colours, uint8 (n, h, w, 3)."""
    array = np.asarray(values)
    three = array.ndim == 3 and array.size > 0 and len(array) == count  # noqa: PLR2004
    if not three or array.dtype.kind not in "iu":
        message = (
            f"{name}: expected integers (n, h, w), one map for each of {count} images,"
            f" got {array.dtype} of shape {array.shape}"
        )
        raise BenchError(message)
    wrong = array[((array < 0) | (array >= len(classes))) & (array != IGNORED)]
    if wrong.size:
        message = (
            f"{name}: expected classes 0..{len(classes) - 1}, or {IGNORED} for ignored,"
            f" got {wrong[0]}"
        )
        raise BenchError(message)
    palette = np.zeros((IGNORED + 1, 3), dtype=np.uint8)
    palette[: len(classes)] = classes.colours
    return palette[array]
