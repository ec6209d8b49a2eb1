"""The command line: what it prints where, how it ends, and what it says to a mistake."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bench import plugins
from bench.cli import app
from bench.errors import BenchError
from bench.request import parse_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

PLUGINS = Path(__file__).parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"
BNM = f"{PLUGINS / 'bnm.py'}:BNM"
LEARNS = ("--set", "source.max_steps=60", "--set", "source.lr=1e-3")
HEAVY = ("torch", "torchvision", "pandas", "matplotlib", "sklearn", "scipy", "numpy")


def bench(*arguments: object) -> Any:
    """Run the command in this process; what it prints and its exit code come back."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def toy(runs: Path, *more: object) -> Any:
    """Run the toy suite, quickly."""
    return bench("run", "--suite", TOY, "--preset", "smoke", "--threads", 1, "--runs", runs, *more)


def assert_usage_error(result: Any, *said: str) -> None:
    assert result.exit_code == 2, result.output
    for words in said:
        assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert result.exception is None or isinstance(result.exception, SystemExit)


# ------------------------------------------------------------------ at once


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("--version",),
        ("list", "methods"),
        ("list", "methods", "--json"),
        ("list", "suites"),
        ("list", "shifts"),
        ("list", "domains"),
        ("list", "selectors"),
    ],
)
def test_it_answers_without_importing_anything_heavy(arguments: Sequence[str]) -> None:
    code = f"""
        import sys
        from bench.cli import main
        sys.argv = ["bench", *{arguments!r}]
        try:
            main()
        except SystemExit as end:
            assert not end.code, end.code
        heavy = set({HEAVY!r}) & set(sys.modules)
        assert not heavy, heavy
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("module", ["bench", "bench.cli"])
def test_it_runs_as_a_module(module: str) -> None:
    command = [sys.executable, "-m", module, "list", "selectors", "--json"]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    names = [rule["name"] for rule in json.loads(out)]
    assert (names[0], names[-1]) == ("last", "oracle")
    assert names[1:-1] == sorted(names[1:-1])


def test_version() -> None:
    result = bench("--version")
    assert (result.exit_code, result.stdout.count(".")) == (0, 2)


# ------------------------------------------------------------------ bench list


@pytest.mark.parametrize(
    ("what", "name", "keys"),
    [
        ("suites", "mini", {"name", "about", "shifts", "methods", "origin"}),
        ("shifts", "svhn2mnist", {"name", "source", "target", "size", "channels", "protocol"}),
        ("methods", "cycada", {"name", "about", "origin"}),
        ("domains", "usps", {"name", "about", "origin"}),
        ("backbones", "lenet", {"name", "parameters", "task"}),
        ("selectors", "dev", {"name", "about", "source", "fooled", "looks_at_target_labels"}),
    ],
)
def test_lists(what: str, name: str, keys: set[str]) -> None:
    rows = {row["name"]: row for row in json.loads(bench("list", what, "--json").stdout)}
    assert keys <= set(rows[name])
    table = bench("list", what).stdout.splitlines()
    assert len(table) == len(rows) + 1
    assert {line.split()[0] for line in table[1:]} == set(rows)


def test_backbones_have_the_papers_parameter_counts() -> None:
    rows = {row["name"]: row for row in json.loads(bench("list", "backbones", "--json").stdout)}
    assert (rows["lenet"]["parameters"], rows["dtn"]["parameters"]) == (431_080, 3_133_962)


def test_an_unknown_list() -> None:
    assert_usage_error(bench("list", "method"), "Unknown list 'method'. Did you mean 'methods'?")


# ------------------------------------------------------------------ bench run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return a runs folder with two seeds of the toy suite, and what the command printed."""
    runs = tmp_path_factory.mktemp("toy") / "runs"
    return runs, toy(runs, "--seeds", "2", "--json", *LEARNS)


def test_run_json(finished: tuple[Path, Any]) -> None:
    runs, result = finished
    assert result.exit_code == 0, result.output
    outcomes = json.loads(result.stdout)
    assert len(outcomes) == 4
    for outcome in outcomes:
        assert {"run_id", "method", "shift", "seed", "status", "metrics"} <= set(outcome)
        assert (outcome["shift"], outcome["status"]) == ("bright2dark", "done")
        assert 0.0 <= outcome["metrics"]["accuracy"] <= 1.0
        assert (runs / outcome["run_id"] / "run.json").exists()
    accuracy = {(o["method"], o["seed"]): o["metrics"]["accuracy"] for o in outcomes}
    assert accuracy["target-only", 0] > accuracy["source-only", 0]
    assert "bright2dark" in (runs / "leaderboard.md").read_text()


