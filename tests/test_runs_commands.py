"""`bench runs list` and `show`: what is going on, what made a run, and how to make it again."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench import plugins, records
from bench.claim import Claim
from bench.cli import app
from bench.environment import environment
from bench.runs.reproduce import cautions, changed, command, suite_of

PLUGINS = Path(__file__).parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a runs folder with one real run of a suite that is installed."""
    runs = tmp_path_factory.mktemp("mini") / "runs"
    asked = ("--method", "source-only", "--shift", "printed2handwritten", "--seeds", "3,")
    more = ("--preset", "smoke", "--threads", "1", "--device", "cpu", "--set", "source.lr=0.0015")
    result = bench("run", "--suite", "mini", *asked, *more, "--runs", runs)
    assert result.exit_code == 0, result.output
    return runs


def only(runs: Path) -> tuple[Path, Any]:
    (path,) = runs.glob("*/run.json")
    return path.parent, json.loads(path.read_text(encoding="utf-8"))


def test_a_new_record_is_complete(mini: Path) -> None:
    _, record = only(mini)
    assert (record["schema"], record["attempts"], record["events"]) == (2, 1, [])
    assert record["environment"] == environment()


def test_the_printed_command_makes_the_very_run_again(mini: Path, tmp_path: Path) -> None:
    folder, record = only(mini)
    result = bench("runs", "show", record["run_id"], "--reproduce", "--runs", mini)
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert line.startswith("bench run --suite mini --shift printed2handwritten --method source-on")
    assert "note: The harness was at commit" in result.stderr or record["environment"]["git"] == (
        "unknown"
    )
    assert "(here " not in result.stderr  # nothing has changed since
    words = shlex.split(line)
    again = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    made, new = only(tmp_path / "runs")
    assert new["run_id"] == record["run_id"]
    one, two = records.read_confusions(folder), records.read_confusions(made)
    assert list(one.checkpoints) == list(two.checkpoints)
    for step, matrix in one.checkpoints.items():
        np.testing.assert_array_equal(matrix, two.checkpoints[step])
    assert new["scores"] == record["scores"]


def test_the_command_says_how_numbers_were_computed() -> None:
    config = {"method": "adda", "shift": {"name": "mnist2usps"}, "seed": 3, "preset": "fast"}
    config |= {"settings": {}, "backbone": "lenet", "weights": "random", "budget": 500}
    config |= {"precision": "bf16", "compile": True, "processes": 2, "code": "builtin-1"}
    record = {"config": config, "threads": 1, "device": "cpu", "environment": {}}
    words = shlex.split(command(record, "digits"))
    assert words[:5] == ["torchrun", "--nproc-per-node", "2", "-m", "bench.cli"]
    assert words[5] == "run"
    assert words[-3:] == ["--precision", "bf16", "--compile"]
    record |= {"device": "NVIDIA H100", "nondeterministic": ["compiled kernels add up otherwise"]}
    assert shlex.split(command(record, "digits"))[-5:-3] == ["--device", "cuda"]
    assert "The last digits may differ: compiled kernels add up otherwise." in cautions(record, "d")
    config |= {"precision": "float32", "compile": False, "processes": 1}
    words = shlex.split(command(record, "digits"))
    assert words[:2] == ["bench", "run"]
    assert not {"--precision", "--compile"} & set(words)
    for known in ([], ["--precision", "bf16", "--compile"]):
        (trial,) = json.loads(bench(*words[1:], *known, "--dry-run", "--json").stdout)
        assert (trial["method"], trial["seed"]) == ("adda", 3)


def test_the_suite_is_the_one_that_has_the_very_shift(mini: Path) -> None:
    _, record = only(mini)
    name, entries = suite_of(record)
    assert (name, list(entries)) == ("mini", list(plugins.load_suite("mini").entries))
    record["config"]["shift"]["size"] += 1
    assert suite_of(record) == (None, ())
    wrong = bench("runs", "show", record["run_id"], "--reproduce", "--suite", TOY, "--runs", mini)
    assert wrong.exit_code == 2
    assert "has not the shift" in wrong.stderr


