"""GTA5's layout and its values, in files of exactly that form."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from PIL import Image

from bench.classes import CITYSCAPES
from bench.data.domain import Scenes
from bench.data.gta5 import GTA5
from bench.errors import BenchError

if TYPE_CHECKING:
    from pathlib import Path

IDS = np.arange(48, dtype=np.uint8).reshape(4, 12) % 35  # every value 0..34


class SmallGTA5(GTA5):
    size: ClassVar[tuple[int, int]] = (4, 12)
    count: ClassVar[int] = 2


def palette_png(ids: np.ndarray) -> bytes:
    image = Image.fromarray(ids)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for label in CITYSCAPES.labels:
        palette[label.id] = label.colour
    image.putpalette(palette.tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def write(root: Path, number: int, ids: np.ndarray = IDS, size: tuple[int, int] = (12, 4)) -> None:
    for folder in ("images", "labels"):
        (root / "GTA5" / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (number, 2, 3)).save(root / f"GTA5/images/{number:05d}.png")
    (root / f"GTA5/labels/{number:05d}.png").write_bytes(palette_png(ids))


def test_the_layout(tmp_path: Path) -> None:
    write(tmp_path, 2)
    write(tmp_path, 1)
    first, second = SmallGTA5().scenes(tmp_path, "train")
    assert first.image == tmp_path / "GTA5/images/00001.png"
    assert first.label == tmp_path / "GTA5/labels/00001.png"
    assert second.image == tmp_path / "GTA5/images/00002.png"
    (report,) = SmallGTA5().inspect(tmp_path, thorough=True)
    assert (report.domain, report.state, report.detail) == ("gta5", "sound", "")


def test_palette_maps_hold_cityscapes_ids_and_every_one_is_known(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (scene,) = SmallGTA5().scenes(tmp_path, "train")
    values = GTA5().raw_labels(scene.label).numpy()
    assert np.array_equal(values, IDS)
    with Image.open(scene.label) as image:
        assert image.mode == "P"
    table = GTA5().indices("cityscapes-19")
    assert table[[7, 26, 33, 0, 34, 35]].tolist() == [0, 13, 18, 255, 255, 254]
    assert (table[values] != 254).all()


@pytest.mark.parametrize("protocol", GTA5.protocols)
def test_each_protocol_has_a_table(protocol: str) -> None:
    assert (GTA5().indices(protocol)[:35] != 254).all()


def test_it_has_no_seasons() -> None:
    with pytest.raises(BenchError, match="'gta5' cannot play"):
        GTA5().indices("synthia-seqs-13")


def test_there_is_nothing_to_test_on(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="'gta5' has no test images"):
        GTA5().scenes(tmp_path, "test")


def test_a_label_map_of_another_shape_is_left_out_and_reported(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2, ids=IDS[:3])
    assert [scene.image.stem for scene in SmallGTA5().scenes(tmp_path, "train")] == ["00001"]
    odd, whole = SmallGTA5().inspect(tmp_path, thorough=True)
    assert odd.path == str(tmp_path / "GTA5/labels/00002.png")
    assert "is 12x3, its image" in odd.detail
    assert whole.usable
    assert whole.detail == "Left out because sizes differ, each named: 1 pairs."


def test_one_of_the_same_shape_serves(tmp_path: Path) -> None:
    write(tmp_path, 1, size=(6, 2))
    write(tmp_path, 2)
    assert len(SmallGTA5().scenes(tmp_path, "train")) == 2


def test_the_official_figures() -> None:
    assert (GTA5.count, GTA5.size) == (24_966, (1052, 1914))
    assert isinstance(GTA5(), Scenes)
