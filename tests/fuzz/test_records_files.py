"""Records: ``run.json`` and exported JSONL. Whoever edits one by hand gets a sentence, or a table.

A table believes what a record says, true or not; but it must say the same, and must not fall over.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from hypothesis import example, given
from hypothesis import strategies as st
from near_misses import REFUSED, bent, documents, fuzzed, outcome, same, spoiled, strict_json

from bench.leaderboard import rows
from bench.records import BROKEN, confusions_of, load_records, load_runs, read_run
from bench.suites import DIGITS, MNIST_TO_USPS
from bench.tables.formats import render

if TYPE_CHECKING:
    from pathlib import Path

RUN_ID = "adda-mnist2usps-0-0123456789ab"
CONFIG = {
    "method": "adda",
    "settings": {"feature.lr": 0.0},
    "params": {"feature": {"lr": 0.0}, "source": None},
    "preset": "fast",
    "code": "builtin-1",
    "learns_from": "source",
    "shift": asdict(MNIST_TO_USPS),
    "seed": 0,
    "backbone": "lenet",
    "budget": 20_000,
    "data": "d" * 64,
    "weights": "random",
    "precision": "float32",
    "tuned": {"rule": "infomax", "trials": 20, "study": "s"},
}
RECORD = {
    "run_id": RUN_ID,
    "status": "done",
    "error": None,
    "config": CONFIG,
    "stages": [{"name": "source", "key": "k", "steps": 10, "seconds": 1.5}],
    "checkpoints": [5, 10],
    "scores": {"infomax": {"5": 0.5, "10": None}},
    "steps": 10,
    "seconds": 1.5,
    "departure": None,
    "threads": 2,
    "device": "cpu",
    "environment": {"python": "3.12"},
    "started": "2026-01-01T00:00:00+00:00",
    "finished": None,
}
CONFUSION = {
    "checkpoints": {"5": [[3, 1], [2, 4]], "10": [[4, 0], [0, 6]]},
    "stages": {"source": [[1, 3], [3, 3]]},
}
EXPORTED = RECORD | {"confusion": CONFUSION}


def changed(**fields: Any) -> bytes:
    return json.dumps(EXPORTED | fields).encode()


def configured(**fields: Any) -> bytes:
    return changed(config=CONFIG | fields)


@fuzzed
@given(content=documents(RECORD))
@example(content=b"[" * 100_000)
@example(content=b"\xef\xbb\xbf" + json.dumps(RECORD).encode())
@example(content=json.dumps(RECORD).replace("1.5", "1e999").encode())
@example(content=json.dumps(RECORD).replace("20000", "2" * 400).encode())
def test_a_run_folder(content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / RUN_ID
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_bytes(content)
    found = outcome("run.json", lambda: read_run(folder), folder / "run.json")
    frame = outcome("run.json", lambda: load_runs(tmp_path))
    assert len(frame) == 1
    if found is REFUSED:
        assert frame["status"][0] == BROKEN
        assert str(folder) in frame["error"][0]
        return
    document = strict_json(content)
    assert all(same(found[key], value) for key, value in document.items())
    row = frame.iloc[0]
    for key in ("run_id", "status", "error", "steps", "seconds", "threads", "device", "started"):
        assert same(row[key], document[key])
    for key in ("method", "preset", "backbone", "code", "seed"):
        assert same(row[key], document["config"][key])
    assert json.loads(row["settings"]) == document["config"]["settings"]


LINES = documents(EXPORTED)


@fuzzed
@given(
    lines=st.lists(LINES | st.just(changed()), min_size=1, max_size=2),
    tail=st.sampled_from((b"", b"\n", b"\r\n", b"\n\n", b"\n{", b"\n\0")),
    rule=st.sampled_from(("last", "infomax", "oracle")),
)
@example(lines=[changed()[:-20]], tail=b"", rule="last")
@example(
    lines=[changed(confusion=CONFUSION | {"checkpoints": {"5": [[1]], "05": [[2]]}, "stages": {}})],
    tail=b"",
    rule="last",
)
@example(
    lines=[changed(confusion=CONFUSION | {"checkpoints": {"9" * 5000: [[1, 1], [1, 1]]}})],
    tail=b"",
    rule="last",
)
@example(
    lines=[changed(confusion=CONFUSION | {"checkpoints": {}, "stages": {}})], tail=b"", rule="last"
)
@example(
    lines=[
        changed(confusion={"checkpoints": {"5": [[2**62, 2**62], [2**62, 2**62]]}, "stages": {}})
    ],
    tail=b"",
    rule="last",
)
@example(lines=[changed(scores={"infomax": {"6": 0.5}})], tail=b"", rule="infomax")
@example(lines=[changed(steps=-1, seconds=-1.0, threads=True)], tail=b"", rule="last")
@example(lines=[changed(checkpoints=[])], tail=b"", rule="last")
@example(lines=[changed(stages=[], checkpoints=[])], tail=b"", rule="oracle")
@example(lines=[configured(method=5)], tail=b"", rule="last")
@example(lines=[configured(method=["adda"])], tail=b"", rule="last")
@example(lines=[configured(settings=[])], tail=b"", rule="last")
@example(lines=[configured(params=None)], tail=b"", rule="last")
@example(lines=[configured(backbone=None)], tail=b"", rule="last")
@example(lines=[configured(preset=[])], tail=b"", rule="last")
@example(lines=[configured(weights={})], tail=b"", rule="last")
@example(lines=[configured(learns_from=3)], tail=b"", rule="last")
@example(lines=[configured(budget="x")], tail=b"", rule="last")
@example(lines=[configured(seed=-1)], tail=b"", rule="last")
@example(lines=[configured(shift=CONFIG["shift"] | {"protocol": []})], tail=b"", rule="last")
@example(
    lines=[configured(shift=CONFIG["shift"] | {"protocol": "cityscapes-19"})], tail=b"", rule="last"
)
@example(lines=[configured(shift=CONFIG["shift"] | {"name": None})], tail=b"", rule="last")
@example(lines=[configured(shift=CONFIG["shift"] | {"name": []})], tail=b"", rule="last")
@example(lines=[configured(shift=CONFIG["shift"] | {"source": {}})], tail=b"", rule="last")
@example(
    lines=[configured(shift=dict.fromkeys(("name", "source", "target", "protocol"), "mnist"))],
    tail=b"",
    rule="last",
)
@example(lines=[changed(run_id="../../etc"), changed()], tail=b"", rule="last")
@example(lines=[changed(device="\x1b[2J", error="|\n<script>")], tail=b"", rule="last")
def test_exported_records(lines: list[bytes], tail: bytes, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    content = b"\n".join(lines) + tail
    path.write_bytes(content)
    frame = outcome("JSONL", lambda: load_records([path]), path)
    if frame is REFUSED:
        return
    documents_ = [strict_json(line) for line in content.split(b"\n") if line.strip()]
    by_id = {document["run_id"]: document for document in documents_}
    assert sorted(frame["run_id"]) == sorted(by_id)
    for record in frame["record"]:
        document = by_id[record["run_id"]]
        assert same(record["config"], document["config"])
        matrices = confusions_of(record, None)
        said = document["confusion"]
        assert {int(step): m for step, m in said["checkpoints"].items()} == {
            step: m.tolist() for step, m in matrices.checkpoints.items()
        }
        assert len(said["checkpoints"]) == len(matrices.checkpoints)
        assert said["stages"] == {name: m.tolist() for name, m in matrices.stages.items()}
    table = outcome("tables of records", lambda: rows(frame, DIGITS, rule))
    if table is REFUSED:
        return
    for row in table:
        if row.n == 1 and rule == "last" and len(by_id) == 1 and row.metric == "accuracy":
            (document,) = by_id.values()
            checkpoints = document["confusion"]["checkpoints"]
            matrix = np.array(checkpoints[max(checkpoints, key=int)], object)
            if matrix.sum():
                assert row.mean == float(matrix.trace() / matrix.sum())
    for form in ("md", "csv", "latex", "json"):
        text = outcome("tables of records", lambda: render(table, form))  # noqa: B023
        assert text is not REFUSED
        assert "\x1b" not in text or form == "json"


@fuzzed
@given(kept=spoiled(changed() + b"\n"))
@example(kept=changed() + b"\n" + changed()[:100])
def test_a_torn_tail_is_never_passed_over(kept: bytes, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(kept)
    frame = outcome("JSONL", lambda: load_records([path]), path)
    sound = [line for line in kept.split(b"\n") if line.strip()]
    assert frame is REFUSED or 0 < len(frame) <= len(sound) or not sound


@fuzzed
@given(record=bent(RECORD))
def test_what_is_written_is_read_again(record: Any, tmp_path: Path) -> None:
    from bench.records import write_run

    folder = tmp_path / "run"
    (folder / "run.json").unlink(missing_ok=True)
    try:
        sound = same(orjson.loads(json.dumps(record)), record)
    except ValueError:
        sound = False
    if not sound:  # NaN, half a character, 65 bits: no record of ours holds these
        return
    written = outcome("run.json", lambda: write_run(folder, record))
    if written is not REFUSED:
        found = read_run(folder)
        assert all(same(found[key], value) for key, value in record.items())
