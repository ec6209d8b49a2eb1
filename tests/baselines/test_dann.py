"""DANN: the reversal and its schedules by hand, and whole steps against a second writing."""

from __future__ import annotations

import copy
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from baselines import dann
from baselines.dann import DANN, build_discriminator, reversal, reverse_gradient
from bench import backbones
from bench.context import Context
from bench.errors import BenchError
from bench.hyperparameters import PRESETS, resolve
from bench.predict import predict
from bench.stages import StageStore
from bench.task import Images, LabeledImages, Task
from bench.testing import SCENES, Shape, tiny_task
from cycada.discriminators import ScoreDiscriminator, SpatialDiscriminator

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Shape(1, (16, 16), 4, "lenet")


def context(folder: Path, shape: Shape = SMALL, network: Any = None, *, seed: int = 0) -> Context:
    return Context(
        seed=seed,
        device=torch.device("cpu"),
        network=network
        or (
            lambda: backbones.build(
                shape.backbone, classes=shape.classes, channels=shape.channels, size=shape.size
            )
        ),
        workspace=folder / "work",
        store=StageStore(folder / "stages"),
        identity="tests",
        budget=1000,
    )


def logged(ctx: Context) -> list[dict[str, Any]]:
    text = (ctx.stages[-1].folder / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


# ------------------------------------------------------------------ the reversal


@given(st.floats(0, 100), st.lists(st.floats(-100, 100), min_size=1, max_size=5))
def test_forward_is_the_identity_and_backward_is_reversed(weight: float, x: list[float]) -> None:
    """Of y = R(x): y = x, and of the sum of y^2 the gradient is -weight * 2x."""
    given_ = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    y = reverse_gradient(given_, weight)
    assert torch.equal(y, given_)
    y.square().sum().backward()
    assert given_.grad is not None
    assert given_.grad.tolist() == pytest.approx([-weight * 2 * value for value in x])


def test_the_discriminator_descends_what_the_features_ascend() -> None:
    """D(f) = d f with loss d f: its own gradient is f; the feature's -lambda d, by the chain's x.

    f = w x with w = 2, x = 3, d = 5, lambda = 0.5: dL/dd = 6, dL/dw = -0.5 * 5 * 3.
    """
    w = torch.tensor(2.0, requires_grad=True)
    d = torch.tensor(5.0, requires_grad=True)
    (d * reverse_gradient(w * 3, 0.5)).backward()
    assert (d.grad, w.grad) == (torch.tensor(6.0), torch.tensor(-7.5))


@given(st.floats(0, 1), st.floats(0, 60))
def test_reversal_against_the_papers_formula(progress: float, gamma: float) -> None:
    expected = 2 / (1 + math.exp(-gamma * progress)) - 1
    assert reversal(progress, gamma) == pytest.approx(expected, abs=1e-12)
    assert 0 <= reversal(progress, gamma) <= 1


def test_reversal_by_hand() -> None:
    """At gamma p = ln 3: 2 / (1 + 1/3) - 1 = 1/2. No overflow far out."""
    assert reversal(0.0) == 0.0
    assert reversal(math.log(3) / 10) == pytest.approx(0.5)
    assert reversal(1.0, 1e6) == 1.0


# ------------------------------------------------------------------ hyperparameters


def test_the_papers_values() -> None:
    how = resolve(DANN, "paper", {})
    assert (how.batch, how.lr, how.alpha, how.beta, how.gamma) == (64, 0.01, 10, 0.75, 10)
    assert (how.optimizer, how.momentum, how.schedule, how.hidden) == ("sgd", 0.9, "annealed", 1024)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_tables_say_where_adam_takes_the_place_of_sgd(preset: str, task: str) -> None:
    how = resolve(DANN, preset, {}, task)
    assert (how.departure is None) == (how.optimizer == "sgd") == (preset == "paper")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("epochs", "max_steps", "batch", "lr", "crop", "hidden")),
        *((name, -0.1) for name in ("weight_decay", "alpha", "beta", "gamma", "momentum")),
        ("momentum", 1.0),
    ],
)
def test_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(BenchError, match=f"'{name}' must"):
        resolve(DANN, "paper", {name: value})


# ------------------------------------------------------------------ the discriminator


def test_it_is_as_wide_as_the_features() -> None:
    """LeNet has 500 features: 500 * 16 + 16, 16 * 16 + 16, 16 * 2 + 2 parameters."""
    net = backbones.build("lenet", classes=4, channels=1, size=16)
    found = build_discriminator(net, tiny_task(SMALL).target, 16)
    assert isinstance(found, ScoreDiscriminator)
    assert sum(p.numel() for p in found.parameters()) == 8016 + 272 + 34


def test_feature_maps_are_told_apart_at_every_position() -> None:
    net = backbones.build("lean", classes=5, channels=3, size=(32, 64))
    x = tiny_task(SCENES).target[torch.arange(2)]
    found = build_discriminator(net, tiny_task(SCENES).target, 8)
    assert isinstance(found, SpatialDiscriminator)
    assert found(net.features(x)).shape == (2, 2, 16, 32)


def test_building_it_leaves_batch_norm_as_it_was() -> None:
    net = backbones.build("dtn", classes=7, channels=3, size=32)
    before = copy.deepcopy(net.state_dict())
    build_discriminator(net, tiny_task(Shape(3, (32, 32), 7, "dtn")).target, 8)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training


# ------------------------------------------------------------------ whole steps


