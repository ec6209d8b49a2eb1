"""Trees of street scenes on disk: the official layouts, written once, and never half."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from bench.classes import CITYSCAPES
from bench.data.domain import Scenes
from bench.data.streets import write
from bench.data.streets.domains import StreetsCamera, StreetsGame
from bench.data.streets.picture import scene
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "COUNTS", {"game": {"train": 3}, "camera": {"train": 5, "val": 2}})
    monkeypatch.setattr(StreetsGame, "count", 3)
    monkeypatch.setattr(StreetsCamera, "counts", {"train": 5, "val": 2})


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_the_game_is_laid_out_as_gta5(tmp_path: Path) -> None:
    StreetsGame().prepare(tmp_path)
    folder = tmp_path / "streets" / "game"
    names = [f"{kind}/{n:05d}.png" for kind in ("images", "labels") for n in (1, 2, 3)]
    assert files(folder) == [*names, "manifest.json"]
    with Image.open(folder / "labels/00002.png") as label:
        assert label.mode == "P"
        ids, colours = np.array(label), np.array(label.convert("RGB"))
    for known in CITYSCAPES.labels:
        assert (colours[ids == known.id] == known.colour).all()
    image, drawn = scene("game", "train", 1)
    assert np.array_equal(ids, drawn)
    with Image.open(folder / "images/00002.png") as stored:
        assert stored.tobytes() == image.tobytes()


def test_the_camera_is_laid_out_as_cityscapes(tmp_path: Path) -> None:
    StreetsCamera().prepare(tmp_path)
    folder = tmp_path / "streets" / "camera"
    assert files(folder)[-1] == "manifest.json"
    assert "leftImg8bit/train/feldhain/feldhain_000001_000019_leftImg8bit.png" in files(folder)
    assert "gtFine/val/oststein/oststein_000000_000019_gtFine_labelIds.png" in files(folder)
    assert len(files(folder)) == 2 * 7 + 1
    with Image.open(next((folder / "gtFine").rglob("*.png"))) as label:
        assert label.mode == "L"


@pytest.mark.parametrize("domain", [StreetsGame(), StreetsCamera()], ids=lambda each: each.name)
def test_the_official_readers_read_them(domain: Scenes, tmp_path: Path) -> None:
    assert isinstance(domain, Scenes)
    domain.prepare(tmp_path)
    assert [report.state for report in domain.inspect(tmp_path, thorough=True)] == ["sound"]
    scenes = domain.scenes(tmp_path, "train")
    table = torch.from_numpy(domain.indices("cityscapes-19"))
    found = torch.cat([table[domain.raw_labels(each.label).int()].flatten() for each in scenes])
    assert set(found.tolist()) <= {*range(19), 255}
    assert len(found.unique()) > 8


def test_the_domains_say_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert (StreetsGame.count, StreetsCamera.counts) == (600, {"train": 600, "val": 150})
    for rendering, counts in write.COUNTS.items():
        names = [name for item in write.items(rendering) for name in (item.image, item.label)]
        assert len(set(names)) == len(names) == 2 * sum(counts.values())


def test_a_finished_tree_is_left_alone(tmp_path: Path) -> None:
    StreetsGame().prepare(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    StreetsGame().prepare(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before


def damage_version(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["generator"] -= 1
    (folder / "manifest.json").write_text(json.dumps(manifest))


def damage_file(folder: Path) -> None:
    (folder / "images/00002.png").write_bytes(b"short")


def damage_absence(folder: Path) -> None:
    (folder / "labels/00003.png").unlink()


@pytest.mark.parametrize("damage", [damage_version, damage_file, damage_absence])
def test_another_version_and_a_damaged_tree_are_written_anew(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    StreetsGame().prepare(tmp_path)
    folder = tmp_path / "streets" / "game"
    original = {name: (folder / name).read_bytes() for name in files(folder)}
    damage(folder)
    StreetsGame().prepare(tmp_path)
    assert {name: (folder / name).read_bytes() for name in files(folder)} == original
    assert {path.name for path in folder.parent.iterdir()} <= {"game", ".game.lock"}


@pytest.mark.parametrize("manifest", [None, "[]", "{", '{"generator": 0, "bytes": 3}'])
def test_files_of_others_are_never_removed(manifest: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "streets" / "game"
    (folder / "images").mkdir(parents=True)
    mine = folder / "images" / "mine.png"
    mine.write_bytes(b"precious")
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    with pytest.raises(BenchError, match=r"mine\.png is not a file of the generated .* Move it"):
        StreetsGame().prepare(tmp_path)
    assert mine.read_bytes() == b"precious"
    assert not (folder / "labels").exists()


def test_an_empty_folder_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "streets" / "game" / "images").mkdir(parents=True)
    StreetsGame().prepare(tmp_path)
    assert len(StreetsGame().scenes(tmp_path, "train")) == 3


def test_a_data_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BenchError, match=r"cannot be written to .*streets/game .*--data"):
        StreetsGame().prepare(tmp_path / "file")


def test_an_interrupted_tree_is_not_there_and_does_not_disturb_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(*asked: object) -> object:
        if asked[2] == 2:
            raise KeyboardInterrupt
        return scene(*asked)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(write, "scene", stopping)
        with pytest.raises(KeyboardInterrupt):
            StreetsGame().prepare(tmp_path)
    assert {path.name for path in (tmp_path / "streets").iterdir()} <= {".game.lock"}
    # A killed process cannot tidy up.
    partial = tmp_path / "streets" / ".game.partial" / "images"
    partial.mkdir(parents=True)
    (partial / "99999.png").write_bytes(b"half")
    StreetsGame().prepare(tmp_path)
    assert len(StreetsGame().scenes(tmp_path, "train")) == 3
    assert not partial.exists()


def test_two_at_once_draw_each_scene_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def counted(*asked: object) -> object:
        drawn.append(asked)
        return scene(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(write, "scene", counted)
    threads = [threading.Thread(target=StreetsGame().prepare, args=(tmp_path,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 3
    assert len(StreetsGame().scenes(tmp_path, "train")) == 3
