"""A search from end to end: what is tried, what is stopped, what is chosen, and what none sees."""

from __future__ import annotations

import json
import sqlite3
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pytest

from bench.errors import BenchError, MissingDataError, PrunedError
from bench.leaderboard import rows
from bench.plugins import load_suite
from bench.records import load_runs, read_confusions
from bench.request import Request
from bench.select import INFOMAX
from bench.sweep import sweep
from bench.tune import plan, tune
from bench.tuning import space
from bench.tuning import trial as tune_trial
from bench.tuning.plan import Search, Tuned
from bench.tuning.study import report
from bench.tuning.tried import Tried, best

if TYPE_CHECKING:
    from collections.abc import Mapping

PLUGINS = Path(__file__).parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"


def tunable(name: str) -> str:
    return f"{PLUGINS / 'tunable.py'}:{name}"


def request(runs: Path, method: str = tunable("Lean"), **changed: Any) -> Request:
    base = Request(
        suite=TOY,
        methods=(method,),
        seeds=(1000,),
        preset="smoke",
        rule="infomax",
        device="cpu",
        threads=1,
        runs=runs,
    )
    return replace(base, **changed)


def facts(tried: Tried) -> Mapping[str, Any]:
    """Return all of a trial that two equal searches have alike."""
    return {k: v for k, v in vars(tried).items() if k != "seconds"}


def records(found: Tuned) -> dict[str, dict[str, Any]]:
    """Return a study's runs by run id."""
    paths = found.folder.glob("*/run.json")
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def space_file(folder: Path, **ranges: object) -> Path:
    path = folder / "space.json"
    path.write_text(json.dumps({key.replace("__", "."): r for key, r in ranges.items()}))
    return path


# ------------------------------------------------------------------ one search, looked at closely


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, Tuned]:
    """Two seeds, eight trials, some of which are stopped."""
    asked = request(tmp_path_factory.mktemp("searched"), seeds=(1000, 1001))
    return asked, tune(asked, Search(trials=8))


def test_the_presets_own_values_are_tried_first(searched: tuple[Request, Tuned]) -> None:
    _, found = searched
    assert found.tried[0].settings == {"lr": 1.0, "batch": 32}
    assert [tried.number for tried in found.tried] == list(range(8))
    assert len({json.dumps(dict(tried.settings)) for tried in found.tried}) == 8


def test_scores_are_those_of_the_runs_at_the_end_of_training(
    searched: tuple[Request, Tuned],
) -> None:
    _, found = searched
    by_settings: dict[str, dict[str, Any]] = {}
    for record in records(found).values():
        config = record["config"]
        chosen = {key: config["params"][key] for key in ("lr", "batch")}
        name = f"{config['shift']['name']}, seed {config['seed']}"
        by_settings.setdefault(json.dumps(chosen), {})[name] = record
    finished = [tried for tried in found.tried if tried.state == "complete"]
    assert len(finished) >= 4
    for tried in finished:
        runs = by_settings[json.dumps(dict(tried.settings))]
        assert runs.keys() == tried.scores.keys() == tried.source_accuracy.keys()
        for name, record in runs.items():
            assert "tuned" not in record["config"]
            last = str(max(record["checkpoints"]))
            assert tried.scores[name] == record["scores"]["infomax"][last]
            assert tried.source_accuracy[name] == record["scores"]["source-accuracy"][last]
        assert tried.steps == sum(record["steps"] for record in runs.values()) == 20
        assert tried.value == pytest.approx(np.mean(list(tried.scores.values())))
        assert tried.reason is None


def test_what_is_stopped_was_behind_at_that_point(searched: tuple[Request, Tuned]) -> None:
    _, found = searched
    stopped = [tried for tried in found.tried if tried.state == "pruned"]
    assert stopped
    for tried in stopped:
        assert tried.number >= 4
        assert not tried.eligible
        assert tried.rank is None
        assert tried.value is None
        assert tried.reason
        assert "stopped at checkpoint" in tried.reason
        assert tried.reason.startswith("bright2dark, seed 100")
        assert tried.steps < 20


