"""Files that a loss of power tore, or a bad disk: noticed, done again, and never a wrong number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench import evidence
from bench.errors import BenchError
from bench.records import read_confusions
from bench.request import Request
from bench.run import finished_run
from bench.stages import StageStore, load_weights, save_weights
from bench.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

TOY = f"{Path(__file__).parent / 'plugins' / 'toy_suite.py'}:TOY"

Damage = tuple[str, float, bytes]
"""How, where (0..1 of the file), and the bytes that are there instead of the right ones."""

KINDS = ("truncated", "zeros", "noise", "hole", "longer")

damages = st.tuples(
    st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=64)
)


def damaged(content: bytes, damage: Damage) -> bytes:
    """Return what is left of a file. A hole is of zeros, as of a block that was never written."""
    kind, where, noise = damage
    at = int(where * len(content))
    rest = len(content) - at
    if kind == "truncated":
        return content[:at]
    if kind == "zeros":
        return content[:at] + bytes(rest)
    if kind == "noise":
        return content[:at] + (noise * (rest // len(noise) + 1))[:rest]
    if kind == "hole":
        return content[:at] + bytes(min(rest, 512)) + content[at + 512 :]
    return content + noise


def run(runs: Path) -> dict[str, Any]:
    asked = {"suite": TOY, "seeds": (0,), "preset": "smoke", "threads": 1, "device": "cpu"}
    (outcome,) = sweep(Request(methods=("adda",), runs=runs, **asked)).outcomes
    content: dict[str, Any] = json.loads((runs / outcome["run_id"] / "run.json").read_text())
    return content


def matrices(folder: Path) -> dict[str, Any]:
    found = read_confusions(folder)
    return {str(k): m.tolist() for k, m in (found.checkpoints | found.stages).items()}  # type: ignore[operator]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a runs folder with one finished run."""
    runs = tmp_path_factory.mktemp("torn") / "runs"
    assert run(runs)["status"] == "done"
    return runs


# ------------------------------------------------------------------ many kinds, file by file


@pytest.fixture(scope="module")
def copies(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Damage], Path]:
    """Return what makes a copy of the finished run's folder, one of its files damaged."""
    (folder,) = (path.parent for path in whole.glob("*/run.json"))
    copy = tmp_path_factory.mktemp("copy") / folder.name
    shutil.copytree(folder, copy)

    def make(name: str, damage: Damage) -> Path:
        for original in ("run.json", "confusion.npz", "outputs.safetensors"):
            (copy / original).write_bytes((folder / original).read_bytes())
        (copy / name).write_bytes(damaged((folder / name).read_bytes(), damage))
        return copy

    return make


@pytest.mark.parametrize("name", ["run.json", "confusion.npz"])
@settings(max_examples=100)
@given(damage=damages)
def test_a_torn_run_is_to_be_done_again_or_is_what_it_was(
    name: str, damage: Damage, copies: Callable[[str, Damage], Path], whole: Path
) -> None:
    folder = copies(name, damage)
    record = finished_run(folder)
    if record is not None:
        assert record == finished_run(whole / folder.name)
        assert matrices(folder) == matrices(whole / folder.name)


@settings(max_examples=100)
@given(damage=damages)
def test_torn_outputs_are_named_or_are_what_they_were(
    damage: Damage, copies: Callable[[str, Damage], Path], whole: Path
) -> None:
    """New rules judge by them, long after."""
    folder = copies("outputs.safetensors", damage)
    try:
        found = evidence.read(folder)
    except BenchError as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert folder.name in said
        return
    expected = evidence.read(whole / folder.name)
    assert found.keys() == expected.keys()
    for step, seen in found.items():
        for part in ("target", "validation", "labels", "weights"):
            assert np.array_equal(getattr(seen, part), getattr(expected[step], part))


def test_matrices_of_other_checkpoints_than_the_record_has_are_none(
    copies: Callable[[str, Damage], Path],
) -> None:
    folder = copies("confusion.npz", ("truncated", 1.0, b""))
    assert finished_run(folder) is not None
    with np.load(folder / "confusion.npz") as file:
        arrays = {name: file[name] for name in file}
    assert arrays.pop("checkpoint-00000002") is not None
    np.savez(folder / "confusion.npz", **arrays)
    assert finished_run(folder) is None


