"""Deep CORAL: the loss against definitions, and whole steps against a second writing of them."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torch import Tensor, nn

from baselines.deep_coral import DeepCORAL, coral_loss, covariance
from bench import backbones
from bench.context import Context
from bench.errors import BenchError
from bench.hyperparameters import PRESETS, resolve
from bench.predict import predict
from bench.stages import StageStore
from bench.task import Images, LabeledImages, Task
from bench.testing import Shape, tiny_task

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Shape(1, (16, 16), 4, "lenet")

sizes = st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(1, 4))


def scores(n: int, d: int) -> st.SearchStrategy[np.ndarray]:
    return npst.arrays(np.float64, (n, d), elements=st.floats(-10, 10))


pairs = sizes.flatmap(lambda s: st.tuples(scores(s[0], s[2]), scores(s[1], s[2])))


def context(folder: Path, shape: Shape = SMALL, network: Any = None) -> Context:
    return Context(
        seed=0,
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


# ------------------------------------------------------------------ the loss


def as_printed(x: np.ndarray) -> list[list[float]]:
    """Return Equation 2, number by number, with plain loops."""
    n, d = x.shape
    total = [sum(float(x[i, j]) for i in range(n)) for j in range(d)]
    product = [
        [sum(float(x[i, j]) * float(x[i, k]) for i in range(n)) for k in range(d)] for j in range(d)
    ]
    return [
        [(product[j][k] - total[j] * total[k] / n) / (n - 1) for k in range(d)] for j in range(d)
    ]


@given(pairs)
def test_the_covariance_is_the_papers_and_numpys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found = covariance(torch.tensor(pair[0])).numpy()
    assert found == pytest.approx(np.array(as_printed(pair[0])), abs=1e-9)
    assert found == pytest.approx(np.cov(pair[0].T, ddof=1).reshape(found.shape), abs=1e-9)


@given(pairs)
def test_the_loss_by_brute_force(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (as_printed(x) for x in pair)
    d = len(a)
    expected = sum((a[j][k] - b[j][k]) ** 2 for j in range(d) for k in range(d)) / (4 * d * d)
    found = coral_loss(*map(torch.tensor, pair))
    assert found.shape == ()
    assert found.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert found.item() == pytest.approx(coral_loss(*map(torch.tensor, pair[::-1])).item())


@given(pairs)
def test_equal_distributions_cost_nothing_wherever_their_means_are(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    x = torch.tensor(pair[0])
    assert coral_loss(x, x).item() == 0.0
    assert coral_loss(x, x.flip(0) + 3.0).item() == pytest.approx(0.0, abs=1e-9)


def test_by_hand() -> None:
    """C_S = [[2, 2], [2, 2]], C_T = [[2, 0], [0, 0]]: three entries differ by 2; 12 / 16."""
    source = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
    target = torch.tensor([[5.0, 1.0], [7.0, 1.0]])
    assert coral_loss(source, target).item() == 0.75


def test_every_position_of_a_score_map_is_an_example() -> None:
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    rows = [maps[b, :, i, j].tolist() for b in range(2) for i in range(4) for j in range(5)]
    expected = np.cov(np.array(rows).T)
    assert covariance(maps).numpy() == pytest.approx(expected, abs=1e-6)
    other = torch.zeros(1, 3, 2, 2)
    assert coral_loss(maps, other).item() == pytest.approx((expected**2).sum() / 36, rel=1e-5)


def test_one_image_has_no_covariance(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"2 images or more .* Raise 'batch'"):
        resolve(DeepCORAL, "smoke", {"batch": 1}).fit(tiny_task(SMALL), context(tmp_path))


# ------------------------------------------------------------------ hyperparameters


def test_the_papers_values() -> None:
    how = resolve(DeepCORAL, "paper", {})
    assert (how.batch, how.lr, how.optimizer, how.momentum) == (128, 0.01, "sgd", 0.9)
    assert (how.weight_decay, how.schedule, how.weight) == (5e-4, "constant", 1.0)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_tables_say_where_adam_takes_the_place_of_sgd(preset: str, task: str) -> None:
    how = resolve(DeepCORAL, preset, {}, task)
    assert (how.departure is None) == (how.optimizer == "sgd") == (preset == "paper")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("epochs", "max_steps", "batch", "lr", "crop")),
        *((name, -0.1) for name in ("weight_decay", "weight", "momentum")),
        ("momentum", 1.0),
    ],
)
def test_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(BenchError, match=f"'{name}' must"):
        resolve(DeepCORAL, "paper", {name: value})


# ------------------------------------------------------------------ whole steps


class Linear(nn.Module):
    """Scores that are linear in three pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def classify(self, f: Tensor) -> Tensor:
        return self.layer(f)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))


