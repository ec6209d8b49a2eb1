"""Loggers: a faithful copy of what a trial logged, and nothing about the trial changes."""

from __future__ import annotations

import io
import json
import random
import textwrap
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.errors import BenchError
from bench.loggers import LOGGERS, Log, TensorBoard
from bench.progress import Progress
from bench.request import Request
from bench.sweep import plan, sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

pytest.importorskip("tensorboard")

TOY = f"{Path(__file__).parent / 'plugins' / 'toy_suite.py'}:TOY"

STEPS = 40
"""Steps of ADDA's feature stage here, which logs at each and keeps a snapshot of every fourth."""


def run(runs: Path, *methods: str, **changed: Any) -> list[dict[str, Any]]:
    """Run methods on the toy suite; return the outcomes."""
    asked = {"suite": TOY, "seeds": (0,), "preset": "smoke", "threads": 1, "runs": runs}
    return sweep(Request(methods=methods, **({"log": "tensorboard"} | asked | changed))).outcomes


def adda(runs: Path, **changed: Any) -> dict[str, Any]:
    (outcome,) = run(runs, "adda", settings=(f"feature.max_steps={STEPS}",), **changed)
    return outcome


def events(folder: Path) -> Any:
    """Return a reader of a trial's events; no point of a curve is left out by sampling."""
    from tensorboard.backend.event_processing import event_accumulator

    everything = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    reader = event_accumulator.EventAccumulator(str(folder / "tensorboard"), everything)
    reader.Reload()
    return reader


Points = dict[str, list[tuple[int, float]]]


