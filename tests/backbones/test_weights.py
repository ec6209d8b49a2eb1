"""Initial weights from files and hubs: what fits, what does not, and nothing is ever run."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet18

from bench import backbones
from bench.backbones.drn import DRN26
from bench.errors import BenchError, MissingDataError

State = dict[str, Tensor]


def lenet(weights: str = "random", classes: int = 10) -> nn.Module:
    return backbones.build("lenet", classes=classes, channels=1, size=16, weights=weights)


def drn26(weights: str, classes: int = 5) -> nn.Module:
    return backbones.build("drn26", classes=classes, channels=3, size=(32, 64), weights=weights)


def saved(state: object, path: Path, **options: Any) -> str:
    """Write a state dict in the format that the path's name says."""
    if path.suffix == ".safetensors":
        assert isinstance(state, dict)
        save_file(state, path)
    else:
        torch.save(state, path, **options)
    return str(path)


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


@pytest.fixture
def released_drn26() -> State:
    """As its authors released it: a classifier of 1000 classes, without counters of batches."""
    torch.manual_seed(3)
    trunk = DRN26().trunk.state_dict()
    for key, value in trunk.items():
        if "running" in key:
            value.uniform_(0.5, 1.5)
    state = {k: v for k, v in trunk.items() if not k.endswith("num_batches_tracked")}
    return state | {"fc.weight": torch.rand(1000, 512, 1, 1), "fc.bias": torch.rand(1000)}


