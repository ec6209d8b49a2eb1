"""`bench tune` on the command line: what it prints and writes, and what it says to a mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.cli import app
from bench.params_file import read_params
from bench.tuning.figures import draw_history, draw_importance
from bench.tuning.report import write_report
from bench.tuning.tried import Tried, ranked

PLUGINS = Path(__file__).parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"
LEAN = f"{PLUGINS / 'tunable.py'}:Lean"


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tune(runs: Path, *more: object, method: str = LEAN, suite: str = TOY) -> Any:
    return bench(
        *("tune", "--suite", suite, "--method", method, "--preset", "smoke", "--device", "cpu"),
        *("--threads", 1, "--runs", runs, "--set", "steps=2", *more),
    )


def only_study(runs: Path) -> Path:
    (folder,) = (runs / "studies").iterdir()
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    runs = tmp_path_factory.mktemp("done")
    return runs, tune(runs, "--trials", 5, "--seeds", "3,4")


def test_the_arithmetic_is_part_of_the_study_and_of_its_runs(tmp_path: Path) -> None:
    names = set()
    for more, said in (((), ""), (("--precision", "bf16"), ", bf16")):
        runs = tmp_path / said
        result = tune(runs, "--trials", 1, "--seeds", 3, *more)
        assert result.exit_code == 0, result.stderr
        study = only_study(runs)
        names.add(study.name)
        head = (study / "study.md").read_text(encoding="utf-8").splitlines()[2]
        assert head.endswith(f"preset smoke, steps=2{said}")
        configs = [json.loads(path.read_text())["config"] for path in study.glob("*/run.json")]
        assert {config["precision"] for config in configs} == {said[2:] or "float32"}
    assert len(names) == 2
    wrong = tune(tmp_path, "--precision", "16")
    assert wrong.exit_code == 2
    assert "precision '16'" in wrong.stderr


# ------------------------------------------------------------------ what it prints


def test_it_prints_a_table_and_where_the_result_is(done: tuple[Path, Any]) -> None:
    runs, result = done
    assert result.exit_code == 0, result.stderr
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["trial", "state", "eligible", "rank", "score", "settings"]
    assert [line.split()[0] for line in lines] == list("01234")
    path = only_study(runs) / "params.json"
    assert f"Written to {path}; use it with: bench run --params {path}" in result.stderr
    first, *_ = result.stderr.splitlines()
    assert re.fullmatch(
        r"study lean-\S+: up to 5 trials, each on bright2dark with 2 seeds; .*", first
    )
    assert "TEST LABELS" not in result.stderr
    for number in range(5):
        assert f"trial {number}: " in result.stderr


def test_json_has_these_keys_and_the_same_params_as_the_file(done: tuple[Path, Any]) -> None:
    runs, _ = done
    result = tune(runs, "--trials", 5, "--seeds", "3,4", "--json")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert list(content) == ["trials", "params"]
    for trial in content["trials"]:
        assert list(trial) == [
            *("trial", "state", "eligible", "rank", "score", "scores", "source_accuracy"),
            *("settings", "steps", "seconds", "reason"),
        ]
    params = read_params(only_study(runs) / "params.json")
    assert content["params"] == vars(params)
    assert list(content["params"]["about"]) == [
        *("trial", "mean_rank", "scores", "source_accuracy", "looks_at_target_labels", "shifts"),
        *("seeds", "space", "pruned", "failed", "steps", "seconds"),
    ]
    assert params.about["seeds"] == [3, 4]


def test_a_dry_run_prints_the_ranges_and_writes_nothing(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    result = tune(runs, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split()[:3] == ["hyperparameter", "range", "preset"]
    assert "lr" in result.stdout
    assert "CategoricalDistribution" not in result.stdout
    result = tune(runs, "--dry-run", "--json")
    assert json.loads(result.stdout) == [
        {"hyperparameter": "lr", "range": "0.01 to 10, by ratio", "preset": 1.0},
        {"hyperparameter": "batch", "range": "16 or 32 or 64", "preset": 32},
    ]
    assert not runs.exists()


def test_the_oracle_is_announced_and_marked(tmp_path: Path) -> None:
    result = tune(tmp_path, "--trials", 1, "--select", "oracle")
    assert result.exit_code == 0, result.stderr
    assert "the target's TEST LABELS judge this search" in result.stderr
    report = (only_study(tmp_path) / "study.md").read_text()
    assert "Not a fair search" in report
    assert read_params(only_study(tmp_path) / "params.json").about["looks_at_target_labels"]


def test_where_no_trial_may_be_chosen_it_fails_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text('{"spoil": ["choice", 1.0]}')
    method = f"{PLUGINS / 'tunable.py'}:Worse"
    more = ("--trials", 2, "--space", tmp_path / "space.json")
    result = tune(tmp_path / "runs", *more, method=method)
    assert result.exit_code == 1
    assert "error: no trial may be chosen; see the reasons above" in result.stderr
    assert result.stderr.count("too much spoil") == 2
    folder = only_study(tmp_path / "runs")
    assert not (folder / "params.json").exists()
    assert "none, because no trial is eligible" in (folder / "study.md").read_text()
    result = tune(tmp_path / "runs", *more, "--json", method=method)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["params"] is None


def test_help_and_mistakes_answer_at_once() -> None:
    code = """
        import sys
        from bench.cli import main
        sys.argv = ["bench", "tune", "--help"]
        try:
            main()
        except SystemExit as end:
            assert not end.code
        heavy = {"torch", "optuna", "pandas", "matplotlib", "sklearn", "scipy", "numpy"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--no-prune" in done.stdout


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--select", "last"), "The rule 'last' gives no scores to compare trials by"),
        (("--select", "inform"), "Did you mean 'infomax'?"),
        (("--study", "a/b"), "A study's name has letters, digits, '-', '_' and '.' only"),
        (("--set", "lrr=1"), "Unknown Lean hyperparameter 'lrr'"),
        (("--set", "lr=x"), "'lr' must be a number, but got 'x'"),
        (("--set", "lr=1", "--set", "batch=3"), "Nothing of 'lean' is to be searched"),
        (("--space", "none.json"), "cannot read the search space none.json"),
        (("--storage", "nonsense"), "Expected sqlite:///FILE"),
        (("--storage", "postgresql+pg8000://me:secret@h/x"), "The study's storage postgresql"),
        (("--trials", "0"), "should be greater than or equal to 1"),
        (("--seeds", "x"), "--seeds must be a count"),
        (("--preset", "quick"), "Unknown preset 'quick'"),
        (("--shift", "bright2dak"), "Unknown shift 'bright2dak'"),
    ],
)
def test_a_mistake_is_answered_in_a_sentence(
    tmp_path: Path, more: tuple[str, ...], words: str
) -> None:
    result = tune(tmp_path, *more)
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.replace("│", " ").split())
    assert words in said
    assert "secret" not in result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert not list(tmp_path.glob("**/run.json"))


