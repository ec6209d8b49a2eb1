"""Reading one large image safely; finding pairs; naming each file that is not what it must be."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.classes import CAMVID
from bench.data.domain import Scenes
from bench.data.scenes import (
    MAX_BYTES,
    MAX_PIXELS,
    Part,
    SceneFolder,
    Side,
    image_size,
    pair,
    read_colours,
    read_map,
    read_wide_map,
)
from bench.errors import BenchError, MissingDataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.classes import Lut
    from bench.data.domain import Split

RANDOM = np.random.default_rng(7)
COLOURS = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
VALUES = RANDOM.integers(0, 12, (20, 30), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


COLOUR_PNG = encoded(Image.fromarray(COLOURS))
JPEG = encoded(Image.fromarray(COLOURS), "JPEG", quality=90)
MAP = encoded(Image.fromarray(VALUES))


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png_header(width: int, height: int, bits: int = 8, kind: int = 2) -> bytes:
    about = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about)


def wide_png(values: np.ndarray) -> bytes:
    """Return a 16-bit RGB PNG of (h, w, 3), without filters."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return png_header(width, height, bits=16) + data


def jpeg_header(width: int, height: int) -> bytes:
    comment = b"\xff\xff\xfe" + struct.pack(">H", 6) + b"long"  # a marker may be padded
    frame = b"\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width)
    return b"\xff\xd8" + comment + frame + bytes(10)


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# ------------------------------------------------------------------ one file


@pytest.mark.parametrize("content", [COLOUR_PNG, JPEG, MAP])
def test_the_header_says_height_and_width(content: bytes, tmp_path: Path) -> None:
    assert image_size(put(tmp_path / "a", content)) == (20, 30)


@given(st.integers(1, 2**13), st.integers(1, 2**13))
def test_any_size_is_read_from_both_kinds_of_header(height: int, width: int) -> None:
    from bench.data.scenes import _size_in

    for header in (png_header(width, height), jpeg_header(width, height)):
        assert _size_in(io.BytesIO(header)) == (height, width)


@given(st.binary(max_size=60), st.sampled_from([b"", COLOUR_PNG[:8], JPEG[:2], JPEG[:30]]))
def test_no_content_is_more_than_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: bytes
) -> None:
    path = put(tmp_path_factory.getbasetemp() / "any", start + content)
    for read in (image_size, read_colours, read_map, read_wide_map):
        with contextlib.suppress(MissingDataError):
            read(path)


@pytest.mark.parametrize("make", [png_header, jpeg_header])
@pytest.mark.parametrize("read", [image_size, read_colours, read_map, read_wide_map])
def test_an_image_that_claims_to_be_enormous_is_not_decoded(
    make: Callable[[int, int], bytes], read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = put(tmp_path / "huge", make(60_000, 60_000) + bytes(1000))
    tracemalloc.start()
    with pytest.raises(MissingDataError, match=rf"huge claims 60000x60000.*{MAX_PIXELS:,}"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_the_largest_image_that_may_be_is_read_without_a_warning(tmp_path: Path) -> None:
    assert image_size(put(tmp_path / "a", png_header(8192, 8192))) == (8192, 8192)
    assert Image.MAX_IMAGE_PIXELS is not None
    assert Image.MAX_IMAGE_PIXELS > MAX_PIXELS


@pytest.mark.parametrize("content", [COLOUR_PNG, JPEG])
def test_colours_are_pillows(content: bytes, tmp_path: Path) -> None:
    found = read_colours(put(tmp_path / "a", content))
    assert found.dtype == torch.uint8
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_other_8_bit_images_become_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS).convert(mode)
    found = read_colours(put(tmp_path / "a.png", encoded(image)))
    assert np.array_equal(found.permute(1, 2, 0).numpy(), np.asarray(image.convert("RGB")))


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS).convert("P")
    path = tmp_path / "a.png"
    image.save(path, transparency=bytes(range(256)))
    assert np.array_equal(
        read_colours(path).permute(1, 2, 0).numpy(), np.asarray(image.convert("RGB"))
    )


def test_an_enormous_file_is_not_read(tmp_path: Path) -> None:
    path = put(tmp_path / "a.png", COLOUR_PNG)
    with path.open("r+b") as file:
        file.truncate(MAX_BYTES + 1)  # a hole, which takes no space
    with pytest.raises(MissingDataError, match=f"has {MAX_BYTES + 1:,} bytes; expected at most"):
        read_colours(path)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_palette_map_holds_its_values_and_not_its_colours(bits: int, tmp_path: Path) -> None:
    values = VALUES & np.uint8(2**bits - 1)
    image = Image.fromarray(values)
    image.putpalette([(7 * i) % 256 for i in range(3 * 12)])
    assert image.mode == "P"
    found = read_map(put(tmp_path / "a.png", encoded(image, bits=bits)))
    assert np.array_equal(found.numpy(), values)


