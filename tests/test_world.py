"""Trials of several processes: for real, with two of them on the CPU."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bench import world
from bench.context import Context
from bench.errors import BenchError
from bench.executors import name_of
from bench.request import Request
from bench.stages import StageStore
from bench.step import Step
from bench.sweep import sweep
from bench.task import Images, LabeledImages
from bench.world import Alone
from cycada.feature_stage import Feature, adapt_features
from cycada.pixel_stage import Pixel
from cycada.semantics import Semantics

PLUGINS = Path(__file__).parent / "plugins"


def launch(*arguments: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Start processes as torchrun does, with their own port, on the CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes))
    result = subprocess.run(
        [*launcher, "--master-port", str(port), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    return result


def linear(runs: Path) -> Path:
    """Run the linear method in this process alone; return its run folder."""
    request = Request(
        suite=f"{PLUGINS / 'toy_suite.py'}:TOY",
        methods=(f"{PLUGINS / 'linear.py'}:Linear",),
        seeds=(0,),
        preset="smoke",
        threads=1,
        device="cpu",
        runs=runs,
    )
    (outcome,) = sweep(request).outcomes
    return runs / outcome["run_id"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    stage = json.loads((folder / "run.json").read_text())["stages"][-1]["key"]
    return load_file(folder.parent / "stages" / stage / "weights.safetensors")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def both(root: Path) -> list[dict[str, Any]]:
    """Return what each of two processes found."""
    pytest.importorskip("accelerate", reason="needs the extra 'accelerate'")
    launch(str(PLUGINS / "two_processes.py"), str(root))
    return [json.loads((root / f"{rank}.json").read_text()) for rank in (0, 1)]


# ------------------------------------------------------------------ two processes


def test_processes_talk(both: list[dict[str, Any]]) -> None:
    assert [(each["rank"], each["size"]) for each in both] == [(0, 2), (1, 2)]
    for each in both:
        assert each["mean"] == [1.5, 5.0]
        assert each["broadcast"] == {"from": 0}
        assert each["gather"] == [0, 1]


def test_processes_that_are_apart_hear_where_each_is(both: list[dict[str, Any]]) -> None:
    for each in both:
        assert "process 0 is at place 0; process 1 is at place 1" in each["apart"]
        assert "ctx.mean" in each["apart"]


def test_two_processes_train_what_one_does(
    both: list[dict[str, Any]], root: Path, tmp_path: Path
) -> None:
    assert both[0]["trial"] == both[1]["trial"]
    assert both[0]["trial"]["status"] == "done"
    two, one = root / "runs" / both[0]["trial"]["run_id"], linear(tmp_path)
    expected = weights(one)
    for name, value in weights(two).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    records = [json.loads((folder / "run.json").read_text()) for folder in (one, two)]
    assert "processes" not in records[0]["config"]
    assert records[1]["config"]["processes"] == 2
    assert records[0]["run_id"] != records[1]["run_id"]
    assert records[0]["stages"][0]["key"] != records[1]["stages"][0]["key"]
    # Both see the whole batch's loss, and only one writes it.
    losses = [
        [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (one, two)
    ]
    assert len(losses[1]) == 40
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_finished_trial_is_not_run_again(both: list[dict[str, Any]], root: Path) -> None:
    assert both[0]["again"] == both[1]["again"] == both[0]["trial"]
    record = json.loads((root / "runs" / both[0]["trial"]["run_id"] / "run.json").read_text())
    assert record["attempts"] == 1


def test_a_batch_that_cannot_be_shared_is_an_error(both: list[dict[str, Any]]) -> None:
    for each in both:
        assert "2 processes cannot share a batch of 33 equally" in each["odd batch"]
    # Process 0 recorded it.
    assert "ended as 'failed'" in both[0]["odd batch"]


def test_a_method_that_goes_separate_ways_is_an_error_and_no_hang(
    both: list[dict[str, Any]],
) -> None:
    for each in both:
        assert re.search(
            r"process 0 is at a SGD step of \d+ gradients at step 6 .*process 1 is at the end of"
            r" the stage",
            each["astray"],
        )


def test_an_interrupted_stage_goes_on_in_both(both: list[dict[str, Any]]) -> None:
    for each in both:
        assert each["interrupted"] is None
        assert each["resumed"] == each["torn"] == each["whole"] == both[0]["whole"]


def test_the_command_on_scenes_with_batch_norm(tmp_path: Path) -> None:
    """One table is printed, and one folder written; both processes' maps of scores are used."""
    pytest.importorskip("accelerate", reason="needs the extra 'accelerate'")
    said = launch(
        *("-m", "bench.cli", "run", "--suite", f"{PLUGINS / 'toy_scenes.py'}:SCENES"),
        *("--method", "adda", "--seeds", "1", "--preset", "smoke", "--backbone", "lean"),
        *("--threads", "1", "--runs", str(tmp_path / "runs"), "--data", str(tmp_path / "data")),
    )
    assert said.stdout.count("day2night: protocol camvid-11") == 1
    assert "backbone lean" in said.stdout
    assert "trained in float32, 2 processes" in said.stdout
    (path,) = (tmp_path / "runs").glob("adda-*/run.json")
    record = json.loads(path.read_text())
    assert (record["status"], record["config"]["processes"]) == ("done", 2)
    assert [stage["name"] for stage in record["stages"]] == ["source", "feature"]