class Small(nn.Module):
    """Three pixels to features (b, 2, 1), which only a flattening discriminator takes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 2)
        self.head = nn.Linear(2, 2)

    def features(self, x: Tensor) -> Tensor:
        return self.body(x.flatten(1))[..., None]

    def classify(self, f: Tensor) -> Tensor:
        return self.head(f.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))


def small_task(n: int = 6) -> Task:
    random = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (2, n, 3, 1, 1), generator=random, dtype=torch.uint8)
    labelled = LabeledImages(pixels[0], torch.arange(n) % 2, "source")
    return Task(labelled, labelled, Images(pixels[1], "target"), 2)


@pytest.mark.parametrize("schedule", ["annealed", "cosine"])
def test_steps_against_a_second_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    """Whole batches, so their order is no matter: SGD with momentum on Ganin's Equation 13 to 15.

    Here the network and the discriminator have an update each, with the reversed gradient written
    as a difference of two losses.
    """
    made: list[Any] = []

    def remembered(*args: Any) -> nn.Module:
        made.append(build_discriminator(*args))
        made.append(copy.deepcopy(made[0]))
        return made[0]

    monkeypatch.setattr(dann, "build_discriminator", remembered)
    net = Small()
    second, task, steps = copy.deepcopy(net), small_task(), 5
    settings = {"max_steps": steps, "batch": 6, "lr": 0.2, "hidden": 3, "weight_decay": 0.01}
    how = resolve(DANN, "paper", settings | {"schedule": schedule, "gamma": 7.0, "alpha": 4.0})
    ctx = context(tmp_path, network=lambda: net)
    trained = how.fit(task, ctx)

    d = made[1]
    parameters = [*second.parameters(), *d.parameters()]
    speed = [torch.zeros_like(p) for p in parameters]
    everything = torch.arange(6)
    x_s, y_s = task.source[everything]
    x_t = task.target[everything]
    domains = torch.tensor([1] * 6 + [0] * 6)
    first: dict[str, float] = {}
    for index in range(steps):
        p = index / steps
        weight = 2 / (1 + math.exp(-7 * p)) - 1
        lr = 0.2 / (1 + 4 * p) ** 0.75
        if schedule == "cosine":
            lr = 0.1 * (1 + math.cos(math.pi * p))
        features = torch.cat([second.features(x_s), second.features(x_t)]).flatten(1)
        label = F.cross_entropy(second(x_s), y_s)
        domain = F.cross_entropy(d(features), domains)
        first = first or {"loss": label.item(), "domain": domain.item()}
        own = list(second.parameters())
        grads = torch.autograd.grad(label - weight * domain, own, retain_graph=True)
        grads += torch.autograd.grad(domain, list(d.parameters()))
        with torch.no_grad():
            for i, (parameter, grad) in enumerate(zip(parameters, grads, strict=True)):
                speed[i] = 0.9 * speed[i] + grad + 0.01 * parameter
                parameter.sub_(lr * speed[i])
    pairs = zip([*trained.parameters(), *made[0].parameters()], parameters, strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-4, atol=1e-6)
    (line,) = logged(ctx)
    assert {name: line[name] for name in first} == pytest.approx(first, rel=1e-5)
    assert line.keys() == {"stage", "loop", "step", "loss", "domain", "discriminator_accuracy"}


def test_losses_are_logged_every_fifty_steps(tmp_path: Path) -> None:
    how = resolve(DANN, "smoke", {"max_steps": 101, "batch": 4, "epochs": 100})
    ctx = context(tmp_path)
    how.fit(tiny_task(SMALL), ctx)
    assert [(line["stage"], line["step"]) for line in logged(ctx)] == [
        ("dann", 0),
        ("dann", 50),
        ("dann", 100),
    ]


def test_features_of_both_domains_become_alike(tmp_path: Path) -> None:
    """Each domain has a constant of its own in one pixel; without a reversal it stays visible.

    With this seed the random network begins with features that show it.
    """
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (2, 64, 3, 1, 1), generator=random, dtype=torch.uint8)
    pixels[0, :, 0], pixels[1, :, 0] = 60, 200
    labels = (pixels[0, :, 1, 0, 0] > 127).long()
    labelled = LabeledImages(pixels[0], labels, "source")
    task = Task(labelled, labelled, Images(pixels[1], "target"), 2)
    gaps, right = [], []
    for gamma in (0.0, 10.0):
        how = DANN(max_steps=400, epochs=1000, batch=32, lr=0.05, hidden=16, gamma=gamma)
        net: Any = how.fit(task, context(tmp_path / str(gamma), network=Small, seed=2))
        x_s, y_s = task.source[torch.arange(64)]
        f_s, f_t = (net.features(x).flatten(1) for x in (x_s, task.target[torch.arange(64)]))
        gaps.append(((f_s.mean(0) - f_t.mean(0)) / f_s.std(0)).norm().item())
        right.append((net(x_s).argmax(1) == y_s).float().mean().item())
    assert gaps[1] < 0.2 * gaps[0]
    assert min(right) > 0.9


@pytest.mark.parametrize("shape", [SMALL, Shape(3, (20, 44), 5, "lean", "segmentation")], ids=str)
def test_the_network_is_shaped_as_the_task(tmp_path: Path, shape: Shape) -> None:
    """The last one is padded to the network's stride, 32, and cut again."""
    task, ctx = tiny_task(shape, 8), context(tmp_path, shape)
    net = resolve(DANN, "smoke", {"max_steps": 2}, shape.task).fit(task, ctx)
    logits = predict(net, task.target, shape.classes, dense=task.dense)
    assert logits.shape == (8, shape.classes, *(shape.size if task.dense else ()))
    assert [stage.name for stage in ctx.stages] == ["dann"]
    assert ctx.stages[0].steps == 2
    assert ctx.stages[0].module is net