def test_running_again_runs_nothing_again(finished: tuple[Path, Any]) -> None:
    runs, result = finished
    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/run.json")}
    again = toy(runs, "--seeds", "2", "--json", *LEARNS)
    assert json.loads(again.stdout) == json.loads(result.stdout)
    assert {path: path.stat().st_mtime_ns for path in runs.glob("*/run.json")} == before


def test_run_prints_the_leaderboard_in_brief_and_writes_it_where_asked(
    finished: tuple[Path, Any], tmp_path: Path
) -> None:
    runs, _ = finished
    result = toy(runs, "--seeds", "2", "--out", tmp_path / "tables", *LEARNS)
    assert result.exit_code == 0
    written = (tmp_path / "tables" / "leaderboard.md").read_text()
    assert written == bench("leaderboard", "--suite", TOY, "--runs", runs).stdout
    assert "# Leaderboard: toy" in written
    brief = bench("leaderboard", "--suite", TOY, "--runs", runs, "--format", "text").stdout
    assert result.stdout.strip() == brief.strip()
    assert len(brief) < len(written) / 2
    assert str(tmp_path / "tables") in result.stderr


def test_a_third_party_method_beside_ours(finished: tuple[Path, Any]) -> None:
    """BNM, from a file, does what it says: the target's predictions get sure and diverse."""
    runs, _ = finished
    common = ("--seeds", "1", "--method", BNM, "--json", "--set", "steps=101")
    norm = []
    for weight in (0, 1):
        (outcome,) = json.loads(toy(runs, *common, "--set", f"weight={weight}").stdout)
        assert (outcome["method"], outcome["status"]) == ("bnm", "done")
        log = (runs / outcome["run_id"] / "metrics.jsonl").read_text().splitlines()
        norm.append(json.loads(log[-1])["nuclear"])
    assert norm[1] > 1.05 * norm[0]
    assert "bnm" in bench("leaderboard", "--suite", TOY, "--runs", runs).stdout


def test_dry_run_lists_the_trials_and_leaves_no_trace(tmp_path: Path) -> None:
    result = toy(tmp_path / "runs", "--seeds", "0,7", "--dry-run", "--json", *LEARNS)
    trials = json.loads(result.stdout)
    assert [(t["seed"], t["method"]) for t in trials] == [
        (0, "source-only"),
        (0, "target-only"),
        (7, "source-only"),
        (7, "target-only"),
    ]
    assert trials[0]["settings"] == {"source.max_steps": 60, "source.lr": 1e-3}
    assert not (tmp_path / "runs").exists()
    table = toy(tmp_path / "runs", "--dry-run", *LEARNS).stdout.splitlines()
    assert len(table) == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--suite", "digit"), "Unknown suite 'digit'. Did you mean 'digits'?"),
        (("--shift", "mnist2usp"), "Unknown shift 'mnist2usp'. Did you mean 'mnist2usps'?"),
        (("--method", "cycda"), "Unknown method 'cycda'. Did you mean 'cycada'?"),
        (("--method", "gone.py:Mine"), "There is no file 'gone.py'"),
        (("--preset", "fats"), "Unknown preset 'fats'. Did you mean 'fast'?"),
        (("--set", "source.lrr=1"), "Did you mean 'source.lr'?"),
        (("--set", "source.lr=fast"), "'source.lr' must be a number, but got 'fast'."),
        (("--set", "source.schedule=cosin"), "must be one of constant, cosine, but got 'cosin'."),
        (("--set", "lr"), "Expected --set key=value"),
        (("--backbone", "lenett"), "Unknown backbone 'lenett'. Did you mean 'lenet'?"),
        (("--select", "lats"), "Unknown rule 'lats'. Did you mean 'last'?"),
        (("--select", "gone.py:RULE"), "There is no file 'gone.py'"),
        (("--device", "gpu"), "Unknown device 'gpu'."),
        (("--protocol", "half"), "has the protocol 'full', not 'half'"),
        (("--seeds", "many"), "--seeds must be a count (5) or a list (0,3,7), but got 'many'."),
        (("--threads", "0"), "--threads"),
        (("--budget", "0"), "--budget"),
        (("--no-such-option",), "No such option"),
    ],
)
def test_a_mistake_is_answered_before_anything_runs(
    arguments: Sequence[str], said: str, tmp_path: Path
) -> None:
    result = bench("run", "--runs", tmp_path / "runs", "--method", "source-only", *arguments)
    assert_usage_error(result, said)
    assert not list(tmp_path.glob("runs/*/run.json"))


