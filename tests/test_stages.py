"""The stage cache: whole stages or none, and the first to finish wins."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from bench.stages import StageStore, load_weights, save_weights

if TYPE_CHECKING:
    from pathlib import Path

META = {"name": "source", "steps": 3, "seconds": 0.5, "stop": None}


def network(seed: int) -> nn.Module:
    """Return a network with batch norm whose statistics have moved."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
    net.to(memory_format=torch.channels_last)
    net(torch.randn(5, 1, 4, 4))
    return net


def assert_equal(a: nn.Module, b: nn.Module) -> None:
    expected = b.state_dict()
    assert a.state_dict().keys() == expected.keys()
    for name, tensor in a.state_dict().items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name]), name


def finished(store: StageStore, folder: Path, net: nn.Module, key: str = "k", **meta: Any) -> None:
    """Save a stage as a trial does: from a folder with its log, a checkpoint and a snapshot."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("{}\n")
    save_weights(net, folder / "checkpoints" / "00000003.safetensors")
    torch.save({}, folder / "loop-0.pt")
    store.save(key, folder, net, META | meta)


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    net = network(0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert StageStore(tmp_path / "not" / "there").load("k", net) is None
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    assert not (tmp_path / "not").exists()


def test_what_was_saved_comes_back_batch_norm_included(tmp_path: Path) -> None:
    store, saved, loaded = StageStore(tmp_path / "stages"), network(0), network(1)
    finished(store, tmp_path / "work", saved)
    meta = StageStore(tmp_path / "stages").load("k", loaded)
    assert meta == {"key": "k", **META}
    assert_equal(loaded, saved)
    buffers = dict(loaded.named_buffers())
    assert int(buffers["1.num_batches_tracked"]) == 1
    assert bool(buffers["1.running_mean"].any())
    assert store.load("other", network(1)) is None


def test_a_stage_moves_in_whole_without_its_snapshots(tmp_path: Path) -> None:
    store = StageStore(tmp_path / "stages")
    finished(store, tmp_path / "work", network(0))
    assert not (tmp_path / "work").exists()
    left = {str(p.relative_to(store.folder("k"))) for p in store.folder("k").rglob("*")}
    assert left == {
        *("stage.json", "weights.safetensors", "metrics.jsonl"),
        *("checkpoints", "checkpoints/00000003.safetensors"),
    }


def test_the_first_to_finish_wins(tmp_path: Path) -> None:
    store, first, second = StageStore(tmp_path / "stages"), network(0), network(1)
    finished(store, tmp_path / "a", first, seconds=1.0)
    finished(store, tmp_path / "b", second, seconds=2.0)
    net = network(2)
    meta = store.load("k", net)
    assert meta is not None
    assert meta["seconds"] == 1.0
    assert_equal(net, first)
    assert not (tmp_path / "b").exists()
    assert [path.name for path in (tmp_path / "stages").iterdir()] == ["k"]


def test_a_folder_without_its_description_is_no_stage(tmp_path: Path) -> None:
    """Somebody may copy a cache while it is being written, or stop the copy half-way."""
    store = StageStore(tmp_path / "stages")
    finished(store, tmp_path / "work", network(0))
    (store.folder("k") / "stage.json").unlink()
    net = network(1)
    assert store.load("k", net) is None
    assert_equal(net, network(1))


def test_an_unwritable_place_is_an_error_and_the_work_stays(tmp_path: Path) -> None:
    (tmp_path / "stages").write_text("a file in the way")
    with pytest.raises(OSError, match="stages"):
        finished(StageStore(tmp_path / "stages"), tmp_path / "work", network(0))
    assert (tmp_path / "work" / "weights.safetensors").exists()


def test_weights_are_safetensors_and_stay_on_their_own_storage(tmp_path: Path) -> None:
    """Tied and transposed weights come back too; safetensors alone would refuse them."""
    net = network(0)
    net[3].weight = nn.Parameter(torch.randn(12, 2).t())  # type: ignore[union-attr]  no copy
    save_weights(net, tmp_path / "w.safetensors")
    header = (tmp_path / "w.safetensors").read_bytes()
    size = int.from_bytes(header[:8], "little")
    assert set(json.loads(header[8 : 8 + size])) == set(net.state_dict())
    other = network(1)
    load_weights(other, tmp_path / "w.safetensors")
    assert_equal(other, net)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(nn.Linear(2, 2), tmp_path / "w.safetensors")
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(nn.Linear(2, 3), tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["weights.safetensors", "stage.json"])
def test_a_damaged_stage_is_as_good_as_none_and_stays_to_be_looked_at(
    name: str, tmp_path: Path
) -> None:
    store = StageStore(tmp_path / "stages")
    finished(store, tmp_path / "work", network(0))
    (store.folder("k") / name).write_bytes(b"\x07")
    untouched = network(1)
    assert store.load("k", untouched) is None
    assert_equal(untouched, network(1))
    assert [path.read_bytes() for path in store.folder("k").parent.rglob(name)] == [b"\x07"]
    finished(store, tmp_path / "again", network(2))
    assert store.load("k", untouched) is not None
    assert_equal(untouched, network(2))


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints/00000003.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{}", None])
def test_each_file_of_a_stage_must_be_what_was_written(
    name: str, content: bytes | None, tmp_path: Path
) -> None:
    store = StageStore(tmp_path / "stages")
    finished(store, tmp_path / "work", network(0))
    path = store.folder("k") / name
    path.unlink() if content is None else path.write_bytes(content)
    assert store.load("k", network(1)) is None
    finished(store, tmp_path / "again", network(2))
    assert store.load("k", network(1)) is not None


@pytest.mark.parametrize("content", ["[]", "7", "{}", '{"key": "k"}', '{"key": "other"}'])
def test_a_description_of_something_else_is_none(content: str, tmp_path: Path) -> None:
    store = StageStore(tmp_path / "stages")
    finished(store, tmp_path / "work", network(0))
    (store.folder("k") / "stage.json").write_text(content)
    assert store.load("k", network(1)) is None


def test_a_stage_of_an_earlier_version_is_read_without_digests(tmp_path: Path) -> None:
    store = StageStore(tmp_path / "stages")
    finished(store, tmp_path / "work", network(0))
    path = store.folder("k") / "stage.json"
    meta = json.loads(path.read_text())
    assert set(meta.pop("digests")) == {
        *("weights.safetensors", "metrics.jsonl", "checkpoints/00000003.safetensors"),
    }
    path.write_text(json.dumps(meta))
    net = network(1)
    assert store.load("k", net) == {"key": "k", **META}
    assert_equal(net, network(0))
    (store.folder("k") / "metrics.jsonl").write_text('{"torn')
    assert store.load("k", net) is None


# ------------------------------------------------------------------ several processes

TRIAL = """
    import json, sys, time
    from pathlib import Path

    import torch
    from torch import nn

    from bench.context import Context
    from bench.stages import StageStore

    root, me, sleep = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

    class Net(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)

        classify = nn.Linear.forward

    ctx = Context(
        seed=0, device=torch.device("cpu"), network=Net, workspace=root / me, budget=100,
        store=StageStore(root / "stages"), identity="i",
    )

    def train(net):
        (root / f"{me} trains").touch()
        for step in ctx.steps(10):
            time.sleep(sleep)
            with torch.no_grad():
                net.weight += torch.rand(())

    print("ready", flush=True)
    sys.stdin.readline()
    with ctx.fitting():
        net = ctx.stage("a", params={}, build=ctx.network, train=train)
    (stage,) = ctx.stages
    print(json.dumps({
        "cached": stage.cached, "stage": stage.seconds, "trial": ctx.seconds,
        "steps": ctx.steps_taken, "weight": net.weight.tolist(),
    }))