def test_a_stopped_run_counts_as_unfinished(searched: tuple[Request, Tuned]) -> None:
    _, found = searched
    runs = load_runs(found.folder)
    stopped = runs[runs["status"] == "pruned"]
    assert len(stopped) == sum(tried.state == "pruned" for tried in found.tried)
    table = rows(runs, load_suite(TOY), "last")
    failed = [each for row in table for each in row.failed if each["status"] == "pruned"]
    assert len(failed) == len(stopped)
    assert not any(row.complete for row in table if row.failed)
    for folder in stopped["folder"]:
        assert (Path(folder) / "work").is_dir()


def test_a_stopped_run_that_is_taken_up_equals_an_undisturbed_one(
    searched: tuple[Request, Tuned], tmp_path: Path
) -> None:
    asked, found = searched
    (name, record), *_ = [(n, r) for n, r in records(found).items() if r["status"] == "pruned"]
    config = record["config"]
    settings = tuple(f"{key}={config['params'][key]}" for key in ("lr", "batch"))
    again = replace(asked, seeds=(config["seed"],), settings=settings, rule="last")
    resumed = sweep(replace(again, runs=found.folder)).outcomes
    fresh = sweep(replace(again, runs=tmp_path)).outcomes
    assert resumed[0]["run_id"] == fresh[0]["run_id"] == name
    assert resumed[0]["metrics"] == fresh[0]["metrics"]
    assert_equal_runs(found.folder / name, tmp_path / name)
    one, two = (json.loads((f / name / "run.json").read_text()) for f in (found.folder, tmp_path))
    assert one["steps"] == two["steps"] == 10
    assert not (found.folder / name / "work").exists()


def assert_equal_runs(one: Path, two: Path) -> None:
    """Compare all that a run predicted and was judged by, bit by bit."""
    a, b = (read_confusions(folder) for folder in (one, two))
    assert a.checkpoints.keys() == b.checkpoints.keys()
    assert all(np.array_equal(a.checkpoints[step], b.checkpoints[step]) for step in a.checkpoints)
    scores = [json.loads((folder / "run.json").read_text())["scores"] for folder in (one, two)]
    assert scores[0] == scores[1]


def test_the_chosen_one_is_the_best_ranked(searched: tuple[Request, Tuned]) -> None:
    asked, found = searched
    chosen, params = best(found.tried), found.params
    assert chosen is not None
    assert params is not None
    assert params.method == "lean"
    assert params.preset == "smoke"
    assert params.settings == chosen.settings
    assert params.tuned == {"rule": "infomax", "trials": 8, "study": found.folder.name}
    assert params.about["trial"] == chosen.number
    assert params.about["scores"] == chosen.scores
    assert params.about["seeds"] == list(asked.seeds)
    assert params.about["steps"] == sum(tried.steps for tried in found.tried)
    assert params.about["pruned"] == sum(tried.state == "pruned" for tried in found.tried)
    assert not params.about["looks_at_target_labels"]
    assert json.loads(json.dumps(vars(params))) == vars(params)


def test_the_same_search_again_changes_nothing(searched: tuple[Request, Tuned]) -> None:
    asked, found = searched
    said: list[Tried] = []
    again = tune(asked, Search(trials=8), said.append)
    assert not said
    assert again == found
    fewer = tune(asked, Search(trials=3))
    assert fewer.tried == found.tried


def test_without_pruning_a_trial_that_was_not_stopped_is_the_same(
    searched: tuple[Request, Tuned], tmp_path: Path
) -> None:
    """The first ones, whatever a pruner would say, bit by bit; looking leaves no trace."""
    asked, found = searched
    # Of an equal name, since what is sampled depends on it.
    search = Search(trials=4, prune=False, study=found.folder.name)
    whole = tune(replace(asked, runs=tmp_path), search)
    compared = [
        (with_, without)
        for with_, without in zip(found.tried, whole.tried, strict=False)
        if with_.state == "complete"
    ]
    assert len(compared) >= 3
    for with_, without in compared:
        assert with_.settings == without.settings
        assert with_.scores == without.scores
        assert with_.source_accuracy == without.source_accuracy
    here, there = records(found), records(whole)
    common = [name for name in there if here.get(name, {}).get("status") == "done"]
    assert len(common) >= 6
    for name in common:
        assert_equal_runs(found.folder / name, whole.folder / name)


