"""Other runs folders are merged into one; they stay as they are, and no result is overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench import records
from bench.claim import Claim
from bench.cli import app
from bench.evidence import OUTPUTS
from bench.records import Confusions
from bench.runs.arrivals import CONFLICT, EQUAL, KEPT, NEW, REPLACED, import_records
from bench.runs.merging import merge, planned

MINI = Path(__file__).parents[1] / "leaderboards" / "records" / "mini.jsonl"


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def content(folder: Path) -> dict[str, bytes]:
    """Return all files in a folder, but for locks and claims."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "locks"
    }


def runs_folder(runs: Path, *statuses: str) -> Path:
    """Return a runs folder with one run a status, always the same ones in the same order."""
    lines = MINI.read_text(encoding="utf-8").splitlines()[: len(statuses)]
    runs.mkdir(parents=True)
    path = runs / "committed.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert {each.outcome for each in import_records([path], runs)} == {NEW}
    path.unlink()
    for line, status in zip(lines, statuses, strict=True):
        folder = runs / json.loads(line)["run_id"]
        if status == "absent":
            (folder / "confusion.npz").unlink()
            (folder / "run.json").unlink()
            folder.rmdir()
        elif status == "broken":
            (folder / "run.json").write_text("{", encoding="utf-8")
        elif status == "without matrices":
            (folder / "confusion.npz").unlink()
        elif status == "other result":
            (step,) = [max(records.read_run(folder)["checkpoints"])]
            records.write_confusions(folder, Confusions({step: np.eye(10, dtype=np.int64)}))
        elif status != "done":
            records.write_run(folder, records.read_run(folder) | {"status": status, "error": "e"})
            (folder / "confusion.npz").unlink()
    return runs


def ids(runs: Path) -> list[str]:
    return sorted(path.parent.name for path in runs.glob("*/run.json"))


@pytest.mark.parametrize(
    ("theirs", "ours", "outcome"),
    [
        ("done", "absent", NEW),
        ("failed", "absent", NEW),
        ("running", "absent", NEW),
        ("done", "done", EQUAL),
        ("failed", "failed", EQUAL),
        ("done", "failed", REPLACED),
        ("done", "interrupted", REPLACED),
        ("done", "running", REPLACED),
        ("done", "pruned", REPLACED),
        ("done", "diverged", REPLACED),
        ("done", "broken", REPLACED),
        ("done", "without matrices", REPLACED),
        ("diverged", "failed", REPLACED),
        ("failed", "done", KEPT),
        ("diverged", "done", KEPT),
        ("failed", "diverged", KEPT),
        ("failed", "interrupted", KEPT),
        ("other result", "done", CONFLICT),
        ("broken", "absent", "left out"),
        ("broken", "failed", "left out"),
        ("without matrices", "absent", "left out"),
    ],
)
def test_the_better_of_two_runs_stays(tmp_path: Path, theirs: str, ours: str, outcome: str) -> None:
    source, runs = runs_folder(tmp_path / "a", theirs), runs_folder(tmp_path / "b", ours)
    before, own = content(source), content(runs)
    (plan,) = planned(source, runs)
    assert plan.outcome == outcome
    assert content(runs) == own
    (arrival,) = merge(source, runs)
    assert arrival == plan
    assert content(source) == before
    assert content(runs) == (before if outcome in (NEW, REPLACED) else own)
    assert not list(runs.glob(".*"))


def test_everything_in_a_run_folder_comes_along(tmp_path: Path) -> None:
    source = runs_folder(tmp_path / "a", "done", "failed")
    folder = source / ids(source)[0]
    for name in ("figures/one.png", "checkpoints/0001.safetensors", "work/loop-0.pt"):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(name.encode())
    expected = content(source)
    (folder / ".run.json.abcd1234.json").write_text("torn", encoding="utf-8")
    (source / "leaderboard.md").write_text("theirs", encoding="utf-8")
    (source / "studies" / "mine").mkdir(parents=True)
    (source / ".arriving-x").mkdir()
    (source / ".arriving-x" / "run.json").write_text("{}", encoding="utf-8")
    result = bench("runs", "merge", source, "--runs", tmp_path / "b")
    assert (result.exit_code, result.stdout) == (0, "2 new\n")
    assert content(tmp_path / "b") == expected


