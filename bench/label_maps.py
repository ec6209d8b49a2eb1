"""Reading label maps: PNG files in one of three encodings.

In ``labelIds`` and ``trainIds`` a pixel is a label's value: 8-bit grey, or a palette, whose colours
do not matter. In ``color`` it is a label's colour: RGB or a palette; transparency does not matter.

Pillow decodes, or for a byte a pixel the compiled loop of `bench.kernels`, which is three times
faster. What Pillow would pass over in silence is looked for here: checksums, rows that are missing,
values of other widths than a byte.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from bench.classes import IGNORED, UNKNOWN
from bench.errors import BenchError, MissingDataError, unknown
from bench.kernels import compiled_loops

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.classes import ClassList, Lut
    from bench.kernels import Loops

ENCODINGS = ("labelIds", "trainIds", "color")

MOST_PIXELS = 1 << 26
"""Of one image. A file of a kilobyte can claim billions; the largest of street scenes, in Mapillary
Vistas, have some 2^24."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BLOCK = 1 << 16

GREY, RGB, PALETTE, RGBA = 0, 2, 3, 6
"""PNG's colour types; the only other one, 4, is grey with transparency."""

CHANNELS = {RGB: 3, RGBA: 4, 4: 2}

ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""First column and row, and steps to the next, of the passes of an interlaced image."""

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""What Pillow raises on files that are not what they claim to be."""


class Header(NamedTuple):
    """What the first bytes of a PNG file say."""

    width: int
    height: int
    bits: int
    kind: int
    compression: int
    filtering: int
    interlaced: int

    @property
    def unpacked(self) -> int:
        """Bytes of all rows, each with the number of its filter before it."""
        bits = self.bits * CHANNELS.get(self.kind, 1)
        parts = (
            (-(-(self.width - left) // across), -(-(self.height - top) // down))
            for left, top, across, down in (ADAM7 if self.interlaced else ((0, 0, 1, 1),))
        )
        return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in parts if columns > 0)

    def __str__(self) -> str:
        """Return the kind of pixels in words."""
        names = {GREY: "grey", RGB: "RGB", PALETTE: "palette", RGBA: "RGBA"}
        name = names.get(self.kind, "grey with transparency")
        return f"{self.bits}-bit {name}{', interlaced' * bool(self.interlaced)}"


@dataclass(frozen=True)
class LabelReader:
    """Reads label maps in one encoding.

    Attributes:
        classes: the labels that files may hold.
        encoding: one of `ENCODINGS`.
        compiled: whether to use the compiled loop, if numba is there; its first use in a process
            takes half a second.
    """

    classes: ClassList
    encoding: str
    compiled: bool = True

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

    def header(self, path: Path) -> Header:
        """Return what a file claims to be, without reading the rest.

        Raises:
            BenchError: it is no PNG file, not of this encoding's kind, or claims to be enormous.
        """
        try:
            with path.open("rb") as file:
                head = file.read(29)
        except OSError as error:
            raise MissingDataError(f"{path} cannot be read ({error.strerror}).") from error
        if len(head) < 29 or head[:8] != SIGNATURE or head[12:16] != b"IHDR":  # noqa: PLR2004
            raise MissingDataError(
                f"{path} is damaged or no PNG file; expected a label map in PNG."
            )
        header = Header(*struct.unpack(">IIBBBBB", head[16:]))
        if not 0 < header.width * header.height <= MOST_PIXELS:
            raise BenchError(
                f"{path} claims to be {header.width}x{header.height} pixels; expected at most"
                f" {MOST_PIXELS:,} in all."
            )
        colour = self.encoding == "color"
        kinds = {RGB, RGBA, PALETTE} if colour else {GREY, PALETTE}
        eight = header.bits == 8 or header.kind == PALETTE  # noqa: PLR2004
        if header.kind not in kinds or not eight or header.interlaced:
            expected = "8-bit RGB" if colour else "8-bit grey"
            raise BenchError(
                f"{path} is {header}; expected {expected} or a palette, not interlaced, for the"
                f" encoding '{self.encoding}'."
            )
        return header

    def read(self, path: Path, header: Header) -> NDArray[np.uint8]:
        """Return uint8 (h, w): a file's values; of colours, the indices that they mean.

        Raises:
            MissingDataError: the file is truncated or damaged.
            BenchError: a colour is no label's.
        """
        try:
            content = path.read_bytes()
            data = image_data(content)
            loops = compiled_loops() if self.compiled else None
            if loops and self.colours is None and header.bits == 8:  # noqa: PLR2004  a byte
                return unpack(data, header, loops)
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                last = image.crop((0, header.height - 1, header.width, header.height))
                if not np.asarray(last).any():  # Pillow leaves rows black that a file lacks
                    check_length(data, header)
                if self.colours is None:
                    return np.asarray(image)
                if image.palette and len(image.palette.palette) <= 3 * int(np.asarray(image).max()):
                    raise ValueError("a pixel is none of the palette's colours")
                pixels = np.asarray(image.convert("RGBA"))
        except DAMAGE as error:
            raise MissingDataError(
                f"{path} is truncated or damaged{_reason(error)}; expected a complete PNG file."
            ) from error
        return self._indices(pixels, path, self.colours)

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


def image_data(content: bytes) -> list[bytes]:
    """Return the parts of a PNG file's compressed pixels, every part of the file proven whole.

    Raises:
        ValueError: the file ends too early, or bytes of it were changed.
    """
    parts, kind, place, headers = [], b"", len(SIGNATURE), 0
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 8 + length
        (check,) = struct.unpack_from(">I", content, end)
        if zlib.crc32(content[place + 4 : end]) != check:
            raise ValueError("a checksum does not match")
        kind = content[place + 4 : place + 8]
        headers += kind == b"IHDR"
        if headers != 1 or (kind == b"IHDR" and length != 13):  # noqa: PLR2004
            raise ValueError("it has not one header of 13 bytes")  # decoders believe the last one
        if kind == b"IDAT":
            parts.append(content[place + 8 : end])
        place = end + 4
    return parts


def unpack(data: Sequence[bytes], header: Header, loops: Loops) -> NDArray[np.uint8]:
    """Return uint8 (h, w), the pixels of an image that has a byte for each.

    Raises:
        ValueError: they are fewer than the header claims, or no pixels.
    """
    raw = zlib.decompressobj().decompress(b"".join(data), header.unpacked)
    if len(raw) < header.unpacked:
        raise ValueError(f"{header.unpacked - len(raw):,} bytes of pixels are missing")
    pixels = np.empty((header.height, header.width), np.uint8)
    rows = np.frombuffer(raw, np.uint8).reshape(header.height, header.width + 1)
    if not loops.unfilter(rows, pixels):
        raise ValueError("a row has a filter that there is not")
    return pixels


def check_length(data: Sequence[bytes], header: Header) -> None:
    """Raise ValueError if compressed pixels are fewer than the header claims; in little memory."""
    missing, inflate = header.unpacked, zlib.decompressobj()
    for part in data:
        rest = part
        while rest and missing > 0:
            missing -= len(inflate.decompress(rest, BLOCK))
            rest = inflate.unconsumed_tail
    if missing > 0:
        raise ValueError(f"{missing:,} bytes of pixels are missing")


def _code(colour: tuple[int, int, int]) -> int:
    red, green, blue = colour
    return red | green << 8 | blue << 16


def _reason(error: Exception) -> str:
    """Return what is wrong in brackets, unless it speaks of buffers, which no user has."""
    text = str(error)
    return "" if isinstance(error, struct.error) or not text else f" ({text})"