# ------------------------------------------------------------------ one process


def test_alone_every_answer_is_the_question() -> None:
    alone, numbers = Alone(), torch.tensor([0.1])
    assert alone.mean(numbers, "here") is numbers
    assert alone.broadcast("a", "here") == "a"
    assert alone.gather("a", "here") == ["a"]
    assert (alone.rank, alone.size) == (0, 1)


def test_without_a_launcher_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (world.size(), world.rank()) == (1, 0)
    monkeypatch.setenv("RANK", "3")  # somebody else's
    assert world.rank() == 0


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_shares_make_up_the_batch(processes: int) -> None:
    pixels = torch.arange(24, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 6, 6)
    pixels = pixels + torch.arange(36, dtype=torch.uint8).view(6, 6)
    images = LabeledImages(pixels, torch.arange(24), "source")

    def batch(rank: int, of: int, crop: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        step = Step(
            7,
            lambda _, __, size: torch.arange(24).flip(0)[:size],
            lambda *_: torch.Generator().manual_seed(5),
            rank,
            of,
        )
        return step.batch(images, 12, crop)

    for crop in (None, 4):
        x, y = batch(0, 1, crop)
        shares = [batch(rank, processes, crop) for rank in range(processes)]
        assert torch.equal(torch.cat([share[0] for share in shares]), x)
        assert torch.equal(torch.cat([share[1] for share in shares]), y)
        assert {len(share[1]) for share in shares} == {12 // processes}


def test_a_remainder_is_refused() -> None:
    images = Images(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), "target")
    step = Step(0, lambda *_: torch.arange(9), lambda *_: torch.Generator(), 0, 2)
    with pytest.raises(BenchError, match="2 processes cannot share a batch of 9 equally"):
        step.batch(images, 9)


def test_launched_processes_start_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert name_of(Request()) == "serial"
    for asked in (Request(jobs=2), Request(executor="ray")):
        with pytest.raises(BenchError, match="2 processes were launched for each trial"):
            name_of(asked)


# ------------------------------------------------------------------ what steers a method


class Agreed(Context):
    """A harness whose processes agree on one number, whatever this one found."""

    agreed = 0.0

    def mean(self, value: float) -> float:
        assert 0 <= value < 1_000
        return self.agreed


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)

    def classify(self, f: torch.Tensor) -> torch.Tensor:
        return self.head(f)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(x))


def agreed(folder: Path, value: float) -> Agreed:
    ctx = Agreed(
        seed=0,
        device=torch.device("cpu"),
        network=Linear,
        workspace=folder / "work",
        store=StageStore(folder / "stages"),
        identity="identity",
        budget=1_000,
    )
    ctx.agreed = value
    return ctx


@pytest.mark.parametrize(("value", "opens"), [(0.0, 0.0), (1.0, 1.0)])
def test_the_gate_opens_by_the_accuracy_on_the_whole_batch(
    value: float, opens: float, tmp_path: Path
) -> None:
    ctx, how = agreed(tmp_path, value), Feature(max_steps=2, batch=8, hidden=4, gate=0.5)
    pixels = torch.randint(0, 256, (16, 1, 2, 2), dtype=torch.uint8)
    source = LabeledImages(pixels, torch.arange(16) % 3, "source")
    adapt_features(Linear(), Linear(), source, source.images(), how, ctx)
    lines = [json.loads(line) for line in ctx.unstaged_log]
    assert [line["gate_open"] for line in lines] == [opens] * 2
    assert [line["discriminator_accuracy"] for line in lines] == [value] * 2


@pytest.mark.parametrize(("value", "ready"), [(1.5, False), (0.5, True)])
def test_the_semantic_loss_sets_in_by_the_loss_on_the_whole_batch(
    value: float,
    ready: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    semantics = Semantics(Pixel(semantic="released"), Linear(), agreed(tmp_path, value))
    x = torch.randn(6, 1, 2, 2)
    terms = semantics.losses(x, torch.arange(6) % 3, x, x, x, (2, 2))
    assert ("semantic_s" in terms) == ready
