"""PNG and JPEG files: images, label maps of every data set, predictions.

What is right is told by a reader of PNG in this file: chunk by chunk, filter by filter, sample by
sample. Pillow must not be asked, since our readers ask it.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from near_misses import MEBIBYTE, REFUSED, fuzzed, outcome, spoiled
from PIL import Image

from bench.classes import CAMVID, CITYSCAPES, IGNORED
from bench.data.camvid import CamVid
from bench.data.cityscapes import Cityscapes
from bench.data.frames import read_indices
from bench.data.gta5 import GTA5
from bench.data.scenes import image_size, read_colours
from bench.data.synthia import SYNTHIA
from bench.label_maps import LabelReader

if TYPE_CHECKING:
    from pathlib import Path

HEAD = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
GROWTH = 1536 * MEBIBYTE
"""An image of a kilobyte may claim 2^26 pixels; decoded and converted, in RGB, they take this."""


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def header(width: int, height: int, bits: int, kind: int, laced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, laced))


def png(*chunks: bytes) -> bytes:
    return HEAD + b"".join(chunks) + chunk(b"IEND", b"")


def pixels(rows: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress(rows))


PALETTE = chunk(b"PLTE", bytes(range(3 * 12)))
RNG = np.random.default_rng(0)


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """Return a PNG that is sound but for what somebody who writes one by hand may do to it."""
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    kind, bits = draw(
        st.sampled_from(
            (
                (0, 8),
                (0, 8),
                (3, 8),
                (3, 8),
                (3, 4),
                (3, 1),
                (2, 16),
                (2, 16),
                (2, 8),
                (0, 16),
                (6, 8),
                (4, 8),
                (0, 4),
            )
        )
    )
    length = -(-width * bits * CHANNELS[kind] // 8)
    highest = draw(st.sampled_from((11, 255)))
    rows = [
        bytes([draw(st.sampled_from((0, 0, 0, 1, 2, 3, 4, 5)))])
        + bytes(
            value % (highest + 1) for value in draw(st.binary(min_size=length, max_size=length))
        )
        for _ in range(height)
    ]
    match draw(
        st.sampled_from(("sound", "sound", "sound", "fewer", "more", "twice", "split", "text"))
    ):
        case "fewer":
            rows.pop()
        case "more":
            rows.append(bytes(length + 1))
        case "twice":
            other = header(draw(st.integers(0, 2**31 - 1)), draw(st.integers(0, 12)), bits, kind)
            return png(header(width, height, bits, kind), other, PALETTE, pixels(b"".join(rows)))
        case "split":
            packed = zlib.compress(b"".join(rows))
            cut = draw(st.integers(0, len(packed)))
            both = chunk(b"IDAT", packed[:cut]) + chunk(b"IDAT", packed[cut:])
            return png(header(width, height, bits, kind), PALETTE, both)
        case "text":
            note = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(2**21)))
            return png(header(width, height, bits, kind), PALETTE, note, pixels(b"".join(rows)))
    return png(header(width, height, bits, kind), *[PALETTE] * (kind == 3), pixels(b"".join(rows)))


def slow_png(content: bytes) -> tuple[int, int, np.ndarray] | None:  # noqa: PLR0911  one a reason
    """Return (bits, colour type, samples (h, w, channels)) of a sound PNG without interlacing."""
    if content[:8] != HEAD:
        return None
    place, kind, head, packed, headers = 8, b"", b"", b"", 0
    while kind != b"IEND":
        length = int.from_bytes(content[place : place + 4], "big")
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        check = content[place + 8 + length : place + 12 + length]
        if len(check) < 4 or zlib.crc32(kind + body) != int.from_bytes(check, "big"):
            return None
        headers += kind == b"IHDR"
        head = body if kind == b"IHDR" else head
        packed += body if kind == b"IDAT" else b""
        place += 12 + length
    if headers != 1 or len(head) != 13:
        return None
    width, height, bits, colours, method, filters, laced = struct.unpack(">IIBBBBB", head)
    if (
        colours not in CHANNELS
        or (method, filters, laced) != (0, 0, 0)
        or not 0 < width * height < 1000
    ):
        return None
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(packed, 100_000)
    except zlib.error:
        return None
    channels = CHANNELS[colours]
    step, length = max(1, bits * channels // 8), -(-width * bits * channels // 8)
    if len(raw) < height * (length + 1):
        return None
    above, out = bytes(length), []
    for row in range(height):
        number, line = raw[row * (length + 1)], bytearray(raw[row * (length + 1) + 1 :][:length])
        if number > 4:
            return None
        for i in range(length):
            left = line[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            guess = left + above[i] - corner
            near = min((left, above[i], corner), key=lambda value: abs(guess - value))
            line[i] = (line[i] + (0, left, above[i], (left + above[i]) // 2, near)[number]) % 256
        above = bytes(line)
        digits = "".join(f"{byte:08b}" for byte in line)
        out.append([int(digits[i : i + bits], 2) for i in range(0, width * channels * bits, bits)])
    return bits, colours, np.array(out).reshape(height, width, channels)


ANY = spoiled(pictures()) | pictures() | pictures()
BIG = png(header(2**13, 2**13, 8, 0), pixels(bytes(2**13)))
TWICE = png(header(2, 1, 8, 0), header(2**15, 2**15, 8, 0), pixels(b"\0\1\2"))
SMALLER = png(header(2, 2, 8, 0), header(1, 1, 8, 0), pixels(b"\0\1\2\0\3\4"))
FEWER = png(header(2, 2, 8, 0), pixels(b"\0\1\2"))
OTHER = png(header(2, 1, 8, 0), header(2, 1, 8, 2), pixels(bytes(range(7))))
NO_HEADER = HEAD + struct.pack(">I", 8) + b"IHDR" + bytes(8) + chunk(b"IEND", b"")


@fuzzed
@given(content=ANY, domain=st.sampled_from((Cityscapes(), GTA5(), CamVid(), SYNTHIA())))
@example(content=BIG, domain=Cityscapes())
@example(content=TWICE, domain=Cityscapes())
@example(content=SMALLER, domain=Cityscapes())
@example(content=FEWER, domain=CamVid())
@example(content=OTHER, domain=CamVid())
@example(content=png(header(2, 2, 16, 2), pixels(b"\0" + bytes([0, 1] * 6))), domain=SYNTHIA())
@example(
    content=png(header(2, 1, 16, 2), header(2**15, 2**15, 16, 2), pixels(b"\0")), domain=SYNTHIA()
)
@example(content=png(header(1, 1, 16, 2, 1), pixels(b"\0" + bytes([0, 1] * 3))), domain=SYNTHIA())
@example(content=NO_HEADER, domain=GTA5())
@example(content=png(header(2**31 - 1, 2**31 - 1, 8, 0)), domain=GTA5())
def test_label_maps_of_data_sets(content: bytes, domain: Any, tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    path.write_bytes(content)
    protocol = domain.protocols[0]
    found = outcome(
        "label PNGs", lambda: read_indices(path, domain, protocol, None), path, memory=GROWTH
    )
    if found is REFUSED:
        return
    said = slow_png(content)
    if said is None:
        assert content[28] == 1  # interlaced, which Pillow reads
        return
    bits, kind, samples = said
    values = samples[..., 0]
    assert (bits, kind) == (16, 2) if isinstance(domain, SYNTHIA) else kind in (0, 3)
    table = domain.indices(protocol)
    assert found.tolist() == [
        [int(table[value]) if value < 256 else None for value in row] for row in values
    ]


READERS = [
    LabelReader(CITYSCAPES, "labelIds", compiled=False),
    LabelReader(CITYSCAPES, "labelIds"),
    LabelReader(CAMVID, "trainIds"),
    LabelReader(CAMVID, "color", compiled=False),
]


@fuzzed
@given(content=ANY, reader=st.sampled_from(READERS))
@example(content=BIG, reader=READERS[0])
@example(content=BIG, reader=READERS[1])
@example(content=TWICE, reader=READERS[0])
@example(content=TWICE, reader=READERS[1])
@example(content=SMALLER, reader=READERS[0])
@example(content=FEWER, reader=READERS[0])
@example(content=NO_HEADER, reader=READERS[0])
@example(content=png(header(2, 1, 8, 3), pixels(b"\0\0\0")), reader=READERS[3])
@example(
    content=png(header(2, 1, 8, 3), header(2**15, 2**15, 8, 3), pixels(b"\0")), reader=READERS[3]
)
def test_predictions(content: bytes, reader: LabelReader, tmp_path: Path) -> None:
    path = tmp_path / "prediction.png"
    path.write_bytes(content)
    found = outcome(
        "predictions", lambda: reader.read(path, reader.header(path)), path, memory=GROWTH
    )
    if found is REFUSED:
        return
    said = slow_png(content)
    assert said is not None
    _, kind, samples = said
    assert found.shape == samples.shape[:2]
    if reader.encoding != "color":
        assert kind in (0, 3)
        assert np.array_equal(found, samples[..., 0])
    elif kind != 3:
        colours = {label.colour: index for index, label in enumerate(reader.classes.evaluated)}
        expected = [
            [colours.get(tuple(map(int, pixel[:3])), IGNORED) for pixel in row] for row in samples
        ]
        assert found.tolist() == expected


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (5, 7, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


JPEG = jpeg()
SECOND = JPEG.replace(
    b"\xff\xda", b"\xff\xc0\0\x11\x08\x7f\xff\x7f\xff\3\1\x22\0\2\x11\1\3\x11\1\xff\xda", 1
)


@fuzzed
@given(content=ANY | spoiled(JPEG))
@example(content=BIG)
@example(content=TWICE)
@example(content=SMALLER)
@example(content=FEWER)
@example(content=JPEG)
@example(content=SECOND)  # another frame, of 32,767 by 32,767
@example(content=b"\xff\xd8" + b"\xff" * 200_000)
def test_images(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    size = outcome("images", lambda: image_size(path), path)
    found = outcome("images", lambda: read_colours(path), path, memory=GROWTH)
    if found is REFUSED:
        return
    assert tuple(found.shape) == (3, *size)
    said = slow_png(content)
    if said and said[1] in (2, 6):
        assert np.array_equal(found.permute(1, 2, 0).numpy(), said[2][..., :3])
    elif said and said[:2] == (8, 0):
        assert np.array_equal(found[1].numpy(), said[2][..., 0])