def test_a_runs_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert_usage_error(toy(tmp_path / "file" / "runs"), "cannot be written", "--runs")


def test_a_leaderboard_folder_that_cannot_be_written(
    finished: tuple[Path, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    result = toy(finished[0], "--seeds", "2", "--out", tmp_path / "file" / "out", *LEARNS)
    assert_usage_error(result, str(tmp_path / "file"))


def test_the_right_protocol_is_accepted(tmp_path: Path) -> None:
    result = toy(tmp_path, "--protocol", "full", "--dry-run")
    assert result.exit_code == 0, result.stderr


# ------------------------------------------------------------------ missing data

MIXED = f"""
    from bench.suites import Entry, Shift, Suite

    MIXED = Suite(
        "mixed",
        "One shift with data and one without.",
        (
            Shift("mnist2usps", "mnist", "usps"),
            Shift("bright2dark", "{PLUGINS}/toy_domain.py:BrightBars",
                  "{PLUGINS}/toy_domain.py:DarkBars", size=16),
        ),
        (Entry("source-only", "source-only"),),
    )
"""


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the arguments of a run for which half of the data is missing."""
    monkeypatch.setattr(plugins, "_FILE_DOMAINS", {})
    (tmp_path / "mixed.py").write_text(textwrap.dedent(MIXED))
    common = ["--preset", "smoke", "--seeds", "1", "--threads", "1", "--offline", *LEARNS]
    folders = ["--data", f"{tmp_path / 'data'}", "--runs", f"{tmp_path / 'runs'}"]
    return ["run", "--suite", f"{tmp_path / 'mixed.py'}:MIXED", *common, *folders]


def test_missing_data_stops_before_any_training(mixed: list[str], tmp_path: Path) -> None:
    result = bench(*mixed)
    assert_usage_error(
        result, "mnist2usps", "train-images-idx3-ubyte", "usps.bz2", "--skip-missing"
    )
    assert not list((tmp_path / "runs").glob("*/run.json"))


def test_skip_missing_runs_the_rest_and_says_so(mixed: list[str]) -> None:
    result = bench(*mixed, "--skip-missing", "--json")
    assert result.exit_code == 0, result.output
    assert [outcome["shift"] for outcome in json.loads(result.stdout)] == ["bright2dark"]
    assert "left out: mnist2usps" in result.stderr


# ------------------------------------------------------------------ plug-ins that misbehave

BAD = """
    from dataclasses import dataclass
    import torch
    from torch import nn

    print("hello from a plug-in")

    @dataclass(frozen=True)
    class Raises:
        def fit(self, task, ctx):
            print("hello from fit")
            raise RuntimeError("out of ideas")

    @dataclass(frozen=True)
    class Exits:
        def fit(self, task, ctx):
            raise SystemExit(0)

    @dataclass(frozen=True)
    class NotANumber:
        def fit(self, task, ctx):
            return nn.Sequential(ctx.network(), nn.Threshold(float("inf"), float("nan")))

    @dataclass(frozen=True)
    class Diverges:
        def fit(self, task, ctx):
            return ctx.stage(
                "s", params=self, build=ctx.network, train=lambda net: self.train(net, ctx)
            )

        def train(self, net, ctx):
            for step in ctx.steps(4):
                with torch.no_grad():
                    next(net.parameters()).fill_(float("inf"))

    @dataclass(frozen=True)
    class WrongShape:
        def fit(self, task, ctx):
            return nn.Sequential(ctx.network(), nn.Linear(3, 2))

    @dataclass(frozen=True)
    class NotANetwork:
        def fit(self, task, ctx):
            return 3

    @dataclass(frozen=True)
    class AsksForMore:
        def fit(self, task, ctx):
            for step in ctx.steps(10**6):
                pass

    @dataclass(frozen=True)
    class NeverEnds:
        def fit(self, task, ctx):
            net = ctx.network()
            optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
            while True:
                optimizer.step()

    @dataclass(frozen=True)
    class Interrupted:
        def fit(self, task, ctx):
            raise KeyboardInterrupt
"""


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of methods that misbehave."""
    path = tmp_path_factory.mktemp("bad") / "bad.py"
    path.write_text(textwrap.dedent(BAD))
    return path


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("Raises", "failed", "RuntimeError: out of ideas (bad.py, line 12)"),
        ("Exits", "failed", "SystemExit: 0 (bad.py, line 17)"),
        ("NotANumber", "diverged", "NaN or infinity"),
        ("Diverges", "diverged", "NaN or infinity"),
        ("WrongShape", "failed", "logits (b, 3), got (90, 2)"),
        ("NotANetwork", "failed", "fit must return a torch.nn.Module, got int"),
        ("AsksForMore", "failed", "asks for 1000000 steps"),
        ("NeverEnds", "failed", "kept training past its budget"),
    ],
)
def test_a_method_that_misbehaves_is_recorded_and_the_others_go_on(
    name: str, status: str, said: str, bad: Path, tmp_path: Path
) -> None:
    methods = ("--method", f"{bad}:{name}", "--method", "source-only")
    result = toy(tmp_path, "--seeds", "1", "--json", *methods, "--budget", "500")
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert (first["status"], first["metrics"], second["method"]) == (status, {}, "source-only")
    assert said in first["error"]
    record = json.loads((tmp_path / first["run_id"] / "run.json").read_text())
    assert (record["status"], record["error"]) == (status, first["error"])
    assert "Traceback" not in result.output
    assert "0 of 1" in (tmp_path / "leaderboard.md").read_text()


