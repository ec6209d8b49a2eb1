"""Which runs belong together, and what each scored: many at once as one alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import records
from bench.config import RunConfig
from bench.digest import canonical_json
from bench.errors import BenchError
from bench.groups import finished, groups, outcomes, scores, unfinished
from bench.headline import class_ious, figures_of, quality
from bench.measured import measure
from bench.select import DEV, INFOMAX, LAST, ORACLE, Rule
from bench.stored import Run, Stored, brief_of
from bench.suites import DIGITS, GAME_TO_CAMVID, MNIST_TO_USPS, STREETS_CAMVID, Shift

if TYPE_CHECKING:
    from pathlib import Path

RULES = (LAST, ORACLE, INFOMAX)
STEPS = ("5", "1000", "500")
"""Neither in the order of text nor of numbers."""


def record(
    seed: int = 0, shift: Shift = MNIST_TO_USPS, status: str = "done", **parts: Any
) -> records.Record:
    config = RunConfig(
        method=parts.pop("method", "adda"),
        settings={},
        params={"lr": 1e-05},
        preset=parts.pop("preset", "fast"),
        code="builtin-1",
        learns_from="source",
        shift=shift.described(),
        seed=seed,
        backbone=shift.backbone,
        budget=20,
        data="d" * 64,
        tuned=parts.pop("tuned", None),
    )
    confusion = parts.pop("confusion", {"checkpoints": {"9": [[3, 1], [0, 4]]}, "stages": {}})
    names = parts.pop("order", tuple(confusion["stages"]))
    return {
        "schema": 2,
        "run_id": config.run_id,
        "status": status,
        "error": None if status == "done" else f"{status}!",
        "config": config.described(),
        "departure": None,
        "stages": [{"name": name, "steps": 1} for name in names],
        "checkpoints": sorted(map(int, confusion["checkpoints"])),
        "scores": {},
        "events": [],
        "nondeterministic": [],
        "attempts": 1,
        "steps": 9,
        "seconds": 1.0,
        "threads": 1,
        "device": "cpu",
        "environment": {},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": None,
        "confusion": confusion,
        **parts,
    }


def frame_of(folder: Path, *made: records.Record) -> Any:
    records.write_records(folder / "r.jsonl", made)
    return records.load_records([folder / "r.jsonl"])


# ------------------------------------------------------------------ what belongs together


def test_runs_that_differ_in_the_seed_alone_are_one_group(tmp_path: Path) -> None:
    frame = frame_of(
        tmp_path, record(10), record(2), record(3, preset="paper"), record(4, GAME_TO_CAMVID)
    )
    fast, paper = sorted(groups(frame, DIGITS), key=lambda group: group.config["preset"])
    assert list(fast.runs) == [2, 10]
    assert list(paper.runs) == [3]
    assert (fast.label, fast.broken) == ("adda", {})
    assert fast.config | {"seed": 2} == record(2)["config"]
    assert fast.runs[10].record == record(10)
    assert fast.runs[10].folder is None


def test_a_number_that_is_written_otherwise_is_the_same_number(tmp_path: Path) -> None:
    lines = [canonical_json(record(seed)) for seed in (0, 1)]
    (tmp_path / "r.jsonl").write_text("\n".join([lines[0], lines[1].replace("1e-05", "0.00001")]))
    (group,) = groups(records.load_records([tmp_path / "r.jsonl"]), DIGITS)
    assert list(group.runs) == [0, 1]


@pytest.mark.parametrize("tuned", [None, {"rule": "dev", "trials": 2, "study": "s"}])
def test_an_unreadable_run_is_of_the_group_that_its_name_proves(
    tmp_path: Path, tuned: dict[str, Any] | None
) -> None:
    for seed in range(2):
        made = record(seed, tuned=tuned)
        del made["confusion"]
        records.write_run(tmp_path / made["run_id"], made)
    other = {k: v for k, v in record(0, method="dann").items() if k != "confusion"}
    records.write_run(tmp_path / other["run_id"], other)
    (tmp_path / record(1, tuned=tuned)["run_id"] / "run.json").write_text("{")
    (tmp_path / "adda-mnist2usps-7-0123456789ab").mkdir()
    (tmp_path / "adda-mnist2usps-7-0123456789ab" / "run.json").write_text("{")
    found = {g.config["method"]: g for g in groups(records.load_runs(tmp_path), DIGITS)}
    assert list(found["adda"].runs) == [0]
    assert list(found["adda"].broken) == [1]
    assert "is not JSON" in found["adda"].broken[1]
    assert found["dann"].broken == {}


def test_who_finished_and_who_did_not(tmp_path: Path) -> None:
    made = [record(0), record(1, status="failed"), record(2, status="pruned"), record(3)]
    (group,) = groups(frame_of(tmp_path, *made), DIGITS)
    group = dataclasses.replace(group, broken={4: "torn"})
    assert finished(group) == [0, 3]
    assert [tuple(each.values()) for each in unfinished(group, {3: "empty"}).values()] == [
        (1, "failed", "failed!"),
        (2, "pruned", "pruned!"),
        (3, "broken", "empty"),
        (4, "broken", "torn"),
    ]
    scored, failed = outcomes(group, LAST)
    assert list(scored) == [0, 3]
    assert failed == unfinished(group, {})


# ------------------------------------------------------------------ what a run scored

SCORE = st.none() | st.sampled_from([0.0, 0.5, -1.0, 2])


@st.composite
def runs(draw: st.DrawFn, shift: Shift, k: int, large: int) -> records.Record:
    """Return a record of any shape, empty matrices and missing scores included."""
    seed = draw(st.integers(0, 2**20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def matrix() -> Any:
        return (rng.integers(0, large, (k, k)) * rng.integers(0, 2)).tolist()

    steps = draw(st.permutations(STEPS))[: draw(st.integers(0, 3))]
    stages = draw(st.permutations(["source", "pixel", "feature"]))[: draw(st.integers(0, 3))]
    confusion = {
        "checkpoints": {s: matrix() for s in steps},
        "stages": {s: matrix() for s in stages},
    }
    order = draw(st.permutations(["source", "pixel", "feature"]))
    parts: dict[str, Any] = {}
    if draw(st.booleans()):
        rules = draw(st.permutations(["infomax", "dev"]))[: draw(st.integers(0, 2))]
        known = draw(st.lists(st.sampled_from([*STEPS, "7"]), unique=True))
        parts["scores"] = {rule: {step: draw(SCORE) for step in known} for rule in rules}
    return record(seed, shift, confusion=confusion, order=order, **parts)


def expected(made: records.Record, rule: Rule) -> Any:
    """Return what a run scored by the definitions, or why it did not."""
    shift = made["config"]["shift"]
    matrices = {int(s): np.array(m) for s, m in made["confusion"]["checkpoints"].items()}
    if not matrices:
        return "no checkpoint was scored"
    values = {step: quality(m, shift) for step, m in matrices.items()}
    if rule.score is not None:
        if rule.name not in made.get("scores", {}):
            return "its run is not here"
        values = {step: made["scores"][rule.name].get(str(step)) for step in matrices}
    step = rule.choose(values)
    stages = {
        stage["name"]: quality(np.array(made["confusion"]["stages"][stage["name"]]), shift)
        for stage in made["stages"]
        if stage["name"] in made["confusion"]["stages"]
    }
    figures = figures_of(matrices[step], shift)
    if None in (*figures.values(), *stages.values()):
        return "a confusion matrix is empty"
    return step, figures, class_ious(matrices[step], shift), list(stages.items())


def stored(made: records.Record) -> Any:
    """Return a record as it is in a frame that was loaded from a file."""
    matrices = records.check(made, "here", exported=True)
    return Stored(canonical_json(made).encode(), brief_of(made, matrices))


def check(made: list[records.Record], rule: Rule) -> None:
    """Compare runs in one go, and each alone, from text and as dicts, with the definitions."""
    for kept in ([stored(each) for each in made], made):
        listed = [Run(each, None) for each in kept]
        measured = measure(listed, rule)
        for place, run in enumerate(listed):
            wanted = expected(dict(run.record), rule)
            if isinstance(wanted, str):
                assert wanted in measured.errors[place]
                assert np.isnan(measured.steps[place])
                for part in (measured.figures, measured.stages, measured.picked, measured.judged):
                    assert all(np.isnan(column[place]) for column in part.values())
                with pytest.raises(BenchError, match=wanted):
                    scores(run, rule)
                continue
            assert place not in measured.errors
            found = scores(run, rule)
            assert (found.step, list(found.stages.items())) == (wanted[0], wanted[3])
            assert found.figures == pytest.approx(wanted[1], abs=1e-15)
            assert found.classes == pytest.approx(wanted[2], abs=1e-15)
            assert list(found.figures) == list(wanted[1])
            assert measured.steps[place] == found.step
            for name, value in found.figures.items():
                assert measured.figures[name][place] == value


@settings(deadline=None)
@given(
    st.lists(runs(MNIST_TO_USPS, 2, 400), unique_by=lambda r: r["run_id"]), st.sampled_from(RULES)
)
def test_digits_are_scored_as_the_definitions_say(made: list[records.Record], rule: Rule) -> None:
    check(made, rule)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(runs(GAME_TO_CAMVID, 11, 70_000), unique_by=lambda r: r["run_id"], max_size=4),
    st.sampled_from(RULES),
)
def test_scenes_are_scored_as_the_definitions_say(made: list[records.Record], rule: Rule) -> None:
    check(made, rule)


def test_what_rules_would_have_picked_and_how_they_agree_by_hand() -> None:
    right = {"500": 90, "1000": 60, "1500": 80}
    confusion = {"checkpoints": {s: [[n, 100 - n], [0, 0]] for s, n in right.items()}, "stages": {}}
    judged = {
        "infomax": {"500": 1, "1000": 2, "1500": None},
        "dev": {"500": 3, "1000": 1, "1500": 2},
    }
    plain = record(0, confusion=confusion)
    measured = measure([Run(plain | {"scores": judged}, None), Run(plain, None)], LAST)
    assert measured.steps.tolist() == [1500, 1500]
    assert {name: column[0] for name, column in measured.picked.items()} == {
        "last": 0.8,
        "oracle": 0.9,
        "infomax": 0.6,
        "dev": 0.9,
    }
    # infomax knows two checkpoints only; dev orders all three as they are.
    assert np.isnan(measured.correlation["infomax"][0])
    assert measured.correlation["dev"][0] == 1.0
    assert np.isnan(measured.judged["infomax"][0])
    assert measured.judged["dev"][0] == 2.0
    assert all(np.isnan(column[1]) for column in measured.picked.values())
    by_dev = measure([Run(plain | {"scores": judged}, None)], DEV)
    assert (by_dev.steps[0], by_dev.figures["accuracy"][0]) == (500, 0.9)


def test_matrices_in_a_folder_are_scored_like_those_in_a_record(tmp_path: Path) -> None:
    made = record(
        0, confusion={"checkpoints": {"5": [[3, 1], [0, 4]]}, "stages": {"s": [[1, 1], [0, 0]]}}
    )
    made |= {"scores": {"dev": {"5": 0.5}}}
    confusion = made.pop("confusion")
    folder = tmp_path / made["run_id"]
    records.write_run(folder, made)
    as_arrays = {5: np.array(confusion["checkpoints"]["5"])}
    records.write_confusions(
        folder, records.Confusions(as_arrays, {"s": np.array([[1, 1], [0, 0]])})
    )
    (group,) = groups(records.load_runs(tmp_path), DIGITS)
    for rule in (LAST, DEV):
        found = scores(group.runs[0], rule)
        assert (found.step, found.figures, found.stages) == (5, {"accuracy": 0.875}, {"s": 0.5})
    records.write_confusions(folder, records.Confusions(as_arrays, {"s": np.eye(3, dtype=int)}))
    with pytest.raises(BenchError, match="of several sizes"):
        scores(group.runs[0], LAST)
    (folder / "confusion.npz").unlink()
    with pytest.raises(BenchError, match="is missing"):
        scores(group.runs[0], LAST)


def test_a_folder_may_hold_other_checkpoints_than_its_record_says(tmp_path: Path) -> None:
    made = record() | {"checkpoints": [5, 10], "scores": {"dev": {"5": 0.5, "10": 0.25}}}
    del made["confusion"]
    folder = tmp_path / made["run_id"]
    records.write_run(folder, made)
    right = {2: 70, 10: 80, 20: 90}
    checkpoints = {step: np.array([[n, 100 - n], [0, 0]]) for step, n in right.items()}
    records.write_confusions(folder, records.Confusions(checkpoints, {}))
    (group,) = groups(records.load_runs(tmp_path), DIGITS)
    assert [scores(group.runs[0], rule).step for rule in (LAST, ORACLE, DEV)] == [20, 20, 10]
    measured = measure([group.runs[0]], LAST)
    assert measured.picked["dev"].tolist() == [0.8]
    assert np.isnan(measured.judged["dev"][0])


def test_matrices_of_other_classes_than_the_protocols_are_an_error_of_their_run(
    tmp_path: Path,
) -> None:
    whole = {"checkpoints": {"5": np.eye(11, dtype=int).tolist()}, "stages": {}}
    made = [record(0, GAME_TO_CAMVID, confusion=whole), record(1, GAME_TO_CAMVID)]
    (group,) = groups(frame_of(tmp_path, *made), STREETS_CAMVID)
    scored, failed = outcomes(group, LAST)
    assert scored[0].figures["miou"] == 1.0
    assert "expected a confusion matrix of the 11 classes" in str(failed[1]["error"])