def test_an_unknown_method(tmp_path: Path) -> None:
    result = tune(tmp_path, method="addaa")
    assert result.exit_code == 2
    assert "Did you mean 'adda'?" in result.stderr


def test_a_result_that_cannot_be_written_is_refused_before_any_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path, tmp_path / "file" / "params.json"):
        result = tune(tmp_path / "runs", "--trials", 1, "--out", out)
        assert result.exit_code == 2
        assert "error: " in result.stderr
        assert "Traceback" not in result.output
    assert not list(tmp_path.glob("**/run.json"))


def test_the_result_goes_where_it_is_asked_to(done: tuple[Path, Any], tmp_path: Path) -> None:
    runs, _ = done
    path = tmp_path / "new" / "mine.json"
    result = tune(runs, "--trials", 5, "--seeds", "3,4", "--out", path)
    assert result.exit_code == 0
    assert read_params(path) == read_params(only_study(runs) / "params.json")


def test_a_named_study_that_was_asked_for_something_else(tmp_path: Path) -> None:
    assert tune(tmp_path, "--trials", 1, "--study", "mine").exit_code == 0
    result = tune(tmp_path, "--trials", 2, "--study", "mine", "--select", "snd")
    assert result.exit_code == 2
    assert "'mine' was started with other values: rule: 'infomax', now 'snd'" in result.stderr
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["mine"]


# ------------------------------------------------------------------ what it writes


def test_the_report_says_what_was_asked_tried_and_chosen(done: tuple[Path, Any]) -> None:
    runs, _ = done
    folder = only_study(runs)
    text = (folder / "study.md").read_text()
    params = read_params(folder / "params.json")
    assert text.startswith(f"# Study {folder.name}".replace("_", "\\_"))
    assert "Method lean, preset smoke, steps=2" in text
    assert "Shifts bright2dark; seeds 3, 4" in text
    assert "within 5 points of the best accuracy on held-out source images" in text
    assert f"Chosen: trial {params.about['trial']}" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 5
    assert all(line.count("|") == table[0].count("|") for line in table)
    for name in ("Mean rank", "bright2dark, seed 3", "bright2dark, seed 4", "lr", "batch"):
        assert name in table[0]
    assert "](history.png)" in text
    with Image.open(folder / "history.png") as image:
        assert image.format == "PNG"
        assert image.width >= 700
    assert "Not a fair search" not in text