def test_without_looking_a_run_is_the_same(searched: tuple[Request, Tuned], tmp_path: Path) -> None:
    """Against `bench run`, which has no pruner at all."""
    asked, found = searched
    tried = found.tried[0]
    settings = tuple(f"{key}={value}" for key, value in tried.settings.items())
    (outcome, *_) = sweep(
        replace(asked, runs=tmp_path, settings=settings, seeds=(1000,), rule="last")
    ).outcomes
    assert_equal_runs(found.folder / outcome["run_id"], tmp_path / outcome["run_id"])


# ------------------------------------------------------------------ going on


def test_trials_in_two_commands_are_those_of_one(tmp_path: Path) -> None:
    search, steps = Search(trials=3, prune=False), ("steps=2",)
    parts = tune(request(tmp_path / "a", settings=steps), search)
    assert len(parts.tried) == 3
    parts = tune(request(tmp_path / "a", settings=steps), replace(search, trials=6))
    whole = tune(request(tmp_path / "b", settings=steps), replace(search, trials=6))
    assert list(map(facts, parts.tried)) == list(map(facts, whole.tried))
    assert parts.params is not None
    assert whole.params is not None
    assert parts.params.settings == whole.params.settings
    assert parts.folder.name == whole.folder.name


def test_a_trial_that_died_in_its_second_run_is_stopped_as_it_would_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had reported is reported again, each place once (Optuna would warn)."""
    asked, search = request(tmp_path / "a", seeds=(1000, 1001)), Search(trials=2)
    undisturbed = tune(replace(asked, runs=tmp_path / "b"), search)
    run_trial, calls = tune_trial.run_trial, []

    def dies(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run_trial(*arguments, **options)

    monkeypatch.setattr(tune_trial, "run_trial", dies)
    with pytest.raises(KeyboardInterrupt):
        tune(asked, search)
    found = tune(asked, search)
    assert len(found.tried) == 2
    assert [t.settings for t in found.tried] == [t.settings for t in undisturbed.tried]
    assert [t.scores for t in found.tried] == [t.scores for t in undisturbed.tried]
    reports = [reported(each.folder / "study.db") for each in (found, undisturbed)]
    assert reports[0] == reports[1]
    assert len(reports[0]) == 10


def test_what_a_dead_process_reported_of_a_finished_stage_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That stage comes from the cache then, which shows nothing."""
    asked, search = request(tmp_path / "a", tunable("Twice")), Search(trials=1)
    undisturbed = tune(replace(asked, runs=tmp_path / "b"), search)
    calls = []

    def dies(*arguments: Any) -> bool:
        calls.append(arguments)
        if len(calls) == 8:  # in the second stage
            raise KeyboardInterrupt
        return report(*arguments)

    with monkeypatch.context() as changed:
        changed.setattr(tune_trial, "report", dies)
        with pytest.raises(KeyboardInterrupt):
            tune(asked, search)
    found = tune(asked, search)
    assert [t.scores for t in found.tried] == [t.scores for t in undisturbed.tried]
    places = [reported(each.folder / "study.db") for each in (found, undisturbed)]
    assert places[0] == places[1]
    assert [at for at, _ in places[0]] == [1, 2, 3, 4, 5, 21, 22, 23, 24, 25]


def reported(database: Path) -> list[tuple[int, float]]:
    """Return what the first finished trial reported: places on Optuna's axis, and scores."""
    with sqlite3.connect(database) as base:
        found = base.execute(
            "SELECT step, intermediate_value FROM trial_intermediate_values WHERE trial_id ="
            " (SELECT min(trial_id) FROM trials WHERE state = 'COMPLETE') ORDER BY step"
        ).fetchall()
    base.close()
    return found


def test_what_comes_from_the_cache_is_reported_at_the_same_places(tmp_path: Path) -> None:
    asked, search = request(tmp_path), Search(trials=1)
    computed = tune(asked, replace(search, study="computed"))
    cached = tune(asked, replace(search, study="cached"))
    assert computed.tried[0].scores == cached.tried[0].scores
    assert (computed.tried[0].steps, cached.tried[0].steps) == (10, 0)
    first = reported(computed.folder / "study.db")
    assert [step for step, _ in first] == [1, 2, 3, 4, 5]
    assert reported(cached.folder / "study.db") == first
    # And what another study of the same folder ran, is not run again.
    (cached.folder / "study.db").unlink()
    recorded = tune(asked, replace(search, study="cached"))
    assert reported(recorded.folder / "study.db") == first


