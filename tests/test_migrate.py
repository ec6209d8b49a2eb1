"""Records of every version so far can be read; those of later ones are refused in a sentence."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench import migrate, records
from bench.errors import BenchError
from bench.schema import STATUSES

COMMITTED = Path(__file__).parents[1] / "leaderboards" / "records"
ADDED = {"schema": 2, "events": [], "nondeterministic": [], "attempts": 0}
"""What version 2 says of a record that did not know of it."""


@cache
def _committed(status: str) -> str:
    for path in sorted(COMMITTED.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["status"] == status and "schema" not in record:
                return line
    raise LookupError(status)


def version_1(status: str) -> Any:
    """Return a committed record of this status; where there is none, one that says so."""
    if status in ("done", "pruned"):
        return json.loads(_committed(status))
    record = json.loads(_committed("pruned"))
    return record | {"status": status, "error": None if status == "running" else "it broke"}


def write(path: Path, *made: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in made), encoding="utf-8")
    return path


def without_matrices(record: Any) -> Any:
    return {key: value for key, value in record.items() if key != "confusion"}


@pytest.mark.parametrize("status", STATUSES)
def test_a_record_of_version_1_is_read_as_one_of_version_2(tmp_path: Path, status: str) -> None:
    old = version_1(status)
    assert "schema" not in old
    before = copy.deepcopy(old)
    expected = {"scores": {}, **old, **ADDED}
    assert migrate.migrate(old, "here") == expected
    assert old == before
    path = write(tmp_path / "r.jsonl", old)
    row = records.load_records([path]).iloc[0]
    assert (row["status"], dict(row["record"])) == (status, expected)
    assert row["record"]["attempts"] == 0
    assert path.read_text(encoding="utf-8") == json.dumps(old) + "\n"
    write(tmp_path / "runs" / "run" / "run.json", without_matrices(old))
    assert records.read_run(tmp_path / "runs" / "run") == without_matrices(expected)
    assert dict(records.load_runs(tmp_path / "runs")["record"][0]) == without_matrices(expected)


def test_a_record_from_before_there_were_scores() -> None:
    old = version_1("done")
    old.pop("scores", None)
    assert migrate.migrate(old, "here")["scores"] == {}
    assert migrate.migrate(old | {"scores": {"dev": {"5": 0.5}}}, "here")["scores"]["dev"]


def test_a_current_record_stays_as_it_is() -> None:
    current = migrate.migrate(version_1("done"), "here")
    assert migrate.migrate(current, "here") is current
    assert migrate.migrate([1], "here") == [1]


def test_an_old_record_and_the_same_written_anew_are_one_run(tmp_path: Path) -> None:
    old = write(tmp_path / "old.jsonl", version_1("done"))
    records.write_records(tmp_path / "new.jsonl", [version_1("done")])
    (line,) = (tmp_path / "new.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["schema"] == migrate.CURRENT
    assert len(records.load_records([old, tmp_path / "new.jsonl"])) == 1


def test_there_is_a_way_from_every_version_to_the_current_one() -> None:
    assert sorted(migrate._STEPS) == list(range(1, migrate.CURRENT))


def test_a_record_of_a_newer_version_is_refused_by_file_and_line(tmp_path: Path) -> None:
    newer = version_1("done") | ADDED | {"schema": 3, "surprise": 1}
    path = write(tmp_path / "r.jsonl", version_1("pruned"), newer)
    said = r"written by a newer bench: it is a record of version 3.* up to 2\. Upgrade: pip"
    with pytest.raises(BenchError, match=rf"r\.jsonl, line 2 was {said}"):
        records.load_records([path])
    write(tmp_path / "runs" / "run" / "run.json", without_matrices(newer))
    with pytest.raises(BenchError, match=rf"run\.json was {said}"):
        records.read_run(tmp_path / "runs" / "run")
    row = records.load_runs(tmp_path / "runs").iloc[0]
    assert row["status"] == records.BROKEN
    assert "Upgrade" in row["error"]


@pytest.mark.parametrize("version", ["2", 0, -1, True, 1.5, 2.0, None, [2]])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: object) -> None:
    path = write(tmp_path / "r.jsonl", version_1("done") | {"schema": version})
    with pytest.raises(BenchError, match=r"r\.jsonl, line 1: 'schema' must be the version"):
        records.load_records([path])


def test_a_version_1_record_with_an_unknown_key_is_still_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", version_1("done") | {"surprise": 1})
    with pytest.raises(BenchError, match="unknown 'surprise'"):
        records.load_records([path])