def test_what_is_another_here_is_said() -> None:
    then = {"torch": "2.4", "numpy": "2", "git": "a", "gone": "1", "git dirty": "yes"}
    now = {"torch": "2.5", "numpy": "2", "git": "b", "new": "1", "git dirty": "no"}
    assert changed(then, now) == (
        "It was made with torch 2.4 (here 2.5): the last digits may differ."
    )
    assert changed(then, then) is None


def test_show_has_sections(mini: Path) -> None:
    _, record = only(mini)
    lines = bench("runs", "show", record["run_id"], "--runs", mini).stdout.splitlines()
    titles = [line for line in lines if line and not line.startswith(" ")]
    made = ("How it ended", "What was run", "Stages", "Scores of rules", "What made it")
    last = max(record["checkpoints"])
    scored = f"On the target's test set, at step {last:,} of the last stage (rule last)"
    assert titles == [scored, *made, "Confusion at the end (rows = ground truth)"]
    matrix = records.read_confusions(mini / record["run_id"]).checkpoints[last]
    assert f"  {'accuracy':<28} {100 * matrix.trace() / matrix.sum():.2f} %" in lines
    for key, value in (
        ("torch", record["environment"]["torch"]),
        ("code", record["environment"]["code"]),
        ("status", "done"),
        ("params.source.lr", 0.0015),
        ("threads", 1),
    ):
        assert f"  {key:<28} {value}" in lines
    (stage,) = [line for line in lines if line.startswith("  source  ")]
    assert f"{record['stages'][0]['steps']} steps in" in stage


def test_show_says_why_a_run_has_no_figure(mini: Path, tmp_path: Path) -> None:
    _, record = only(mini)
    folder = tmp_path / record["run_id"]
    records.write_run(folder, record)
    last = max(record["checkpoints"])
    records.write_confusions(folder, records.Confusions({last: np.zeros((10, 10), np.int64)}, {}))
    shown = bench("runs", "show", record["run_id"], "--runs", tmp_path)
    assert shown.exit_code == 0
    assert f"  {'no figure':<28} " in shown.stdout
    assert "How it ended" in shown.stdout


def test_show_tells_what_was_noticed(mini: Path, tmp_path: Path) -> None:
    _, record = only(mini)
    event = {"stage": "pixel", "step": 50, "kind": "collapsed generator", "reason": "all alike"}
    record |= {"events": [event], "nondeterministic": ["bf16 rounds"], "status": "failed"}
    records.write_run(tmp_path / record["run_id"], record)
    shown = bench("runs", "show", record["run_id"], "--runs", tmp_path).stdout
    assert f"  {'pixel, step 50':<28} collapsed generator: all alike" in shown
    assert "not the same again: bf16 rounds" in shown


def test_list_tells_a_running_run_from_a_stopped_one(mini: Path, tmp_path: Path) -> None:
    _, record = only(mini)
    run_id = record["run_id"]
    records.write_run(tmp_path / run_id, record | {"status": "running"})
    (row,) = json.loads(bench("runs", "list", "--runs", tmp_path, "--json").stdout)
    assert (row["status"], row["progress"]) == ("stopped", None)
    assert "stopped" in bench("runs", "list", "--runs", tmp_path).stdout
    with Claim(tmp_path / "locks" / f"{run_id}.lock", {}, beat=0.05) as claim:
        (row,) = json.loads(bench("runs", "list", "--runs", tmp_path, "--json").stdout)
        assert row["status"] == "running"
        assert row["progress"].startswith("began, process ")
        claim.progress("source", 7, 30)
        while '"done": 7' not in (tmp_path / "locks" / f"{run_id}.claim").read_text():
            pass
        assert f"source 7/30, process {os.getpid()} on" in (
            bench("runs", "list", "--runs", tmp_path).stdout
        )
    (row,) = json.loads(bench("runs", "list", "--runs", mini, "--json").stdout)
    assert (row["status"], row["progress"]) == ("done", None)
