"""Cityscapes' layout, city by city, with train_extra as another domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from PIL import Image

from bench.classes import CITYSCAPES
from bench.data.cityscapes import Cityscapes, CityscapesExtra
from bench.data.domain import Scenes
from bench.errors import MissingDataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SIZE = (4, 8)


class Small(Cityscapes):
    size: ClassVar[tuple[int, int]] = SIZE
    counts: ClassVar[Mapping[str, int]] = {"train": 2, "val": 1}


class SmallExtra(CityscapesExtra):
    size: ClassVar[tuple[int, int]] = SIZE
    counts: ClassVar[Mapping[str, int]] = {"train_extra": 1, "val": 1}


def write(root: Path, split: str, city: str, frame: int, *, labelled: bool = True) -> None:
    stem = f"{city}/{city}_000001_{frame:06d}"
    image = root / f"cityscapes/leftImg8bit/{split}/{stem}_leftImg8bit.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1]).save(image)
    if labelled:
        for kind in ("labelIds", "instanceIds", "color"):
            label = root / f"cityscapes/gtFine/{split}/{stem}_gtFine_{kind}.png"
            label.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.arange(32, dtype=np.uint8).reshape(SIZE)).save(label)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write(tmp_path, "train", "ulm", 19)
    write(tmp_path, "train", "aachen", 19)
    write(tmp_path, "val", "lindau", 1)
    write(tmp_path, "train_extra", "bad-honnef", 5, labelled=False)
    return tmp_path


def test_the_layout(tree: Path) -> None:
    found = [scene.label.relative_to(tree).as_posix() for scene in Small().scenes(tree, "train")]
    assert found == [
        "cityscapes/gtFine/train/aachen/aachen_000001_000019_gtFine_labelIds.png",
        "cityscapes/gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png",
    ]
    (scene,) = Small().scenes(tree, "test")
    assert scene.image.relative_to(tree).as_posix() == (
        "cityscapes/leftImg8bit/val/lindau/lindau_000001_000001_leftImg8bit.png"
    )
    (report,) = Small().inspect(tree, thorough=True)
    assert (report.domain, report.state) == ("cityscapes", "sound")


def test_train_extra_needs_no_labels(tree: Path) -> None:
    (scene,) = SmallExtra().scenes(tree, "train")
    assert scene.image.name == "bad-honnef_000001_000005_leftImg8bit.png"
    assert scene.label == (
        tree / "cityscapes/gtCoarse/train_extra/bad-honnef"
        "/bad-honnef_000001_000005_gtCoarse_labelIds.png"
    )
    assert not scene.label.exists()
    assert SmallExtra().scenes(tree, "test") == Small().scenes(tree, "test")
    (report,) = SmallExtra().inspect(tree, thorough=True)
    assert (report.domain, report.state) == ("cityscapes-extra", "sound")


def test_but_its_images_are_looked_into(tree: Path) -> None:
    scene = SmallExtra().scenes(tree, "train")[0]
    scene.image.write_bytes(scene.image.read_bytes()[:-5])
    broken, whole = SmallExtra().inspect(tree, thorough=True)
    assert (broken.path, broken.state, whole.state) == (str(scene.image), "damaged", "damaged")
    assert Small().scenes(tree, "train")


def test_images_without_the_archive_of_labels(tree: Path) -> None:
    for path in (tree / "cityscapes/gtFine").rglob("*.png"):
        path.unlink()
    with pytest.raises(MissingDataError, match=r"aachen_000001_000019_leftImg8bit.png has no.*Get"):
        Small().scenes(tree, "train")


def test_the_official_figures() -> None:
    assert Cityscapes.counts == {"train": 2_975, "val": 500}
    assert CityscapesExtra.counts == {"train_extra": 19_998, "val": 500}
    assert Cityscapes.size == (1024, 2048)
    assert isinstance(Cityscapes(), Scenes)
    assert np.array_equal(Cityscapes().indices("cityscapes-19"), CITYSCAPES.by_id())
