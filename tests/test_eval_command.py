"""``bench eval``: what it prints, how it ends, what it says to a mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.classes import SYNTHIA16
from bench.cli import app
from bench.commands import evaluate as eval_commands
from bench.commands.evaluate import summary
from bench.metrics import Counts, mean_iou

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"images", "pixel_accuracy", "miou", "fwiou", "iou", "confusion", "void"}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return predictions and ground truth of two images in CamVid's labels."""
    truth = np.array([[0, 0, 0, 3], [3, 3, 11, 11]], np.uint8)
    guess = np.array([[0, 0, 3, 3], [3, 11, 0, 11]], np.uint8)
    for stem in ("one", "two"):
        save(tmp_path / "gt" / f"{stem}.png", truth)
        save(tmp_path / "pred" / f"{stem}.png", guess)
    return tmp_path / "pred", tmp_path / "gt"


def bench_eval(pred: Path, gt: Path, *more: object, classes: object = "camvid") -> Any:
    arguments = ["eval", "--pred", pred, "--gt", gt, "--classes", classes, *more]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_refused(result: Any, *said: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for words in said:
        assert words in result.stderr


def test_json(folders: tuple[Path, Path]) -> None:
    result = bench_eval(*folders, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found) == KEYS
    assert found["images"] == 2
    assert found["pixel_accuracy"] == 4 / 6
    # sky: 2 hits, 1 miss; road: 2 hits, 1 false positive, 1 void.
    assert found["iou"] == {
        **dict.fromkeys(found["iou"]),
        "sky": pytest.approx(2 / 3),
        "road": pytest.approx(2 / 4),
    }
    assert list(found["iou"])[:2] == ["sky", "building"]
    assert found["miou"] == pytest.approx((2 / 3 + 2 / 4) / 2)
    assert found["fwiou"] == pytest.approx((3 * 2 / 3 + 3 * 2 / 4) / 6)
    confusion = np.zeros((11, 11), int)
    confusion[0, 0], confusion[0, 3], confusion[3, 3] = 4, 2, 4
    assert found["confusion"] == confusion.tolist()
    assert found["void"] == [0, 0, 0, 2, *[0] * 7]


def test_the_table_is_in_per_cent_and_states_the_policy(folders: tuple[Path, Path]) -> None:
    lines = bench_eval(*folders).stdout.splitlines()
    cells = {" ".join(line.split()[:-1]): line.split()[-1] for line in lines[1:15]}
    assert cells["sky"] == "66.67"
    assert cells["building"] == "-"
    assert (cells["mIoU"], cells["fwIoU"], cells["pixel accuracy"]) == ("58.33", "58.33", "66.67")
    assert "mIoU* (13 classes)" not in cells
    assert "2 images" in lines[-1]
    assert "left out of mIoU (--absent skip): 9 of 11" in lines[-1]
    zero = bench_eval(*folders, "--absent", "zero")
    assert "counted as 0 in mIoU (--absent zero): 9 of 11" in zero.stdout
    assert "10.61" in zero.stdout
    as_json = json.loads(bench_eval(*folders, "--absent", "zero", "--json").stdout)
    assert as_json["miou"] == pytest.approx((2 / 3 + 2 / 4) / 11)


def test_nothing_labelled_has_no_figures(tmp_path: Path) -> None:
    for folder in ("pred", "gt"):
        save(tmp_path / folder / "a.png", np.full((2, 2), 11, np.uint8))
    found = json.loads(bench_eval(tmp_path / "pred", tmp_path / "gt", "--json").stdout)
    figures = [found[key] for key in ("pixel_accuracy", "miou", "fwiou")]
    assert figures == [None] * 3
    assert set(found["iou"].values()) == {None}
    assert " -" in bench_eval(tmp_path / "pred", tmp_path / "gt").stdout


def test_synthia_has_thirteen_of_its_sixteen_beneath(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [label.id for label in SYNTHIA16.labels]
    for number in range(2):
        name = f"ulm_000000_{number:06}"
        save(tmp_path / "gt" / f"{name}_gtFine_labelIds.png", rng.choice(ids, (9, 40)).astype("u1"))
        save(tmp_path / "pred" / f"{name}.png", rng.choice(ids, (9, 40)).astype("u1"))
    arguments = (tmp_path / "pred", tmp_path / "gt")
    found = json.loads(bench_eval(*arguments, "--json", classes="synthia16").stdout)
    assert set(found) == {*KEYS, "miou13"}
    thirteen = [n for n in SYNTHIA16.names if n not in {"wall", "fence", "pole"}]
    assert len(thirteen) == 13
    mean = np.mean([found["iou"][name] for name in thirteen])
    assert found["miou13"] == pytest.approx(mean)
    assert found["miou"] == pytest.approx(np.mean(list(found["iou"].values())))
    matrix = np.array(found["confusion"])
    assert found["miou"] == pytest.approx(mean_iou(matrix, found["void"]))
    table = bench_eval(*arguments, classes="synthia16").stdout.splitlines()
    start = next(i for i, line in enumerate(table) if line.startswith("mIoU "))
    assert table[start + 1].startswith("mIoU* (13 classes)")
    # 13 classes on their own are another matrix: the other three are void there.
    alone = json.loads(bench_eval(*arguments, "--json", classes="synthia13").stdout)
    assert (len(alone["iou"]), "miou13" in alone) == (13, False)
    assert alone["miou"] != pytest.approx(found["miou13"])


def test_a_class_list_of_ones_own(folders: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "name,id,colour,evaluated\nroad,3,#804080\nsky,0,#4682b4\nrest,11,#000000,no\n", "utf-8"
    )
    found = json.loads(bench_eval(*folders, "--json", classes=path).stdout)
    assert list(found["iou"]) == ["road", "sky"]
    assert (found["confusion"], found["void"]) == ([[4, 0], [2, 4]], [2, 0])


def test_encodings(folders: tuple[Path, Path]) -> None:
    for encoding in ("--encoding", "--gt-encoding"):
        same = bench_eval(*folders, encoding, "trainIds", "--json")
        assert_refused(same, "2 of 2 pairs cannot be scored", "0..10, 255, got 11 (2 pixels)")
        assert_refused(bench_eval(*folders, encoding, "colour"), "Did you mean 'color'?")


# ------------------------------------------------------------------ mistakes


def test_a_prediction_that_is_missing_and_one_too_many(folders: tuple[Path, Path]) -> None:
    pred, gt = folders
    (pred / "one.png").rename(pred / "three.png")
    assert_refused(
        bench_eval(pred, gt, "--json"),
        f"no prediction for {gt / 'one.png'}",
        f"no ground truth for {pred / 'three.png'}",
    )


def test_every_bad_image_is_named(folders: tuple[Path, Path]) -> None:
    pred, gt = folders
    save(pred / "one.png", np.zeros((3, 3), np.uint8))
    (pred / "two.png").write_bytes((pred / "two.png").read_bytes()[:50])
    assert_refused(
        bench_eval(pred, gt),
        f"{pred / 'one.png'} is 3x3 pixels; expected 4x2, as {gt / 'one.png'} is.",
        f"{pred / 'two.png'} is truncated or damaged",
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": "camvidd"}, "Unknown class list 'camvidd'. Did you mean 'camvid'?"),
        ({"classes": "no/such.csv"}, "no/such.csv is no file"),
        ({"pred": "no/such/folder"}, "no/such/folder is no folder"),
        ({"more": ("--absent", "drop")}, "Unknown policy for absent classes 'drop'"),
    ],
)
def test_other_mistakes(folders: tuple[Path, Path], options: dict[str, Any], said: str) -> None:
    pred = options.get("pred", folders[0])
    result = bench_eval(
        pred, folders[1], *options.get("more", ()), classes=options.get("classes", "camvid")
    )
    assert_refused(result, said)


def test_an_empty_folder(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert_refused(bench_eval(tmp_path / "none", folders[1]), "it is empty")
    assert_refused(bench_eval(folders[0], tmp_path / "none"), "PNG files of ground truth")


def test_threads_change_nothing(folders: tuple[Path, Path]) -> None:
    outputs = {bench_eval(*folders, "--json", "--threads", n).stdout for n in (1, 2, 9)}
    assert len(outputs) == 1
    assert bench_eval(*folders, "--threads", 0).exit_code == 2


# ------------------------------------------------------------------ the process


def test_it_loads_no_torch_and_its_help_no_numpy(folders: tuple[Path, Path]) -> None:
    code = """
import sys
from bench.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sorted({"numpy", "torch", "pandas", "numba"} & set(sys.modules)), file=sys.stderr)
"""
    pred, gt = folders
    for arguments, loaded in (
        (["--help"], ""),
        (["--pred", pred, "--gt", gt, "--classes", "camvid"], "numpy"),
    ):
        command = [sys.executable, "-c", code, "eval", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr.strip() == loaded
        assert done.stdout


def test_the_bar_appears_on_a_terminal_only_and_only_if_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal, patience, drawn in ((False, 0, False), (True, 60, False), (True, -1, True)):
        monkeypatch.setattr(eval_commands, "PATIENCE", patience)
        monkeypatch.setattr("sys.stderr.isatty", lambda answer=terminal: answer)
        monkeypatch.setenv("FORCE_COLOR", "1")
        with eval_commands._progress(3) as advance:
            for _ in range(3):
                advance()
        output = capsys.readouterr()
        assert output.out == ""
        assert ("3/3" in output.err) == drawn


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_control_c_ends_it_without_a_traceback(folders: tuple[Path, Path]) -> None:
    pred, gt = folders
    (pred / "one.png").unlink()
    os.mkfifo(pred / "one.png")
    command = [sys.executable, "-m", "bench", "eval", "--classes", "camvid", "--json"]
    command += ["--pred", str(pred), "--gt", str(gt)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background ignores Ctrl-C, and children would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    # Opening this end waits until the other is opened: until a thread of the command reads it.
    with (pred / "one.png").open("wb"):
        time.sleep(1)  # the main thread has begun to wait, and does nothing that swallows signals
        process.send_signal(signal.SIGINT)
        time.sleep(1)  # it notices, before the file ends, which would be an error as well
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "interrupted" in err
    assert "Traceback" not in err


def test_summary_has_no_nan() -> None:
    found = summary(Counts.zero(16), SYNTHIA16, 0)
    json.dumps(found, allow_nan=False)
    assert found["miou13"] is None
