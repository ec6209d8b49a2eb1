"""Exported records become run folders again, and what is here already is never changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import leaderboard, plugins, records
from bench.claim import Claim
from bench.cli import app
from bench.digest import digest_of
from bench.migrate import migrate
from bench.runs.moving import arriving

MINI = Path(__file__).parents[1] / "leaderboards" / "records" / "mini.jsonl"


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def committed() -> list[Any]:
    return [json.loads(line) for line in MINI.read_text(encoding="utf-8").splitlines()]


def write(path: Path, *made: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in made), encoding="utf-8")
    return path


def content(folder: Path) -> dict[str, bytes]:
    """Return all files in a folder, but for locks and claims."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "locks"
    }


def test_what_was_exported_comes_back_and_makes_the_same_table(tmp_path: Path) -> None:
    runs = tmp_path / "new" / "runs"
    result = bench("runs", "import", MINI, "--runs", runs)
    assert (result.exit_code, result.stdout) == (0, "24 new\n")
    for record in committed():
        folder = runs / record["run_id"]
        assert {path.name for path in folder.iterdir()} == {"run.json", "confusion.npz"}
        assert "confusion" not in json.loads((folder / "run.json").read_text())
        assert records.export(folder) == migrate(record, "here")
    suite = plugins.load_suite("mini")
    frames = (records.load_records([MINI]), records.load_runs(runs))
    one, two = (leaderboard.render(leaderboard.rows(frame, suite), "csv") for frame in frames)
    assert one == two
    # And back: what is exported now is what was imported, as the current version has it.
    bench("runs", "export", "--runs", runs, "--out", tmp_path / "again.jsonl")
    again = (tmp_path / "again.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in again] == [migrate(each, "here") for each in committed()]


def test_an_equal_run_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", *committed()[:3])
    bench("runs", "import", path, "--runs", tmp_path / "runs")
    before = content(tmp_path / "runs")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").glob("*/run.json")}
    result = bench("runs", "import", path, MINI, "--runs", tmp_path / "runs")
    assert (result.exit_code, result.stdout) == (0, "3 equal, 21 new\n")
    assert before.items() <= content(tmp_path / "runs").items()
    assert times == {p: p.stat().st_mtime_ns for p in times}


def test_another_content_is_a_conflict_and_the_others_come_in(tmp_path: Path) -> None:
    first, second, third = committed()[:3]
    runs = tmp_path / "runs"
    bench("runs", "import", write(tmp_path / "a.jsonl", first, second), "--runs", runs)
    before = content(runs)
    matrix = json.loads(json.dumps(second))
    step = str(matrix["checkpoints"][-1])
    matrix["confusion"]["checkpoints"][step][0][0] += 1
    other = write(tmp_path / "b.jsonl", first | {"seconds": 1234.5}, matrix, third)
    result = bench("runs", "import", other, "--runs", runs)
    assert result.exit_code == 1
    assert result.stdout == "2 conflict, 1 new\n"
    said = f"conflict: {first['run_id']}: the one here differs: seconds was {first['seconds']}"
    assert f"{said} and is 1234.5" in result.stderr
    assert f"{second['run_id']}: the one here differs: confusion.checkpoints.{step} was [[" in (
        result.stderr
    )
    assert "2 of 3 did not come in; see above" in result.stderr
    after = content(runs)
    assert before.items() <= after.items()
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {third["run_id"]}


def test_a_run_here_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    record = committed()[0]
    torn = tmp_path / "runs" / record["run_id"] / "run.json"
    torn.parent.mkdir(parents=True)
    torn.write_text("{", encoding="utf-8")
    result = bench("runs", "import", write(tmp_path / "r", record), "--runs", tmp_path / "runs")
    assert result.exit_code == 1
    assert "the one here cannot be read" in result.stderr
    assert torn.read_text(encoding="utf-8") == "{"


def test_what_is_no_run_but_has_its_name_stays(tmp_path: Path) -> None:
    record = committed()[0]
    notes = tmp_path / "runs" / record["run_id"] / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine", encoding="utf-8")
    result = bench("runs", "import", write(tmp_path / "r", record), "--runs", tmp_path / "runs")
    assert result.exit_code == 1
    assert "something else has its name here" in result.stderr
    assert notes.read_text(encoding="utf-8") == "mine"


def test_a_damaged_file_imports_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", *committed()[:2])
    path.write_bytes(path.read_bytes()[:-20])
    result = bench("runs", "import", path, "--runs", tmp_path / "runs")
    assert result.exit_code == 2
    assert "r.jsonl, line 2 is not JSON" in result.stderr
    assert not (tmp_path / "runs").exists()


def renamed(record: Any, **config: Any) -> Any:
    """Return the record of another configuration, under the id that fits it."""
    config = record["config"] | config
    start = f"{config['method']}-{config['shift']['name']}-{config['seed']}"
    return record | {"config": config, "run_id": f"{start}-{digest_of(config)[:12]}"}


def test_an_id_is_that_of_its_configuration_and_leads_nowhere_else(tmp_path: Path) -> None:
    record = committed()[0]
    assert renamed(record) == record
    made = [
        renamed(record) | {"run_id": record["run_id"][:-1] + "x"},
        record | {"config": record["config"] | {"budget": 1}},
        renamed(record, method="../../outside"),
        renamed(record, method=f"{tmp_path}/outside"),
        renamed(record, method=".hidden"),
    ]
    runs = tmp_path / "deep" / "runs"
    for number, each in enumerate(made):
        path = write(tmp_path / f"{number}.jsonl", each)
        result = bench("runs", "import", path, "--runs", runs)
        assert (result.exit_code, result.stdout) == (1, "1 left out\n"), each["run_id"]
        assert "its id is not that of its configuration" in result.stderr
    assert not list(tmp_path.rglob("run.json"))
    path = write(tmp_path / "fits.jsonl", renamed(record, method="fits"))
    assert bench("runs", "import", path, "--runs", runs).exit_code == 0


def test_a_run_that_somebody_is_at_is_left_out(tmp_path: Path) -> None:
    first, second = committed()[:2]
    path = write(tmp_path / "r.jsonl", first, second)
    with Claim(tmp_path / "runs" / "locks" / f"{first['run_id']}.lock", {}):
        result = bench("runs", "import", path, "--runs", tmp_path / "runs")
    assert (result.exit_code, result.stdout) == (1, "1 left out, 1 new\n")
    assert f"left out: {first['run_id']}: a process is at work on it" in result.stderr
    assert bench("runs", "import", path, "--runs", tmp_path / "runs").stdout == "1 new, 1 equal\n"


def test_a_run_that_did_not_finish_has_no_matrices(tmp_path: Path) -> None:
    record = committed()[0] | {"status": "failed", "error": "it broke", "checkpoints": []}
    record["confusion"] = {"checkpoints": {}, "stages": {}}
    runs = tmp_path / "runs"
    assert bench("runs", "import", write(tmp_path / "r", record), "--runs", runs).exit_code == 0
    assert [path.name for path in (runs / record["run_id"]).iterdir()] == ["run.json"]
    assert records.export(runs / record["run_id"]) == migrate(record, "here")


def test_a_folder_arrives_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "run"

    def fail_half_way() -> None:
        with arriving(folder) as temporary:
            (temporary / "run.json").write_text("{}", encoding="utf-8")
            # Nobody takes what is on its way for a run.
            assert len(records.load_runs(folder.parent)) == 0
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    assert list(folder.parent.iterdir()) == []
    for text in ("old", "new"):
        with arriving(folder) as temporary:
            (temporary / text).write_text(text, encoding="utf-8")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(folder.parent.iterdir()) == [folder]
