"""Large images as if they were a tensor: values, digests, reading ahead, the decoded cache."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.data import frames as module
from bench.data.camvid import CamVid
from bench.data.frames import Cached, Frames, cached, gather, read_image, read_indices
from bench.data.preprocess import prepare
from bench.errors import BenchError, MissingDataError
from bench.task import Images, LabeledImages

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

RANDOM = np.random.default_rng(11)
COLOURS = RANDOM.integers(0, 256, (5, 24, 36, 3), dtype=np.uint8)
VALUES = RANDOM.integers(0, 12, (5, 24, 36), dtype=np.uint8)
SIZE = (8, 12)


@pytest.fixture(autouse=True)
def _own_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "files").mkdir()
    paths = []
    for number, (colours, values) in enumerate(zip(COLOURS, VALUES, strict=True)):
        paths.append(tmp_path / f"files/{number}.png")
        Image.fromarray(colours).save(paths[-1])
        Image.fromarray(values).save(paths[-1].with_suffix(".label.png"))
    return paths


def images(paths: list[Path], size: tuple[int, int] = SIZE, channels: int = 3) -> Frames:
    read = partial(read_image, size=size, channels=channels, interpolation="bilinear")
    return Frames(paths, read, (channels, *size))


def maps(paths: list[Path], size: tuple[int, int] = SIZE) -> Frames:
    read = partial(read_indices, scenes=CamVid(), protocol="camvid-11", size=size)
    return Frames([path.with_suffix(".label.png") for path in paths], read, size)


def expected(size: int = 24) -> Tensor:
    pixels = torch.from_numpy(COLOURS).permute(0, 3, 1, 2)
    return prepare(pixels[..., :24], size=size, channels=3)


# ------------------------------------------------------------------ one file


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [7, 24, 31])
def test_an_image_is_prepared_as_small_ones_are(
    size: int, interpolation: str, channels: int, files: list[Path]
) -> None:
    found = read_image(files[0], (size, size), channels, interpolation)
    pixels = torch.from_numpy(COLOURS[:1]).permute(0, 3, 1, 2)
    wanted = prepare(pixels, size=size, channels=channels, interpolation=interpolation)
    assert torch.equal(found, wanted[0])


def test_an_unknown_interpolation_is_named(files: list[Path]) -> None:
    with pytest.raises(BenchError, match="Did you mean 'nearest'"):
        read_image(files[0], SIZE, 3, "nearst")


def test_indices_are_the_protocols(files: list[Path]) -> None:
    found = read_indices(files[0].with_suffix(".label.png"), CamVid(), "camvid-11", None)
    assert torch.equal(found, torch.from_numpy(np.where(VALUES[0] == 11, 255, VALUES[0])))
    assert found.dtype == torch.uint8


@given(st.integers(1, 40), st.integers(1, 60))
def test_a_label_map_is_resized_to_the_nearest_pixel(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "map.png"
    Image.fromarray(VALUES[0]).save(path)
    found = read_indices(path, CamVid(), "camvid-11", (height, width)).numpy()
    rows = (2 * np.arange(height) + 1) * 24 // (2 * height)  # the pixel at each centre
    columns = (2 * np.arange(width) + 1) * 36 // (2 * width)
    native = read_indices(path, CamVid(), "camvid-11", None).numpy()
    assert np.array_equal(found, native[np.ix_(rows, columns)])


def test_a_value_that_no_label_has_is_named_even_where_no_pixel_of_it_would_be_left(
    tmp_path: Path,
) -> None:
    values = np.zeros((30, 30), dtype=np.uint8)
    values[0, 0] = 12
    Image.fromarray(values).save(tmp_path / "bad.png")
    with pytest.raises(MissingDataError, match=r"bad\.png holds the value 12, expected 0\.\.11"):
        read_indices(tmp_path / "bad.png", CamVid(), "camvid-11", (2, 2))


def test_a_domain_that_cannot_play_the_protocol_says_so(files: list[Path]) -> None:
    with pytest.raises(BenchError, match="cannot play"):
        read_indices(files[0].with_suffix(".label.png"), CamVid(), "cityscapes-19", None)


# ------------------------------------------------------------------ as a tensor


@given(st.lists(st.integers(0, 4), max_size=9), st.lists(st.integers(0, 4), max_size=9))
def test_frames_are_the_tensor_that_they_stand_for(
    tmp_path_factory: pytest.TempPathFactory, ahead: list[int], asked: list[int]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    paths = [folder / f"frame-{number}.png" for number in range(5)]
    if not paths[-1].exists():
        for path, colours in zip(paths, COLOURS, strict=True):
            Image.fromarray(colours).save(path)
    frames = images(paths)
    whole = torch.stack([read_image(path, SIZE, 3) for path in paths])
    assert (frames.shape, frames.dtype, len(frames)) == (whole.shape, whole.dtype, len(whole))
    frames.prefetch(torch.tensor(ahead, dtype=torch.int64))
    index = torch.tensor(asked, dtype=torch.int64)
    assert torch.equal(frames.index_select(0, index), whole.index_select(0, index))
    assert torch.equal(frames.index_select(0, index), whole.index_select(0, index))


def test_a_task_can_hold_them(files: list[Path]) -> None:
    batch = LabeledImages(images(files), maps(files), "source")
    pixels, labels = batch[torch.tensor([3, 1])]
    assert (pixels.shape, pixels.dtype) == ((2, 3, *SIZE), torch.float32)
    assert (labels.shape, labels.dtype) == ((2, *SIZE), torch.int64)
    assert batch.streamed
    batch.prefetch(torch.tensor([0]))
    assert len(Images(images(files), "target")) == 5
    assert len(batch.digest()) == 64


@pytest.mark.parametrize("index", [[5], [-1], [0, 7]])
def test_what_is_out_of_range_is_an_error(index: list[int], files: list[Path]) -> None:
    for pixels in (images(files), cached(images(files), files[0].parent / "cache")):
        with pytest.raises(IndexError, match="out of range 0..4"):
            pixels.index_select(0, torch.tensor(index))
    with pytest.raises(IndexError, match="dimension 0"):
        images(files).index_select(1, torch.tensor([0]))


def test_a_broken_file_is_named_when_it_is_asked_for(files: list[Path]) -> None:
    files[2].write_bytes(files[2].read_bytes()[:-30])
    frames = images(files)
    frames.prefetch(torch.arange(5))
    frames.index_select(0, torch.tensor([0, 1, 3]))
    with pytest.raises(MissingDataError, match=str(files[2])):
        frames.index_select(0, torch.tensor([4, 2]))
    with pytest.raises(MissingDataError, match=str(files[2])):
        gather(images(files))


def test_a_frame_of_another_shape_is_named(files: list[Path]) -> None:
    read = partial(read_image, size=SIZE, channels=1)
    with pytest.raises(MissingDataError, match=r"0\.png became .*\(1, 8, 12\), expected"):
        Frames(files, read, (3, *SIZE)).index_select(0, torch.tensor([0]))


class Reader:
    """Counts what is read, and can be made to wait."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, path: Path) -> Tensor:
        self.go.wait(5)
        self.seen.append(path.name)
        return torch.full((1, 2, 2), int(path.name), dtype=torch.uint8)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def test_what_was_read_ahead_is_not_read_again() -> None:
    reader = Reader()
    frames = Frames([Path(str(i)) for i in range(9)], reader, (1, 2, 2))
    frames.prefetch(torch.tensor([4, 5]))
    frames.prefetch(torch.tensor([5, 4]))
    wait_for(lambda: len(reader.seen) == 2)
    assert frames.index_select(0, torch.tensor([5, 4, 5])).flatten(1)[:, 0].tolist() == [5, 4, 5]
    assert sorted(reader.seen) == ["4", "5"]
    frames.index_select(0, torch.tensor([4]))
    assert sorted(reader.seen) == ["4", "4", "5"]