def test_a_domain_that_raises_is_named_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_FILE_DOMAINS", {})
    text = """
        from bench.suites import Entry, Shift, Suite

        class Empty:
            classes = 3
            def images(self, root, split):
                raise LookupError("no images today")
            labels = images

        SUITE = Suite(
            "empty",
            "",
            (Shift("nothing", "empty.py:Empty", "empty.py:Empty"),),
            (Entry("source-only", "source-only"),),
        )
    """
    (tmp_path / "empty.py").write_text(textwrap.dedent(text))
    result = bench("run", "--suite", f"{tmp_path}/empty.py:SUITE", "--runs", tmp_path / "runs")
    assert_usage_error(result, "'nothing' (empty.py, line 7) raised LookupError", "no images today")


def test_ctrl_c_says_how_to_go_on(bad: Path, tmp_path: Path) -> None:
    result = toy(tmp_path, "--seeds", "1", "--method", f"{bad}:Interrupted")
    assert result.exit_code == 130
    assert "interrupted; run the same command to go on" in result.stderr
    (path,) = tmp_path.glob("*/run.json")
    assert json.loads(path.read_text())["status"] == "interrupted"


# ------------------------------------------------------------------ leaderboard and runs


@pytest.mark.parametrize(
    ("style", "said"),
    [("md", "| 1 |"), ("text", "    1  "), ("latex", r"\begin{tabular}"), ("csv", "suite,shift,")],
)
def test_leaderboard_formats(style: str, said: str, finished: tuple[Path, Any]) -> None:
    result = bench("leaderboard", "--suite", TOY, "--runs", finished[0], "--format", style)
    assert result.exit_code == 0, result.output
    assert said in result.stdout


def test_leaderboard_json_has_stable_keys(finished: tuple[Path, Any]) -> None:
    result = bench("leaderboard", "--suite", TOY, "--runs", finished[0], "--format", "json")
    keys = "suite shift protocol backbone method preset rule metric n planned mean std ci95"
    for row in json.loads(result.stdout):
        assert {*keys.split(), "published", "delta"} <= set(row)


def test_exported_records_make_the_same_leaderboard(
    finished: tuple[Path, Any], tmp_path: Path
) -> None:
    runs, _ = finished
    assert bench("runs", "export", "--runs", runs, "--out", tmp_path / "r.jsonl").exit_code == 0
    arguments = ("leaderboard", "--suite", TOY, "--out", tmp_path / "table.md")
    assert bench(*arguments, "--records", tmp_path / "r.jsonl").exit_code == 0
    table = bench("leaderboard", "--suite", TOY, "--runs", runs).stdout
    assert (tmp_path / "table.md").read_text().strip() == table.strip()