@pytest.mark.parametrize(
    ("method", "places"),
    [
        ("Loose", [1]),
        ("Loops", list(range(1, 20))),
        ("Aside", list(range(21, 26))),
        ("Early", [1, 2, 3, 4]),
    ],
)
def test_methods_of_other_shapes_can_be_tuned(
    tmp_path: Path, method: str, places: list[int]
) -> None:
    found = tune(request(tmp_path, tunable(method)), Search(trials=2))
    assert found.tried[0].state == "complete"
    assert [step for step, _ in reported(found.folder / "study.db")] == places


@pytest.mark.parametrize(
    ("checkpoint", "stops"), [(1, True), (4, True), (5, False), (6, True), (10, False)]
)
def test_nothing_is_stopped_at_the_end_of_a_loop(checkpoint: int, *, stops: bool) -> None:
    """What a loop has cost by then cannot be saved any more."""
    study = optuna.create_study(
        direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=1)
    )
    first = study.ask()
    first.report(1.0, checkpoint)
    study.tell(first, 1.0)
    watch = tune_trial._Watch(study.ask(), INFOMAX, set())
    if not stops:
        watch._report(0, checkpoint, 0.25)
        return
    words = f"stopped at checkpoint {checkpoint} of stage 1, where the mean infomax was 0.25"
    with pytest.raises(PrunedError, match=words):
        watch._report(0, checkpoint, 0.25)


def test_a_report_is_the_mean_of_the_runs_so_far() -> None:
    trial = optuna.create_study(direction="maximize").ask()
    watch = tune_trial._Watch(trial, INFOMAX, set())
    watch._report(1, 3, 0.75)
    watch.begin(2, [0.0, 0.5])
    watch._report(1, 3, 1.0)
    watch._report(1, 3, 7.0)  # a place has one score
    watch._report(1, 4, None)  # and what is not finite none
    values = trial.storage.get_trial(trial._trial_id).intermediate_values
    assert values == {23: 0.75, 2023: 0.5}


# ------------------------------------------------------------------ what goes wrong


def test_a_trial_that_fails_is_noted_and_the_search_goes_on(tmp_path: Path) -> None:
    ranges = space_file(tmp_path, spoil=["choice", 0.0, 1.0], lr=["log", 0.5, 2])
    asked = request(tmp_path, tunable("Worse"), settings=("steps=2",))
    found = tune(asked, Search(trials=6, space=ranges, prune=False))
    states = {(tried.settings["spoil"], tried.state) for tried in found.tried}
    assert states == {(0.0, "complete"), (1.0, "failed")}
    for tried in found.tried:
        if tried.state == "failed":
            assert tried.reason
            assert tried.reason.startswith("bright2dark, seed 1000: failed: RuntimeError: too much")
            assert not tried.eligible
    assert found.params is not None
    assert found.params.about["failed"] == sum(t.state == "failed" for t in found.tried)