def test_reading_ahead_returns_at_once_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD", 3 * 4)  # three frames
    reader = Reader()
    reader.go.clear()
    frames = Frames([Path(str(i)) for i in range(9)], reader, (1, 2, 2))
    for place in range(9):
        frames.prefetch(torch.tensor([place]))
    assert reader.seen == []
    reader.go.set()
    assert len(frames._pending) == 3
    assert frames.index_select(0, torch.arange(9)).flatten(1)[:, 0].tolist() == list(range(9))
    frames.prefetch(torch.arange(9))
    assert len(frames._pending) == 3


def test_gather_reads_everything_that_fits(files: list[Path]) -> None:
    frames = images(files)
    whole = gather(frames)
    assert isinstance(whole, torch.Tensor)
    assert torch.equal(whole, frames.index_select(0, torch.arange(5)))
    size = 5 * 3 * 8 * 12
    assert isinstance(gather(frames, size), torch.Tensor)
    assert gather(frames, size - 1) is frames


# ------------------------------------------------------------------ digests


def test_the_digest_is_of_content_order_and_reading(files: list[Path], tmp_path: Path) -> None:
    digest = images(files).digest()
    moved = [shutil.copy(path, tmp_path / f"moved-{path.name}") for path in files]
    for path in moved:
        os.utime(path, (1, 1))
    assert images(moved).digest() == digest
    others = {
        images(files[::-1]).digest(),
        images(files[:4]).digest(),
        images(files, (12, 8)).digest(),
        images(files, channels=1).digest(),
        maps(files).digest(),
    }
    assert len(others | {digest}) == 6


