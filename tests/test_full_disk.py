"""A disk that is full at any moment of a trial: a clear end, an intact folder, a way to go on."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench import ending
from bench.errors import MachineError
from bench.request import Request
from bench.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

TOY = f"{Path(__file__).parent / 'plugins' / 'toy_suite.py'}:TOY"

# Trains in one stage, and then leaves as many bytes free on the disk as a file says.
METHOD = """
    import os
    from dataclasses import dataclass
    from pathlib import Path

    import torch
    from torch import nn

    HERE = Path(__file__).parent

    def fill(left):
        disk = os.statvfs(HERE / "disk")
        free = disk.f_bavail * disk.f_frsize
        if free > left:
            (HERE / "disk" / "ballast").write_bytes(os.urandom(free - left))

    @dataclass(frozen=True)
    class Fills:
        def fit(self, task, ctx):
            def train(net):
                optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
                for step in ctx.steps(20, {"optimizer": optimizer}):
                    x, y = step.batch(task.source, 16)
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(net(x), y).backward()
                    optimizer.step()
                    ctx.log(loss=0.5)
            net = ctx.stage("source", params={}, build=ctx.network, train=train)
            if (HERE / "left").exists():
                fill(int((HERE / "left").read_text()))
            return net
"""

SIZES = (8, 24, 72, 96, 500, 700, 800, 1300, 1700)
"""KiB of disks on which a trial that would take about 1,900 meets the end at different places."""

LEFT = (0, 24, 32, 48, 128)
"""KiB left on the disk when training has ended and the results are to be written."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return an empty folder for a file system of its own, which is taken away in the end."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mount(place, 64)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system cannot be mounted here (that takes root)")
    subprocess.run(["umount", str(place)], check=True)
    yield place
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def free(place: Path) -> int:
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize


def mount(place: Path, kilobytes: int) -> None:
    size = f"size={kilobytes}k"
    command = ["mount", "-t", "tmpfs", "-o", size, "none", str(place)]
    subprocess.run(command, check=True, capture_output=True)


def grow(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)


def run(method: str, runs: Path) -> dict[str, Any]:
    asked = {"suite": TOY, "seeds": (0,), "preset": "smoke", "threads": 1, "device": "cpu"}
    (outcome,) = sweep(Request(methods=(method,), runs=runs, **asked)).outcomes
    return record(runs, outcome["run_id"])


def record(runs: Path, run_id: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((runs / run_id / "run.json").read_text())
    return content


def matrices(runs: Path, run_id: str) -> dict[str, Any]:
    with np.load(runs / run_id / "confusion.npz") as arrays:
        return {name: arrays[name].tolist() for name in arrays}


def assert_intact(runs: Path) -> None:
    """Nothing in a runs folder is half a file, whatever could not be written."""
    for path in runs.rglob("*.json"):
        json.loads(path.read_text())
    for path in runs.glob("*/confusion.npz"):
        with np.load(path) as arrays:
            assert all(arrays[name].sum() for name in arrays)
    assert not [path for path in runs.rglob(".*") if path.is_file()]
    assert not list((runs / "locks").glob("*.claim"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of runs of both methods that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "fills.py").write_text(textwrap.dedent(METHOD))
    for method in ("source-only", f"{folder / 'fills.py'}:Fills"):
        assert run(method, folder / "runs")["status"] == "done"
    return folder / "runs"


@pytest.mark.parametrize("size", SIZES)
def test_a_disk_that_fills_up_while_it_trains(size: int, disk: Path, undisturbed: Path) -> None:
    (expected,) = undisturbed.glob("source-only-*")
    run_id, runs = expected.name, disk / "runs"
    mount(disk, size)
    with pytest.raises(MachineError, match=r"disk is full.*the same command then goes on"):
        run("source-only", runs)
    assert_intact(runs)
    if size >= 96:  # room for the claim, the reserve and the first record
        content = record(runs, run_id)
        assert content["status"] == "interrupted"
        assert "the disk is full" in content["error"]
    grow(disk)
    again = run("source-only", runs)
    assert (again["status"], again["error"]) == ("done", None)
    assert matrices(runs, run_id) == matrices(undisturbed, run_id)
    assert again["scores"] == record(undisturbed, run_id)["scores"]
    assert not (runs / run_id / "work").exists()


@pytest.mark.parametrize("left", LEFT)
def test_a_disk_that_is_full_when_results_are_written(
    left: int, disk: Path, undisturbed: Path
) -> None:
    (disk.parent / "fills.py").write_text(textwrap.dedent(METHOD))
    (disk.parent / "left").write_text(str(1024 * left))
    method, runs = f"{disk.parent / 'fills.py'}:Fills", disk / "runs"
    (expected,) = undisturbed.glob("fills-*")
    mount(disk, 8192)
    if left < 128:
        with pytest.raises(MachineError, match="the disk is full"):
            run(method, runs)
        assert record(runs, expected.name)["status"] == "interrupted"
    else:
        assert run(method, runs)["status"] == "done"
    assert_intact(runs)
    (disk.parent / "left").unlink()
    (disk / "ballast").unlink()
    again = run(method, runs)
    assert (again["status"], again["error"]) == ("done", None)
    assert matrices(runs, again["run_id"]) == matrices(undisturbed, expected.name)
    for name in ("metrics.jsonl", "outputs.safetensors", "figures/confusion.png"):
        assert (runs / again["run_id"] / name).read_bytes() == (expected / name).read_bytes()


def test_if_not_even_the_reserve_helps_the_user_hears_of_it(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may be faster to take the room that was made."""
    give = ending._give_reserve

    def taken(folder: Path) -> bool:
        given = give(folder)
        (disk / "more").write_bytes(os.urandom(free(disk)))
        return given

    (disk.parent / "fills.py").write_text(textwrap.dedent(METHOD))
    (disk.parent / "left").write_text("0")
    mount(disk, 8192)
    monkeypatch.setattr(ending, "_give_reserve", taken)
    with pytest.raises(MachineError, match="was left as it is"):
        run(f"{disk.parent / 'fills.py'}:Fills", disk / "runs")
    monkeypatch.undo()
    (found,) = (disk / "runs").glob("*/run.json")
    assert json.loads(found.read_text())["status"] == "running"
    assert_intact(disk / "runs")
    (disk.parent / "left").unlink()
    grow(disk)
    assert run(f"{disk.parent / 'fills.py'}:Fills", disk / "runs")["status"] == "done"
