"""The list of backbones: light to read, true to the networks, helpful about a wrong name."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from bench import backbones
from bench.backbones.dtn import DTN
from bench.backbones.lenet import LeNet
from bench.errors import BenchError

CLASSES = {"lenet": LeNet, "dtn": DTN}


def parameters_of(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_every_name_is_tested_here() -> None:
    assert set(backbones.names()) == set(CLASSES)
    assert [row["name"] for row in backbones.describe()] == list(backbones.names())


@pytest.mark.parametrize("row", backbones.describe(), ids=lambda row: row["name"])
def test_what_the_list_says_is_what_the_network_has(row: dict[str, object]) -> None:
    assert set(row) == {"name", "parameters", "task"}
    assert row["task"] == "classification"
    assert row["parameters"] == parameters_of(CLASSES[str(row["name"])]())


def test_the_papers_parameter_counts() -> None:
    lenet = backbones.build("lenet", classes=10, channels=1, size=28)
    dtn = backbones.build("dtn", classes=10, channels=3, size=32)
    assert (parameters_of(lenet), parameters_of(dtn)) == (431_080, 3_133_962)


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from bench import backbones; backbones.names(); backbones.describe();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", backbones.names())
def test_build_makes_what_was_asked_for(name: str) -> None:
    network = backbones.build(name, classes=7, channels=2, size=36)
    assert type(network) is CLASSES[name]
    assert network(torch.zeros(3, 2, 36, 36)).shape == (3, 7)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    expected = "Unknown backbone 'lenett'. Did you mean 'lenet'? Available: dtn, lenet."
    with pytest.raises(BenchError) as caught:
        backbones.build("lenett", classes=10, channels=1, size=28)
    assert str(caught.value) == expected