def test_the_digest_of_labels_depends_on_what_values_mean(files: list[Path]) -> None:
    class Other(CamVid):
        def lut(self, protocol: str) -> np.ndarray:
            table = super().lut(protocol)
            table[3] = 255
            return table

    paths = [path.with_suffix(".label.png") for path in files]
    digests = {
        Frames(
            paths, partial(read_indices, scenes=scenes, protocol="camvid-11", size=SIZE), SIZE
        ).digest()
        for scenes in (CamVid(), Other(), CamVid())
    }
    assert len(digests) == 2


def test_a_changed_file_has_another_digest(files: list[Path]) -> None:
    before = images(files).digest()
    Image.fromarray(COLOURS[0]).save(files[1])
    changed = images(files).digest()
    assert changed != before
    Image.fromarray(COLOURS[1]).save(files[1])
    assert images(files).digest() == before


def test_files_are_read_for_their_digest_only_once(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = images(files).digest()
    monkeypatch.setattr(module, "_sha256", lambda path: pytest.fail(f"{path} was read again"))
    assert images(files).digest() == digest
    assert images(files[:3]).digest() != digest


@pytest.mark.parametrize("content", [b"this is no database " * 100, b""])
def test_a_broken_memory_costs_time_only(content: bytes, files: list[Path], tmp_path: Path) -> None:
    digest = images(files).digest()
    memory = tmp_path / "user-cache/cycada-bench/digests.sqlite3"
    assert memory.exists()
    memory.write_bytes(content)
    assert images(files).digest() == digest
    assert memory.read_bytes().startswith(b"SQLite format 3")
    memory.unlink()
    memory.mkdir()
    assert images(files).digest() == digest


def test_several_writers_remember_at_once(files: list[Path], tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: images(files).digest(), range(8)))
    assert found == {images(files).digest()}
    with sqlite3.connect(tmp_path / "user-cache/cycada-bench/digests.sqlite3") as memory:
        assert memory.execute("SELECT count(*) FROM files").fetchone() == (5,)
    memory.close()


def test_a_file_that_is_gone_has_no_digest(files: list[Path]) -> None:
    files[3].unlink()
    with pytest.raises(MissingDataError, match=r"3\.png cannot be read \(No such file"):
        images(files).digest()


def test_a_reader_that_says_nothing_of_itself_has_no_digest() -> None:
    with pytest.raises(BenchError, match=r"functools\.partial by keywords to digest, got Reader"):
        Frames([], Reader(), (1, 2, 2)).digest()


# ------------------------------------------------------------------ the decoded cache


def whole_of(pixels: Cached) -> Tensor:
    return pixels.index_select(0, torch.arange(len(pixels)))


def test_the_cache_holds_what_is_in_the_files(files: list[Path], tmp_path: Path) -> None:
    for frames in (images(files), maps(files)):
        kept = cached(frames, tmp_path / "cache")
        assert torch.equal(whole_of(kept), gather(frames))  # type: ignore[arg-type]
        assert kept.shape == frames.shape
        assert kept.digest() == frames.digest()
        assert (tmp_path / f"cache/{frames.digest()}.npy").exists()


