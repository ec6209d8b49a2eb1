"""The stage cache: whole stages or none, and the first to finish wins."""

from __future__ import annotations

import json
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


def test_what_a_kill_tore_is_not_kept(tmp_path: Path) -> None:
    store, work = StageStore(tmp_path / "stages"), tmp_path / "work"
    (work / "checkpoints").mkdir(parents=True)
    torn = work / "checkpoints" / ".00000003.safetensors.x.safetensors"
    torn.write_bytes(b"")
    store.save("k", work, network(0), META)
    assert not list(store.folder("k").rglob(".*"))