def test_finished_stages_come_along_unless_they_are_not_wanted(tmp_path: Path) -> None:
    source = runs_folder(tmp_path / "a", "done")
    for key in ("k1", "k2"):
        (source / "stages" / key).mkdir(parents=True)
        (source / "stages" / key / "stage.json").write_text(key, encoding="utf-8")
    (source / "stages" / "damaged-k3-x" / "k3").mkdir(parents=True)
    (source / "stages" / "unfinished").mkdir()
    for name in ("b", "c"):
        (tmp_path / name / "stages" / "k1").mkdir(parents=True)
        (tmp_path / name / "stages" / "k1" / "stage.json").write_text("own", encoding="utf-8")
    assert bench("runs", "merge", source, "--runs", tmp_path / "b", "--no-stages").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "b" / "stages").iterdir()) == ["k1"]
    result = bench("runs", "merge", source, "--runs", tmp_path / "c")
    assert result.stdout == "2 new\n"
    stages = {p.name: (p / "stage.json").read_text() for p in (tmp_path / "c/stages").iterdir()}
    assert stages == {"k1": "own", "k2": "k2"}


def test_conflicts_are_named_and_end_the_command_with_1(tmp_path: Path) -> None:
    one = runs_folder(tmp_path / "one", "done", "done", "absent")
    two = runs_folder(tmp_path / "two", "other result", "absent", "done")
    runs = tmp_path / "runs"
    result = bench("runs", "merge", one, two, "--runs", runs)
    assert (result.exit_code, result.stdout) == (1, "3 new, 1 conflict\n")
    assert f"conflict: {ids(two)[0]}: two results: checkpoints." in result.stderr
    assert content(runs).items() >= content(one).items()


def test_what_somebody_is_at_is_left_out_on_either_side(tmp_path: Path) -> None:
    source = runs_folder(tmp_path / "a", "done", "done", "done")
    runs = tmp_path / "b"
    first, second, third = ids(source)
    with (
        Claim(source / "locks" / f"{first}.lock", {}),
        Claim(runs / "locks" / f"{second}.lock", {}),
    ):
        result = bench("runs", "merge", source, "--runs", runs)
    assert (result.exit_code, result.stdout) == (1, "2 left out, 1 new\n")
    assert f"left out: {first}: a process is at work on it in {source}" in result.stderr
    assert f"left out: {second}: a process is at work on it in {runs}" in result.stderr
    assert ids(runs) == [third]
    assert bench("runs", "merge", source, "--runs", runs).stdout == "2 new, 1 equal\n"


def test_a_run_that_changes_while_it_is_copied_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = runs_folder(tmp_path / "a", "interrupted")
    import bench.runs.merging as module

    copy = module._copy

    def slow(theirs: Path, target: Path) -> None:
        copy(theirs, target)
        records.write_run(theirs, records.read_run(theirs) | {"status": "running", "attempts": 2})

    monkeypatch.setattr(module, "_copy", slow)
    (arrival,) = merge(source, tmp_path / "b")
    assert arrival.outcome == "left out"
    assert "began to work on it" in arrival.why
    assert content(tmp_path / "b") == {}


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    source, runs = runs_folder(tmp_path / "a", "done"), runs_folder(tmp_path / "b", "failed")
    before = content(runs)
    result = bench("runs", "merge", source, "--runs", runs)
    assert result.exit_code == 2
    assert f"would replace {ids(runs)[0]}: the one here is failed" in result.stderr
    assert "? Nobody can be asked here" in result.stderr
    assert content(runs) == before
    result = bench("runs", "merge", source, "--runs", runs, "--yes")
    assert (result.exit_code, result.stdout) == (0, "1 replaced\n")
    assert content(runs) == content(source)


def test_folders_that_cannot_be_merged(tmp_path: Path) -> None:
    runs = runs_folder(tmp_path / "a", "done")
    (tmp_path / "link").symlink_to(runs)
    for source, said in (
        (tmp_path / "none", "There is no runs folder"),
        (runs, "is the folder to merge into"),
        (tmp_path / "link", "is the folder to merge into"),
    ):
        result = bench("runs", "merge", source, "--runs", runs)
        assert result.exit_code == 2
        assert said in result.stderr