def test_images_are_decoded_once(files: list[Path], tmp_path: Path) -> None:
    first = whole_of(cached(images(files), tmp_path / "cache"))
    frames = images(files)
    frames.read_one = lambda place: pytest.fail(f"{place} was decoded")  # type: ignore[method-assign]
    kept = cached(frames, tmp_path / "cache")
    kept.prefetch(torch.tensor([1]))
    assert torch.equal(whole_of(kept), first)


def test_what_a_caller_does_to_a_batch_stays_out_of_the_file(
    files: list[Path], tmp_path: Path
) -> None:
    kept = cached(images(files), tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("*.npy")
    before = path.read_bytes()
    whole_of(kept).zero_()
    assert path.read_bytes() == before


def test_a_cache_may_be_larger_than_memory(files: list[Path], tmp_path: Path) -> None:
    """Mapped read-only: a private copy of more than there is would be refused."""
    kept = cached(images(files), tmp_path / "cache")
    assert not kept._array.flags.writeable


def damaged(how: str, path: Path) -> None:
    content, sidecar = bytearray(path.read_bytes()), path.with_suffix(".json")
    about = json.loads(sidecar.read_text())
    if how == "torn":
        path.write_bytes(content[:-100])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        np.save(path, np.zeros((5, 3), dtype=np.uint8))
    elif how == "pickled":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    elif how == "gone":
        path.unlink()
    elif how == "no sidecar":
        sidecar.unlink()
    elif how == "torn sidecar":
        sidecar.write_text(sidecar.read_text()[:-5])
    elif how == "a list":
        sidecar.write_text("[]")
    elif how == "of something else":
        sidecar.write_text(json.dumps({**about, "digest": "0" * 64}))
    elif how == "too few checksums":
        sidecar.write_text(json.dumps({**about, "crc32": about["crc32"][1:]}))
    else:
        content[-7] ^= 1
        path.write_bytes(content)


@pytest.mark.parametrize(
    "how",
    [
        *("torn", "empty", "foreign", "pickled", "gone", "no sidecar", "torn sidecar", "a list"),
        *("of something else", "too few checksums", "a flipped bit"),
    ],
)
def test_a_damaged_cache_is_never_believed_and_made_anew(
    how: str, files: list[Path], tmp_path: Path
) -> None:
    frames = images(files)
    first = whole_of(cached(frames, tmp_path / "cache"))
    path = tmp_path / f"cache/{frames.digest()}.npy"
    sound = path.read_bytes()
    damaged(how, path)
    for _ in range(2):  # a flipped bit is found when the frame is used: then the next time
        assert torch.equal(whole_of(cached(images(files), tmp_path / "cache")), first)
    assert path.read_bytes() == sound
    assert json.loads(path.with_suffix(".json").read_text())["digest"] == frames.digest()


def test_what_a_killed_process_left_is_swept_away(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    left = tmp_path / f"cache/.{images(files).digest()}.npy.abc.npy"
    left.write_bytes(b"half")
    cached(images(files), tmp_path / "cache")
    assert not left.exists()


def test_a_file_that_cannot_be_read_leaves_no_cache(files: list[Path], tmp_path: Path) -> None:
    files[4].write_bytes(files[4].read_bytes()[:-30])
    with pytest.raises(MissingDataError, match=r"4\.png"):
        cached(images(files), tmp_path / "cache")
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} <= {".lock"}


def test_a_folder_that_cannot_be_written_is_named(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot be kept in .*file"):
        cached(images(files), tmp_path / "file/cache")


class Usage(NamedTuple):
    total: int = 1
    used: int = 1
    free: int = 1


def test_a_full_disk_is_told_before_anything_is_written(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage())
    with pytest.raises(BenchError, match="too little space.*Make room"):
        cached(images(files), tmp_path / "cache")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up_meanwhile_is_told(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.np.lib.format, "write_array_header_1_0", _into_a_full_disk)
    with pytest.raises(BenchError, match="No space left on device.*Make room"):
        cached(images(files), tmp_path / "cache")
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} <= {".lock"}


def _into_a_full_disk(*_: object) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")
