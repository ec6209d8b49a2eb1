"""Score files of predictions against files of ground truth, one pair of images after another.

A label map is a PNG file in one of three encodings. In ``labelIds`` and ``trainIds`` a pixel is a
label's value: 8-bit grey, or a palette, whose colours do not matter. In ``color`` it is a label's
colour: RGB or a palette; transparency does not matter.
"""

from __future__ import annotations

import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bench.classes import IGNORED, UNKNOWN
from bench.errors import BenchError, MissingDataError, unknown
from bench.kernels import cores
from bench.metrics import Counts, count_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.classes import ClassList, Lut
    from bench.pairing import Pair

ENCODINGS = ("labelIds", "trainIds", "color")

MOST_PIXELS = 1 << 26
"""Of one image. A file of a kilobyte can claim billions; the largest of street scenes, in Mapillary
Vistas, have some 2^24."""

FEW = 250
"""Pairs below which the compiled loop takes longer to load than it saves, by measurement."""

GREY, RGB, PALETTE, RGBA = 0, 2, 3, 6
"""PNG's colour types; the only other one, 4, is grey with transparency."""

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""What Pillow raises on files that are not what they claim to be."""


def evaluate(
    pairs: Sequence[Pair],
    classes: ClassList,
    *,
    encoding: str = "labelIds",
    truth_encoding: str = "labelIds",
    threads: int | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Counts:
    """Count the pixels of all pairs of files; memory does not grow with their number.

    Args:
        pairs: the files.
        classes: what the files' values or colours mean, and which classes count.
        encoding: the predictions': "labelIds", "trainIds" or "color".
        truth_encoding: the ground truth's.
        threads: how many images are read at once; all cores if None.
        on_image: called after each pair, by whichever thread read it.

    Raises:
        BenchError: files cannot be scored; the message names all of them with the reason.
    """
    truths, predictions = LabelReader(classes, truth_encoding), LabelReader(classes, encoding)
    compiled = len(pairs) > FEW
    left, turn, stop = iter(enumerate(pairs)), threading.Lock(), threading.Event()

    def work() -> tuple[Counts, list[tuple[int, str]]]:
        total, problems = Counts.zero(len(classes)), []
        while not stop.is_set():
            with turn:
                number, pair = next(left, (-1, None))
            if pair is None:
                break
            try:
                total += count_pair(pair, truths, predictions, compiled=compiled)
            except BenchError as error:
                problems.append((number, str(error)))
            on_image()
        return total, problems

    # Threads, not processes: Pillow decodes and `count_raw` counts without Python's global lock.
    workers = min(threads or cores(), len(pairs)) or 1
    with ThreadPoolExecutor(workers) as pool:
        try:
            results = [job.result() for job in [pool.submit(work) for _ in range(workers)]]
        finally:
            stop.set()
    problems = sorted(problem for _, found in results for problem in found)
    if problems:
        listed = "".join(f"\n  {sentence}" for _, sentence in problems)
        raise BenchError(f"{len(problems)} of {len(pairs)} pairs cannot be scored:{listed}")
    return sum((total for total, _ in results), Counts.zero(len(classes)))


def count_pair(
    pair: Pair, truths: LabelReader, predictions: LabelReader, *, compiled: bool
) -> Counts:
    """Count the pixels of one pair of files, on one thread.

    Raises:
        BenchError: a file cannot be read, their sizes differ, or a value is no label.
    """
    expected, found = truths.size(pair.truth), predictions.size(pair.prediction)
    if found != expected:
        raise BenchError(
            f"{pair.prediction} is {found[0]}x{found[1]} pixels; expected {expected[0]}x"
            f"{expected[1]}, as {pair.truth} is."
        )
    truth, prediction = truths.read(pair.truth), predictions.read(pair.prediction)
    luts, k = (truths.lut, predictions.lut), len(truths.classes)
    try:
        return count_raw(truth, prediction, *luts, k, threads=1, compiled=compiled)
    except BenchError as error:
        raise BenchError(f"{pair.prediction} against {pair.truth}: {error}") from error


@dataclass(frozen=True)
class LabelReader:
    """Reads label maps in one encoding.

    Attributes:
        classes: the labels that files may hold.
        encoding: one of `ENCODINGS`.
    """

    classes: ClassList
    encoding: str

    def __post_init__(self) -> None:
        """Check the encoding and make the tables, before threads share them."""
        if self.encoding not in ENCODINGS:
            raise unknown("encoding", self.encoding, ENCODINGS)
        _ = self.lut, self.colours

    @cached_property
    def lut(self) -> Lut:
        """What the values that `read` returns mean, as `bench.metrics.count_raw` takes it."""
        if self.encoding == "trainIds":
            return self.classes.by_train_id()
        return self.classes.by_id() if self.encoding == "labelIds" else np.arange(256, dtype="u1")

    @cached_property
    def colours(self) -> Lut | None:
        """Red + 256 green + 65536 blue to index, ignored or unknown: uint8 (2^24,), if needed."""
        if self.encoding != "color":
            return None
        table = np.full(1 << 24, UNKNOWN, dtype=np.uint8)
        for label in self.classes.labels:
            table[_code(label.colour)] = IGNORED
        # An evaluated class has its colour for itself: Cityscapes' pole shares one with polegroup.
        for index, label in enumerate(self.classes.evaluated):
            if table[_code(label.colour)] < UNKNOWN:
                other = self.classes.names[table[_code(label.colour)]]
                raise BenchError(
                    f"{self.classes.name}: '{other}' and '{label.name}' have the same colour, so"
                    " files of colours cannot tell them apart. Expected one for each class."
                )
            table[_code(label.colour)] = index
        return table

    def size(self, path: Path) -> tuple[int, int]:
        """Return the width and height that a file's header claims, without reading the rest.

        Raises:
            BenchError: it is no PNG file, not of this encoding's kind, or claims to be enormous.
        """
        try:
            with path.open("rb") as file:
                head = file.read(26)
        except OSError as error:
            raise MissingDataError(f"{path} cannot be read ({error.strerror}).") from error
        if len(head) < 26 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":  # noqa: PLR2004
            raise MissingDataError(
                f"{path} is damaged or no PNG file. Expected a label map in PNG."
            )
        width, height, bits, kind = struct.unpack(">IIBB", head[16:])
        if not 0 < width * height <= MOST_PIXELS:
            raise BenchError(
                f"{path} claims to be {width}x{height} pixels; expected at most {MOST_PIXELS:,}."
            )
        fits = {RGB, RGBA, PALETTE} if self.encoding == "color" else {GREY, PALETTE}
        if kind not in fits or (bits != 8 and kind != PALETTE):  # noqa: PLR2004  a byte
            channels = {GREY: "grey", RGB: "RGB", PALETTE: "palette", RGBA: "RGBA"}
            expected = "8-bit RGB" if self.encoding == "color" else "8-bit grey"
            raise BenchError(
                f"{path} is {bits}-bit {channels.get(kind, 'grey with transparency')}; expected"
                f" {expected} or a palette, which is what the encoding '{self.encoding}' has."
            )
        return width, height

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return uint8 (h, w): a file's values; of colours, the indices that they mean.

        Call `size` first: it refuses what this would misread or not survive.

        Raises:
            MissingDataError: the file is truncated or damaged.
            BenchError: a colour is no label's.
        """
        try:
            with Image.open(path, formats=["PNG"]) as image:
                image.verify()  # PNG's own checksums; it leaves the file of no further use
            with Image.open(path, formats=["PNG"]) as image:
                values = np.asarray(image if self.colours is None else image.convert("RGBA"))
        except DAMAGE as error:
            raise MissingDataError(
                f"{path} is truncated or damaged ({error}); expected a complete PNG file."
            ) from error
        return values if self.colours is None else self._indices(values, path, self.colours)

    def _indices(self, pixels: NDArray[np.uint8], path: Path, table: Lut) -> NDArray[np.uint8]:
        """Look up uint8 (h, w, 4): red, green, blue, and transparency, which is left out."""
        codes = pixels.view("<u4")[..., 0] & (len(table) - 1)
        indices = table[codes]
        wrong, often = np.unique(codes[indices == UNKNOWN], return_counts=True)
        if wrong.size:
            found = ", ".join(
                f"({code & 255}, {code >> 8 & 255}, {code >> 16}) ({times:,} pixels)"
                for code, times in zip(wrong[:5].tolist(), often[:5].tolist(), strict=True)
            )
            more = f" and {wrong.size - 5} other colours" if wrong.size > 5 else ""  # noqa: PLR2004
            raise BenchError(
                f"{path}: expected each colour to be one of {self.classes.name}'s labels,"
                f" got {found}{more}."
            )
        return indices


def _code(colour: tuple[int, int, int]) -> int:
    red, green, blue = colour
    return red | green << 8 | blue << 16