def test_a_grey_map_holds_its_values(tmp_path: Path) -> None:
    found = read_map(put(tmp_path / "a.png", MAP))
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), VALUES)


def test_a_wide_map_keeps_all_16_bits(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 2**16, (5, 7, 3))
    values[0, :, 0] = [0, 1, 22, 253, 254, 255, 256]
    found = read_wide_map(put(tmp_path / "a.png", wide_png(values)))
    assert np.array_equal(found.numpy(), np.minimum(values[..., 0], 254))
    assert found.dtype == torch.uint8


WIDE = wide_png(np.zeros((4, 5, 3), dtype=int))


@pytest.mark.parametrize(
    ("read", "content", "wrong"),
    [
        (read_map, JPEG, "is no PNG file"),
        (read_map, COLOUR_PNG, "has 8-bit RGB pixels; expected 8-bit grey or a palette"),
        (read_map, WIDE, "has 16-bit RGB pixels"),
        (read_map, encoded(Image.fromarray(VALUES).convert("1")), "has 1-bit grey pixels"),
        (read_map, encoded(Image.fromarray(VALUES).convert("LA")), "has 8-bit transparent pixels"),
        (read_wide_map, MAP, "has 8-bit grey pixels; expected 16-bit RGB"),
        (read_wide_map, COLOUR_PNG, "has 8-bit RGB pixels; expected 16-bit RGB"),
        (read_colours, WIDE, "has 16 bits a sample"),
        (read_colours, b"", "cannot be read as a PNG or JPEG image"),
        (read_colours, b"GIF89a" + bytes(50), "cannot be read as a PNG or JPEG image"),
        (read_colours, png_header(0, 7), "claims 0x7 pixels"),
    ],
)
def test_a_file_of_another_kind_is_named(
    read: Callable[[Path], object], content: bytes, wrong: str, tmp_path: Path
) -> None:
    path = put(tmp_path / "a.png", content)
    with pytest.raises(MissingDataError, match=wrong) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("read", "content"),
    [(read_colours, COLOUR_PNG), (read_colours, JPEG), (read_map, MAP), (read_wide_map, WIDE)],
)
def test_a_truncated_file_is_never_read(
    read: Callable[[Path], object], content: bytes, tmp_path: Path
) -> None:
    # Of a JPEG, two bytes at the end mark it; Pillow does without them, and misses no pixel.
    shortest = 3 if content is JPEG else 1
    for cut in (*range(shortest, 40), len(content) // 2, len(content) - 30):
        path = put(tmp_path / "cut", content[: len(content) - cut])
        with pytest.raises(MissingDataError, match="cut "):
            read(path)


@pytest.mark.parametrize("place", [40, 60, 200])
def test_a_flipped_bit_in_a_png_is_noticed(place: int, tmp_path: Path) -> None:
    content = bytearray(COLOUR_PNG)
    content[place] ^= 16
    with pytest.raises(MissingDataError, match="is damaged at byte"):
        read_colours(put(tmp_path / "a.png", bytes(content)))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"none\.png cannot be read .*No such file"):
        read_map(tmp_path / "none.png")


# ------------------------------------------------------------------ pairs


def part_of(root: Path, **options: bool) -> Part:
    sides = (Side(root / "images", (".png", ".jpg")), Side(root / "labels", ("_label.png",)))
    return Part("train", (sides,), 2, **options)


