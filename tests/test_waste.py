"""Pruning deletes what is of no more use, after a question, and never anything else."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bench import records
from bench.claim import Claim
from bench.cli import app
from bench.runs.arrivals import import_records
from bench.runs.waste import Waste, delete, find, size

if TYPE_CHECKING:
    from collections.abc import Iterator

MINI = Path(__file__).parents[1] / "leaderboards" / "records" / "mini.jsonl"
LINES = MINI.read_text(encoding="utf-8").splitlines()
IDS = [json.loads(line)["run_id"] for line in LINES]


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def runs_folder(runs: Path, *statuses: str) -> Path:
    """Return a runs folder with one run a status, in order of `IDS`."""
    runs.mkdir(parents=True)
    path = runs / "committed.jsonl"
    path.write_text("\n".join(LINES[: len(statuses)]), encoding="utf-8")
    list(import_records([path], runs))
    path.unlink()
    for run_id, status in zip(IDS, statuses, strict=False):
        folder = runs / run_id
        if status == "broken":
            (folder / "run.json").write_text("{", encoding="utf-8")
        elif status != "done":
            records.write_run(folder, records.read_run(folder) | {"status": status, "error": "e"})
    for lock in (runs / "locks").iterdir():
        lock.unlink()
    return runs


def stage(runs: Path, key: str) -> Path:
    folder = runs / "stages" / key
    folder.mkdir(parents=True)
    (folder / "stage.json").write_text(key, encoding="utf-8")
    return folder


def old(path: Path, text: str = "torn") -> Path:
    """Write a file that is two hours old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - 7200,) * 2)
    return path


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}


def names(found: list[Waste], kind: str) -> list[str]:
    return [each.path.name for each in found if each.kind == kind]


STATUSES = ("done", "failed", "interrupted", "pruned", "running", "diverged", "broken", "done")


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ((), (1, 3)),
        (("failed",), (1,)),
        (("stopped", "broken"), (4, 6)),
        (("diverged",), (5,)),
        (("done", "interrupted"), (0, 2, 7)),
    ],
)
def test_runs_go_by_their_status(
    tmp_path: Path, asked: tuple[str, ...], gone: tuple[int, ...]
) -> None:
    runs = runs_folder(tmp_path / "runs", *STATUSES)
    options = [word for each in asked for word in ("--status", each)]
    everything = files(runs)
    listed = bench("runs", "prune", "--runs", runs, *options, "--dry-run")
    assert listed.exit_code == 0, listed.output
    assert files(runs) == everything
    expected = [IDS[number] for number in gone]
    assert [run_id for run_id in IDS if run_id in listed.stdout] == expected
    assert bench("runs", "prune", "--runs", runs, *options, "--yes").exit_code == 0
    left = {name.partition("/")[0] for name in files(runs)}
    assert left == {run_id for run_id in IDS[:8] if run_id not in expected}
    again = bench("runs", "prune", "--runs", runs, *options)
    assert (again.exit_code, again.stdout) == (0, "nothing to delete\n")


def test_an_unknown_status(tmp_path: Path) -> None:
    result = bench("runs", "prune", "--runs", tmp_path, "--status", "runnning")
    assert result.exit_code == 2
    assert "Unknown status 'runnning'" in result.stderr
    assert "stopped" in result.stderr