def network(value: float) -> nn.Linear:
    net = nn.Linear(40, 5)
    for parameter in net.parameters():
        nn.init.constant_(parameter, value)
    return net


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> StageStore:
    """Return a store with the finished stage "k" of a small network."""
    root = tmp_path_factory.mktemp("stages")
    store, work = StageStore(root / "stages"), root / "work"
    save_weights(network(0.5), work / "checkpoints" / "00000003.safetensors")
    (work / "metrics.jsonl").write_text('{"step":1}\n{"step":2}\n')
    store.save("k", work, network(1.0), {"name": "a", "steps": 3, "seconds": 0.5, "stop": None})
    return store


@pytest.mark.parametrize(
    "name",
    ["stage.json", "weights.safetensors", "metrics.jsonl", "checkpoints/00000003.safetensors"],
)
@settings(max_examples=100)
@given(damage=damages)
def test_a_torn_stage_is_none_or_is_what_it_was(
    name: str, damage: Damage, stage: StageStore
) -> None:
    path = stage.folder("k") / name
    content = path.read_bytes()
    path.write_bytes(damaged(content, damage))
    try:
        net = network(2.0)
        meta = stage.load("k", net)
        if meta is None:
            assert float(net.weight[0, 0].detach()) == 2.0  # untouched
            return
        assert meta == {"key": "k", "name": "a", "steps": 3, "seconds": 0.5, "stop": None}
        assert all((p == 1.0).all() for p in net.parameters())
        load_weights(net, stage.folder("k") / "checkpoints" / "00000003.safetensors")
        assert all((p == 0.5).all() for p in net.parameters())
        assert (stage.folder("k") / "metrics.jsonl").read_text() == '{"step":1}\n{"step":2}\n'
    finally:
        path.write_bytes(content)


# ------------------------------------------------------------------ the whole command

SOME: tuple[Damage, ...] = (
    ("truncated", 0.0, b""),
    ("truncated", 0.7, b""),
    ("zeros", 0.3, b""),
    ("noise", 0.5, b"\x9b{"),
)

FILES = (
    *("run.json", "confusion.npz", "outputs.safetensors", "metrics.jsonl", "figures/*.png"),
    "checkpoints/00000002.safetensors",
)
STAGE_FILES = (
    *("stage.json", "weights.safetensors", "metrics.jsonl", "checkpoints/00000002.safetensors"),
)


def assert_again(runs: Path, whole: Path) -> None:
    again = run(runs)
    folder, expected = runs / again["run_id"], whole / again["run_id"]
    assert (again["status"], again["error"]) == ("done", None)
    assert matrices(folder) == matrices(expected)
    assert not [path for path in runs.rglob(".*") if path.is_file()]


@pytest.mark.parametrize("place", range(len(FILES)))
def test_the_same_command_makes_a_torn_run_whole(place: int, whole: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(whole, runs)
    (path,) = list(runs.glob(f"adda-*/{FILES[place]}"))[:1]
    path.write_bytes(damaged(path.read_bytes(), SOME[place % len(SOME)]))
    assert_again(runs, whole)


@pytest.mark.parametrize("place", range(len(STAGE_FILES)))
def test_the_same_command_makes_torn_stages_whole(place: int, whole: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(whole, runs)
    (folder,) = (path.parent for path in runs.glob("adda-*/run.json"))
    shutil.rmtree(folder)
    paths = list(runs.glob(f"stages/*/{STAGE_FILES[place]}"))
    assert paths
    for path in paths:
        path.write_bytes(damaged(path.read_bytes(), SOME[place % len(SOME)]))
    assert_again(runs, whole)
    aside = list(runs.glob("stages/damaged-*"))
    assert len(aside) == len(paths)


def test_a_torn_snapshot_costs_its_loop_and_nothing_else(whole: Path, tmp_path: Path) -> None:
    """A snapshot is not forced to the disk: after a loss of power it may be of zeros."""
    runs = tmp_path / "runs"
    (stages,) = (json.loads(path.read_text())["stages"] for path in whole.glob("*/run.json"))
    run_id = next(whole.glob("adda-*")).name
    work = runs / run_id / "work" / stages[0]["key"]
    work.mkdir(parents=True)
    (work / "loop-0.pt").write_bytes(bytes(4096))
    (work / ".loop-0.pt.abcdefgh.pt").write_bytes(b"half")
    (runs / run_id / ".run.json.abcdefgh.json").write_bytes(b"half")
    assert_again(runs, whole)
