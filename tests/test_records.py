"""The run folder survives crashes, and a frame tells all runs, the broken ones too."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import records
from bench.config import RunConfig
from bench.confusions import unpacked
from bench.errors import BenchError
from bench.suites import MNIST_TO_USPS


def config(method: str = "cycada", seed: int = 0) -> RunConfig:
    return RunConfig(
        method=method,
        settings={"pixel.cycle": 0.0, "feature": None},
        params={"pixel": {"cycle": 0.0}, "feature": None},
        preset="fast",
        code="builtin-1",
        learns_from="source",
        shift=asdict(MNIST_TO_USPS),
        seed=seed,
        backbone="lenet",
        budget=20_000,
        data="d" * 64,
    )


def record(status: str = "done", **config_of: Any) -> records.Record:
    made = config(**config_of)
    return {
        "schema": 2,
        "run_id": made.run_id,
        "status": status,
        "error": None if status == "done" else "it broke",
        "config": made.described(),
        "stages": [{"name": "source", "key": "k", "steps": 10, "seconds": 1.5}],
        "checkpoints": [5, 10],
        "scores": {},
        "events": [],
        "nondeterministic": [],
        "attempts": 1,
        "steps": 10,
        "seconds": 1.5,
        "departure": None,
        "threads": 2,
        "device": "cpu",
        "environment": {"python": "3.12"},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": None,
    }


CONFUSIONS = records.Confusions(
    checkpoints={5: np.array([[3, 1], [2, 4]]), 10: np.array([[4, 0], [0, 6]])},
    stages={"source": np.array([[1, 3], [3, 3]])},
)


def exported(status: str = "done", **config_of: Any) -> records.Record:
    return record(status, **config_of) | {
        "confusion": {
            "checkpoints": {"5": [[3, 1], [2, 4]], "10": [[4, 0], [0, 6]]},
            "stages": {"source": [[1, 3], [3, 3]]},
        }
    }


def run_folder(runs: Path, status: str = "done", **config_of: Any) -> Path:
    content = record(status, **config_of)
    folder = runs / content["run_id"]
    records.write_run(folder, content)
    if status == "done":
        records.write_confusions(folder, CONFUSIONS)
    return folder


def unwritable(tmp_path: Path) -> Path:
    """Return a folder that cannot be made, for root neither: its parent is a file."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    return tmp_path / "file" / "runs"


# ------------------------------------------------------------------ one run


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    records.write_run(tmp_path / "run", record())
    assert records.read_run(tmp_path / "run") == record()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_an_interrupted_write_leaves_the_old_record(tmp_path: Path) -> None:
    records.write_run(tmp_path, record())
    with pytest.raises(ValueError, match="JSON"):  # fails half-way, when it meets NaN
        records.write_run(tmp_path, record("failed") | {"seconds": float("nan")})
    assert records.read_run(tmp_path) == record()
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_confusions_come_back_exactly(tmp_path: Path) -> None:
    huge = np.array([[2**62, 0], [1, 2]])
    steps = {100_000_000: huge, 20: huge + 1, 3: huge + 2}
    records.write_confusions(tmp_path, records.Confusions(steps, {"my-stage": huge}))
    back = records.read_confusions(tmp_path)
    assert list(back.checkpoints) == [3, 20, 100_000_000]
    for step, matrix in steps.items():
        np.testing.assert_array_equal(back.checkpoints[step], matrix)
        assert back.checkpoints[step].dtype == np.int64
    np.testing.assert_array_equal(back.stages["my-stage"], huge)
    with np.load(tmp_path / "confusion.npz") as file:
        names = {"checkpoint-00000003", "checkpoint-00000020", "checkpoint-100000000"}
        assert set(file.files) == names | {"stage-my-stage"}


def test_equal_confusions_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        records.write_confusions(tmp_path / name, CONFUSIONS)
    paths = [tmp_path / name / "confusion.npz" for name in ("a", "b")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("kept", [0, 10, 300])
def test_truncated_confusions_are_named(tmp_path: Path, kept: int) -> None:
    records.write_confusions(tmp_path, CONFUSIONS)
    path = tmp_path / "confusion.npz"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BenchError, match=r"confusion\.npz cannot be read"):
        records.read_confusions(tmp_path)


def test_confusions_hold_no_pickle(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="expected a confusion matrix"):
        records.write_confusions(tmp_path, records.Confusions({1: np.array([[None]])}))
    np.savez(tmp_path / "confusion.npz", **{"stage-a": np.array([[{}]], dtype=object)})
    with pytest.raises(BenchError, match="cannot be read"):
        records.read_confusions(tmp_path)