def test_names_cannot_break_the_report(tmp_path: Path) -> None:
    (tmp_path / "hostile.py").write_text(
        textwrap.dedent(f"""
        from dataclasses import dataclass
        from bench.suites import Entry, Shift, Suite

        @dataclass(frozen=True)
        class Hostile:
            note: str = "a|b<script>`x`"
            steps: int = 2
            extra: str = ""
            space = {{"note": ("choice", "a|b<script>`x`", "[c](d)\\n| e |")}}

            def fit(self, task, ctx):
                raise RuntimeError("<img src=x> | `y` | # no")

        LABEL = "<b>|`z`|</b>"
        SUITE = Suite(
            "hostile", "About.",
            (Shift("one", "{PLUGINS}/toy_domain.py:BrightBars",
                   "{PLUGINS}/toy_domain.py:DarkBars", size=16),),
            (Entry(LABEL, "{tmp_path}/hostile.py:Hostile", {{"extra": "<i>|"}}),),
        )
        """)
    )
    suite = f"{tmp_path / 'hostile.py'}:SUITE"
    result = tune(tmp_path / "runs", "--trials", 2, method="<b>|`z`|</b>", suite=suite)
    assert result.exit_code == 1, result.stderr
    text = (only_study(tmp_path / "runs") / "study.md").read_text()
    for raw in ("<b>", "<i>", "<script>", "<img", "[c](d)"):
        assert raw not in text.replace("\\<", "").replace("\\[", "")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2
    bars = {line.replace("\\|", "").count("|") for line in table}
    assert len(bars) == 1


# ------------------------------------------------------------------ pictures


def tried(number: int, state: str, score: float, accuracy: float = 0.9) -> Tried:
    return Tried(number, state, {"lr": 0.1 * number}, {"a": score}, {"a": accuracy}, 10, 1.0, None)


MIXED = ranked(
    [
        tried(0, "complete", 0.2),
        tried(1, "failed", 0.0),
        tried(2, "complete", 0.5),
        tried(3, "pruned", 0.1),
        tried(4, "complete", 0.9, 0.3),
        tried(5, "running", 0.1),
    ]
)


def test_pictures_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw_history(MIXED, "infomax", tmp_path / name)
        draw_importance({"lr": 0.7, "batch": 0.3}, tmp_path / f"i-{name}")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "i-one.png").read_bytes() == (tmp_path / "i-two.png").read_bytes()
    draw_history(MIXED[:4], "infomax", tmp_path / "other.png")
    assert (tmp_path / "other.png").read_bytes() != (tmp_path / "one.png").read_bytes()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_history_may_be_short(tmp_path: Path, count: int) -> None:
    draw_history(MIXED[1 : 1 + count], "in$fo_max", tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 1000


def test_the_report_tells_states_apart(tmp_path: Path) -> None:
    from bench.request import Request
    from bench.tune import plan
    from bench.tuning.plan import Search, Tuned

    asked = Request(suite=TOY, methods=(LEAN,), preset="smoke", rule="infomax", runs=tmp_path)
    found = Tuned(MIXED, None, tmp_path, ["one"], [], {})
    write_report(found, plan(asked, Search()))
    text = (tmp_path / "study.md").read_text()
    assert "6 trials: 3 finished, 1 stopped early, 1 failed" in text
    assert "Cost: 60 training steps" in text
    assert "Shifts one; seeds 0, 1, 2" in text
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("| ")
    ][1:]
    rows = [row for row in cells if row[0].isdigit()]
    assert [row[1] for row in rows] == [
        *("complete", "failed", "complete", "pruned", "fails the guard", "running"),
    ]
    assert [row[2] for row in rows] == ["2.0", "", "1.0", "", "", ""]
    assert "importance.png" not in text
    assert not (tmp_path / "importance.png").exists()
    write_report(replace(found, importance={"lr": 1.0}), plan(asked, Search()))
    assert "](importance.png)" in (tmp_path / "study.md").read_text()
    assert (tmp_path / "importance.png").exists()
