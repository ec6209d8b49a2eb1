"""CamVid in SegNet's layout, and the real one if this machine has it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from PIL import Image

from bench.data.camvid import CamVid
from bench.data.domain import Scenes, Split
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Small(CamVid):
    size: ClassVar[tuple[int, int]] = (3, 4)
    counts: ClassVar[Mapping[str, int]] = {"train": 2, "test": 1}


@pytest.fixture(scope="session")
def real_camvid() -> Path:
    """Return the folder with the real CamVid, or skip the test that asks for it."""
    folder = os.environ.get("BENCH_DATA")
    if not folder or not Path(folder, "camvid").is_dir():
        pytest.skip("BENCH_DATA is not set or has no folder camvid: no real data to read")
    return Path(folder)


def write(root: Path, split: str, name: str, values: np.ndarray) -> None:
    for folder in (split, f"{split}annot"):
        (root / "camvid" / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(root / "camvid" / split / name)
    label = root / "camvid" / f"{split}annot" / Path(name).with_suffix(".png").name
    Image.fromarray(values).save(label)


def test_the_layout_with_both_kinds_of_image(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write(tmp_path, "train", "0001TP_2.jpg", values)
    write(tmp_path, "train", "0001TP_1.png", values)
    write(tmp_path, "test", "0001TP_3.jpg", values)
    first, second = Small().scenes(tmp_path, "train")
    assert (first.image.name, second.image.name) == ("0001TP_1.png", "0001TP_2.jpg")
    assert second.label == tmp_path / "camvid/trainannot/0001TP_2.png"
    table = CamVid().indices("camvid-11")
    indices = table[CamVid().raw_labels(second.label).numpy()]
    assert indices.ravel().tolist() == [*range(11), 255]
    (report,) = Small().inspect(tmp_path, thorough=True)
    assert (report.domain, report.state) == ("camvid", "sound")


def test_it_plays_its_own_protocol_only() -> None:
    assert isinstance(CamVid(), Scenes)
    with pytest.raises(BenchError, match="'camvid' cannot play"):
        CamVid().indices("cityscapes-19")


@pytest.mark.parametrize(("split", "count"), [("train", 367), ("test", 233)])
def test_the_real_one(split: Split, count: int, real_camvid: Path) -> None:
    assert len(CamVid().scenes(real_camvid, split)) == count


def test_the_real_one_is_sound(real_camvid: Path) -> None:
    assert [report.state for report in CamVid().inspect(real_camvid, thorough=True)] == ["sound"]