# ------------------------------------------------------------------ metrics.jsonl


@given(kept=st.integers(0, 60))
def test_a_line_torn_anywhere_is_dropped_and_then_overwritten(
    tmp_path_factory: pytest.TempPathFactory, kept: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    lines = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}, {"step": 3}]
    records.append_metrics(folder, map(json.dumps, lines))
    path = folder / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    finished = whole[:kept].count(b"\n")
    assert records.read_metrics(folder) == lines[:finished]
    records.append_metrics(folder, ['{"step":4}'])
    assert records.read_metrics(folder) == [*lines[:finished], {"step": 4}]


def test_appending_only_appends(tmp_path: Path) -> None:
    assert records.read_metrics(tmp_path) == []
    for step in range(3):
        records.append_metrics(tmp_path, [json.dumps({"step": step})])
    assert records.read_metrics(tmp_path) == [{"step": 0}, {"step": 1}, {"step": 2}]


def test_a_torn_line_in_the_middle_is_no_crash_of_ours_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"a":1}\n{"a"\n{"a":2}\n', encoding="utf-8")
    with pytest.raises(BenchError, match=r"metrics\.jsonl, line 2 is not JSON"):
        records.read_metrics(tmp_path)


# ------------------------------------------------------------------ many runs


def test_one_row_a_run(tmp_path: Path) -> None:
    run_folder(tmp_path, seed=1)
    run_folder(tmp_path, seed=0)
    run_folder(tmp_path, "failed", method="adda")
    (tmp_path / "stages" / "key").mkdir(parents=True)
    (tmp_path / "leaderboard.md").write_text("a file", encoding="utf-8")
    frame = records.load_runs(tmp_path)
    assert tuple(frame.columns) == records.COLUMNS
    assert list(frame["run_id"]) == sorted(frame["run_id"])
    assert list(frame["method"]) == ["adda", "cycada", "cycada"]
    assert list(frame["status"]) == ["failed", "done", "done"]
    row = frame.iloc[1]
    expected = {
        "settings": '{"feature":null,"pixel.cycle":0.0}',
        "preset": "fast",
        "shift": "mnist2usps",
        "source": "mnist",
        "target": "usps",
        "protocol": "full",
        "backbone": "lenet",
        "weights": "random",
        "code": "builtin-1",
        "learns_from": "source",
        "seed": 0,
        "error": None,
        "steps": 10,
        "seconds": 1.5,
        "threads": 2,
        "device": "cpu",
        "started": "2026-01-01T00:00:00+00:00",
    }
    assert {key: row[key] for key in expected} == expected
    assert row["record"] == record(seed=0)
    assert Path(row["folder"]).name == row["run_id"]


@pytest.mark.parametrize("runs", ["empty", "absent"])
def test_no_runs_are_an_empty_frame(tmp_path: Path, runs: str) -> None:
    (tmp_path / "empty").mkdir()
    frame = records.load_runs(tmp_path / runs)
    assert len(frame) == 0
    assert tuple(frame.columns) == records.COLUMNS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ('{"run_id": "a', "is not JSON"),
        ("[1]", r"expected a record \(a JSON object\), got list"),
        ("{}", "missing 'checkpoints', 'config'"),
    ],
)
def test_a_broken_run_is_a_row_that_says_so_and_the_others_load(
    tmp_path: Path, content: str, said: str
) -> None:
    good = run_folder(tmp_path, seed=0)
    bad = run_folder(tmp_path, seed=1)
    (bad / "run.json").write_text(content, encoding="utf-8")
    frame = records.load_runs(tmp_path).set_index("run_id")
    assert frame.loc[good.name, "status"] == "done"
    assert frame.loc[bad.name, "status"] == records.BROKEN
    assert re.search(said, frame.loc[bad.name, "error"])
    assert str(bad / "run.json") in frame.loc[bad.name, "error"]
    assert frame.loc[bad.name, "record"] is None


