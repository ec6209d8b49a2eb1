"""The list of backbones: light to read, true to the networks, helpful about a wrong name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from bench import backbones
from bench.backbones.drn import DRN26
from bench.backbones.dtn import DTN
from bench.backbones.fcn8s import FCN8s
from bench.backbones.lean import Lean
from bench.backbones.lenet import LeNet
from bench.errors import BenchError

CLASSES = {"lenet": LeNet, "dtn": DTN, "fcn8s": FCN8s, "drn26": DRN26, "lean": Lean}
PATTERNS = {"smp/ARCH/ENCODER", "timm/MODEL"}


def parameters_of(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def built(name: str, classes: int = 19, **options: Any) -> torch.nn.Module:
    """Return a network without memory for its weights, for its shapes alone."""
    with torch.device("meta"):
        return backbones.build(name, classes=classes, **{"channels": 3, "size": 32} | options)


def test_every_name_is_tested_here() -> None:
    assert set(backbones.names()) == set(CLASSES)
    rows = [row["name"] for row in backbones.describe()]
    assert rows[: len(CLASSES)] == list(backbones.names())
    assert set(rows[len(CLASSES) :]) == PATTERNS


@pytest.mark.parametrize("name", CLASSES)
def test_what_the_list_says_is_what_the_network_has(name: str) -> None:
    row = next(row for row in backbones.describe() if row["name"] == name)
    assert set(row) == {"name", "parameters", "task"}
    assert row["task"] == backbones.task(name)
    with torch.device("meta"):
        assert row["parameters"] == parameters_of(CLASSES[name]())


def test_the_papers_parameter_counts() -> None:
    lenet = built("lenet", classes=10, channels=1, size=28)
    dtn = built("dtn", classes=10)
    assert (parameters_of(lenet), parameters_of(dtn)) == (431_080, 3_133_962)
    assert parameters_of(built("fcn8s")) == 134_353_017
    assert parameters_of(built("drn26")) == 20_623_331


def test_scoring_takes_so_many_parameters_a_class() -> None:
    """FCN8s scores 4096, 512 and 256 channels, DRN-26 512, lean 16; each with a bias."""
    for name, each in (("fcn8s", 4096 + 512 + 256 + 3), ("drn26", 513), ("lean", 17)):
        assert parameters_of(built(name, 20)) - parameters_of(built(name, 19)) == each


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lenet", "classification"),
        ("dtn", "classification"),
        ("fcn8s", "segmentation"),
        ("drn26", "segmentation"),
        ("lean", "segmentation"),
        ("smp/fpn/mobilenet_v2", "segmentation"),
        ("timm/resnet18", "segmentation"),
    ],
)
def test_task(name: str, kind: str) -> None:
    assert backbones.task(name) == kind


@pytest.mark.parametrize(
    "call",
    [
        "names()",
        "describe()",
        "task('smp/unet/resnet18')",
        "check('drn26', 'imagenet')",
        "describe_weights('random')",
    ],
)
def test_listing_and_checking_import_no_torch(call: str) -> None:
    code = (
        f"import sys; from bench import backbones; backbones.{call};"
        "sys.exit(bool({'torch', 'timm', 'segmentation_models_pytorch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["lenet", "dtn"])
@pytest.mark.parametrize("size", [36, (36, 36)])
def test_build_makes_what_was_asked_for(name: str, size: int | tuple[int, int]) -> None:
    network = backbones.build(name, classes=7, channels=2, size=size)
    assert type(network) is CLASSES[name]
    assert network(torch.zeros(3, 2, 36, 36)).shape == (3, 7)


@pytest.mark.parametrize("name", ["lenet", "dtn"])
def test_classifiers_take_squares_only(name: str) -> None:
    with pytest.raises(BenchError, match=rf"'{name}' takes square images, got 36 x 48 pixels"):
        backbones.build(name, classes=7, channels=3, size=(36, 48))


@pytest.mark.parametrize("name", ["fcn8s", "drn26", "smp/unet/resnet18"])
def test_segmentation_takes_colours_only(name: str) -> None:
    with pytest.raises(BenchError, match="takes images of 3 channels, got 1"):
        built(name, channels=1)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    expected = (
        "Unknown backbone 'lenett'. Did you mean 'lenet'? Available: drn26, dtn, fcn8s, lean,"
        " lenet, smp/ARCH/ENCODER, timm/MODEL."
    )
    for ask in (backbones.task, backbones.check):
        with pytest.raises(BenchError) as caught:
            ask("lenett")
        assert str(caught.value) == expected


@pytest.mark.parametrize(
    "name",
    ["smp", "smp/", "smp/unet", "smp/unet/", "smp/unet/a/b", "timm", "timm/", "timm/a/b", ""],
)
def test_a_part_of_a_pattern_is_no_name(name: str) -> None:
    with pytest.raises(BenchError, match=f"Unknown backbone '{name}'"):
        backbones.check(name)
