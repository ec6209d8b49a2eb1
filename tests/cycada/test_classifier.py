"""Equation 1: `train_classifier` against Adam written out in NumPy, and what it leaves behind."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.context import Context
from bench.stages import StageStore
from bench.task import LabeledImages
from cycada.classifier import Classifier, train_classifier

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = 3
PIXELS = 4


class Linear(nn.Module):
    """Softmax regression on the pixels; remembers the batches that it saw and in which mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(PIXELS, CLASSES)
        self.batches: list[Tensor] = []
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(x)
        self.modes.append(self.training)
        return self.layer(x.flatten(1))


def context(tmp_path: Path, budget: int = 1000) -> Context:
    return Context(
        seed=0,
        device=torch.device("cpu"),
        network=Linear,
        workspace=tmp_path / "work",
        store=StageStore(tmp_path / "stages"),
        identity="tests",
        budget=budget,
    )


def images(n: int = 12) -> LabeledImages:
    """Return 2x2 images in which pixel i is brighter for class i, on top of noise."""
    random = torch.Generator().manual_seed(3)
    labels = torch.arange(n) % CLASSES
    pixels = torch.randint(0, 128, (n, 1, 2, 2), generator=random, dtype=torch.uint8)
    pixels.flatten(1)[torch.arange(n), labels] += 127
    return LabeledImages(pixels, labels, "source")


def trained(tmp_path: Path, how: Classifier, data: LabeledImages) -> tuple[Linear, Context]:
    ctx = context(tmp_path)
    net = ctx.stage(
        "source",
        params=how,
        build=ctx.network,
        train=lambda net: train_classifier(net, data, how, ctx),
    )
    assert isinstance(net, Linear)
    return net, ctx


def weights(net: Linear) -> np.ndarray:
    """Return weight and bias as one float64 matrix (k, pixels + 1)."""
    with torch.no_grad():
        both = torch.cat([net.layer.weight, net.layer.bias[:, None]], 1)
    return both.double().numpy()


def gradient(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return d/dw of the mean cross-entropy: (softmax - one hot)^T x / n."""
    scores = np.exp(x @ w.T)
    share = scores / scores.sum(1, keepdims=True)
    share[np.arange(len(y)), y] -= 1
    gradient: np.ndarray = share.T @ x / len(y)
    return gradient


def adam(w: np.ndarray, x: np.ndarray, y: np.ndarray, rates: list[float]) -> np.ndarray:
    """Take one full-batch step of Adam (Kingma & Ba 2015, Algorithm 1) for each rate."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, rate in enumerate(rates, start=1):
        g = gradient(w, x, y)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


def in_numpy(data: LabeledImages) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels in -1..1 with a constant one for the bias, and labels."""
    x = data.pixels.flatten(1).double().numpy() / 127.5 - 1
    return np.concatenate([x, np.ones((len(x), 1))], 1), data.labels.numpy()


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_steps_equal_adam_written_out(tmp_path: Path, steps: int, schedule: str) -> None:
    """With the whole set as one batch, its order does not matter."""
    data, lr = images(), 0.05
    how = Classifier(max_steps=steps, batch=len(data), lr=lr, schedule=schedule)
    start: list[np.ndarray] = []

    def train(net: nn.Module) -> None:
        assert isinstance(net, Linear)
        start.append(weights(net))
        train_classifier(net, data, how, ctx)

    ctx = context(tmp_path)
    net = ctx.stage("source", params=how, build=ctx.network, train=train)
    assert isinstance(net, Linear)
    rates = [lr] * steps
    if schedule == "cosine":
        rates = [lr * (1 + math.cos(math.pi * s / steps)) / 2 for s in range(steps)]
    expected = adam(start[0], *in_numpy(data), rates)
    np.testing.assert_allclose(weights(net), expected, atol=2e-6)
    assert np.abs(expected - start[0]).max() > lr / 2


def test_it_learns_a_separable_task(tmp_path: Path) -> None:
    data = images(60)
    net, _ = trained(tmp_path, Classifier(epochs=30, batch=20, lr=0.05), data)
    x, y = data[torch.arange(60)]
    assert (net(x).argmax(1) == y).all()


def test_it_learns_what_the_labels_say(tmp_path: Path) -> None:
    """The control: the same images with every label moved by one."""
    data = images(60)
    moved = LabeledImages(data.pixels, (data.labels + 1) % CLASSES, "source")
    net, _ = trained(tmp_path, Classifier(epochs=30, batch=20, lr=0.05), moved)
    x, y = data[torch.arange(60)]
    assert (net(x).argmax(1) == (y + 1) % CLASSES).all()


@pytest.mark.parametrize(
    ("how", "steps"),
    [
        (Classifier(epochs=2, batch=4), 6),
        (Classifier(epochs=2, batch=5), 5),  # 24 images are 4.8 batches
        (Classifier(epochs=50, max_steps=7, batch=4), 7),
        (Classifier(epochs=1, batch=128), 1),
    ],
)
def test_it_takes_the_planned_steps_on_full_batches(
    tmp_path: Path, how: Classifier, steps: int
) -> None:
    net, ctx = trained(tmp_path, how, images(12))
    assert [len(batch) for batch in net.batches] == [how.batch] * steps
    assert [stage.steps for stage in ctx.stages] == [steps]
    assert ctx.steps_taken == steps
    assert ctx.stages[0].stop is None


def test_an_epoch_shows_every_image_once(tmp_path: Path) -> None:
    data = images(12)
    net, _ = trained(tmp_path, Classifier(epochs=1, batch=4), data)
    seen = torch.cat(net.batches).flatten(1)
    assert sorted(seen.tolist()) == sorted(data[torch.arange(12)][0].flatten(1).tolist())


def test_it_trains_in_training_mode_whatever_it_was_given(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    net = Linear().eval()
    train_classifier(net, images(), Classifier(max_steps=2), ctx)
    assert net.modes == [True, True]


def test_every_fiftieth_loss_is_logged(tmp_path: Path) -> None:
    """At the start, a network that gives all classes the same score has the loss log k."""

    def build() -> Linear:
        net = Linear()
        nn.init.zeros_(net.layer.weight)
        nn.init.zeros_(net.layer.bias)
        return net

    ctx, data = context(tmp_path), images()
    how = Classifier(epochs=1000, max_steps=101, batch=len(data), lr=0.05)
    ctx.stage(
        "source", params=how, build=build, train=lambda net: train_classifier(net, data, how, ctx)
    )
    folder = ctx.stages[0].folder
    assert folder is not None
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [
        ("source", 0),
        ("source", 50),
        ("source", 100),
    ]
    losses = [line["loss"] for line in lines]
    assert losses[0] == pytest.approx(math.log(CLASSES))
    assert losses == sorted(losses, reverse=True)


def test_the_images_stay_as_they_were(tmp_path: Path) -> None:
    data = images()
    before = data.digest()
    trained(tmp_path, Classifier(max_steps=3, batch=5), data)
    assert data.digest() == before