def scalars(folder: Path) -> Points:
    """Return (step, value) of every curve, in the order in which they were written."""
    reader = events(folder)
    return {
        tag: [(point.step, point.value) for point in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }


def logged(folder: Path) -> Points:
    """Return the same of ``metrics.jsonl``, in float32 as events hold it."""
    curves: Points = {}
    for text in (folder / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        stage, step, _ = line.pop("stage"), line.pop("step"), line.pop("loop")
        for name, value in line.items():
            curves.setdefault(f"{stage}/{name}", []).append((step, float(np.float32(value))))
    return curves


def trained(curves: Points) -> Points:
    return {tag: points for tag, points in curves.items() if not tag.startswith("test")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a finished trial of ADDA that found nothing in the stage cache, and its outcome."""
    runs = tmp_path_factory.mktemp("alone") / "runs"
    outcome = adda(runs)
    return runs / outcome["run_id"], outcome


# ------------------------------------------------------------------ what is handed over


def test_events_are_the_lines_of_the_log_then_scores_and_pictures(
    alone: tuple[Path, dict[str, Any]],
) -> None:
    folder, outcome = alone
    curves = scalars(folder)
    assert trained(curves) == logged(folder)
    assert len(curves["feature/gate_open"]) == STEPS
    steps = json.loads((folder / "run.json").read_text())["steps"]
    scores = {tag: points for tag, points in curves.items() if tag.startswith("test")}
    accuracy = float(np.float32(outcome["metrics"]["accuracy"]))
    assert scores == {"test/accuracy": [(steps, accuracy)]}
    assert steps >= max(step for points in curves.values() for step, _ in points)


def test_pictures_are_the_files_in_figures(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, "cycada")
    folder = tmp_path / outcome["run_id"]
    reader = events(folder)
    files = {f"figures/{file.stem}": file for file in (folder / "figures").glob("*.png")}
    assert set(reader.Tags()["images"]) == set(files)
    assert len(files) == 3
    for tag, file in files.items():
        (shown,) = reader.Images(tag)
        with Image.open(io.BytesIO(shown.encoded_image_string)) as got, Image.open(file) as drawn:
            assert np.array_equal(np.asarray(got), np.asarray(drawn.convert("RGB")))


def test_cached_stages_give_the_same_events(
    tmp_path: Path, alone: tuple[Path, dict[str, Any]]
) -> None:
    run(tmp_path, "source-only", log=None)
    outcome = adda(tmp_path)
    record = json.loads((tmp_path / outcome["run_id"] / "run.json").read_text())
    assert [stage["cached"] for stage in record["stages"]] == [True, False]
    assert scalars(tmp_path / outcome["run_id"]) == scalars(alone[0])


def interrupt(monkeypatch: pytest.MonkeyPatch, *stop: object) -> None:
    """Let the user press Ctrl-C after (stage, steps done, steps in all)."""

    def step(_: Progress, __: str, *where: object) -> None:
        if where == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "step", step)


@pytest.mark.parametrize("stop", [("source", 9, 30), ("feature", 1, STEPS), ("feature", 23, STEPS)])
def test_a_resumed_trial_has_every_step_once(
    stop: tuple[str, int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alone: tuple[Path, dict[str, Any]],
) -> None:
    with monkeypatch.context() as patched:
        interrupt(patched, *stop)
        with pytest.raises(KeyboardInterrupt):
            adda(tmp_path)
    (folder,) = tmp_path.glob("adda-*")
    before = scalars(folder)
    if stop[0] == "feature":
        # They are in the file although the trial never came to its end.
        assert len(before["feature/gate_open"]) == stop[1]
    adda(tmp_path)
    assert len(list((folder / "tensorboard").iterdir())) == 1
    assert scalars(folder) == scalars(alone[0])


OTHERS = """
    from dataclasses import dataclass
    import torch
    from torch import nn

    @dataclass(frozen=True)
    class Loops:
        def fit(self, task, ctx):
            net = ctx.network()
            ctx.log(before=1)
            for n in (3, 2):
                for step in ctx.steps(n):
                    ctx.log(loss=None if step.index else 0.5)
                ctx.log(between=n)
            return net

    @dataclass(frozen=True)
    class Fails:
        def fit(self, task, ctx):
            ctx.log(event=1)
            raise RuntimeError("enough")

    @dataclass(frozen=True)
    class Words:
        def fit(self, task, ctx):
            ctx.log(word="hello")
            ctx.log(loss=1)
            return ctx.network()
"""


@pytest.fixture
def others(tmp_path: Path) -> str:
    (tmp_path / "others.py").write_text(textwrap.dedent(OTHERS))
    return str(tmp_path / "others.py")


def test_a_second_loop_has_curves_of_its_own_and_what_is_undefined_is_shown_as_nan(
    others: str, tmp_path: Path
) -> None:
    (outcome,) = run(tmp_path / "runs", f"{others}:Loops")
    curves = trained(scalars(tmp_path / "runs" / outcome["run_id"]))
    assert repr(curves) == repr(
        {
            "fit/before": [(0, 1.0)],
            "fit/loss": [(0, 0.5), (1, np.nan), (2, np.nan)],
            "fit/between": [(2, 3.0)],
            "fit/loop-1/loss": [(0, 0.5), (1, np.nan)],
            "fit/loop-1/between": [(1, 2.0)],
        }
    )


def test_a_resumed_trial_has_every_line_of_several_loops_once(
    others: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (outcome,) = run(tmp_path / "whole", f"{others}:Loops")
    with monkeypatch.context() as patched:
        interrupt(patched, "fit", 1, 2)  # in the second loop
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", f"{others}:Loops")
    run(tmp_path / "resumed", f"{others}:Loops")
    whole, resumed = (scalars(tmp_path / name / outcome["run_id"]) for name in ("whole", "resumed"))
    assert repr(whole) == repr(resumed)


def test_a_failed_trial_has_its_lines_and_no_scores(others: str, tmp_path: Path) -> None:
    (outcome,) = run(tmp_path / "runs", f"{others}:Fails")
    assert outcome["status"] == "failed"
    assert scalars(tmp_path / "runs" / outcome["run_id"]) == {"fit/event": [(0, 1.0)]}


def test_scores_chosen_by_test_labels_say_so(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, "source-only", rule="oracle")
    tags = set(scalars(tmp_path / outcome["run_id"]))
    assert tags == {"source/loss", "test (oracle)/accuracy"}


def test_a_trial_that_was_over_is_handed_over_once(
    tmp_path: Path, alone: tuple[Path, dict[str, Any]]
) -> None:
    outcome = adda(tmp_path, log=None)
    folder = tmp_path / outcome["run_id"]
    assert not (folder / "tensorboard").exists()
    adda(tmp_path)
    assert scalars(folder) == scalars(alone[0])
    (file,) = (folder / "tensorboard").iterdir()
    adda(tmp_path)
    assert list((folder / "tensorboard").iterdir()) == [file]


def test_nothing_begins_before_the_first_line(tmp_path: Path) -> None:
    """Another command may be at the same trial, and its files are not ours to remove."""
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events").write_bytes(b"of another process")
    with Log("tensorboard", tmp_path) as log:
        log.finish(10, {"accuracy": 0.5}, "last")
    assert [file.name for file in (tmp_path / "tensorboard").iterdir()] == ["events"]
    with Log("tensorboard", tmp_path) as log:
        log.line({"stage": "a", "loop": 0, "step": 3, "loss": 1.0})
    assert scalars(tmp_path) == {"a/loss": [(3, 1.0)]}


# ------------------------------------------------------------------ what it costs


def test_logging_changes_no_number(tmp_path: Path, alone: tuple[Path, dict[str, Any]]) -> None:
    with_log, outcome = alone
    without = adda(tmp_path, log=None)
    seconds = without.pop("seconds"), outcome["seconds"]
    assert all(isinstance(value, float) for value in seconds)
    assert without == {key: value for key, value in outcome.items() if key != "seconds"}
    folder = tmp_path / outcome["run_id"]
    names = [p.relative_to(folder) for p in folder.rglob("*") if p.suffix in {".jsonl", ".npz"}]
    names += [p.relative_to(folder) for p in folder.rglob("*.safetensors")]
    assert len(names) >= 4
    for name in names:
        assert (folder / name).read_bytes() == (with_log / name).read_bytes(), name
    assert sorted(p.name for p in (tmp_path / "stages").iterdir()) == sorted(
        p.name for p in (with_log.parent / "stages").iterdir()
    )


def test_tensorboard_leaves_random_state_alone(tmp_path: Path) -> None:
    def states() -> tuple[object, ...]:
        return (
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
        )

    Image.new("RGB", (5, 4), (9, 8, 7)).save(tmp_path / "picture.png")
    before = states()
    logger = TensorBoard(tmp_path / "tensorboard")
    logger.scalars("a", 0, {"loss": 1.0, "bad": float("nan")})
    logger.pictures(1, [tmp_path / "picture.png"])
    logger.close()
    assert states() == before


class Broken:
    """A logger that does all that TensorBoard does, until it is asked for one thing."""

    package = "tensorboard"
    fails_at = ""

    def __init__(self, folder: Path) -> None:
        self.calls: list[str] = []
        self._do("__init__")
        self.inner = TensorBoard(folder)

    def _do(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fails_at:
            raise OSError("no space left on device")

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self._do("scalars")
        self.inner.scalars(stage, step, values)

    def pictures(self, step: int, files: Iterable[Path]) -> None:
        self._do("pictures")
        self.inner.pictures(step, files)

    def close(self) -> None:
        self._do("close")
        self.inner.close()


@pytest.mark.parametrize("fails_at", ["__init__", "scalars", "pictures", "close"])
def test_a_logger_that_fails_is_mentioned_once_and_fails_no_trial(
    fails_at: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(LOGGERS, "broken", Broken)
    monkeypatch.setattr(Broken, "fails_at", fails_at)
    (outcome,) = run(tmp_path, "source-only", log="broken")
    assert outcome["status"] == "done"
    said = [text for text in capsys.readouterr().err.splitlines() if "warning" in text]
    name = outcome["run_id"]
    assert said == [f"warning: no more broken of {name}: OSError: no space left on device"]


def test_what_is_no_number_fails_no_trial(
    others: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (outcome,) = run(tmp_path / "runs", f"{others}:Words")
    assert outcome["status"] == "done"
    assert "no more tensorboard of" in capsys.readouterr().err


# ------------------------------------------------------------------ mistakes


def test_an_unknown_logger_is_a_mistake_before_any_training(tmp_path: Path) -> None:
    request = Request(suite=TOY, runs=tmp_path / "runs", log="tensorbord")
    for command in (plan, sweep):
        with pytest.raises(BenchError, match="Unknown logger 'tensorbord'. Did you mean"):
            command(request)
    assert not (tmp_path / "runs").exists()


def test_a_missing_package_is_named_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorBoard, "package", "no_such_package")
    said = r"needs the package 'no_such_package'.*pip install 'cycada-bench\[tensorboard\]'"
    with pytest.raises(BenchError, match=said):
        sweep(Request(suite=TOY, runs=tmp_path / "runs", log="tensorboard"))
    assert not (tmp_path / "runs").exists()


def test_every_logger_has_an_extra_that_installs_it() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    for name, logger in LOGGERS.items():
        assert any(need.startswith(logger.package) for need in extras[name])


def test_without_a_logger_no_folder_is_made(tmp_path: Path) -> None:
    with Log(None, tmp_path) as log:
        log.line({"stage": "a", "loop": 0, "step": 0, "loss": 1.0})
        log.finish(1, {"accuracy": 0.5}, "last")
    assert not list(tmp_path.iterdir())
