"""What a run keeps for rules: written, read again, judged; and what runs without any are told."""

from __future__ import annotations

import json
import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from bench import evidence as module
from bench import plugins
from bench.cli import app
from bench.errors import BenchError
from bench.evidence import OUTPUTS, arrays, read, scores, scores_by
from bench.select import Evidence, Rule, judge

PLUGINS = Path(__file__).parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"
RULES = PLUGINS / "margin_rule.py"
MARGIN = f"{RULES}:MARGIN"
STEPS = (6, 12, 1_000_000)
OURS = {"bnm", "dev", "entropy", "infomax", "snd", "source-accuracy"}


def evidence(step: int = 0) -> Evidence:
    """Return what a random network of 3 classes says of 20 and 12 images."""
    random = np.random.default_rng(step)
    target, validation = (random.normal(0, 2, (n, 3)).astype(np.float32) for n in (20, 12))
    labels = np.arange(12, dtype=np.int64) % 3
    return Evidence(target, validation, labels, random.uniform(0.5, 2, 12))


KEPT = {step: evidence(step) for step in STEPS}


def equal(a: Evidence, b: Evidence) -> bool:
    pairs = [(getattr(a, part), getattr(b, part)) for part in vars(a)]
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    save_file(arrays(KEPT) | {"predictions/stage-source": np.zeros(3)}, tmp_path / OUTPUTS)
    found = read(tmp_path)
    assert set(found) == set(STEPS)
    assert all(equal(found[step], KEPT[step]) for step in STEPS)


def test_names_and_types_are_those_of_the_documentation() -> None:
    found = arrays({6: KEPT[6]})
    kinds = {name: array.dtype.name for name, array in found.items()}
    assert kinds == {
        "validation_labels": "int64",
        "target_logits/checkpoint-00000006": "float32",
        "validation_logits/checkpoint-00000006": "float32",
        "validation_weights/checkpoint-00000006": "float64",
    }


def test_scores_are_those_of_every_installed_rule_by_step() -> None:
    found = scores(KEPT)
    assert set(found) >= OURS
    assert not {"last", "oracle"} & set(found)
    for name in OURS:
        expected = {str(s): judge(plugins.load_rule(name), KEPT[s]) for s in STEPS}
        assert found[name] == expected
        assert all(type(value) is float for value in expected.values())
    assert json.loads(json.dumps(found)) == found


def broken(_: Evidence) -> float:
    message = "enough"
    raise RuntimeError(message)


def nan(_: Evidence) -> float:
    return float("nan")


FAILS = Rule("fails", "One that raises.", broken)
ODD = Rule("odd", "One that has no opinion.", nan)
NOT_A_RULE = 3


def test_a_plug_in_that_fails_decides_nothing_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"{__name__}:"
    entries = {
        name: metadata.EntryPoint(name, here + attribute, "bench.rules")
        for name, attribute in (("fails", "FAILS"), ("odd", "ODD"), ("three", "NOT_A_RULE"))
    }
    entries["gone"] = metadata.EntryPoint("gone", "no_such_module:RULE", "bench.rules")
    entries["infomax"] = metadata.EntryPoint("infomax", "bench.select:INFOMAX", "bench.rules")
    monkeypatch.setattr(plugins, "_entry_points", lambda kind: entries if kind == "rule" else {})
    found = scores({6: KEPT[6]})
    assert found == {
        "odd": {"6": None},
        "infomax": {"6": judge(plugins.load_rule("infomax"), KEPT[6])},
    }


# ------------------------------------------------------------------ one rule's scores of a run


def test_recorded_scores_need_no_folder() -> None:
    recorded = {"infomax": {"6": 0.5, "12": None}}
    assert scores_by(plugins.load_rule("infomax"), recorded, None) == {6: 0.5, 12: None}


def test_other_rules_judge_what_the_run_kept(tmp_path: Path) -> None:
    save_file(arrays(KEPT), tmp_path / OUTPUTS)
    margin = plugins.load_rule(MARGIN)
    found = scores_by(margin, {"infomax": {"6": 0.5}}, tmp_path)
    expected = {}
    for step, seen in KEPT.items():
        ahead = [max(row) - sorted(row)[-2] for row in seen.target.tolist()]
        expected[step] = pytest.approx(sum(ahead) / len(ahead), rel=1e-5)
    assert found == expected


def test_a_record_without_its_run_has_no_scores_by_other_rules() -> None:
    with pytest.raises(BenchError, match="no scores by the rule 'margin', and its run is not here"):
        scores_by(plugins.load_rule(MARGIN), {"infomax": {}}, None)


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (None, "No such file"),
        (b"", "header"),
        (b"\x80\x04no tensors", "header"),
        ({"predictions/checkpoint-00000006": np.zeros(3)}, "holds no target_logits/checkpoint-"),
        ({"target_logits/checkpoint-00000006": np.zeros((3, 2))}, "validation_logits"),
        ({k.replace("00000006", "last"): v for k, v in arrays({6: KEPT[6]}).items()}, "'last'"),
    ],
)
def test_a_run_that_kept_nothing_says_so_and_what_to_do(
    kept: bytes | dict[str, np.ndarray] | None, why: str, tmp_path: Path
) -> None:
    folder = tmp_path / "adda-mine-0-123"
    folder.mkdir()
    if isinstance(kept, bytes):
        (folder / OUTPUTS).write_bytes(kept)
    elif kept is not None:
        save_file(kept, folder / OUTPUTS)
    with pytest.raises(BenchError) as caught:
        read(folder)
    said = str(caught.value)
    assert said.startswith("run adda-mine-0-123 kept nothing that a rule could judge (")
    assert why in said
    assert said.endswith("Delete its folder and run it again, or take --select last.")
    assert "\n" not in said