@pytest.mark.parametrize("linked", ["", "run.json", "confusion.npz"])
@pytest.mark.parametrize("ours", ["absent", "failed"])
def test_a_run_that_is_or_holds_a_link_is_left_out(tmp_path: Path, linked: str, ours: str) -> None:
    elsewhere = runs_folder(tmp_path / "elsewhere", "done", "done")
    source, runs = runs_folder(tmp_path / "a", "done", "done"), runs_folder(tmp_path / "b", ours)
    first, second = ids(source)
    path = source / first / linked
    path.rename(tmp_path / "gone")
    path.symlink_to(elsewhere / first / linked)
    before = content(runs)
    result = bench("runs", "merge", source, "--runs", runs, "--yes")
    assert (result.exit_code, result.stdout) == (1, "1 left out, 1 new\n")
    assert f"left out: {first}: it is a link, or a result in it is" in result.stderr
    after = content(runs)
    assert before.items() <= after.items()
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {second}


def test_a_stage_that_is_a_link_is_left_out(tmp_path: Path) -> None:
    source = runs_folder(tmp_path / "a", "done")
    (tmp_path / "k1").mkdir()
    (tmp_path / "k1" / "stage.json").write_text("secret", encoding="utf-8")
    (source / "stages").mkdir()
    (source / "stages" / "k1").symlink_to(tmp_path / "k1")
    result = bench("runs", "merge", source, "--runs", tmp_path / "b")
    assert (result.exit_code, result.stdout) == (1, "1 new, 1 left out\n")
    assert not (tmp_path / "b" / "stages" / "k1").exists()


@pytest.mark.parametrize("missing", ["run.json", "confusion.npz"])
def test_what_does_not_come_whole_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    source, runs = runs_folder(tmp_path / "a", "done"), runs_folder(tmp_path / "b", "failed")
    before = content(runs)
    import bench.runs.merging as module

    copy = module._copy

    def torn(theirs: Path, target: Path) -> None:
        copy(theirs, target)
        (target / missing).unlink()

    monkeypatch.setattr(module, "_copy", torn)
    (arrival,) = merge(source, runs)
    assert (arrival.outcome, arrival.why) == (
        "left out",
        "its record and its result did not come whole",
    )
    assert content(runs) == before


def test_a_run_under_another_runs_name_is_left_out_and_never_replaced(tmp_path: Path) -> None:
    source, other = (runs_folder(tmp_path / name, "done") for name in "ab")
    (name,) = ids(source)
    wrong = f"{name.rpartition('-')[0]}-000000000000"
    (source / name).rename(source / wrong)
    (arrival,) = merge(source, tmp_path / "c")
    assert (arrival.outcome, ids(tmp_path / "c")) == ("left out", [])
    # Nor does it help to change the record, too.
    record = records.read_run(source / wrong)
    records.write_run(source / wrong, record | {"run_id": wrong})
    (arrival,) = merge(source, tmp_path / "c")
    assert (arrival.outcome, ids(tmp_path / "c")) == ("left out", [])
    # Here, it is a result that may be nowhere else.
    records.write_run(other / name, record | {"run_id": wrong})
    (source / wrong).rename(source / name)
    records.write_run(source / name, record)
    (arrival,) = merge(source, other)
    assert (arrival.outcome, arrival.why) == (CONFLICT, f"the one here is {wrong} by its record")


def test_links_are_left_where_they_are(tmp_path: Path) -> None:
    """A stranger's folder must not pull files of this machine into ours."""
    source, runs = runs_folder(tmp_path / "a", "done"), tmp_path / "b"
    (folder,) = (path.parent for path in source.glob("*/run.json"))
    (tmp_path / "secret").write_text("mine")
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "picture.png").symlink_to(tmp_path / "secret")
    (folder / "outside").symlink_to(tmp_path)
    result = bench("runs", "merge", source, "--runs", runs, "--yes")
    assert result.exit_code == 0, result.output
    assert (runs / folder.name / "figures").is_dir()
    assert not list(runs.rglob("picture.png"))
    assert not (runs / folder.name / "outside").exists()


def test_a_run_that_was_imported_is_completed(tmp_path: Path) -> None:
    """A record has the result, and not what new rules need."""
    source, runs = runs_folder(tmp_path / "a", "done"), tmp_path / "b"
    (name,) = ids(source)
    (source / name / OUTPUTS).write_bytes(b"logits")
    assert bench("runs", "merge", source, "--runs", runs).exit_code == 0
    (runs / name / OUTPUTS).unlink()
    result = bench("runs", "merge", source, "--runs", runs, "--yes")
    assert (result.exit_code, result.stdout) == (0, "1 replaced\n")
    assert (runs / name / OUTPUTS).read_bytes() == b"logits"
    assert bench("runs", "merge", source, "--runs", runs).stdout == "1 equal\n"