"""


def start(root: Path, me: str, sleep: float) -> subprocess.Popen[str]:
    """Start a process that waits for a line before it asks for the stage."""
    command = [sys.executable, "-c", textwrap.dedent(TRIAL), str(root), me, str(sleep)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=60)
    found: dict[str, Any] = json.loads(out)
    return found


def test_of_two_processes_one_computes_a_stage_and_the_other_waits_for_it(tmp_path: Path) -> None:
    both = [start(tmp_path, me, 0.2) for me in ("one", "other")]
    for process in both:
        go(process)
    computed, loaded = sorted((told(process) for process in both), key=lambda one: one["cached"])
    assert len(list(tmp_path.glob("* trains"))) == 1
    assert (computed["cached"], loaded["cached"]) == (False, True)
    assert computed["weight"] == loaded["weight"]
    assert computed["steps"] == loaded["steps"] == 10
    # The two seconds of waiting are charged to nobody.
    assert loaded["stage"] == computed["stage"] > 1.5
    assert loaded["trial"] < 1.5 * loaded["stage"]


def test_a_stage_whose_process_dies_is_computed_by_who_waits(tmp_path: Path) -> None:
    first, second = (start(tmp_path, me, sleep) for me, sleep in (("one", 9.0), ("other", 0.0)))
    go(first)
    while not (tmp_path / "one trains").exists():
        time.sleep(0.01)
    go(second)
    time.sleep(0.5)
    assert not (tmp_path / "other trains").exists()
    first.kill()
    assert told(second)["cached"] is False
    first.communicate()
    assert [path.name for path in (tmp_path / "stages").rglob("*.claim")] == []


def test_what_a_kill_tore_is_not_kept(tmp_path: Path) -> None:
    store, work = StageStore(tmp_path / "stages"), tmp_path / "work"
    (work / "checkpoints").mkdir(parents=True)
    torn = work / "checkpoints" / ".00000003.safetensors.x.safetensors"
    torn.write_bytes(b"")
    store.save("k", work, network(0), META)
    assert not list(store.folder("k").rglob(".*"))