def test_files_pair_by_folder_and_name(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/1.png", "a/1.txt", "a/.1.png", "3.jpg"):
        put(tmp_path / "images" / name, b"")
    for name in ("a/1_label.png", "b/2_label.png", "3_label.png", "3_colour.png"):
        put(tmp_path / "labels" / name, b"")
    scenes, offences = pair(part_of(tmp_path))
    assert [scene.image.relative_to(tmp_path).as_posix() for scene in scenes] == [
        "images/3.jpg",
        "images/a/1.png",
        "images/b/2.png",
    ]
    assert [scene.label.relative_to(tmp_path / "labels").as_posix() for scene in scenes] == [
        "3_label.png",
        "a/1_label.png",
        "b/2_label.png",
    ]
    assert offences == []


def test_what_has_no_partner_is_named_with_what_was_expected(tmp_path: Path) -> None:
    put(tmp_path / "images/a/1.png", b"")
    put(tmp_path / "labels/b/1_label.png", b"")
    scenes, offences = pair(part_of(tmp_path))
    assert scenes == []
    image, label = tmp_path / "images/a/1.png", tmp_path / "labels/b/1_label.png"
    assert [(offence.path, offence.sentence) for offence in offences] == [
        (image, f"{image} has no label map: expected {tmp_path / 'labels/a/1_label.png'}."),
        (label, f"{label} has no image: expected {tmp_path / 'images/b/1.png'}."),
    ]


def test_two_images_of_one_name_are_an_offence(tmp_path: Path) -> None:
    for name in ("images/1.png", "images/1.jpg", "labels/1_label.png"):
        put(tmp_path / name, b"")
    scenes, (offence,) = pair(part_of(tmp_path))
    assert len(scenes) == 1
    assert "have the same name" in offence.sentence


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_folder_is_an_offence(there: bool, tmp_path: Path) -> None:  # noqa: FBT001
    if there:
        (tmp_path / "images").mkdir()
    _, (offence,) = pair(part_of(tmp_path))
    what = "holds no image" if there else "is not there"
    assert f"{tmp_path / 'images'} {what}: expected files" in offence.sentence


def test_a_part_without_labels_needs_none(tmp_path: Path) -> None:
    put(tmp_path / "images/1.png", b"")
    put(tmp_path / "labels/2_label.png", b"")
    (scene,), offences = pair(part_of(tmp_path, labelled=False))
    assert scene.label == tmp_path / "labels/1_label.png"
    assert offences == []


# ------------------------------------------------------------------ a whole data set


class Toy(SceneFolder):
    """Two images to train on, one to test, of 30x20 pixels."""

    name: ClassVar[str] = "toy"
    folder: ClassVar[str] = "toy"
    origin: ClassVar[str] = "Get it from the toy shop."
    size: ClassVar[tuple[int, int]] = (20, 30)
    protocols: ClassVar[tuple[str, ...]] = ("camvid-11",)

    def part(self, root: Path, split: Split) -> Part:
        images = Side(root / "toy" / split, (".png",))
        labels = Side(root / "toy" / f"{split}-labels", (".png",))
        return Part(split, ((images, labels),), 2 if split == "train" else 1)

    def raw_labels(self, path: Path) -> torch.Tensor:
        return read_map(path)

    def lut(self, protocol: str) -> Lut:
        return CAMVID.by_id()


class Varied(Toy):
    sizes_vary: ClassVar[bool] = True


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    for name in ("train/1", "train/2", "test/1"):
        put(tmp_path / f"toy/{name}.png", COLOUR_PNG)
        put(tmp_path / f"toy/{name.replace('/', '-labels/')}.png", MAP)
    return tmp_path


def told(domain: SceneFolder, root: Path, *, thorough: bool = True) -> dict[str, tuple[str, str]]:
    """Return (state, sentence) by path below the data folder."""
    reports = list(domain.inspect(root, thorough=thorough))
    assert {report.domain for report in reports} == {"toy"}
    assert reports[-1].path == str(root / "toy")
    return {
        Path(report.path).relative_to(root).as_posix(): (report.state, report.detail)
        for report in reports
    }


def test_a_sound_data_set_has_one_report(toy: Path) -> None:
    assert told(Toy(), toy, thorough=False) == {"toy": ("present", "")}
    assert told(Toy(), toy) == {"toy": ("sound", "")}
    assert isinstance(Toy(), Scenes)
    assert [scene.image.stem for scene in Toy().scenes(toy, "train")] == ["1", "2"]
    assert Toy().left_out(toy, "train") == []


def test_an_absent_data_set_says_where_to_get_it(tmp_path: Path) -> None:
    ((path, (state, sentence)),) = told(Toy(), tmp_path).items()
    assert (path, state) == ("toy", "absent")
    assert sentence == f"{tmp_path / 'toy'} is not there. Get it from the toy shop."
    with pytest.raises(MissingDataError, match=r"toy/train is not there: expected.*toy shop"):
        Toy().scenes(tmp_path, "train")


def test_a_wrong_number_of_pairs_is_told(toy: Path) -> None:
    for name in ("train/2", "train-labels/2"):
        (toy / f"toy/{name}.png").unlink()
    state, sentence = told(Toy(), toy, thorough=False)["toy"]
    assert state == "damaged"
    assert sentence == "train: 1 pairs, expected 2. Get it from the toy shop."


def test_unpaired_files_are_named_at_a_glance_and_stop_a_run(toy: Path) -> None:
    (toy / "toy/train-labels/2.png").unlink()
    (toy / "toy/test/1.png").unlink()
    found = told(Toy(), toy, thorough=False)
    assert found["toy/train/2.png"][0] == "damaged"
    assert "has no label map: expected" in found["toy/train/2.png"][1]
    assert "has no image: expected" in found["toy/test-labels/1.png"][1]
    assert "2 of its files are missing or broken" in found["toy"][1]
    with pytest.raises(MissingDataError, match=r"train/2\.png has no label map"):
        Toy().scenes(toy, "train")


def test_many_unpaired_files_make_a_short_error(toy: Path) -> None:
    for number in range(3, 9):
        put(toy / f"toy/train/{number}.png", COLOUR_PNG)
    with pytest.raises(MissingDataError, match="And 3 more: `bench data verify toy`") as caught:
        Toy().scenes(toy, "train")
    assert str(caught.value).count("has no label map") == 3


def test_each_broken_file_is_named(toy: Path) -> None:
    put(toy / "toy/train/1.png", COLOUR_PNG[:-20])
    put(toy / "toy/train-labels/1.png", MAP[:-20])
    put(toy / "toy/train-labels/2.png", COLOUR_PNG)
    put(toy / "toy/test/1.png", png_header(60_000, 60_000))
    found = told(Toy(), toy)
    assert {path: state for path, (state, _) in found.items()} == dict.fromkeys(
        (
            "toy/train/1.png",
            "toy/train-labels/1.png",
            "toy/train-labels/2.png",
            "toy/test/1.png",
            "toy",
        ),
        "damaged",
    )
    assert told(Toy(), toy, thorough=False) == {"toy": ("present", "")}
    with pytest.raises(MissingDataError, match="claims 60000x60000"):
        Toy().scenes(toy, "test")


def test_an_unknown_value_is_named_with_what_is_allowed(toy: Path) -> None:
    values = VALUES.copy()
    values[3, 4:6] = 77, 99
    put(toy / "toy/train-labels/2.png", encoded(Image.fromarray(values)))
    state, sentence = told(Toy(), toy)["toy/train-labels/2.png"]
    assert state == "damaged"
    assert "holds the value 77, 99, expected 0..11, 255." in sentence


def test_an_image_of_another_size_is_named(toy: Path) -> None:
    small = encoded(Image.fromarray(COLOURS[:10, :15]))
    put(toy / "toy/train/1.png", small)
    put(toy / "toy/train-labels/1.png", encoded(Image.fromarray(VALUES[:10, :15])))
    assert told(Toy(), toy)["toy/train/1.png"] == (
        "damaged",
        f"{toy / 'toy/train/1.png'} is 15x10, expected 30x20.",
    )
    state, sentence = told(Varied(), toy)["toy/train/1.png"]
    assert (state, "expected 30x20" in sentence) == ("sound", True)
    assert told(Varied(), toy)["toy"] == (
        "sound",
        "Of another size than the rest, each named: 1 images.",
    )


def test_a_label_map_of_another_size_is_an_error(toy: Path) -> None:
    put(toy / "toy/train-labels/1.png", encoded(Image.fromarray(VALUES[:10, :15])))
    with pytest.raises(MissingDataError, match=r"labels/1\.png is 15x10, its image .* 30x20"):
        Toy().scenes(toy, "train")
    assert told(Toy(), toy)["toy/train-labels/1.png"][0] == "damaged"


def test_or_where_sizes_vary_a_pair_of_another_shape_is_left_out(toy: Path) -> None:
    put(toy / "toy/train-labels/1.png", encoded(Image.fromarray(VALUES[:10, :15])))
    put(toy / "toy/train-labels/2.png", encoded(Image.fromarray(VALUES[:19])))
    assert [scene.image.stem for scene in Varied().scenes(toy, "train")] == ["1"]
    (sentence,) = Varied().left_out(toy, "train")
    assert "train-labels/2.png is 30x19, its image" in sentence
    assert "30x20: this pair is left out." in sentence
    found = told(Varied(), toy)
    assert found["toy/train-labels/2.png"] == ("sound", sentence)
    assert found["toy"] == (
        "sound",
        "Left out because sizes differ, each named: 1 pairs.",
    )


def test_a_protocol_that_it_cannot_play_is_refused() -> None:
    with pytest.raises(BenchError, match="'toy' cannot play .* 'cityscapes-19'.*camvid-11"):
        Toy().indices("cityscapes-19")


def test_a_folder_that_is_a_file_is_no_traceback(tmp_path: Path) -> None:
    put(tmp_path / "toy", b"")
    assert told(Toy(), tmp_path)["toy"][0] == "absent"
