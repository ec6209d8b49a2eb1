"""SYNTHIA in files of exactly its form: PNGs of 16-bit RGB, the class in the red channel."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from bench.classes import CITYSCAPES, SYNTHIA13, SYNTHIA16, SYNTHIA_SEQS
from bench.data.domain import Scenes
from bench.data.scenes import read_wide_map
from bench.data.synthia import SYNTHIA, SYNTHIAFall, SYNTHIAWinter
from bench.errors import BenchError, MissingDataError

if TYPE_CHECKING:
    from pathlib import Path

VALUES = np.arange(24).reshape(4, 6) % 23

# What papers on SYNTHIA to Cityscapes map its values to, in Cityscapes' train ids: written down
# here once more so that the names in synthia.py are not their own proof.
TRAIN_IDS = {
    1: 10,
    2: 2,
    3: 0,
    4: 1,
    5: 4,
    6: 8,
    7: 5,
    8: 13,
    9: 7,
    10: 11,
    11: 18,
    12: 17,
    15: 6,
    16: 9,
    17: 12,
    18: 14,
    19: 15,
    20: 16,
    21: 3,
}


class Small(SYNTHIA):
    size: ClassVar[tuple[int, int]] = (4, 6)
    count: ClassVar[int] = 2


class SmallFall(SYNTHIAFall):
    size: ClassVar[tuple[int, int]] = (4, 6)


class SmallWinter(SYNTHIAWinter):
    size: ClassVar[tuple[int, int]] = (4, 6)


def paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))


def wide_png(values: np.ndarray) -> bytes:
    """Return (h, w, 3) as a 16-bit RGB PNG that uses each of the five filters in turn."""
    height, width, _ = values.shape
    span, above, rows = 6 * width, bytes(6 * width), b""
    for number, row in enumerate(values.astype(">u2")):
        plain, kind = row.tobytes(), number % 5
        coded = bytearray([kind])
        for i in range(span):
            left, corner = (plain[i - 6], above[i - 6]) if i >= 6 else (0, 0)
            filters = (0, left, above[i], (left + above[i]) // 2, paeth(left, above[i], corner))
            coded.append((plain[i] - filters[kind]) % 256)
        above, rows = plain, rows + bytes(coded)

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def labels(classes: np.ndarray) -> bytes:
    instances = 300 + np.arange(classes.size).reshape(classes.shape)
    return wide_png(np.stack([classes, instances, np.zeros_like(classes)], axis=-1))


def write(image: Path, label: Path, classes: np.ndarray = VALUES) -> None:
    for path in (image, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", classes.shape[::-1]).save(image)
    label.write_bytes(labels(classes))


def write_random(root: Path, name: str, classes: np.ndarray = VALUES) -> None:
    folder = root / "RAND_CITYSCAPES"
    write(folder / "RGB" / name, folder / "GT/LABELS" / name, classes)


def write_sequence(root: Path, sequence: str, frames: int, views: str = "FL") -> None:
    folder = root / "SYNTHIA" / sequence
    for view in views:
        for frame in range(frames):
            name = f"Stereo_Left/Omni_{view}/{frame:06d}.png"
            write(folder / "RGB" / name, folder / "GT/LABELS" / name, VALUES % 13)


@given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 7), st.integers(1, 9), st.just(3))))
def test_all_16_bits_are_read_whatever_the_filter(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray
) -> None:
    path = tmp_path_factory.getbasetemp() / "wide.png"
    path.write_bytes(wide_png(values))
    assert np.array_equal(read_wide_map(path).numpy(), np.minimum(values[..., 0], 254))


def test_a_plain_pillow_would_have_read_nothing_but_zeros(tmp_path: Path) -> None:
    write_random(tmp_path, "0000000.png")
    assert not np.asarray(Image.open(tmp_path / "RAND_CITYSCAPES/GT/LABELS/0000000.png"))[
        ..., 0
    ].any()


def test_the_layout(tmp_path: Path) -> None:
    write_random(tmp_path, "0000001.png")
    write_random(tmp_path, "0000000.png")
    first, second = Small().scenes(tmp_path, "train")
    assert first.image == tmp_path / "RAND_CITYSCAPES/RGB/0000000.png"
    assert second.label == tmp_path / "RAND_CITYSCAPES/GT/LABELS/0000001.png"
    assert np.array_equal(Small().raw_labels(second.label).numpy(), VALUES)
    (report,) = Small().inspect(tmp_path, thorough=True)
    assert (report.domain, report.state) == ("synthia", "sound")


def test_a_class_over_22_is_named(tmp_path: Path) -> None:
    write_random(tmp_path, "0000000.png", VALUES + 1)
    write_random(tmp_path, "0000001.png", VALUES + 1000)
    offences = list(Small().inspect(tmp_path, thorough=True))[:-1]
    assert [offence.path[-11:] for offence in offences] == ["0000000.png", "0000001.png"]
    assert "holds the value 23, expected 0..22." in offences[0].detail
    assert "holds the value 254, expected 0..22." in offences[1].detail


@pytest.mark.parametrize(
    ("protocol", "classes"),
    [("synthia-16", SYNTHIA16), ("synthia-13-of-16", SYNTHIA16), ("synthia-13", SYNTHIA13)],
)
def test_values_become_the_class_of_that_name(protocol: str, classes: object) -> None:
    table = SYNTHIA().indices(protocol)
    names = classes.names  # type: ignore[attr-defined]
    for value in range(23):
        name = CITYSCAPES.names[TRAIN_IDS[value]] if value in TRAIN_IDS else None
        assert table[value] == (names.index(name) if name in names else 255)
    assert set(table[23:].tolist()) == {254}


def test_it_cannot_play_the_nineteen_nor_a_target(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="'synthia' cannot play"):
        SYNTHIA().indices("cityscapes-19")
    with pytest.raises(BenchError, match="'synthia' has no test images"):
        SYNTHIA().scenes(tmp_path, "test")


def test_sequences_of_one_season_are_gathered_and_their_ends_held_out(tmp_path: Path) -> None:
    write_sequence(tmp_path, "SYNTHIA-SEQS-01-FALL", 10)
    write_sequence(tmp_path, "SYNTHIA-SEQS-02-FALL", 5, views="B")
    write_sequence(tmp_path, "SYNTHIA-SEQS-01-WINTER", 5)
    write_sequence(tmp_path, "SYNTHIA-SEQS-01-WINTERNIGHT", 5)
    train, test = (SmallFall().scenes(tmp_path, split) for split in ("train", "test"))
    start = tmp_path / "SYNTHIA"
    held_out = [scene.image.relative_to(start).as_posix() for scene in test]
    assert held_out == [
        "SYNTHIA-SEQS-01-FALL/RGB/Stereo_Left/Omni_F/000008.png",
        "SYNTHIA-SEQS-01-FALL/RGB/Stereo_Left/Omni_F/000009.png",
        "SYNTHIA-SEQS-01-FALL/RGB/Stereo_Left/Omni_L/000008.png",
        "SYNTHIA-SEQS-01-FALL/RGB/Stereo_Left/Omni_L/000009.png",
        "SYNTHIA-SEQS-02-FALL/RGB/Stereo_Left/Omni_B/000004.png",
    ]
    assert len(train) == 20
    assert not set(train) & set(test)
    assert test[0].label == (start / "SYNTHIA-SEQS-01-FALL/GT/LABELS/Stereo_Left/Omni_F/000008.png")
    assert len(SmallWinter().scenes(tmp_path, "train")) == 8


def test_their_number_is_said_but_no_error(tmp_path: Path) -> None:
    write_sequence(tmp_path, "SYNTHIA-SEQS-01-FALL", 2)
    (report,) = SmallFall().inspect(tmp_path, thorough=True)
    assert (report.domain, report.state) == ("synthia-fall", "sound")
    assert report.detail == "all sequences: 4 pairs, expected 10,852."


def test_a_season_that_is_not_there_is_told(tmp_path: Path) -> None:
    write_sequence(tmp_path, "SYNTHIA-SEQS-01-FALL", 2)
    absent, whole = SmallWinter().inspect(tmp_path, thorough=False)
    assert (absent.state, whole.state) == ("absent", "damaged")
    assert "SYNTHIA-SEQS-01-WINTER/RGB/Stereo_Left is not there" in absent.detail
    assert "Get the sequences SYNTHIA-SEQS-*-WINTER" in whole.detail


def test_a_sequence_without_its_images_is_not_dropped(tmp_path: Path) -> None:
    write_sequence(tmp_path, "SYNTHIA-SEQS-01-FALL", 2)
    (tmp_path / "SYNTHIA/SYNTHIA-SEQS-02-FALL").mkdir()
    with pytest.raises(MissingDataError, match="SYNTHIA-SEQS-02-FALL/RGB/Stereo_Left is not there"):
        SmallFall().scenes(tmp_path, "train")


def test_the_sequences_have_classes_of_their_own() -> None:
    table = SYNTHIAFall().indices("synthia-seqs-13")
    assert table[[0, 1, 12, 13, 14, 15, 16]].tolist() == [255, 0, 11, 255, 255, 12, 254]
    assert len(SYNTHIA_SEQS) == 13
    for domain in (SYNTHIA(), SYNTHIAFall(), SYNTHIAWinter()):
        assert isinstance(domain, Scenes)
    with pytest.raises(BenchError, match="'synthia-winter' cannot play"):
        SYNTHIAWinter().indices("synthia-16")
