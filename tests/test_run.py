"""One trial: what its folder holds at the end, and that scoring disturbs nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import textwrap
import threading
import time
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from bench.claim import Claim, Seen, claims
from bench.errors import BenchError, DivergedError, PrunedError
from bench.predict import predict
from bench.request import Request
from bench.run import finished_run, run_trial
from bench.sweep import sweep
from bench.task import Images
from bench.trials import Materials, make_trial, resolved

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PLUGINS = Path(__file__).parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"
TRAIN, TEST, CLASSES = 300, 90, 3
"""Images and classes of the toy domains."""


def run(runs: Path, *methods: str, **changed: Any) -> list[Path]:
    """Run methods on the toy suite; return their folders."""
    asked = {"suite": TOY, "seeds": (0,), "preset": "smoke", "threads": 1, "runs": runs}
    report = sweep(Request(methods=methods, **(asked | changed)))
    return [runs / outcome["run_id"] for outcome in report.outcomes]


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of four finished runs, by method, in one runs folder."""
    runs = tmp_path_factory.mktemp("run") / "runs"
    names = ("source-only", "target-only", "adda", "cycada")
    return dict(zip(names, run(runs, *names), strict=True))


CHECKPOINTS = {
    "source-only": (6, 12, 18, 24, 30),
    "target-only": (6, 12, 18, 24, 30),
    "adda": (1, 2, 3, 4),
    "cycada": (1, 2, 3, 4),
}


@pytest.mark.parametrize("method", CHECKPOINTS)
def test_a_run_folder_holds_this_and_no_more(method: str, finished: dict[str, Path]) -> None:
    expected = {
        *("run.json", "metrics.jsonl", "confusion.npz", "outputs.safetensors"),
        *(f"checkpoints/{step:08d}.safetensors" for step in CHECKPOINTS[method]),
        "figures/confusion.png",
    }
    if method == "cycada":
        expected |= {"figures/source-to-target.png", "figures/target-to-source.png"}
    assert files(finished[method]) == expected
    assert not (finished[method] / "work").exists()
    for figure in (finished[method] / "figures").iterdir():
        assert figure.read_bytes().startswith(b"\x89PNG")


def test_there_is_no_pickle_and_nothing_hidden_in_a_runs_folder(finished: dict[str, Path]) -> None:
    runs = finished["cycada"].parent
    for name in files(runs):
        path = runs / name
        kinds = {".json", ".jsonl", ".npz", ".safetensors", ".png", ".md", ".lock"}
        assert path.suffix in kinds, name
        assert not path.name.startswith("."), name
        # torch.save writes a zip archive, older versions and pickle itself begin with 0x80.
        is_zip, is_pickle = (path.read_bytes().startswith(sign) for sign in (b"PK", b"\x80"))
        assert not is_pickle, name
        assert is_zip == (path.suffix == ".npz"), name
        if is_zip:
            with np.load(path, allow_pickle=False) as arrays:
                assert all(arrays[key].dtype == np.int64 for key in arrays)


