"""The real MNIST and USPS: sizes, class counts, and torchvision's readers as reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torchvision

from bench.data import manage
from bench.data.mnist import MNIST
from bench.data.usps import USPS

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data.domain import Split

# USPS as published; MNIST as in LeCun's description of the data set.
COUNTS = {
    (USPS, "train"): [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644],
    (USPS, "test"): [359, 264, 198, 166, 200, 160, 170, 147, 166, 177],
    (MNIST, "train"): [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    (MNIST, "test"): [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.mark.parametrize(("domain", "split"), COUNTS)
def test_class_counts(domain: type[MNIST | USPS], split: Split, real_data: Path) -> None:
    labels = domain().labels(real_data, split)
    assert torch.bincount(labels).tolist() == COUNTS[domain, split]
    assert len(domain().images(real_data, split)) == len(labels)


@pytest.mark.parametrize("split", ["train", "test"])
def test_mnist_agrees_with_torchvision(split: Split, real_data: Path) -> None:
    theirs = torchvision.datasets.MNIST(str(real_data), train=split == "train")
    assert torch.equal(MNIST().images(real_data, split)[:, 0], theirs.data)
    assert torch.equal(MNIST().labels(real_data, split), theirs.targets)


def test_usps_agrees_with_torchvision(real_data: Path) -> None:
    theirs = torchvision.datasets.USPS(str(real_data / "USPS"), train=False)
    assert np.array_equal(USPS().images(real_data, "test")[:, 0].numpy(), theirs.data)
    assert USPS().labels(real_data, "test").tolist() == theirs.targets


def test_the_real_files_are_sound(real_data: Path) -> None:
    reports = manage.verify({"mnist": MNIST(), "usps": USPS()}, real_data)
    states = {(report.domain, report.state) for report in reports}
    assert len(reports) == 6
    assert states <= {("mnist", "sound"), ("usps", "sound"), ("usps", "re-encoded")}
