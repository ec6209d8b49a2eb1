"""Which files pair, and that every file without a partner is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.errors import MissingDataError
from bench.pairing import pair

if TYPE_CHECKING:
    from pathlib import Path


def folder_of(root: Path, *names: str) -> Path:
    """Make a folder with empty files: pairing looks at names only."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    root.mkdir(parents=True, exist_ok=True)
    return root


def joined(predictions: Path, truths: Path, encoding: str = "labelIds") -> list[tuple[str, str]]:
    return [
        (
            each.truth.relative_to(truths).as_posix(),
            each.prediction.relative_to(predictions).as_posix(),
        )
        for each in pair(predictions, truths, encoding)
    ]


CITIES = (
    "val/bonn/bonn_000001_000019_gtFine_labelIds.png",
    "val/ulm/ulm_000000_000019_gtFine_labelIds.png",
)


def test_cityscapes_pairs_by_city_sequence_and_frame(tmp_path: Path) -> None:
    others = [
        name.replace("labelIds", kind) for name in CITIES for kind in ("instanceIds", "color")
    ]
    truths = folder_of(tmp_path / "gt", *CITIES, *others, "val/bonn/bonn_polygons.json")
    predictions = folder_of(
        tmp_path / "pred",
        "ulm_000000_000019.png",
        "deep/er/bonn_000001_000019_leftImg8bit_pred.PNG",
        "notes.txt",
    )
    assert joined(predictions, truths) == [
        (CITIES[0], "deep/er/bonn_000001_000019_leftImg8bit_pred.PNG"),
        (CITIES[1], "ulm_000000_000019.png"),
    ]
    in_colour = [truth for truth, _ in joined(predictions, truths, "color")]
    assert in_colour == [name.replace("labelIds", "color") for name in CITIES]


def test_a_longer_frame_number_is_another_frame(tmp_path: Path) -> None:
    truths = folder_of(tmp_path / "gt", "ulm_000000_000019_gtFine_labelIds.png")
    predictions = folder_of(tmp_path / "pred", "ulm_000000_0000190.png")
    with pytest.raises(MissingDataError, match=r"no prediction for .*ulm_000000_000019_gtFine"):
        pair(predictions, truths)


def test_another_encoding_of_the_ground_truth_must_be_there(tmp_path: Path) -> None:
    truths = folder_of(tmp_path / "gt", "ulm_000000_000019_gtFine_labelTrainIds.png")
    predictions = folder_of(tmp_path / "pred", "ulm_000000_000019.png")
    assert len(joined(predictions, truths, "trainIds")) == 1
    with pytest.raises(MissingDataError, match=r"Expected files \*_gtFine_labelIds.png") as caught:
        pair(predictions, truths)
    assert "ulm_000000_000019_gtFine_labelTrainIds.png" in str(caught.value)
    assert "--gt-encoding" in str(caught.value)


def test_others_pair_by_stem_wherever_they_lie(tmp_path: Path) -> None:
    truths = folder_of(tmp_path / "gt", "b.png", "sub/a.png")
    predictions = folder_of(tmp_path / "pred", "a.PNG", "x/y/b.png")
    assert joined(predictions, truths) == [("b.png", "x/y/b.png"), ("sub/a.png", "a.PNG")]


def test_equal_stems_pair_by_path(tmp_path: Path) -> None:
    names = ("one/0.png", "two/0.png")
    truths, predictions = (folder_of(tmp_path / kind, *names) for kind in ("gt", "pred"))
    assert joined(predictions, truths) == [(name, name) for name in names]
    (predictions / "two/0.png").rename(predictions / "0.png")
    with pytest.raises(MissingDataError) as caught:
        pair(predictions, truths)
    assert f"no prediction for {truths / 'two/0.png'}" in str(caught.value)
    assert f"no ground truth for {predictions / '0.png'}" in str(caught.value)


@pytest.mark.parametrize("suffix", ["", "_gtFine_labelIds"], ids=["by stem", "Cityscapes"])
def test_all_that_do_not_pair_are_named(tmp_path: Path, suffix: str) -> None:
    stems = [f"ulm_000000_{number:06}" for number in range(4)]
    truths = folder_of(tmp_path / "gt", *(f"{stem}{suffix}.png" for stem in stems[:3]))
    predictions = folder_of(
        tmp_path / "pred",
        f"{stems[0]}.png",
        f"{stems[1]}.png",
        f"again/{stems[1]}.png",
        f"{stems[3]}.png",
        "stray.png",
    )
    with pytest.raises(MissingDataError) as caught:
        pair(predictions, truths)
    lines = str(caught.value).splitlines()
    assert "1 pair and 4 do not" in lines[0]
    twice = f"{predictions}/again/{stems[1]}.png, {predictions / stems[1]}.png"
    assert set(lines[1:]) == {
        f"  {stems[1]}: expected one file, got 2 predictions: {twice}",
        f"  no prediction for {truths / stems[2]}{suffix}.png",
        f"  no ground truth for {predictions / stems[3]}.png",
        f"  no ground truth for {predictions / 'stray.png'}",
    }


def test_one_frame_twice_in_the_ground_truth(tmp_path: Path) -> None:
    name = "ulm_000000_000019_gtFine_labelIds.png"
    truths = folder_of(tmp_path / "gt", f"a/{name}", f"b/{name}")
    predictions = folder_of(tmp_path / "pred", "ulm_000000_000019.png")
    with pytest.raises(MissingDataError, match="got 2 ground truths") as caught:
        pair(predictions, truths)
    assert all(str(truths / part / name) in str(caught.value) for part in "ab")
    folder_of(tmp_path / "pred", "again/ulm_000000_000019.png")
    with pytest.raises(MissingDataError, match="got 2 ground truths.*\n.*got 2 predictions"):
        pair(predictions, truths)


@pytest.mark.parametrize("which", ["gt", "pred"])
def test_folders_without_pictures(tmp_path: Path, which: str) -> None:
    folders = {kind: folder_of(tmp_path / kind, "a.png") for kind in ("gt", "pred")}
    path = folders[which]
    (path / "a.png").rename(path / "a.jpg")
    with pytest.raises(MissingDataError, match=r"found 1 other files such as .*a\.jpg") as caught:
        pair(folders["pred"], folders["gt"])
    assert f" in {path};" in str(caught.value)
    (path / "a.jpg").unlink()
    with pytest.raises(MissingDataError, match="it is empty"):
        pair(folders["pred"], folders["gt"])
    path.rmdir()
    with pytest.raises(MissingDataError, match=r"is no folder\. Expected one with PNG files"):
        pair(folders["pred"], folders["gt"])


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    real = folder_of(tmp_path / "elsewhere", "a.png")
    truths = folder_of(tmp_path / "gt", "b.png")
    try:
        (truths / "city").symlink_to(real, target_is_directory=True)
        (real / "loop").symlink_to(truths, target_is_directory=True)
    except OSError:
        pytest.skip("this system lets no ordinary user make links")
    predictions = folder_of(tmp_path / "pred", "a.png", "b.png")
    assert joined(predictions, truths) == [("b.png", "b.png"), ("city/a.png", "a.png")]
