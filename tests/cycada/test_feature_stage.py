"""Equation 5: the losses by hand, the gate, and whole steps against a second writing of them."""

from __future__ import annotations

import copy
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torch import Tensor, nn

from bench.context import Context
from bench.stages import StageStore
from bench.task import Images, LabeledImages
from cycada import feature_stage
from cycada.discriminators import ScoreDiscriminator
from cycada.feature_stage import (
    Feature,
    Gate,
    adapt_features,
    build_discriminator,
    discriminate,
    fool,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLASSES = 2
PIXELS = 2

scores = st.tuples(st.integers(1, 5), st.just(2)).flatmap(
    lambda shape: npst.arrays(np.float64, shape, elements=st.floats(-10, 10))
)


class Linear(nn.Module):
    """Scores that are linear in the pixels; remembers the batches that it saw and its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(PIXELS, CLASSES)
        self.batches: list[Tensor] = []
        self.modes: list[bool] = []

    def features(self, x: Tensor) -> Tensor:
        self.batches.append(x.detach())
        self.modes.append(self.training)
        return x.flatten(1)

    def classify(self, f: Tensor) -> Tensor:
        return self.layer(f)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ScoreDiscriminator]:
    """Collect the discriminators that the stage makes; they work as ever."""
    found: list[ScoreDiscriminator] = []

    class Remembered(ScoreDiscriminator):
        def __init__(self, *args: int) -> None:
            super().__init__(*args)
            found.append(self)
            self.initial = copy.deepcopy(self.state_dict())

    monkeypatch.setattr(feature_stage, "ScoreDiscriminator", Remembered)
    return found


def context(tmp_path: Path, on_step: Callable[[str, int, int], None] | None = None) -> Context:
    return Context(
        seed=0,
        device=torch.device("cpu"),
        network=Linear,
        workspace=tmp_path / "work",
        store=StageStore(tmp_path / "stages"),
        identity="tests",
        budget=10_000,
        on_step=on_step,
    )


def reference_net() -> Linear:
    """Return a frozen network whose scores are three times the pixels."""
    net = Linear()
    with torch.no_grad():
        net.layer.weight.copy_(3 * torch.eye(2))
        net.layer.bias.zero_()
    return net.eval().requires_grad_(requires_grad=False)


def two_clusters(n: int = 40, shift: int = 0) -> LabeledImages:
    """Return n images of two pixels: class i has a brighter pixel i; `shift` moves the first."""
    random = torch.Generator().manual_seed(5)
    labels = torch.arange(n) % 2
    pixels = torch.randint(60, 100, (n, 2, 1, 1), generator=random, dtype=torch.uint8)
    pixels.flatten(1)[torch.arange(n), labels] += 60
    pixels[:, 0] += shift
    return LabeledImages(pixels, labels, "source")


def shifted(n: int = 40, shift: int = 90) -> Images:
    return Images(two_clusters(n, shift).pixels, "target")


def adapted(
    tmp_path: Path, how: Feature, source: LabeledImages, target: Images
) -> tuple[Linear, Linear, Context]:
    """Return the adapted network, the reference and the trial, after one stage."""
    ctx, reference = context(tmp_path), reference_net()
    net = ctx.stage(
        "feature",
        params=how,
        build=lambda: copy.deepcopy(reference),
        train=lambda f_t: adapt_features(f_t, reference, source, target, how, ctx),
    )
    assert isinstance(net, Linear)
    return net, reference, ctx


def logged(ctx: Context) -> list[dict[str, Any]]:
    folder = ctx.stages[-1].folder
    assert folder is not None
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


# ------------------------------------------------------------------ the two losses


def test_discriminate_by_hand() -> None:
    """Logits (target, source). Source: p = 3/4, 1/2. Target: p(target) = 1/4, 4/5."""
    third, four = math.log(3), math.log(4)
    scores_s = torch.tensor([[0.0, third], [0.0, 0.0]])
    scores_t = torch.tensor([[0.0, third], [four, 0.0]])
    loss, accuracy = discriminate(nn.Identity(), scores_s, scores_t)
    expected = (math.log(4 / 3) + math.log(2) + math.log(4) + math.log(5 / 4)) / 4
    assert loss.item() == pytest.approx(expected)
    # Right: the first source and the second target. A tie goes to class 0, "target".
    assert accuracy == 0.5


def test_fool_by_hand() -> None:
    """-log p(source): of 3/4 and of 1/5."""
    scores_t = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])
    expected = (math.log(4 / 3) + math.log(5)) / 2
    assert fool(nn.Identity(), scores_t).item() == pytest.approx(expected)


def test_fool_pulls_towards_the_source() -> None:
    """d/dl -log softmax(l)_source = softmax - one hot: (1/2, -1/2) where D cannot tell."""
    scores_t = torch.zeros(1, 2, requires_grad=True)
    fool(nn.Identity(), scores_t).backward()
    assert scores_t.grad is not None
    assert scores_t.grad.tolist() == [[0.5, -0.5]]


@pytest.mark.parametrize(
    ("right_s", "right_t", "expected"),
    [(0, 0, 0.0), (1, 0, 0.25), (0, 3, 0.75), (1, 3, 1.0), (1, 1, 0.5)],
)
def test_accuracy_counts_images_not_domains(right_s: int, right_t: int, expected: float) -> None:
    """One source image and three target images."""
    source, target = [-1.0, 1.0], [1.0, -1.0]
    says_s = torch.tensor([source if i < right_s else target for i in range(1)])
    says_t = torch.tensor([target if i < right_t else source for i in range(3)])
    _, accuracy = discriminate(nn.Identity(), says_s, says_t)
    assert accuracy == expected


@given(scores, scores)
def test_losses_against_numpy(s: np.ndarray, t: np.ndarray) -> None:
    """A two-way softmax is the logistic function of the difference."""
    toward_s, toward_t = s[:, 1] - s[:, 0], t[:, 1] - t[:, 0]
    loss, accuracy = discriminate(nn.Identity(), torch.tensor(s), torch.tensor(t))
    costs = np.concatenate([np.log1p(np.exp(-toward_s)), np.log1p(np.exp(toward_t))])
    assert loss.shape == ()
    assert loss.item() == pytest.approx(costs.mean())
    assert accuracy == pytest.approx(np.concatenate([toward_s > 0, toward_t <= 0]).mean())
    assert fool(nn.Identity(), torch.tensor(t)).item() == pytest.approx(
        np.log1p(np.exp(-toward_t)).mean()
    )


# ------------------------------------------------------------------ the gate


def test_the_gate_opens_strictly_above_its_threshold() -> None:
    gate = Gate(0.6, patience=10)
    assert not gate.opens(0.6)
    assert gate.opens(math.nextafter(0.6, 1.0))
    assert not gate.opens(0.0)
    assert gate.opens(1.0)
    assert not Gate(1.0, patience=10).opens(1.0)
    assert not Gate(0.0, patience=10).opens(0.0)


def test_the_gate_is_exhausted_after_its_patience() -> None:
    gate = Gate(0.5, patience=3)
    assert not gate.exhausted
    said = []
    for accuracy in (0.4, 0.4, 0.9, 0.4, 0.5, 0.4, 0.4, 0.9):
        gate.opens(accuracy)
        said.append(gate.exhausted)
    # Two closed, one open, then the third closed step in a row is the sixth.
    assert said == [False, False, False, False, False, True, True, False]


accuracies = st.lists(st.sampled_from([0.0, 0.4, 0.6, 0.61, 1.0]), max_size=30)


@given(accuracies, st.integers(1, 6))
def test_the_gate_against_counting_in_text(history: list[float], patience: int) -> None:
    gate, text = Gate(0.6, patience), ""
    for accuracy in history:
        text += "o" if gate.opens(accuracy) else "c"
        assert text[-1] == ("o" if accuracy > 0.6 else "c")
        assert gate.exhausted == text.endswith("c" * patience)


@given(accuracies, accuracies, st.integers(1, 6))
def test_a_restored_gate_goes_on(first: list[float], second: list[float], patience: int) -> None:
    gate, restored = Gate(0.6, patience), Gate(0.6, patience)
    for accuracy in first:
        gate.opens(accuracy)
    restored.opens(0.0)
    restored.load_state_dict(json.loads(json.dumps(gate.state_dict())))
    assert restored.exhausted == gate.exhausted
    for accuracy in second:
        assert restored.opens(accuracy) == gate.opens(accuracy)
        assert restored.exhausted == gate.exhausted


# ------------------------------------------------------------------ whole steps


def test_the_discriminator_is_built_for_the_scores() -> None:
    built = build_discriminator(reference_net(), two_clusters(), Feature(hidden=7))
    assert isinstance(built, ScoreDiscriminator)
    shapes = [tuple(layer.weight.shape) for layer in built.body[::2]]
    assert shapes == [(7, CLASSES), (7, 7), (2, 7)]


def test_a_closed_gate_stops_the_network_not_the_discriminator(
    tmp_path: Path, made: list[ScoreDiscriminator]
) -> None:
    how = Feature(max_steps=3, batch=10, gate=1.0, lr=0.1, discriminator_lr=0.1)
    net, reference, ctx = adapted(tmp_path, how, two_clusters(), shifted())
    assert same(net, reference)
    (discriminator,) = made
    for name, value in discriminator.state_dict().items():
        assert not torch.equal(value, discriminator.initial[name]), name
    assert [line["gate_open"] for line in logged(ctx)] == [0.0] * 3
    assert ctx.stages[0].stop is None, "an epoch has 4 steps"


def test_an_open_gate_moves_the_network(tmp_path: Path) -> None:
    how = Feature(max_steps=3, batch=10, gate=0.0, lr=0.1)
    net, reference, ctx = adapted(tmp_path, how, two_clusters(), shifted())
    lines = logged(ctx)
    assert [line["gate_open"] for line in lines] == [1.0] * 3
    for name, value in net.state_dict().items():
        assert not torch.equal(value, reference.state_dict()[name]), name


def test_every_decision_is_logged_and_follows_the_accuracy(tmp_path: Path) -> None:
    """Fewer right answers than the gate asks for, and more, both occur here."""
    how = Feature(max_steps=60, batch=7, gate=0.6, lr=0.05, discriminator_lr=0.01)
    _, _, ctx = adapted(tmp_path, how, two_clusters(), shifted(shift=20))
    lines = logged(ctx)
    assert [line["step"] for line in lines] == list(range(ctx.stages[0].steps))
    for line in lines:
        right = line["discriminator_accuracy"] * 14
        assert right == pytest.approx(round(right), abs=1e-5)
        assert line["gate_open"] == (line["discriminator_accuracy"] > 0.6)
    assert {line["gate_open"] for line in lines} == {0.0, 1.0}


@pytest.mark.parametrize(("images", "batch", "patience"), [(40, 10, 4), (41, 10, 5), (40, 128, 1)])
def test_an_epoch_without_a_step_ends_the_stage(
    tmp_path: Path, images: int, batch: int, patience: int
) -> None:
    how = Feature(epochs=5, batch=batch, gate=1.0)
    # The source is larger: an epoch is one of the target.
    _, _, ctx = adapted(tmp_path, how, two_clusters(200), shifted(images))
    assert ctx.stages[0].steps == patience
    assert ctx.stages[0].stop == f"the gate stayed closed for an epoch of {patience} steps"


def test_an_open_gate_lets_it_train_to_the_end(tmp_path: Path) -> None:
    how = Feature(epochs=3, batch=16, gate=0.0)
    net, reference, ctx = adapted(tmp_path, how, two_clusters(100), shifted(40))
    assert ctx.stages[0].steps == 8, "3 epochs of 40 target images are 7.5 batches"
    assert ctx.stages[0].stop is None
    assert [len(x) for x in net.batches] == [16] * 8
    assert net.modes == [True] * 8
    assert set(reference.modes) == {False}


def test_each_network_sees_its_own_domain(tmp_path: Path) -> None:
    """The first pixel is between -0.53 and 0.26 in the source, from 0.17 on in the target."""
    net, reference, _ = adapted(
        tmp_path, Feature(max_steps=4, batch=10, gate=0.0), two_clusters(), shifted()
    )
    assert all((x[:, 0] > 0.17).all() for x in net.batches)
    assert all((x[:, 0] < 0.26).all() for x in reference.batches)
    seen = torch.cat(net.batches)[:, 0].flatten().tolist()
    whole = shifted()[torch.arange(40)][:, 0].flatten().tolist()
    assert sorted(seen) == sorted(whole), "an epoch shows every target image once"


def test_the_reference_stays_as_it_was(tmp_path: Path) -> None:
    how = Feature(max_steps=20, batch=10, gate=0.0, lr=0.1)
    _, reference, _ = adapted(tmp_path, how, two_clusters(), shifted())
    assert same(reference, reference_net())
    assert not reference.training
    assert all(w.grad is None and not w.requires_grad for w in reference.parameters())


def test_it_trains_in_training_mode_whatever_it_was_given(tmp_path: Path) -> None:
    net, how = Linear().eval(), Feature(max_steps=2, batch=10)
    adapt_features(net, reference_net(), two_clusters(), shifted(), how, context(tmp_path))
    assert net.modes == [True, True]


def test_the_source_labels_are_not_used(tmp_path: Path) -> None:
    """Equation 5 has no labels."""
    source, how = two_clusters(), Feature(max_steps=5, batch=10, gate=0.0, lr=0.1)
    other = LabeledImages(source.pixels, 1 - source.labels, "source")
    net, _, _ = adapted(tmp_path / "a", how, source, shifted())
    again, _, _ = adapted(tmp_path / "b", how, other, shifted())
    assert same(net, again)


def first_adam_step(w: Tensor, g: Tensor, lr: float, decay: float) -> Tensor:
    """Adam's first step, whatever its momenta: lr * g / (|g| + eps), with L2 decay in g."""
    g = g + decay * w
    return w - lr * g / (g.abs() + 1e-8)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_a_step_against_a_second_writing(
    tmp_path: Path, made: list[ScoreDiscriminator], decay: float
) -> None:
    """First the discriminator, on both; then the network, against the *updated* discriminator."""
    how = Feature(
        max_steps=1,
        batch=40,  # the whole set, so that its order does not matter
        lr=0.03,
        discriminator_lr=0.02,
        hidden=6,
        gate=0.0,
        weight_decay=decay,
    )
    source, target = two_clusters(), shifted()
    net, reference, _ = adapted(tmp_path, how, source, target)
    x_s, x_t = source[torch.arange(40)][0], target[torch.arange(40)]

    mine = ScoreDiscriminator(CLASSES, 6)
    mine.load_state_dict(made[0].initial)
    source_first = mine(reference(x_s))
    p_source = torch.sigmoid(source_first[:, 1] - source_first[:, 0])
    target_first = mine(reference(x_t))  # the target network starts as a copy of the reference
    p_target = torch.sigmoid(target_first[:, 0] - target_first[:, 1])
    loss = -torch.cat([p_source, p_target]).log().mean()
    gradients = torch.autograd.grad(loss, list(mine.parameters()))
    with torch.no_grad():
        for w, g in zip(mine.parameters(), gradients, strict=True):
            w.copy_(first_adam_step(w, g, how.discriminator_lr, decay))
    for name, value in made[0].state_dict().items():
        # Where a gradient is almost zero, Adam's quotient is not to be had to many digits.
        torch.testing.assert_close(value, mine.state_dict()[name], atol=1e-4, rtol=1e-4)

    weight, bias = (w.clone().requires_grad_() for w in reference.parameters())
    logits = mine(x_t.flatten(1) @ weight.T + bias)
    loss = -torch.sigmoid(logits[:, 1] - logits[:, 0]).log().mean()
    gradients = torch.autograd.grad(loss, [weight, bias])
    for got, w, g in zip(net.parameters(), (weight, bias), gradients, strict=True):
        expected = first_adam_step(w.detach(), g, how.lr, decay)
        torch.testing.assert_close(got.detach(), expected, atol=1e-5, rtol=1e-5)


def test_beta1_reaches_both_optimisers(tmp_path: Path, made: list[ScoreDiscriminator]) -> None:
    """Momentum shows from the second step on."""
    ends = []
    for beta1 in (0.0, 0.9):
        how = Feature(max_steps=2, batch=40, gate=0.0, lr=0.1, beta1=beta1, hidden=6)
        net, _, _ = adapted(tmp_path / str(beta1), how, two_clusters(), shifted())
        ends.append(net)
    assert not same(*ends)
    assert not same(*made)


def test_a_shift_in_score_space_is_undone(tmp_path: Path) -> None:
    """The target's first pixel is brighter: the reference takes many of class 1 for class 0."""
    source, target = two_clusters(200), shifted(200, shift=60)
    every = torch.arange(200)
    wanted, x_t = source.labels, target[every]
    how = Feature(epochs=60, batch=50, lr=0.01, discriminator_lr=0.01, hidden=20)
    net, reference, _ = adapted(tmp_path, how, source, target)

    def agreement(network: nn.Module) -> float:
        return (network(x_t).argmax(1) == wanted).float().mean().item()

    def distance(network: nn.Module) -> float:
        gap = network(x_t).mean(0) - reference(source[every][0]).mean(0)
        return gap.abs().max().item()

    assert agreement(reference) < 0.8
    assert agreement(net) > 0.95
    assert distance(reference) > 1.0
    assert distance(net) < 0.3, "its scores lie where the source's do"


def test_a_stopped_stage_goes_on_exactly(tmp_path: Path) -> None:
    """With the gate's count: it is closed throughout, and must end at the same step."""
    source, target = two_clusters(), shifted()

    def run(folder: Path, how: Feature, interrupt: int | None) -> tuple[nn.Module, Context]:
        def stop(_: str, done: int, __: int) -> None:
            if done == interrupt:
                raise KeyboardInterrupt

        ctx, reference = context(folder, stop), reference_net()
        net = ctx.stage(
            "feature",
            params=how,
            build=lambda: copy.deepcopy(reference),
            train=lambda f_t: adapt_features(f_t, reference, source, target, how, ctx),
        )
        return net, ctx

    for gate, steps in ((1.0, 4), (0.6, 12)):
        how = Feature(epochs=3, batch=10, gate=gate, lr=0.02, discriminator_lr=0.02)
        expected, whole = run(tmp_path / f"{gate}-whole", how, None)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / f"{gate}-parts", how, 3)
        got, parts = run(tmp_path / f"{gate}-parts", how, None)
        assert same(got, expected)
        assert whole.stages[0].steps == parts.stages[0].steps == steps
        assert logged(parts) == logged(whole)