def test_without_a_terminal_and_without_yes_nothing_is_deleted(tmp_path: Path) -> None:
    runs = runs_folder(tmp_path / "runs", "done", "failed")
    everything = files(runs)
    result = bench("runs", "prune", "--runs", runs)
    assert result.exit_code == 2
    assert "Nobody can be asked here, so nothing was done. Say --yes." in result.stderr
    assert IDS[1] in result.stdout
    assert files(runs) == everything


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 2), ("y", 0, 1)])
def test_somebody_at_a_terminal_is_asked(tmp_path: Path, answer: str, code: int, left: int) -> None:
    runs = runs_folder(tmp_path / "runs", "done", "failed")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "bench", "runs", "prune", "--runs", str(runs)]
    with contextlib.closing(os.fdopen(master, "wb", buffering=0)) as terminal:
        child = subprocess.Popen(
            command, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.close(slave)
        terminal.write(f"{answer}\n".encode())
        out, err = child.communicate(timeout=120)
    assert child.returncode == code, err
    assert b"Delete this, " in err
    assert IDS[1].encode() in out
    assert len(list(runs.glob("*/run.json"))) == left


def test_stages_go_that_no_remaining_run_refers_to(tmp_path: Path) -> None:
    runs = runs_folder(tmp_path / "runs", "done", "failed", "pruned")
    study = runs_folder(runs / "studies" / "mine", "done", "done", "done", "done", "pruned")
    keys = [[s["key"] for s in json.loads(line)["stages"]] for line in LINES]
    for key in {key for each in keys[:5] for key in each}:
        stage(runs, key)
    stage(runs, "nobodys")
    (runs / "stages" / "damaged-k-x" / "k").mkdir(parents=True)
    found = find(runs)
    assert names(found, "stage") == ["nobodys"]
    assert names(found, "damaged stage") == ["damaged-k-x"]
    assert {each.kind for each in find(runs, stages=False)} == {"run"}
    # Of the study, only what was asked for; then its pruned run's stages are nobody's, too.
    found = find(runs, studies=True)
    assert names(found, "run") == [*IDS[1:3], IDS[4]]
    needed = {key for each in keys[:4] for key in each}
    assert set(names(found, "stage")) == {"nobodys", *keys[4]} - needed
    result = bench("runs", "prune", "--runs", runs, "--yes", "--studies", "--status", "failed")
    assert result.exit_code == 0
    assert len(list(study.glob("*/run.json"))) == 5
    assert not (runs / "stages" / "damaged-k-x").exists()
    assert files(runs / "stages") == {f"{k}/stage.json" for e in keys[:5] for k in e}
    (runs / "studies").rename(tmp_path / "studies")
    for path in runs.glob("*/run.json"):
        path.unlink()
    assert len(names(find(runs), "stage")) == len({k for e in keys[:5] for k in e})


def test_nothing_goes_that_a_living_process_is_at(tmp_path: Path) -> None:
    runs = runs_folder(tmp_path / "runs", "failed", "failed", "pruned")
    stage(runs, "nobodys")
    with Claim(runs / "locks" / f"{IDS[1]}.lock", {}):
        found = find(runs)
        assert names(found, "run") == [IDS[0], IDS[2]]
        assert {each.kind for each in found} == {"run"}  # whose stage it is cannot be told
    (runs / "stages" / "locks").mkdir()
    with Claim(runs / "stages" / "locks" / "nobodys.lock", {}):
        assert names(find(runs), "stage") == []
    assert names(find(runs), "stage") == ["nobodys"]


@pytest.mark.parametrize("status", ["running", "interrupted", "broken"])
def test_stages_stay_while_a_run_may_come_to_need_them(tmp_path: Path, status: str) -> None:
    """An attempt that begins writes an empty list of stages over that of the one before."""
    runs = runs_folder(tmp_path / "runs", "done", "failed", status)
    stage(runs, "maybe")
    (runs / "stages" / "damaged-k-x").mkdir()
    assert {each.kind for each in find(runs)} == {"run", "damaged stage"}
    result = bench("runs", "prune", "--runs", runs, "--yes")
    assert "stages stay: 1 unfinished or broken runs may need them" in result.stderr
    assert IDS[2] in result.stderr
    assert (runs / "stages" / "maybe").exists()
    asked = status.replace("running", "stopped")
    result = bench("runs", "prune", "--runs", runs, "--yes", "--status", asked)
    assert "stages stay" not in result.stderr
    assert not (runs / "stages" / "maybe").exists()


def test_a_stage_that_a_run_came_to_need_after_the_list_was_made_stays(tmp_path: Path) -> None:
    runs = runs_folder(tmp_path / "runs", "done", "done")
    study = runs_folder(runs / "studies" / "mine", "done")
    stage(runs, "used")
    stage(runs, "damaged-k-x")
    (damaged, used) = found = find(runs)
    for lock in (
        runs / "locks" / f"{IDS[2]}.lock",
        study / "locks" / f"{IDS[2]}.lock",
        runs / "stages" / "locks" / "used.lock",
        runs / "stages" / "locks" / "other.lock",
    ):
        with Claim(lock, {}):
            assert not delete(used)
            assert not delete(damaged)
    record = records.read_run(study / IDS[0])
    records.write_run(study / IDS[0], record | {"status": "running", "stages": []})
    assert not delete(used)
    first = {**record["stages"][0], "key": "used"}
    records.write_run(study / IDS[0], record | {"stages": [first]})
    assert not delete(used)
    assert (runs / "stages" / "used" / "stage.json").exists()
    records.write_run(study / IDS[0], record)
    assert all(delete(each) for each in found)
    assert files(runs / "stages") <= {"locks/other.lock"}


@pytest.fixture
def busy_process(tmp_path: Path) -> Iterator[int]:
    """Yield the id of another process that is at the first run."""
    lock = tmp_path / "runs" / "locks" / f"{IDS[0]}.lock"
    code = (
        "import sys, time; from pathlib import Path; from bench.claim import Claim\n"
        f"with Claim(Path({str(lock)!r}), {{}}): print('mine', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"mine\n"
    yield child.pid
    child.kill()
    child.communicate()


def test_a_killed_process_no_longer_counts(tmp_path: Path, busy_process: int) -> None:
    runs = tmp_path / "runs"
    (runs / "locks").rename(tmp_path / "locks")
    runs.rmdir()
    runs_folder(runs, "failed", "done")
    (runs / "locks").rmdir()
    (tmp_path / "locks").rename(runs / "locks")
    assert find(runs) == []
    os.kill(busy_process, signal.SIGKILL)
    os.waitid(os.P_PID, busy_process, os.WEXITED | os.WNOWAIT)
    found = find(runs)
    assert (names(found, "run"), len(names(found, "lock"))) == ([IDS[0]], 1)
    assert all(delete(each) for each in found)
    assert files(runs) == {f"{IDS[1]}/run.json", f"{IDS[1]}/confusion.npz"}


def test_what_was_taken_up_after_the_list_was_made_stays(tmp_path: Path) -> None:
    runs = runs_folder(tmp_path / "runs", "failed", "pruned", "done")
    (runs / IDS[2] / "checkpoints").mkdir()
    first, second, third = find(runs, heavy=True)
    with Claim(runs / "locks" / f"{IDS[0]}.lock", {}):
        assert not delete(first)
    for run_id, status in ((IDS[1], "done"), (IDS[2], "running")):
        record = records.read_run(runs / run_id)
        records.write_run(runs / run_id, record | {"status": status})
    assert not delete(second)
    assert not delete(third)
    assert len(list(runs.glob("*/run.json"))) == 3
    assert (runs / IDS[2] / "checkpoints").exists()


def test_finished_runs_lose_their_heavy_parts_only_if_asked(tmp_path: Path) -> None:
    runs = runs_folder(tmp_path / "runs", "done", "diverged")
    for run_id in IDS[:2]:
        for name in ("checkpoints/1.safetensors", "predictions/last/0.png", "figures/a.png"):
            (runs / run_id / name).parent.mkdir(parents=True, exist_ok=True)
            (runs / run_id / name).write_bytes(b"0" * 1000)
        (runs / run_id / "outputs.safetensors").write_bytes(b"0" * 1000)
    assert find(runs) == []
    listed = bench("runs", "prune", "--runs", runs, "--heavy", "--dry-run")
    assert "1 x finished runs lose checkpoints, outputs and predictions" in listed.stdout
    assert "would free 2.9 KiB" in listed.stdout
    before = files(runs)
    assert bench("runs", "prune", "--runs", runs, "--heavy", "--yes").exit_code == 0
    parts = ("checkpoints/1.safetensors", "predictions/last/0.png", "outputs.safetensors")
    gone = {f"{IDS[0]}/{part}" for part in parts}
    assert before - files(runs) == gone
    records.export(runs / IDS[0])
    assert bench("leaderboard", "--runs", runs).exit_code == 0


def test_what_killed_writers_left_goes_when_it_is_old(tmp_path: Path) -> None:
    runs = runs_folder(tmp_path / "runs", "done")
    waste = [
        old(runs / IDS[0] / ".run.json.abcd1234.json"),
        old(runs / IDS[0] / "checkpoints" / ".0001.safetensors.abcd1234.safetensors"),
        old(runs / ".leaderboard.md.abcd1234.md"),
        old(runs / "locks" / "gone.lock", ""),
        old(runs / "locks" / "torn.claim"),
    ]
    for name in (".arriving-x", ".leaving-x", "stages/.arriving-y", f"{IDS[0]}/.leaving-z"):
        old(runs / name / "run.json")
        os.utime(runs / name, (time.time() - 7200,) * 2)
        waste.append(runs / name)
    kept = [
        *(old(runs / name) for name in (".gitignore", ".leaderboard.md", ".notes", "notes.md")),
        *(old(runs / ".git" / "config"), old(runs / "locks-of-mine" / "x")),
        *(old(runs / IDS[0] / name) for name in (".notes", ".notes.md", ".a.bc.json", ".x/y")),
        *(old(runs / IDS[0] / name) for name in (".run.json.abcd1234.md", ".settings.abcd1234")),
    ]
    (runs / ".arriving-young").mkdir()
    (runs / IDS[0] / ".run.json.young234.json").write_text("somebody's", encoding="utf-8")
    assert sorted(each.path for each in find(runs)) == sorted(waste)
    result = bench("runs", "prune", "--runs", runs, "--yes")
    assert "7 x temporary files" in result.stdout
    assert "2 x locks that nobody has" in result.stdout
    assert not any(path.exists() for path in waste)
    assert all(path.exists() for path in [*kept, runs / ".arriving-young"])


def test_nothing_outside_of_the_runs_folder_goes(tmp_path: Path) -> None:
    elsewhere = runs_folder(tmp_path / "elsewhere", "failed", "failed", "done")
    (elsewhere / IDS[2] / "checkpoints").mkdir()
    stage(elsewhere, "nobodys")
    before = files(elsewhere)
    runs = runs_folder(tmp_path / "runs", "done", "done", "done")
    for name in (IDS[0], "stages", "studies"):
        with contextlib.suppress(OSError):
            (runs / name / "run.json").unlink()
            (runs / name / "confusion.npz").unlink()
            (runs / name).rmdir()
        (runs / name).symlink_to(elsewhere / name if name != "studies" else tmp_path)
    (runs / IDS[2] / "checkpoints").symlink_to(elsewhere / IDS[2] / "checkpoints")
    assert find(runs, heavy=True, studies=True) == []
    (tmp_path / "link").symlink_to(elsewhere)
    assert len(find(tmp_path / "link")) == 3  # a link to a runs folder is that runs folder
    assert files(elsewhere) == before


def test_a_link_inside_of_a_run_is_deleted_and_not_followed(tmp_path: Path) -> None:
    runs = runs_folder(tmp_path / "runs", "failed")
    (tmp_path / "precious").write_text("mine", encoding="utf-8")
    (runs / IDS[0] / "file").symlink_to(tmp_path / "precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious").write_text("mine", encoding="utf-8")
    (runs / IDS[0] / "folder").symlink_to(tmp_path / "folder")
    assert bench("runs", "prune", "--runs", runs, "--yes").exit_code == 0
    assert files(tmp_path) == {"precious", "folder/precious"}


def test_a_file_that_is_linked_elsewhere_frees_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"0" * 100)
    (tmp_path / "a" / "two").write_bytes(b"0" * 10)
    os.link(tmp_path / "a" / "one", tmp_path / "a" / "again")
    os.link(tmp_path / "a" / "two", tmp_path / "outside")
    assert size([tmp_path / "a"]) == 100
    assert size([tmp_path / "a", tmp_path / "outside"]) == 110
    assert size([tmp_path / "a" / "one", tmp_path / "none"]) == 0