def test_export_prints_one_line_a_run(finished: tuple[Path, Any]) -> None:
    runs, result = finished
    run_id = json.loads(result.stdout)[0]["run_id"]
    (line,) = bench("runs", "export", run_id, "--runs", runs).stdout.splitlines()
    record = json.loads(line)
    assert record["run_id"] == run_id
    matrix = record["confusion"]["checkpoints"][str(max(record["checkpoints"]))]
    assert sum(map(sum, matrix)) == 90  # every test image of the toy domain, once


def test_runs_list_and_show(finished: tuple[Path, Any]) -> None:
    runs, result = finished
    outcome = json.loads(result.stdout)[0]
    rows = json.loads(bench("runs", "list", "--runs", runs, "--json").stdout)
    assert outcome["run_id"] in {row["run_id"] for row in rows}
    assert outcome["run_id"] in bench("runs", "list", "--runs", runs).stdout
    start = outcome["run_id"][:-6]
    shown = bench("runs", "show", start, "--runs", runs)
    assert "Confusion at the end" in shown.stdout
    assert f"{'method':<28} {outcome['method']}" in shown.stdout
    full = json.loads(bench("runs", "show", start, "--runs", runs, "--json").stdout)
    assert full["run_id"] == outcome["run_id"]


def test_runs_that_are_not_there(finished: tuple[Path, Any], tmp_path: Path) -> None:
    runs, result = finished
    run_id = json.loads(result.stdout)[0]["run_id"]
    wrong = run_id.replace("bright", "brihgt")
    assert_usage_error(bench("runs", "show", wrong, "--runs", runs), f"Did you mean '{run_id}'?")
    ambiguous = bench("runs", "show", "source-only", "--runs", runs)
    assert_usage_error(ambiguous, "could be 2 runs", "Write more of the id")
    for command in (("runs", "list"), ("leaderboard",), ("runs", "export")):
        assert_usage_error(bench(*command, "--runs", tmp_path / "gone"), "There is no runs folder")


def test_an_unknown_format(finished: tuple[Path, Any]) -> None:
    assert_usage_error(bench("leaderboard", "--runs", finished[0], "--format", "html"), "'html'")


# ------------------------------------------------------------------ bench check and bench data


def test_check_a_good_method_and_a_bad_one(bad: Path) -> None:
    good = bench("check", BNM)
    assert (good.exit_code, good.stdout.count("ok ")) == (0, 8)
    assert "no     fits a segmentation task" in good.stdout
    broken = bench("check", f"{bad}:WrongShape", "--json")
    assert broken.exit_code == 1
    assert [row["ok"] for row in json.loads(broken.stdout)] == [True, True, False]
    assert "breaks 1 of 3 checks" in broken.stderr
    assert_usage_error(bench("check", f"{bad}:Raise"), "Did you mean 'Raises'?")


def test_data_status_and_verify_name_what_is_missing(tmp_path: Path) -> None:
    result = bench("data", "status", "usps", "handwritten", "--data", tmp_path, "--json")
    states = {(row["domain"], row["state"]) for row in json.loads(result.stdout)}
    assert states == {("usps", "absent"), ("handwritten", "embedded")}
    verified = bench("data", "verify", "usps", "--data", tmp_path)
    assert verified.exit_code == 2
    assert "2 of 2 files are missing or broken" in verified.stderr
    assert "bench data fetch usps" in verified.stdout


def test_data_of_embedded_domains_needs_nothing(tmp_path: Path) -> None:
    for command in ("status", "fetch", "verify"):
        result = bench("data", command, "handwritten", "printed", "--data", tmp_path)
        assert result.exit_code == 0
        assert result.stdout.count("embedded") == 2


def test_the_data_folder_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "from-env"))
    assert str(tmp_path / "from-env") in bench("data", "status", "mnist").stdout


def test_an_unknown_domain() -> None:
    assert_usage_error(bench("data", "status", "minst"), "Did you mean 'mnist'?")


# ------------------------------------------------------------------ seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("5", (0, 1, 2, 3, 4)), ("0,3,7", (0, 3, 7)), ("7,", (7,)), (" 1, 1 ,2", (1, 2))],
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "a,b", ",", "1,-2", "²"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(BenchError, match="--seeds"):
        parse_seeds(text)


def test_a_folder_without_runs_is_named(tmp_path: Path) -> None:
    """A wrong folder, say the one above, must not look like a sweep without results."""
    for command in (("leaderboard", "--suite", TOY), ("runs", "list")):
        result = bench(*command, "--runs", tmp_path)
        assert result.exit_code == 0
        assert f"There are no runs in '{tmp_path}'." in result.stderr.replace("\n", "")