@pytest.mark.parametrize("method", CHECKPOINTS)
def test_the_record_says_what_was_scored(method: str, finished: dict[str, Path]) -> None:
    folder = finished[method]
    content = record(folder)
    assert tuple(content["checkpoints"]) == CHECKPOINTS[method]
    stages = [s["name"] for s in content["stages"] if s["name"] != "translator"]
    with np.load(folder / "confusion.npz") as confusion:
        assert set(confusion) == {
            *(f"checkpoint-{step:08d}" for step in CHECKPOINTS[method]),
            *(f"stage-{name}" for name in stages),
        }
        for name in confusion:
            # Rows are ground truth: thirty test images of each class.
            assert confusion[name].sum(1).tolist() == [TEST // CLASSES] * CLASSES
        last = f"checkpoint-{CHECKPOINTS[method][-1]:08d}"
        assert np.array_equal(confusion[last], confusion[f"stage-{stages[-1]}"])
    outputs = load_file(folder / "outputs.safetensors")
    for step in CHECKPOINTS[method]:
        assert outputs[f"predictions/checkpoint-{step:08d}"].shape == (TEST,)
        assert outputs[f"target_logits/checkpoint-{step:08d}"].shape == (TRAIN, CLASSES)
        assert outputs[f"validation_logits/checkpoint-{step:08d}"].shape == (TRAIN // 10, CLASSES)
        assert outputs[f"validation_weights/checkpoint-{step:08d}"].shape == (TRAIN // 10,)
    assert outputs["validation_labels"].shape == (TRAIN // 10,)
    steps = [str(step) for step in CHECKPOINTS[method]]
    assert {"infomax", "dev"} <= set(content["scores"])
    assert all(list(by_step) == steps for by_step in content["scores"].values())
    assert content["steps"] == sum(stage["steps"] for stage in content["stages"])
    assert (content["threads"], content["device"]) == (1, "cpu")
    assert content["environment"]["torch"] == metadata.version("torch")
    assert content["started"] <= content["finished"]


def test_the_log_holds_every_stage_in_order(finished: dict[str, Path]) -> None:
    lines = (finished["cycada"] / "metrics.jsonl").read_text().splitlines()
    stages = [json.loads(line)["stage"] for line in lines]
    assert list(dict.fromkeys(stages)) == ["source", "translator", "adapted", "feature"]


def test_checkpoints_are_the_stages_own_and_take_no_more_space(finished: dict[str, Path]) -> None:
    folder = finished["adda"]
    stage = folder.parent / "stages" / record(folder)["stages"][-1]["key"]
    for path in (folder / "checkpoints").iterdir():
        assert path.read_bytes() == (stage / "checkpoints" / path.name).read_bytes()
    last = max((folder / "checkpoints").iterdir())
    assert last.read_bytes() == (stage / "weights.safetensors").read_bytes()


# ------------------------------------------------------------------ methods of other shapes

OTHERS = """
    import shutil
    from dataclasses import dataclass
    from pathlib import Path
    import torch
    from torch import nn

    @dataclass(frozen=True)
    class NoStage:
        def fit(self, task, ctx):
            net = ctx.network()
            optimizer = torch.optim.SGD(net.parameters(), lr=1e-5)
            for step in ctx.steps(7, {"net": net, "optimizer": optimizer}):
                x, y = step.batch(task.source, 16)
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x), y).backward()
                optimizer.step()
                ctx.log(step=step.index)
            return net

    @dataclass(frozen=True)
    class Constant:
        def fit(self, task, ctx):
            return nn.Sequential(ctx.network(), Same())

    class Same(nn.Module):
        def forward(self, x):
            return torch.eye(3)[:1].expand(len(x), 3)

    @dataclass(frozen=True)
    class Fails:
        def fit(self, task, ctx):
            ctx.log(event=1)
            raise RuntimeError("enough")

    @dataclass(frozen=True)
    class LosesStage:
        def fit(self, task, ctx):
            net = ctx.stage("source", params={}, build=ctx.network, train=lambda net: None)
            (stages,) = Path(__file__).parent.glob("*/stages")
            shutil.rmtree(stages)
            return net
"""


@pytest.fixture
def others(tmp_path: Path) -> str:
    (tmp_path / "others.py").write_text(textwrap.dedent(OTHERS))
    return str(tmp_path / "others.py")


def test_a_method_without_stages_is_scored_as_it_is(others: str, tmp_path: Path) -> None:
    (folder,) = run(tmp_path / "runs", f"{others}:NoStage")
    content = record(folder)
    assert (content["status"], content["checkpoints"], content["steps"]) == ("done", [7], 7)
    assert content["stages"] == []
    assert content["seconds"] > 0
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 7
    assert not (folder / "work").exists()


def test_one_answer_for_every_image_is_a_collapse(others: str, tmp_path: Path) -> None:
    (folder,) = run(tmp_path / "runs", f"{others}:Constant")
    content = record(folder)
    assert content["status"] == "diverged"
    assert content["error"] == "collapsed: every target image is predicted as class 0"
    assert "confusion.npz" in files(folder)


def test_a_failed_run_leaves_its_record_and_its_log(others: str, tmp_path: Path) -> None:
    (folder,) = run(tmp_path / "runs", f"{others}:Fails")
    assert record(folder)["status"] == "failed"
    assert files(folder) == {"run.json", "metrics.jsonl"}
    assert json.loads((folder / "metrics.jsonl").read_text())["event"] == 1


def test_a_trial_whose_stage_was_deleted_fails_and_the_others_go_on(
    others: str, tmp_path: Path
) -> None:
    failed, after = run(tmp_path / "runs", f"{others}:LosesStage", f"{others}:NoStage")
    content = record(failed)
    assert content["status"] == "failed"
    assert "is gone, and with it the checkpoints of stage 'source'" in content["error"]
    assert [stage["name"] for stage in content["stages"]] == ["source"]
    assert record(after)["status"] == "done"


def test_a_run_under_another_runs_name_is_not_its_result(
    finished: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / finished["adda"].name
    shutil.copytree(finished["adda"], folder)
    assert finished_run(folder) is not None
    assert finished_run(folder.rename(tmp_path / finished["cycada"].name)) is None


def test_a_pruned_run_keeps_what_it_needs_to_go_on(
    finished: dict[str, Path], tmp_path: Path
) -> None:
    """Ended at a checkpoint, and taken up, it is the run that was never ended."""
    expected = finished["source-only"]
    request = Request(
        suite=TOY, methods=("source-only",), seeds=(0,), preset="smoke", threads=1, runs=tmp_path
    )
    _, (shift,), (row,) = resolved(request)
    materials = Materials(request, torch.device("cpu"))
    trial, material = make_trial(row, shift, 0, materials)

    def ends(stage: int, checkpoint: int, net: nn.Module) -> None:
        assert (stage, net.training) == (0, True)
        if checkpoint == 2:
            raise PrunedError("others had done better")

    how: dict[str, Any] = {"runs": tmp_path, "device": materials.device, "threads": 1}
    ended = run_trial(trial, material, on_candidate=ends, stages=tmp_path / "cache", **how)
    folder = tmp_path / trial.config.run_id
    assert folder.name == expected.name
    assert ended == record(folder)
    assert (ended["status"], ended["error"]) == ("pruned", "others had done better")
    assert (ended["steps"], ended["checkpoints"], ended["scores"]) == (12, [], {})
    assert ended["finished"] is not None
    assert (folder / "work").is_dir()
    assert finished_run(folder) is None
    again = run_trial(trial, material, stages=tmp_path / "cache", **how)
    assert again["status"] == "done"
    assert files(folder) == files(expected)
    for key in ("steps", "checkpoints", "scores", "error", "config"):
        assert again[key] == record(expected)[key]
    for name in ("confusion.npz", "outputs.safetensors", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    # Stages lie where they were asked to.
    (stage,) = again["stages"]
    assert (tmp_path / "cache" / stage["key"]).is_dir()
    assert not (tmp_path / "stages").exists()


# ------------------------------------------------------------------ claims


@pytest.fixture
def again(
    finished: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Return what runs source-only in `tmp_path`, with claims that nobody waits for long for."""
    request = Request(
        suite=TOY, methods=("source-only",), seeds=(0,), preset="smoke", threads=1, runs=tmp_path
    )
    _, (shift,), (row,) = resolved(request)
    materials = Materials(request, torch.device("cpu"))
    trial, material = make_trial(row, shift, 0, materials)
    assert trial.config.run_id == finished["source-only"].name
    monkeypatch.setattr("bench.run.Claim", partial(Claim, beat=0.05, patience=0.5))

    def run(on_step: Callable[[str, int, int], None]) -> dict[str, Any]:
        how: dict[str, Any] = {"runs": tmp_path, "device": materials.device, "threads": 1}
        return run_trial(trial, material, on_step=on_step, command="this one", **how)

    return run


def stolen(locks: Path) -> Path:
    """Put the claim of another machine in the place of the only one there; return its path."""
    (path,) = (path for path in locks.glob("*.claim"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"token": "x", "machine": "y"}))
    return path


def test_a_run_says_who_runs_it_and_how_far_it_is(
    again: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    seen: list[Seen] = []

    def look(_: str, done: int, total: int) -> None:
        if done == total:
            while not (found := claims(tmp_path / "locks"))[0].done:
                time.sleep(0.01)
            seen.extend(found)

    record = again(look)
    (claim,) = seen
    assert (claim.name, claim.pid, claim.alive) == (record["run_id"], os.getpid(), True)
    assert claim.about == {"run": record["run_id"], "command": "this one"}
    assert (claim.stage, claim.total) == ("source", 30)
    assert claims(tmp_path / "locks") == []


@pytest.mark.parametrize("at", [12, 30])
def test_a_run_that_another_machine_took_over_writes_nothing_and_takes_what_that_one_finds(
    at: int,
    again: Callable[..., dict[str, Any]],
    finished: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It notices while it trains, or when training has ended and results are to be written."""
    monkeypatch.setattr("bench.run.Claim", partial(Claim, beat=0.05, patience=1000.0))
    folder = tmp_path / finished["source-only"].name
    left: list[set[str]] = []

    def take(_: str, done: int, __: int) -> None:
        if done == at:
            claim = stolen(tmp_path / "locks")

            def finish() -> None:
                left.append(files(folder))
                shutil.rmtree(folder)
                shutil.copytree(finished["source-only"], folder)
                claim.unlink()

            threading.Timer(1.0, finish).start()
        if done >= at:
            time.sleep(0.02)

    before = record(finished["source-only"])
    assert again(take) == before
    assert record(folder) == before
    assert {path.partition("/")[0] for path in left[0]} == {"run.json", "work"}


def test_a_run_that_was_taken_over_and_given_up_goes_on(
    again: Callable[..., dict[str, Any]], finished: dict[str, Path], tmp_path: Path
) -> None:
    """The other machine may die in its turn."""
    steps = []

    def take(_: str, done: int, __: int) -> None:
        steps.append(done)
        if done == 30 and steps.count(30) == 1:
            stolen(tmp_path / "locks")  # found only before the results are written

    found = again(take)
    assert (found["status"], found["attempts"]) == ("done", 2)
    assert steps == list(range(1, 31))  # the second attempt found the stage
    folder, expected = tmp_path / found["run_id"], finished["source-only"]
    for name in ("confusion.npz", "outputs.safetensors", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name


def test_ctrl_c_ends_it_even_if_another_machine_took_over(
    again: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    def take(_: str, done: int, __: int) -> None:
        if done == 12:
            stolen(tmp_path / "locks")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(take)
    (path,) = tmp_path.glob("*/run.json")
    assert record(path.parent)["status"] == "running"  # the other one's, from here on


# ------------------------------------------------------------------ predictions


class Net(nn.Module):
    """A network that would tell if it were run in training mode, and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        return self.body(x) + 0.0 * torch.rand(3)


def images(n: int) -> Images:
    return Images(torch.arange(4 * n).remainder(251).to(torch.uint8).view(n, 1, 2, 2), "test")


@pytest.mark.parametrize("training", [True, False])
def test_predictions_leave_mode_weights_and_random_state_alone(*, training: bool) -> None:
    net = Net().train(training)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    logits = predict(net, images(7), 3)
    assert states == (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )
    assert all(part.training == training for part in net.modules())
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    assert (logits.dtype, logits.shape, logits.requires_grad) == (torch.float32, (7, 3), False)
    # One image's prediction depends on no other image, nor on how many are asked at once.
    many = predict(net, images(1_001), 3)
    assert many.shape == (1_001, 3)
    assert torch.allclose(many[:7], logits, atol=1e-6)


def test_predictions_leave_the_mode_of_each_part_alone() -> None:
    """Batch norm is often frozen in a network that trains."""
    net = Net().train()
    net.body[1].eval()
    predict(net, images(7), 3)
    assert [part.training for part in net.body] == [True, False, True, True]


class Shaped(nn.Module):
    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: Tensor) -> object:
        return self.output


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (torch.zeros(7, 4), r"\(7, 4\)"),
        (torch.zeros(7), r"\(7,\)"),
        (torch.zeros(7, 3, 1), r"\(7, 3, 1\)"),
        ((torch.zeros(7, 3),), "tuple"),
        (None, "NoneType"),
    ],
)
def test_predictions_of_another_shape_are_refused(output: object, said: str) -> None:
    with pytest.raises(BenchError, match=rf"logits \(b, 3\), got {said}"):
        predict(Shaped(output), images(7), 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_predictions_that_are_not_finite_are_a_divergence(value: float) -> None:
    logits = torch.zeros(7, 3)
    logits[6, 2] = value
    with pytest.raises(DivergedError, match="NaN or infinity"):
        predict(Shaped(logits), images(7), 3)