def small_task(n: int = 6) -> Task:
    random = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (2, n, 3, 1, 1), generator=random, dtype=torch.uint8)
    labelled = LabeledImages(pixels[0], torch.arange(n) % 2, "source")
    return Task(labelled, labelled, Images(pixels[1], "target"), 2)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_steps_against_a_second_writing(tmp_path: Path, schedule: str) -> None:
    """Whole batches, so their order is no matter; SGD with momentum and weight decay by hand."""
    net, task, steps = Linear(), small_task(), 4
    second = copy.deepcopy(net)
    settings = {"max_steps": steps, "batch": 6, "lr": 0.1, "weight": 3.0, "weight_decay": 0.01}
    how = resolve(DeepCORAL, "paper", settings | {"schedule": schedule})
    ctx = context(tmp_path, network=lambda: net)
    trained = how.fit(task, ctx)

    x_s, y_s = task.source[torch.arange(6)]
    x_t = task.target[torch.arange(6)]
    parameters = list(second.parameters())
    speed = [torch.zeros_like(p) for p in parameters]
    first: dict[str, float] = {}
    for index in range(steps):
        scores_s, scores_t = second(x_s), second(x_t)
        label = F.cross_entropy(scores_s, y_s)
        gap = torch.cov(scores_s.T) - torch.cov(scores_t.T)
        coral = (gap**2).sum() / 16
        first = first or {"loss": label.item(), "coral": coral.item()}
        grads = torch.autograd.grad(label + 3 * coral, parameters)
        lr = 0.1 if schedule == "constant" else 0.05 * (1 + np.cos(np.pi * index / steps))
        with torch.no_grad():
            for i, (parameter, grad) in enumerate(zip(parameters, grads, strict=True)):
                speed[i] = 0.9 * speed[i] + grad + 0.01 * parameter
                parameter.sub_(lr * speed[i])
    for ours, theirs in zip(trained.parameters(), parameters, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-4, atol=1e-6)
    (line,) = logged(ctx)
    assert {name: line[name] for name in first} == pytest.approx(first, rel=1e-5)
    assert line.keys() == {"stage", "loop", "step", "loss", "coral"}


def test_losses_are_logged_every_fifty_steps(tmp_path: Path) -> None:
    how = resolve(DeepCORAL, "smoke", {"max_steps": 101, "batch": 4, "epochs": 100})
    ctx = context(tmp_path)
    how.fit(tiny_task(SMALL), ctx)
    assert [(line["stage"], line["step"]) for line in logged(ctx)] == [
        ("coral", 0),
        ("coral", 50),
        ("coral", 100),
    ]


def test_a_larger_weight_brings_the_covariances_together(tmp_path: Path) -> None:
    ends = []
    for weight in (0.0, 1.0, 10.0):
        how = resolve(DeepCORAL, "smoke", {"weight": weight, "max_steps": 51})
        ctx = context(tmp_path / str(weight))
        how.fit(tiny_task(SMALL), ctx)
        ends.append(logged(ctx)[-1]["coral"])
    assert ends[0] > ends[1] > ends[2]


@pytest.mark.parametrize("shape", [SMALL, Shape(3, (20, 44), 5, "lean", "segmentation")], ids=str)
def test_the_network_is_shaped_as_the_task(tmp_path: Path, shape: Shape) -> None:
    """The last one is padded to the network's stride, 32, and cut again."""
    task, ctx = tiny_task(shape, 8), context(tmp_path, shape)
    net = resolve(DeepCORAL, "smoke", {"max_steps": 2}, shape.task).fit(task, ctx)
    logits = predict(net, task.target, shape.classes, dense=task.dense)
    assert logits.shape == (8, shape.classes, *(shape.size if task.dense else ()))
    assert [stage.name for stage in ctx.stages] == ["coral"]
    assert ctx.stages[0].steps == 2
    assert ctx.stages[0].module is net