def test_settings_that_the_method_refuses_are_a_failed_trial(tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(
        textwrap.dedent("""
        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Picky:
            a: int = 2
            space = {"a": ("choice", 1)}

            def __post_init__(self):
                if self.a == 1:
                    raise ValueError("a must not be 1")

            def fit(self, task, ctx):
                raise AssertionError
        """)
    )
    asked = request(tmp_path / "runs", f"{tmp_path / 'picky.py'}:Picky")
    found = tune(asked, Search(trials=2))
    assert [tried.state for tried in found.tried] == ["failed"] * 2
    assert "Picky refuses these hyperparameters: a must not be 1" in str(found.tried[0].reason)
    assert found.params is None
    assert found.importance == {}


def test_data_that_went_missing_ends_the_search_and_fails_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise MissingDataError("the disk was taken out")

    asked, search = request(tmp_path, settings=("steps=2",)), Search(trials=1)
    with monkeypatch.context() as changed:
        changed.setattr(tune_trial, "make_trial", gone)
        with pytest.raises(MissingDataError, match="taken out"):
            tune(asked, search)
    found = tune(asked, search)
    assert [tried.state for tried in found.tried] == ["complete"]


RULES = """
    from bench.select import Rule

    MARGIN = Rule("margin", "About.", lambda seen: float(seen.target.max(1).mean()))
    NOTHING = Rule("nothing", "About.", lambda seen: float("nan"))
    BROKEN = Rule("broken", "About.", lambda seen: 1 / 0)
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    (tmp_path / "rules.py").write_text(textwrap.dedent(RULES))
    return f"{tmp_path / 'rules.py'}:"


def test_a_rule_from_a_file_judges(tmp_path: Path, rules: str) -> None:
    asked = request(tmp_path / "runs", rule=f"{rules}MARGIN", settings=("steps=2",))
    found = tune(asked, Search(trials=2))
    assert found.params is not None
    assert found.params.tuned["rule"] == "margin"
    assert {tried.state for tried in found.tried} <= {"complete", "failed"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [("NOTHING", "gave no finite score"), ("BROKEN", "ZeroDivisionError")],
)
def test_a_rule_that_says_nothing_fails_trials(
    tmp_path: Path, rules: str, name: str, reason: str
) -> None:
    asked = request(tmp_path / "runs", rule=f"{rules}{name}", settings=("steps=2",))
    found = tune(asked, Search(trials=1))
    assert [tried.state for tried in found.tried] == ["failed"]
    assert reason in str(found.tried[0].reason)
    # Also where the run is there already, by another rule's study.
    tune(replace(asked, rule="infomax"), Search(trials=1, study="other"))
    found = tune(asked, Search(trials=1, study="third"))
    assert reason in str(found.tried[0].reason)


def test_the_oracle_is_not_asked_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops no training, and its figures are those of the test set."""

    def forbidden(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(tune_trial, "gather", forbidden)
    monkeypatch.setattr(tune_trial, "report", forbidden)
    found = tune(request(tmp_path, rule="oracle"), Search(trials=6))
    assert {tried.state for tried in found.tried} <= {"complete", "failed"}
    assert found.params is not None
    assert found.params.about["looks_at_target_labels"]
    for record in records(found).values():
        if record["status"] == "done":
            matrix = read_confusions(found.folder / record["run_id"]).checkpoints[10]
            accuracy = np.trace(matrix) / matrix.sum()
            values = [tried.value for tried in found.tried]
            assert any(value == pytest.approx(accuracy) for value in values if value is not None)


def test_shifts_left_out_for_lack_of_data_are_part_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of two shifts are no scores of one: going on once the data is there is refused."""
    from bench import tune as tuning

    (tmp_path / "suite.py").write_text(
        textwrap.dedent(f"""
        from dataclasses import replace
        from bench.suites import Shift, Suite

        ONE = Shift("one", "{PLUGINS}/toy_domain.py:BrightBars", "{PLUGINS}/toy_domain.py:DarkBars",
                    size=16)
        SUITE = Suite("two", "About.", (ONE, replace(ONE, name="other")), ())
        """)
    )
    asked = request(
        tmp_path / "runs", suite=f"{tmp_path / 'suite.py'}:SUITE", settings=("steps=2",)
    )
    with monkeypatch.context() as changed:
        changed.setattr(tuning, "available", lambda shifts, _: (shifts[:1], ["other: no data"]))
        found = tune(asked, Search(trials=1))
    assert found.left_out == ["other: no data"]
    assert found.shifts == ["one"]
    assert list(found.tried[0].scores) == ["one, seed 1000"]
    assert found.params is not None
    assert found.params.about["shifts"] == ["one"]
    with pytest.raises(BenchError, match="was started with other values: shifts: one, now one, ot"):
        tune(asked, Search(trials=2))


# ------------------------------------------------------------------ what is asked


def said(runs: Path, search: Search | None = None, **changed: Any) -> str:
    with pytest.raises(BenchError) as error:
        plan(request(runs, **changed), search or Search())
    return str(error.value)


def test_a_request_that_makes_no_sense_is_refused_at_once(tmp_path: Path) -> None:
    def empty(**ranges: object) -> Search:
        return Search(space=space_file(tmp_path, **ranges))

    assert "one method at a time, got 2. Say --method NAME" in said(tmp_path, methods=())
    assert "The rule 'last' gives no scores to compare trials by" in said(tmp_path, rule="last")
    assert "Did you mean 'infomax'" in said(tmp_path, rule="infomx")
    assert "Unknown Lean hyperparameter 'lrr'" in said(tmp_path, settings=("lrr=1",))
    assert "Nothing of 'target-only' is to be searched" in said(
        tmp_path, empty(), methods=("target-only",)
    )
    assert "Unknown Lean hyperparameter 'l'" in said(tmp_path, empty(l=["around", 2]))
    assert "Nothing of" in said(tmp_path, settings=("lr=1", "batch=16"))
    for name in ("a/b", "..", ".", "", "a b", "a`b", "<b>", "a|b", ".hidden", "-x/../y"):
        if name:
            assert "letters, digits" in said(tmp_path, Search(study=name)), name
    assert list(tmp_path.iterdir()) == [tmp_path / "space.json"]


def test_what_the_user_sets_is_not_searched(tmp_path: Path) -> None:
    planned = plan(request(tmp_path, settings=("lr=0.5",)), Search())
    assert list(planned.space) == ["batch"]
    assert planned.asked["settings"] == {"lr": 0.5}
    found = tune(request(tmp_path, settings=("lr=0.5", "steps=2")), Search(trials=2))
    assert found.params is not None
    assert found.params.settings == {
        "lr": 0.5,
        "steps": 2,
        "batch": found.params.settings["batch"],
    }
    assert all(list(tried.settings) == ["batch"] for tried in found.tried)


def test_parts_that_are_off_are_not_searched(tmp_path: Path) -> None:
    with_ = plan(request(tmp_path, "cycada"), Search())
    without = plan(request(tmp_path, "cycada", settings=("pixel=none",)), Search())
    assert {key.partition(".")[0] for key in with_.space} == {"pixel", "feature"}
    assert {key.partition(".")[0] for key in without.space} == {"feature"}
    assert with_.name != without.name


def test_the_same_question_has_the_same_name_however_it_is_put(tmp_path: Path) -> None:
    name = plan(request(tmp_path), Search()).name
    assert name == plan(request(tmp_path / "x", settings=("momentum=0",)), Search(trials=3)).name
    assert name.startswith("lean-toy-smoke-infomax-")
    changes: list[dict[str, Any]] = [
        {"seeds": (1001,)},
        {"preset": "fast"},
        {"rule": "snd"},
        {"backbone": "dtn"},
        {"budget": 77},
        {"settings": ("momentum=0.5",)},
    ]
    names = {plan(request(tmp_path, **change), Search()).name for change in changes}
    names |= {plan(request(tmp_path), Search(prune=False)).name, name}
    names.add(plan(request(tmp_path), Search(space=space_file(tmp_path, lr=["around", 2]))).name)
    assert len(names) == len(changes) + 3


def test_a_start_outside_of_its_range_is_moved_to_the_nearest_end(tmp_path: Path) -> None:
    ranges = space_file(tmp_path, lr=["log", 2.0, 4.0], batch=["choice", 8, 16])
    found = tune(request(tmp_path, settings=("steps=2",)), Search(trials=1, space=ranges))
    assert found.tried[0].settings["lr"] == 2.0
    assert found.tried[0].settings["batch"] in (8, 16)


@pytest.mark.parametrize("folder", ["a b", "100%20c", "q?x#y", "ü"])
def test_a_runs_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    found = tune(request(tmp_path / folder, settings=("steps=2",)), Search(trials=1))
    assert (found.folder / "study.db").is_file()
    assert found.folder.is_relative_to(tmp_path / folder)


# ------------------------------------------------------------------ ours


@pytest.mark.parametrize("method", ["source-only", "adda", "cycada", "dann", "deep-coral"])
def test_every_method_of_ours_can_be_tuned(tmp_path: Path, method: str) -> None:
    """Two trials each; a network that has learnt in four steps may well collapse."""
    found = tune(request(tmp_path, method), Search(trials=2))
    assert len(found.tried) == 2
    planned = plan(request(tmp_path, method), Search())
    assert found.tried[0].settings == space.start(planned.space, planned.start)
    for tried in found.tried:
        assert tried.state == "complete" or "collapsed" in str(tried.reason)


def test_scenes_can_be_tuned(tmp_path: Path) -> None:
    asked = request(
        tmp_path / "runs",
        "adda",
        suite=f"{PLUGINS / 'toy_scenes.py'}:SCENES",
        data=tmp_path / "data",
    )
    found = tune(asked, Search(trials=2))
    assert {"feature.lr", "feature.discriminator_lr", "feature.gate"} == set(
        found.tried[0].settings
    )
    for tried in found.tried:
        assert tried.state == "complete" or "collapsed" in str(tried.reason)
    # The source network is trained once.
    steps = [tried.steps for tried in found.tried]
    assert steps[1] < steps[0]