# ------------------------------------------------------------------ what fits


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
def test_a_network_comes_back_from_its_file(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    state = lenet().state_dict()
    torch.manual_seed(2)
    assert not same(lenet().state_dict(), state)
    assert same(lenet(saved(state, tmp_path / name)).state_dict(), state)


def test_the_classifier_may_be_missing_and_is_then_random(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = lenet().state_dict()
    path = saved({k: v for k, v in state.items() if "head" not in k}, tmp_path / "w.safetensors")
    torch.manual_seed(2)
    expected = lenet(classes=3).state_dict()
    torch.manual_seed(2)
    found = lenet(path, classes=3).state_dict()
    for key, value in found.items():
        assert torch.equal(value, (expected if "head" in key else state)[key]), key


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_a_released_trunk_fits_drn26(
    tmp_path: Path, released_drn26: State, options: dict[str, bool]
) -> None:
    """Also in torch's format of that time."""
    found = drn26(saved(released_drn26, tmp_path / "drn.pth", **options)).state_dict()
    assert found["head.weight"].shape == (5, 512, 1, 1)
    for key, value in released_drn26.items():
        assert key.startswith("fc.") or torch.equal(found[f"trunk.{key}"], value), key


def test_an_encoder_of_torchvision_fits_smp(tmp_path: Path) -> None:
    state = resnet18().state_dict()
    net = backbones.build(
        "smp/unet/resnet18",
        classes=5,
        channels=3,
        size=32,
        weights=saved(state, tmp_path / "w.pth"),
    )
    found = net.state_dict()
    assert {f"net.encoder.{k}" for k in state if not k.startswith("fc.")} <= found.keys()
    for key, value in state.items():
        assert key.startswith("fc.") or torch.equal(found[f"net.encoder.{key}"], value), key


def test_a_model_of_timm_fits_its_encoder(tmp_path: Path) -> None:
    state = timm.create_model("resnet10t").state_dict()
    path = saved(state, tmp_path / "w.safetensors")
    net = backbones.build("timm/resnet10t", classes=5, channels=3, size=32, weights=path)
    found = net.state_dict()
    for key, value in state.items():
        assert key.startswith("fc.") or torch.equal(found[f"net.encoder.model.{key}"], value), key


def test_a_whole_network_of_smp_fits_by_its_own_names(tmp_path: Path) -> None:
    import segmentation_models_pytorch as smp

    theirs = smp.create_model("fpn", "resnet18", None, classes=5).eval()
    path = saved(theirs.state_dict(), tmp_path / "w.pth")
    ours = backbones.build("smp/fpn/resnet18", classes=5, channels=3, size=32, weights=path).eval()
    x = torch.rand(1, 3, 32, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(ours.prepared(x)))
    again = saved(ours.state_dict(), tmp_path / "again.safetensors")
    back = backbones.build("smp/fpn/resnet18", classes=5, channels=3, size=32, weights=again)
    assert same(back.state_dict(), ours.state_dict()), "and by ours"


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    state = lenet().state_dict()
    first = saved(state, tmp_path / "a.safetensors")
    (tmp_path / "elsewhere").mkdir()
    second = saved(state, tmp_path / "elsewhere" / "b.safetensors")
    described = backbones.describe_weights(first)
    assert described == backbones.describe_weights(second)
    digest = subprocess.run(["sha256sum", first], check=True, capture_output=True, text=True)
    assert described == f"file sha256:{digest.stdout[:12]}"
    state["head.1.bias"] += 1
    saved(state, Path(second))
    assert described != backbones.describe_weights(second)
    assert [backbones.describe_weights(w) for w in ("random", "imagenet")] == ["random", "imagenet"]


# ------------------------------------------------------------------ what does not


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    state = lenet().state_dict()
    del state["trunk.0.bias"], state["head.1.bias"]
    state |= {"extra": torch.zeros(1), "trunk.3.bias": torch.zeros(7)}
    before = {k: v.clone() for k, v in lenet().state_dict().items()}
    path = saved(state, tmp_path / "w.pth")
    with pytest.raises(BenchError) as caught:
        lenet(path)
    message = str(caught.value)
    assert f"The weights in {path} do not fit the backbone." in message
    assert "Missing: trunk.0.bias, head.1.bias; superfluous: extra;" in message
    assert "of another shape: trunk.3.bias (7,) for (50,)." in message
    assert "the classifier may be left out" in message
    assert before.keys() == lenet().state_dict().keys()


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    path = saved({f"key{i}": torch.zeros(1) for i in range(9)}, tmp_path / "w.pth")
    with pytest.raises(BenchError, match="superfluous: key0, key1, key2, key3 and 5 more"):
        lenet(path)


def test_a_classifier_for_other_classes_is_no_classifier_left_out(tmp_path: Path) -> None:
    path = saved(lenet(classes=4).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(BenchError, match=r"head.1.weight \(4, 500\) for \(10, 500\)"):
        lenet(path)


def test_half_a_vgg16_is_refused(tmp_path: Path) -> None:
    """The convolutions without the two large layers are no trunk of FCN8s."""
    path = saved({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "w.pth")
    with torch.device("meta"), pytest.raises(BenchError, match="Missing: trunk.0.bias,"):
        backbones.build("fcn8s", classes=5, channels=3, size=32, weights=path)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_a_damaged_file(tmp_path: Path, name: str, kept: int) -> None:
    path = Path(saved(lenet().state_dict(), tmp_path / name))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BenchError, match="is damaged|is no plain file of tensors") as caught:
        lenet(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, "a dict of state_dict, epoch"),
        ([torch.zeros(1)], "a list"),
        (torch.zeros(1), "a Tensor"),
    ],
)
def test_a_file_of_other_things(tmp_path: Path, content: object, said: str) -> None:
    path = saved(content, tmp_path / "w.pth")
    with pytest.raises(BenchError, match=f"w.pth holds {said}, expected tensors by name"):
        lenet(path)


class Malicious:
    """Makes a folder when it is unpickled, if it is."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("plain", [True, False])
def test_a_pickle_is_refused_and_never_run(tmp_path: Path, plain: bool) -> None:  # noqa: FBT001
    path, made = tmp_path / "w.pth", tmp_path / "made"
    if plain:
        path.write_bytes(pickle.dumps({"a": Malicious(made)}))
    else:
        torch.save({"a": Malicious(made)}, path)
    with pytest.raises(BenchError, match="is not read: to read it could run code"):
        lenet(str(path))
    assert not made.exists()
    if plain:
        pickle.loads(path.read_bytes())  # noqa: S301  our own: it would have
        assert made.exists()


def test_no_such_file(tmp_path: Path) -> None:
    for ask in (lenet, backbones.describe_weights, lambda w: backbones.check("drn26", w)):
        with pytest.raises(MissingDataError, match="There is no file of weights .*nope.pth. Init"):
            ask(str(tmp_path / "nope.pth"))
        with pytest.raises(MissingDataError, match="are 'random', 'imagenet', or a path"):
            ask("imagenett")


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text("weights")
    with pytest.raises(BenchError, match="w.txt is no file of weights by its name"):
        backbones.check("lenet", str(tmp_path / "w.txt"))


# ------------------------------------------------------------------ the hubs


@pytest.mark.parametrize("name", ["lenet", "dtn", "lean"])
def test_some_have_no_pretrained_weights(name: str) -> None:
    with pytest.raises(BenchError, match=f"no ImageNet weights for the backbone '{name}'"):
        backbones.check(name, "imagenet")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take the network and all caches away."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    # Read once, on import; without it, the hub's client tries for half a minute.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "what", "where"),
    [
        ("drn26", "backbone 'drn26'", "http://dl.yf.io/drn/drn_c_26-ddedf421.pth"),
        ("fcn8s", "backbone 'fcn8s'", "https://download.pytorch.org/models/vgg16-397923af.pth"),
        ("smp/unet/resnet18", "encoder 'resnet18'", "huggingface.co"),
        ("timm/resnet18", "encoder 'tu-resnet18'", "huggingface.co"),
    ],
)
def test_offline_the_error_says_what_to_do(name: str, what: str, where: str) -> None:
    device = "meta" if name in backbones.names() else "cpu"
    with torch.device(device), pytest.raises(MissingDataError) as caught:
        backbones.build(name, classes=5, channels=3, size=32, weights="imagenet")
    message = str(caught.value)
    assert f"The ImageNet weights of the {what} cannot be had from {where} (" in message
    assert "give the file's path as initial weights, or use 'random'" in message


@pytest.mark.usefixtures("offline")
def test_what_torch_has_in_its_cache_needs_no_network(
    tmp_path: Path, released_drn26: State
) -> None:
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    saved(released_drn26, cache / "drn_c_26-ddedf421.pth")
    found = drn26("imagenet").state_dict()
    assert torch.equal(found["trunk.layer8.0.bn2.running_var"], released_drn26["layer8.0.bn2.running_var"])  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("name", ["smp/fpn/resnet18", "timm/resnet10t", "drn26", "lean"])
def test_random_asks_no_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    for function in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, function, lambda *a, **_: asked.append(a))
    backbones.build(name, classes=2, channels=3, size=32)
    assert not asked


# ------------------------------------------------------------------ names of smp and timm


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smp/unett/resnet18", "architecture of segmentation-models-pytorch 'unett'.* unet"),
        ("smp/unet/resnett18", "encoder of segmentation-models-pytorch 'resnett18'.* resnet18"),
        ("smp/unet/tu-resnet19", "model of timm 'resnet19'.* resnet18"),
        ("timm/resnet19", "model of timm 'resnet19'. The nearest of [0-9]+: resnet18"),
    ],
)
def test_an_unknown_part_is_answered_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(BenchError, match=f"Unknown {said}") as caught:
        backbones.check(name)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", ["smp/linknet/mit_b0", "smp/dpt/resnet18"])
def test_a_pair_that_does_not_go_together(name: str) -> None:
    with pytest.raises(BenchError, match="cannot build '.*' on the encoder '.*': .*supported"):
        backbones.build(name, classes=2, channels=3, size=32)


def test_an_encoder_without_pretrained_weights() -> None:
    backbones.check("timm/resnet18", "imagenet")
    with pytest.raises(BenchError, match="no ImageNet weights for the encoder 'tu-resnet10t"):
        backbones.check("timm/resnet10t.not_there", "imagenet")
