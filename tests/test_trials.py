"""From a request to trials: what a params file of `bench tune` does to them, and to tables."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.params_file import Params, write_params
from bench.records import read_confusions

PLUGINS = Path(__file__).parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"
LEAN = f"{PLUGINS / 'tunable.py'}:Lean"
TUNED = {"rule": "infomax", "trials": 7, "study": "lean-toy"}


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run(runs: Path, *more: object, methods: tuple[str, ...] = (LEAN,)) -> Any:
    named = [part for method in methods for part in ("--method", method)]
    return bench(
        *("run", "--suite", TOY, "--preset", "smoke", "--device", "cpu", "--threads", 1),
        *("--seeds", "1", "--runs", runs, *named, *more),
    )


def params_file(folder: Path, name: str = "params.json", **changed: Any) -> Path:
    """Write a params file for `Lean`, as a search would."""
    content: dict[str, Any] = {
        "method": "lean",
        "preset": "smoke",
        "settings": {"lr": 2.0, "steps": 4},
        "tuned": TUNED,
        "about": {},
    }
    write_params(folder / name, Params(**(content | changed)))
    return folder / name


def records(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(runs.glob("*/run.json"))]


# ------------------------------------------------------------------ what a file does


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the same hyperparameters found by a search, by hand, and found by the oracle."""
    folder = tmp_path_factory.mktemp("both")
    found = params_file(folder)
    oracle = params_file(folder, "oracle.json", tuned=TUNED | {"rule": "oracle"})
    for more in (
        ("--params", found),
        ("--set", "lr=2", "--set", "steps=4"),
        ("--params", oracle),
    ):
        result = run(folder / "runs", *more)
        assert result.exit_code == 0, result.stderr
    return folder / "runs"


def test_settings_of_a_search_are_marked_and_the_numbers_are_the_same(both: Path) -> None:
    by_rule = {
        (record["config"].get("tuned") or {}).get("rule"): record for record in records(both)
    }
    assert by_rule.keys() == {"infomax", "oracle", None}
    assert by_rule["infomax"]["config"]["tuned"] == TUNED
    assert "tuned" not in by_rule[None]["config"]
    ids = {record["run_id"] for record in by_rule.values()}
    assert len(ids) == 3
    scores = [record["scores"] for record in by_rule.values()]
    assert scores[0] == scores[1] == scores[2]
    matrices = [read_confusions(both / name).checkpoints[4].tolist() for name in ids]
    assert matrices[0] == matrices[1] == matrices[2]
    settings = {json.dumps(record["config"]["settings"]) for record in by_rule.values()}
    assert settings == {'{"lr": 2.0, "steps": 4}'}


def test_stages_are_shared_with_what_was_set_by_hand(both: Path) -> None:
    cached = [record["stages"][0]["cached"] for record in records(both)]
    assert sorted(cached) == [False, True, True]
    assert len({record["stages"][0]["key"] for record in records(both)}) == 1


def table(runs: Path, style: str) -> str:
    result = bench("leaderboard", "--suite", TOY, "--runs", runs, "--format", style)
    assert result.exit_code == 0, result.stderr
    return str(result.stdout)


PLAIN = "lean [lr=2.0, steps=4]"
INFOMAX, ORACLE = "lean (tuned by infomax, 7 trials)", "lean (tuned by oracle, 7 trials)"


def test_tables_tell_the_three_apart(both: Path) -> None:
    rows = [row for row in json.loads(table(both, "json")) if row["method"] == "lean"]
    found = {row["label"]: row["tuned"] for row in rows}
    assert found == {PLAIN: None, INFOMAX: TUNED, ORACLE: TUNED | {"rule": "oracle"}}


def test_what_the_oracle_tuned_is_marked_in_every_format(both: Path) -> None:
    marks = {
        row["label"]: row["chosen_on_test_labels"]
        for row in json.loads(table(both, "json"))
        if row["method"] == "lean"
    }
    assert marks == {PLAIN: False, INFOMAX: False, ORACLE: True}
    lines = csv.DictReader(io.StringIO(table(both, "csv")))
    found = {line["label"]: line["chosen_on_test_labels"] for line in lines}
    assert {label: found[label].lower() == "true" for label in marks} == marks
    fair, _, unfair = table(both, "md").partition("tuned on test labels")
    assert INFOMAX in fair
    assert ORACLE not in fair
    assert ORACLE in unfair
    assert INFOMAX not in unfair.partition("## ")[0]
    tables = table(both, "latex").split(r"\begin{table}")[1:]
    assert any(INFOMAX in each for each in tables)
    assert any(ORACLE in each and "Not a fair result" in each for each in tables)
    for each in tables:
        assert ("tuned on test labels" in each) == (ORACLE in each)


def test_each_file_applies_to_the_rows_of_its_method(tmp_path: Path) -> None:
    source = params_file(
        tmp_path, "source.json", method="source-only", settings={"source.max_steps": 3}
    )
    result = run(
        tmp_path / "runs",
        *("--params", params_file(tmp_path), "--params", source, "--dry-run", "--json"),
        methods=(LEAN, "source-only", "target-only"),
    )
    assert result.exit_code == 0, result.stderr
    settings = {trial["method"]: trial["settings"] for trial in json.loads(result.stdout)}
    assert list(settings.values()) == [{"lr": 2.0, "steps": 4}, {"source.max_steps": 3}, {}]


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("changed", "more", "words"),
    [
        ({"method": "adda"}, (), "is for 'adda', which is not among the methods to run"),
        ({"preset": "fast"}, (), "is for the preset 'fast', not 'smoke'"),
        ({}, ("--set", "lr=2"), "comes with --set lr, which would change what was tuned"),
        ({}, ("--set", "momentum=0.5"), "give --set to bench tune"),
        ({"settings": {"lrr": 1}}, (), "Unknown Lean hyperparameter 'lrr'. Did you mean 'lr'?"),
        ({"settings": {"steps": 0.5}}, (), "'steps' must be a whole number, but got 0.5"),
        ({"settings": {"steps": None}}, (), "'steps' must be a whole number, but got None"),
    ],
)
def test_a_file_that_does_not_fit(
    tmp_path: Path, changed: dict[str, Any], more: tuple[str, ...], words: str
) -> None:
    result = run(tmp_path / "runs", "--params", params_file(tmp_path, **changed), *more)
    assert_refused(result, words)
    assert not (tmp_path / "runs").exists()


def test_values_that_the_method_refuses(tmp_path: Path) -> None:
    path = params_file(tmp_path, method="adda", settings={"feature.gate": 7.0})
    result = run(tmp_path / "runs", "--params", path, methods=("adda",))
    assert_refused(result, "gate")


def test_two_files_for_one_method(tmp_path: Path) -> None:
    files = [params_file(tmp_path, name) for name in ("a.json", "b.json")]
    result = run(tmp_path / "runs", "--params", files[0], "--params", files[1])
    assert_refused(result, "b.json is the second one for 'lean'")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"method": "lean"}'])
def test_a_file_of_something_else(tmp_path: Path, content: str) -> None:
    (tmp_path / "params.json").write_text(content)
    result = run(tmp_path / "runs", "--params", tmp_path / "params.json")
    assert_refused(result, "params.json")


def test_no_file_at_all(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        assert_refused(run(tmp_path / "runs", "--params", path), "cannot read the params file")


def assert_refused(result: Any, words: str) -> None:
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