# ------------------------------------------------------------------ rule files


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("margin", "is called 'margin'"),
        (":MARGN", "Unknown rule of margin_rule.py 'MARGN'. Did you mean 'MARGIN'"),
        ("", "does not say which rule. Available: margin_rule.py:MARGIN,"),
        (":NO_RULE", "must be a bench.select.Rule, but is a function"),
        (":NO_SCORE", "has no score: Rule(name, about, score) needs all three"),
        (":TAKEN", "is called 'infomax', as an installed rule is"),
    ],
)
def test_a_rule_file_with_a_mistake(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "margin":
        entry = metadata.EntryPoint("margin", "bench.select:INFOMAX", "bench.rules")
        monkeypatch.setattr(plugins, "_entry_points", lambda _: {"margin": entry})
        name = ":MARGIN"
    with pytest.raises(BenchError, match=re.escape(said)):
        plugins.load_rule(f"{RULES}{name}")


def test_a_rule_of_a_name_that_no_option_could_hold(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from bench.select import Rule\nA = Rule('My rule', '', float)\n")
    with pytest.raises(BenchError, match="'My rule' in .* cannot name a rule: use a-z"):
        plugins.load_rule(f"{path}:A")


# ------------------------------------------------------------------ from the command line


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def board(runs: Path, rule: str) -> Any:
    return bench("leaderboard", "--suite", TOY, "--runs", runs, "--select", rule)


def rows(runs: Path, rule: str) -> list[dict[str, Any]]:
    options = ("--suite", TOY, "--runs", runs, "--select", rule, "--format", "json")
    result = bench("leaderboard", *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    return [row for row in (found if isinstance(found, list) else found["rows"]) if row["rule"]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a runs folder with one run of several checkpoints that differ."""
    runs = tmp_path_factory.mktemp("evidence") / "runs"
    options = ("--preset", "smoke", "--seeds", "1", "--threads", 1, "--method", "source-only")
    learns = ("--set", "source.max_steps=60", "--set", "source.lr=1e-3")
    result = bench("run", "--suite", TOY, "--runs", runs, *options, *learns)
    assert result.exit_code == 0, result.output
    return runs


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs"


def folder_of(runs: Path) -> Path:
    (path,) = runs.glob("*/run.json")
    return path.parent


def test_a_run_records_what_every_rule_thinks_of_what_it_kept(finished: Path) -> None:
    folder = folder_of(finished)
    record = json.loads((folder / "run.json").read_text())
    kept = read(folder)
    assert sorted(kept) == record["checkpoints"]
    assert record["scores"] == scores(kept)


@pytest.mark.parametrize("rule", [*sorted(OURS), MARGIN])
def test_a_table_by_a_rule_reports_the_checkpoint_it_chose(rule: str, finished: Path) -> None:
    folder = folder_of(finished)
    loaded = plugins.load_rule(rule)
    assert ("margin" in json.loads((folder / "run.json").read_text())["scores"]) is False
    values = {step: judge(loaded, seen) for step, seen in read(folder).items()}
    step = max((s for s, v in values.items() if v == max(values.values())), default=0)  # type: ignore[type-var]
    with np.load(folder / "confusion.npz") as file:
        matrix = file[f"checkpoint-{step:08d}"]
    (row,) = rows(finished, rule)
    assert row["rule"] == loaded.name
    assert row["mean"] == matrix.trace() / matrix.sum()
    assert row["chosen_on_test_labels"] is False


def test_a_rule_without_an_opinion_takes_the_last_checkpoint(finished: Path) -> None:
    assert rows(finished, f"{RULES}:NAN")[0]["mean"] == rows(finished, "last")[0]["mean"]


def test_a_rule_that_raises_is_named_in_the_table(finished: Path) -> None:
    (row,) = rows(finished, f"{RULES}:BROKEN")
    assert (row["n"], row["mean"]) == (0, None)
    (failed,) = row["failed"]
    assert "The rule 'broken' failed: AttributeError" in failed["error"]
    assert "Traceback" not in board(finished, f"{RULES}:BROKEN").output


def test_a_run_of_an_earlier_version_says_that_it_kept_nothing(copied: Path) -> None:
    """It kept logits of the target alone, and no scores."""
    folder = folder_of(copied)
    record = json.loads((folder / "run.json").read_text())
    del record["scores"], record["schema"]
    (folder / "run.json").write_text(json.dumps(record))
    old = {k: v for k, v in load_file(folder / OUTPUTS).items() if not k.startswith("validation")}
    save_file(old, folder / OUTPUTS)
    (row,) = rows(copied, "infomax")
    assert (row["n"], row["mean"]) == (0, None)
    assert "kept nothing that a rule could judge" in row["failed"][0]["error"]
    assert rows(copied, "last")[0]["n"] == 1
    assert rows(copied, "oracle")[0]["n"] == 1


def test_recorded_scores_are_believed_and_nothing_is_read(copied: Path) -> None:
    (folder_of(copied) / module.OUTPUTS).unlink()
    assert rows(copied, "infomax")[0]["n"] == 1
    assert rows(copied, MARGIN)[0]["n"] == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [(":NO_RULE", "bench.select.Rule"), (":TAKEN", "installed rule"), (":NO_SCORE", "no score")],
)
def test_a_mistake_in_a_rule_file_is_a_sentence(name: str, said: str, finished: Path) -> None:
    result = board(finished, f"{RULES}{name}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