def test_confusions_are_read_from_the_folder_only_when_asked(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    (folder / "confusion.npz").write_bytes(b"broken")
    row = records.load_runs(tmp_path).iloc[0]
    with pytest.raises(BenchError, match="cannot be read"):
        records.confusions_of(row["record"], row["folder"])
    (folder / "confusion.npz").unlink()
    with pytest.raises(BenchError, match="is missing"):
        records.confusions_of(row["record"], row["folder"])


# ------------------------------------------------------------------ export


def test_an_exported_run_is_the_same_run(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    assert records.export(folder) == exported()
    records.write_records(tmp_path / "all.jsonl", [records.export(folder)])
    frame = records.load_records([tmp_path / "all.jsonl"])
    assert frame.iloc[0]["record"] == exported()
    assert frame.iloc[0]["folder"] is None
    left = records.confusions_of(frame.iloc[0]["record"], None)
    right = records.confusions_of(record(), folder)
    assert list(left.checkpoints) == list(right.checkpoints) == [5, 10]
    for step in (5, 10):
        np.testing.assert_array_equal(left.checkpoints[step], right.checkpoints[step])
    np.testing.assert_array_equal(left.stages["source"], right.stages["source"])


def test_a_run_that_failed_is_exported_without_confusions(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "failed")
    assert records.export(folder)["confusion"] == {"checkpoints": {}, "stages": {}}


def test_a_finished_run_without_confusions_is_not_exported(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    (folder / "confusion.npz").unlink()
    with pytest.raises(BenchError, match=r"confusion\.npz is missing"):
        records.export(folder)


@given(st.permutations(range(4)))
def test_records_are_written_alike_in_whatever_order_they_come(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("records")
    made = [exported(seed=seed) for seed in range(4)]
    records.write_records(folder / "a", made)
    records.write_records(folder / "b", [dict(reversed(made[i].items())) for i in order])
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    assert len((folder / "a").read_text(encoding="utf-8").splitlines()) == 4


def test_a_run_in_two_files_counts_once_but_must_be_the_same(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    records.write_records(one, [exported(seed=0), exported(seed=1)])
    records.write_records(two, [exported(seed=1), exported(seed=2)])
    assert list(records.load_records([one, two])["seed"]) == [0, 1, 2]
    records.write_records(two, [exported(seed=2), exported(seed=1) | {"steps": 11}])
    with pytest.raises(BenchError, match=r"two\.jsonl, line 1: run .* has other content at .*one"):
        records.load_records([one, two])
    with pytest.raises(BenchError, match="comes twice with different content"):
        records.write_records(one, [exported(), exported() | {"steps": 11}])


SCORES = {"dev": {"5": 0.25, "10": None}, "my-rule": {"5": 3, "10": -1e300}}


def test_scores_by_rules_come_back(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "runs")
    records.write_run(folder, record() | {"scores": SCORES})
    assert records.load_runs(tmp_path / "runs")["record"].iloc[0]["scores"] == SCORES
    records.write_records(tmp_path / "r.jsonl", [records.export(folder), exported(seed=1)])
    scored, plain = records.load_records([tmp_path / "r.jsonl"])["record"]
    assert scored == exported() | {"scores": SCORES}
    assert plain == exported(seed=1)
    assert scored.get("scores") == SCORES


def test_runs_have_in_common_what_is_equal(tmp_path: Path) -> None:
    """100,000 records would not fit into memory otherwise."""
    made = [exported(seed=seed) for seed in range(3)] + [exported(method="adda")]
    records.write_records(tmp_path / "r.jsonl", made)
    briefs = [each.brief for each in records.load_records([tmp_path / "r.jsonl"])["record"]]
    assert sorted(brief.seed for brief in briefs) == [0, 0, 1, 2]
    assert len({id(brief.config) for brief in briefs}) == 2
    assert len({id(brief.checkpoints) for brief in briefs}) == 1


def test_a_record_is_read_again_from_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("\n" + "\n\n".join(json.dumps(exported(seed=seed)) for seed in range(3)))
    frame = records.load_records([path])
    assert [dict(each) for each in frame["record"]] == [exported(seed=seed) for seed in range(3)]
    first, last = frame["record"].iloc[0], frame["record"].iloc[2]
    records.write_records(path, [exported(seed=2)])
    assert (last["seconds"], last["status"]) == (1.5, "done")
    assert records.confusions_of(last, None).checkpoints[5].tolist() == [[3, 1], [2, 4]]
    for changed in (first, last):
        with pytest.raises(BenchError, match=r"was changed meanwhile"):
            changed["environment"]
    path.unlink()
    with pytest.raises(BenchError, match=r"cannot read the records file .*r\.jsonl again"):
        last["environment"]


@given(st.integers(1, 4), st.data())
def test_matrices_of_any_size_come_back_exactly(k: int, data: st.DataObject) -> None:
    counts = st.integers(0, data.draw(st.sampled_from([9, 2**16, 2**32, 2**63 - 1])))
    square = st.lists(st.lists(counts, min_size=k, max_size=k), min_size=k, max_size=k)
    steps = st.dictionaries(st.integers(0, 2000).map(str), square)
    matrices = {
        "checkpoints": data.draw(steps),
        "stages": data.draw(st.dictionaries(st.text(), square)),
    }
    made = exported() | {"confusion": matrices}
    packed = records.check(made, "here", exported=True)
    for found in (records.confusions_of(made, None), unpacked(packed)):
        assert list(found.checkpoints) == sorted(map(int, matrices["checkpoints"]))
        assert {str(s): m.tolist() for s, m in found.checkpoints.items()} == matrices["checkpoints"]
        assert {name: m.tolist() for name, m in found.stages.items()} == matrices["stages"]


def damaged(change: str) -> Any:
    wrong: Any = copy.deepcopy(exported())
    if change == "unknown key":
        wrong["surprise"] = 1
    elif change == "missing key":
        del wrong["seconds"]
    elif change == "unknown config key":
        wrong["config"]["surprise"] = 1
    elif change == "missing config key":
        del wrong["config"]["seed"]
    elif change == "status":
        wrong["status"] = "finished"
    elif change == "type":
        wrong["steps"] = "10"
    elif change == "shift":
        wrong["config"]["shift"] = "mnist2usps"
    elif change == "ragged":
        wrong["confusion"]["checkpoints"]["5"] = [[1, 2], [3]]
    elif change == "not square":
        wrong["confusion"]["checkpoints"] = {"5": [[1, 2]]}
        wrong["confusion"]["stages"] = {}
    elif change == "negative":
        wrong["confusion"]["stages"]["source"] = [[1, -3], [3, 3]]
    elif change == "share":
        wrong["confusion"]["stages"]["source"] = [[0.5, 0.5], [0.0, 1.0]]
    elif change == "step":
        wrong["confusion"]["checkpoints"]["last"] = [[1, 2], [3, 4]]
    elif change == "no confusion":
        wrong["confusion"] = None
    elif change == "rows of other lengths":  # nine numbers all the same
        wrong["confusion"]["checkpoints"]["5"] = [[1, 2, 3, 4], [5, 6], [7, 8, 9]]
        wrong["confusion"]["checkpoints"]["10"] = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
        wrong["confusion"]["stages"] = {}
    elif change == "too few rows":
        wrong["confusion"]["checkpoints"]["5"] = [[1, 2]]
    elif change == "no row":
        wrong["confusion"] = {"checkpoints": {"5": []}, "stages": {}}
    elif change == "two sizes":
        wrong["confusion"]["stages"]["source"] = [[1]]
    elif change == "too large":
        wrong["confusion"]["stages"]["source"] = [[1, 2**63], [3, 3]]
    elif change == "text":
        wrong["confusion"]["stages"]["source"] = ["12", "34"]
    elif change == "negative step":
        wrong["confusion"]["checkpoints"]["-5"] = [[1, 2], [3, 4]]
    elif change == "nameless stage":
        wrong["stages"] = [{"steps": 10}]
    elif change == "no stage":
        wrong["stages"] = ["source"]
    elif change == "checkpoints":
        wrong["checkpoints"] = ["5"]
    elif change == "seed":
        wrong["config"]["seed"] = "3"
    elif change.startswith(("scores ", "events ", "nondeterministic ")):
        key, value = change.split(" ", 1)
        wrong[key] = json.loads(value)
    return wrong


TUNED = {"rule": "infomax", "trials": 20, "study": "adda-mnist2usps"}


def test_a_record_may_say_how_its_settings_were_found(tmp_path: Path) -> None:
    tuned = exported()
    tuned["config"]["tuned"] = TUNED
    records.write_records(tmp_path / "r.jsonl", [tuned])
    frame = records.load_records([tmp_path / "r.jsonl"])
    assert frame["record"][0]["config"]["tuned"] == TUNED


@pytest.mark.parametrize(
    "wrong",
    [
        *(None, "infomax", {}, {k: v for k, v in TUNED.items() if k != "rule"}),
        *(TUNED | {"rule": None}, TUNED | {"trials": "20"}, TUNED | {"trials": True}),
        *(TUNED | {"study": 1}, TUNED | {"more": 1}),
    ],
)
def test_a_malformed_note_of_how_settings_were_found_is_refused(wrong: object) -> None:
    tuned = exported()
    tuned["config"]["tuned"] = wrong
    with pytest.raises(BenchError, match=r"here, config\.tuned: expected a rule's name"):
        records.check(tuned, "here", exported=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("unknown key", "unknown 'surprise'"),
        ("missing key", "missing 'seconds'"),
        ("unknown config key", "config: unknown 'surprise'"),
        ("missing config key", "config: missing 'seed'"),
        ("status", "unknown status 'finished'; one of running, done"),
        ("type", "'steps' has the wrong type: '10'"),
        ("shift", "config.shift is no shift"),
        ("ragged", "'confusion' is malformed"),
        ("not square", "'confusion' is malformed"),
        ("negative", "'confusion' is malformed"),
        ("share", "'confusion' is malformed"),
        ("step", "'confusion' is malformed"),
        ("no confusion", "expected 'confusion' to hold"),
        ("rows of other lengths", "'confusion' is malformed"),
        ("too few rows", "'confusion' is malformed"),
        ("no row", "'confusion' is malformed"),
        ("two sizes", "'confusion' is malformed"),
        ("too large", "'confusion' is malformed"),
        ("text", "'confusion' is malformed"),
        ("negative step", "'confusion' is malformed"),
        ("nameless stage", "'stages' or 'checkpoints' are malformed"),
        ("no stage", "'stages' or 'checkpoints' are malformed"),
        ("checkpoints", "'stages' or 'checkpoints' are malformed"),
        ("seed", "config.seed is no whole number: '3'"),
        ("nondeterministic [1]", "'nondeterministic' must hold sentences: [1]"),
        ("events {}", "'events' has the wrong type"),
        ('events ["collapsed"]', "an event must have stage, step, kind, reason, but one is 'coll"),
        ('events [{"stage": "pixel", "step": 5, "kind": "k"}]', "an event must have stage, step"),
        (
            'events [{"stage": "pixel", "step": "5", "kind": "k", "reason": "r"}]',
            "an event must have stage, step",
        ),
        ("scores []", "'scores' has the wrong type"),
        ('scores {"dev": [0.5]}', "'scores' are malformed"),
        ('scores {"dev": 0.5}', "'scores' are malformed"),
        ('scores {"dev": null}', "'scores' are malformed"),
        ('scores {"dev": {"last": 0.5}}', "'scores' are malformed"),
        ('scores {"dev": {"-5": 0.5}}', "'scores' are malformed"),
        ('scores {"dev": {"5": "0.5"}}', "'scores' are malformed"),
        ('scores {"dev": {"5": true}}', "'scores' are malformed"),
        ('scores {"dev": {"5": 0.5}, "snd": {"5": [0.5]}}', "'scores' are malformed"),
    ],
)
def test_a_damaged_record_is_refused_by_file_and_line(
    tmp_path: Path, change: str, said: str
) -> None:
    path = tmp_path / "r.jsonl"
    lines = [json.dumps(exported(seed=1)), "", json.dumps(damaged(change))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(BenchError, match=re.escape(f"{path}, line 3") + ".*" + re.escape(said)):
        records.load_records([path])
    with pytest.raises(BenchError, match=re.escape(said)):
        records.write_records(tmp_path / "out.jsonl", [damaged(change)])


def test_a_torn_line_of_records_is_an_error_because_a_table_would_miss_it(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    records.write_records(path, [exported(seed=0), exported(seed=1)])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(BenchError, match=r"line 2 is not JSON"):
        records.load_records([path])


# ------------------------------------------------------------------ the file system says no


def test_an_unwritable_folder_is_a_sentence_that_names_it(tmp_path: Path) -> None:
    folder = unwritable(tmp_path)
    for write in (
        lambda: records.write_run(folder, record()),
        lambda: records.append_metrics(folder, ["{}"]),
        lambda: records.write_confusions(folder, CONFUSIONS),
        lambda: records.write_records(folder / "r.jsonl", [exported()]),
    ):
        with pytest.raises(BenchError, match=re.escape(f"cannot write {folder}")):
            write()


def test_an_unreadable_folder_is_a_sentence_that_names_it(tmp_path: Path) -> None:
    folder = unwritable(tmp_path)
    with pytest.raises(BenchError, match="cannot read"):
        records.read_run(folder)
    with pytest.raises(BenchError, match="cannot read the records file"):
        records.load_records([folder])
    with pytest.raises(BenchError, match="cannot read the runs folder"):
        records.load_runs(folder)


def test_a_malformed_record_is_not_written(tmp_path: Path) -> None:
    wrong = record()
    del wrong["threads"]
    with pytest.raises(BenchError, match="missing 'threads'"):
        records.write_run(tmp_path / "run", wrong)
    assert not (tmp_path / "run").exists()