# ------------------------------------------------------------------ segmentation


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 8), st.floats(0.05, 0.95))
def test_a_gate_looks_at_a_window(accuracies: list[float], window: int, threshold: float) -> None:
    gate = Gate(threshold, patience=100, window=window)
    for i, accuracy in enumerate(accuracies):
        recent = accuracies[max(0, i + 1 - window) : i + 1]
        mean = sum(recent) / len(recent)
        if abs(mean - threshold) > 1e-9:
            assert gate.opens(accuracy) == (mean > threshold)
        else:
            gate.opens(accuracy)


def test_a_restored_gate_has_its_window() -> None:
    gate, restored = Gate(0.6, 10, window=3), Gate(0.6, 10, window=3)
    gate.opens(1.0)
    gate.opens(1.0)
    restored.load_state_dict(json.loads(json.dumps(gate.state_dict())))
    assert restored.opens(0.0) == gate.opens(0.0) == True  # noqa: E712  two of three


class Maps(nn.Module):
    """One score map a class, linear in the pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, CLASSES, 1)

    def features(self, x: Tensor) -> Tensor:
        return x

    def classify(self, f: Tensor) -> Tensor:
        return self.layer(f)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))


def scenes(role: str = "source") -> LabeledImages:
    random = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (4, 3, 5, 6), generator=random, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (4, 5, 6), generator=random, dtype=torch.uint8)
    labels[:, 0] = 255
    return LabeledImages(pixels, labels, role)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("gan", "supervised"), [(1.0, 0.0), (0.1, 1.0)])
def test_the_first_step_on_scenes(
    shared: bool,  # noqa: FBT001
    gan: float,
    supervised: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One step of both, written out with plain gradient descent."""
    torch.manual_seed(0)
    net, reference = Maps(), Maps()
    original = copy.deepcopy(net)
    discriminator = feature_stage.SpatialDiscriminator(CLASSES, 4)
    judge = copy.deepcopy(discriminator)
    monkeypatch.setattr(feature_stage, "build_discriminator", lambda *_: discriminator)
    how = Feature(
        max_steps=1,
        batch=4,
        lr=0.1,
        discriminator_lr=0.2,
        optimizer="sgd",
        gate=0.0,
        shared=shared,
        gan=gan,
        supervised=supervised,
    )
    source, target = scenes(), scenes("target").images()
    adapt_features(net, reference, source, target, how, context(tmp_path))

    every = torch.arange(4)  # whatever its order, the batch is all there is
    x_s, y_s = source[every]
    x_t = target[every]
    scores_s = (original if shared else reference)(x_s).detach()
    logits = judge(torch.cat([scores_s, original(x_t).detach()]))
    domain = torch.cat([torch.ones(4, 5, 6), torch.zeros(4, 5, 6)]).long()
    nn.functional.cross_entropy(logits, domain).backward()
    with torch.no_grad():
        for parameter in judge.parameters():
            parameter.sub_(0.2 * parameter.grad)
    loss = gan * nn.functional.cross_entropy(judge(original(x_t)), torch.ones(4, 5, 6).long())
    loss = loss + supervised * nn.functional.cross_entropy(original(x_s), y_s, ignore_index=255)
    loss.backward()
    for name, p in original.named_parameters():
        expected = p.detach() - 0.1 * p.grad
        assert torch.allclose(net.get_parameter(name), expected, atol=1e-6), name
    for name, p in judge.named_parameters():
        assert torch.allclose(discriminator.get_parameter(name), p, atol=1e-6), name


def test_scores_that_are_maps_get_a_spatial_discriminator() -> None:
    built = build_discriminator(Maps(), scenes(), Feature(hidden=8))
    assert isinstance(built, feature_stage.SpatialDiscriminator)
    assert [tuple(layer.weight.shape[:2]) for layer in built.body[::2]] == [
        *((8, CLASSES), (4, 8), (2, 4))
    ]


def test_a_crop_is_taken_of_both_domains(tmp_path: Path) -> None:
    seen = []
    net = Maps()
    net.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    how = Feature(max_steps=1, batch=2, crop=3, shared=True, supervised=1.0, gate=0.0)
    adapt_features(net, net, scenes(), scenes("target").images(), how, context(tmp_path))
    assert seen == [(2, 3, 3, 3)]
