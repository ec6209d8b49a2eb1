"""Equations 2 to 4: loss values, gradients and updates against a second writing in NumPy.

The generators, discriminators and classifiers here have two numbers each, so that every loss of
a step is a short formula of them. What holds for real networks is tried on real ones.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.context import Context
from bench.stages import StageStore
from bench.task import Images, LabeledImages, Task
from bench.testing import Shape, tiny_task
from cycada import pixel_stage
from cycada.discriminators import PatchDiscriminator
from cycada.generators import ResNetGenerator, UnshuffleGenerator
from cycada.pixel_stage import Pixel, train_translator
from cycada.semantics import Semantics, Switch, judge
from cycada.translator import ImageTranslator, resize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLASSES = 3
BATCH = 12

TINY = Pixel(
    max_steps=1,
    batch=BATCH,
    generator="unshuffle",
    filters=4,
    blocks=1,
    size=None,
    discriminator_filters=4,
    discriminator_layers=1,
)
"""The paper's losses on networks that take no time."""

OFF = replace(
    TINY, gan_source_to_target=0.0, gan_target_to_source=0.0, cycle=0.0, semantic_weight=1.0
)

READINGS = ("paper", "released", "cooperative")


# ------------------------------------------------------------------ networks of two numbers


class Affine(nn.Module):
    """Stands for a generator: x to a x + b. Remembers what it was shown."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return self.a * x + self.b


class Patches(nn.Module):
    """Stands for a discriminator: a x + b of every pixel. Counts the gradients that reach it."""

    made: list[Patches]

    def __init__(self, channels: int, filters: int, layers: int) -> None:
        super().__init__()
        del channels, filters, layers
        a, b = PATCHES[len(self.made) % 2]
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))
        self.seen: list[Tensor] = []
        self.gradients = 0
        self.a.register_hook(self.count)
        self.made.append(self)

    def count(self, _: Tensor) -> None:
        self.gradients += 1

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return self.a * x + self.b


class Mean(nn.Module):
    """Stands for a classifier: class 0 for bright images, 2 for dark, 1 for those between."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.bias = nn.Parameter(torch.tensor(GAIN)), nn.Parameter(torch.tensor(BIAS))
        self.sizes: set[tuple[int, ...]] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.add(tuple(x.shape[-2:]))
        return x.mean((1, 2, 3))[:, None] * self.gain + self.bias


class Whole(nn.Module):
    """A small real classifier with all that depends on the mode: dropout and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(3)
        )
        self.body(torch.zeros(2, 1, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.body(x)
        return scores


GENERATORS = {"st": (0.7, 0.2), "ts": (1.3, -0.1)}
PATCHES = {0: (0.5, 0.3), 1: (-0.8, 0.4)}
"""Of D_S, which is made first, and of D_T."""

GAIN, BIAS = (8.0, 0.5, -8.0), (0.0, 1.0, 0.0)


def hand_made() -> ImageTranslator:
    translator = ImageTranslator(TINY, 1)
    translator.source_to_target = Affine(*GENERATORS["st"])  # type: ignore[assignment]
    translator.target_to_source = Affine(*GENERATORS["ts"])  # type: ignore[assignment]
    return translator


@pytest.fixture
def patches(monkeypatch: pytest.MonkeyPatch) -> type[Patches]:
    """Put `Patches` in the place of the stage's discriminators."""

    class Mine(Patches):
        made: list[Patches] = []  # noqa: RUF012  of one test

    monkeypatch.setattr(pixel_stage, "PatchDiscriminator", Mine)
    return Mine


# ------------------------------------------------------------------ trials


def task(size: int = 8, n: int = BATCH) -> Task:
    """Return random images, the source darker (-0.9 to 0.2) than the target (-0.2 to 0.9)."""
    base = tiny_task(Shape(1, (size, size), CLASSES, "none"), n)
    # From image to image brighter, so that a classifier of means gives all three labels.
    lift = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1) * (144 // n)
    source = LabeledImages(base.source.pixels // 8 + lift, base.source.labels, "source")
    target = Images(base.target.pixels // 8 + lift + 90, "target")
    return Task(source, base.validation, target, CLASSES)


def context(
    tmp_path: Path,
    network: Callable[[], nn.Module] = Mean,
    on_step: Callable[[str, int, int], None] | None = None,
) -> Context:
    return Context(
        seed=0,
        device=torch.device("cpu"),
        network=network,
        workspace=tmp_path / "work",
        store=StageStore(tmp_path / "stages"),
        identity="tests",
        budget=10_000,
        on_step=on_step,
    )


@dataclass
class Trial:
    """What one pixel stage left behind."""

    translator: ImageTranslator
    log: list[dict[str, Any]]
    gradients: dict[str, float | None]
    """Of each scalar parameter of the generators, after the last step."""
    start: dict[str, Tensor] = field(repr=False)

    @property
    def losses(self) -> dict[str, float]:
        """The first step's."""
        return {k: v for k, v in self.log[0].items() if k not in ("stage", "loop", "step")}

    def moved(self, name: str) -> bool:
        """Whether any weight of a generator changed."""
        after = self.translator.state_dict()
        return any(not torch.equal(after[k], w) for k, w in self.start.items() if name in k)


def run(
    tmp_path: Path,
    how: Pixel,
    *,
    translator: ImageTranslator | None = None,
    f_s: nn.Module | None = None,
    data: Task | None = None,
    network: Callable[[], nn.Module] = Mean,
    on_step: Callable[[str, int, int], None] | None = None,
) -> Trial:
    data = data or task()
    f_s = f_s or Mean().eval().requires_grad_(requires_grad=False)
    ctx = context(tmp_path, network, on_step)
    start: dict[str, Tensor] = {}
    gradients: dict[str, float | None] = {}

    def train(g: nn.Module) -> None:
        assert isinstance(g, ImageTranslator)
        start.update(copy.deepcopy(g.state_dict()))
        train_translator(g, f_s, data, how, ctx)
        for name, w in g.named_parameters():
            if w.numel() == 1:
                gradients[name] = None if w.grad is None else w.grad.item()

    module = ctx.stage(
        "translator",
        params=how,
        build=lambda: translator or ImageTranslator(how, data.channels),
        train=train,
    )
    assert isinstance(module, ImageTranslator)
    folder = ctx.stages[0].folder
    assert folder is not None
    text = (folder / "metrics.jsonl").read_text()
    return Trial(module, [json.loads(line) for line in text.splitlines()], gradients, start)


# ------------------------------------------------------------------ a step in NumPy


Numbers = dict[str, float]

START: Numbers = {
    "st.a": GENERATORS["st"][0],
    "st.b": GENERATORS["st"][1],
    "ts.a": GENERATORS["ts"][0],
    "ts.b": GENERATORS["ts"][1],
}


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return float(-np.log(shares[np.arange(len(labels)), labels]).mean())


def mean_scores(x: np.ndarray) -> np.ndarray:
    """Return what a `Mean` says."""
    scores: np.ndarray = x.mean((1, 2, 3))[:, None] * np.array(GAIN) + np.array(BIAS)
    return scores


def in_numpy(data: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x_s = data.source.pixels.double().numpy() / 127.5 - 1
    x_t = data.target.pixels.double().numpy() / 127.5 - 1
    return x_s, data.source.labels.numpy(), x_t


def expected_losses(how: Pixel, data: Task, at: Numbers = START) -> dict[str, float]:
    """Return the first step's losses, by the paper's equations; all images are in one batch."""
    x_s, y_s, x_t = in_numpy(data)

    def g_st(x: np.ndarray) -> np.ndarray:
        return at["st.a"] * x + at["st.b"]

    def g_ts(x: np.ndarray) -> np.ndarray:
        return at["ts.a"] * x + at["ts.b"]

    def d(i: int, x: np.ndarray) -> np.ndarray:
        return PATCHES[i][0] * x + PATCHES[i][1]

    def semantic(x: np.ndarray, labels: np.ndarray) -> float:
        return how.semantic_weight * cross_entropy(mean_scores(x), labels)

    fake_t, fake_s = g_st(x_s), g_ts(x_t)
    losses: dict[str, float] = {}
    critics = []
    if how.gan_source_to_target:
        losses["gan_st"] = how.gan_source_to_target * float(((d(1, fake_t) - 1) ** 2).mean())
        critics.append(((d(1, x_t) - 1) ** 2).mean() + (d(1, fake_t) ** 2).mean())
    if how.gan_target_to_source:
        losses["gan_ts"] = how.gan_target_to_source * float(((d(0, fake_s) - 1) ** 2).mean())
        critics.append(((d(0, x_s) - 1) ** 2).mean() + (d(0, fake_s) ** 2).mean())
    if how.cycle:
        losses["cycle_s"] = how.cycle * float(np.abs(g_ts(fake_t) - x_s).mean())
        losses["cycle_t"] = how.cycle * float(np.abs(g_st(fake_s) - x_t).mean())
    if how.identity:
        losses["identity_t"] = how.identity * float(np.abs(g_st(x_t) - x_t).mean())
        if how.cycle or how.gan_target_to_source:
            losses["identity_s"] = how.identity * float(np.abs(g_ts(x_s) - x_s).mean())
    if how.semantic == "paper":
        losses["semantic_s"] = semantic(fake_t, mean_scores(x_s).argmax(1))
        losses["semantic_t"] = semantic(fake_s, mean_scores(x_t).argmax(1))
    if how.semantic in ("released", "cooperative"):
        losses["classifier"] = cross_entropy(mean_scores(x_s), y_s)
    if how.semantic == "cooperative" or (how.semantic == "released" and losses["classifier"] <= 1):
        losses["semantic_s"] = semantic(fake_t, y_s)
    if how.semantic == "released" and losses["classifier"] <= 1:
        losses["semantic_t"] = semantic(fake_s, mean_scores(x_t).argmax(1))
    if critics:
        losses["discriminators"] = 0.5 * float(sum(critics))
    return losses


def expected_gradients(how: Pixel, data: Task) -> Numbers:
    """Return the generators' gradients by central differences of what they minimise."""

    def total(at: Numbers) -> float:
        losses = expected_losses(how, data, at)
        return sum(v for k, v in losses.items() if k != "discriminators")

    step = 1e-6
    return {
        name: (total({**START, name: v + step}) - total({**START, name: v - step})) / (2 * step)
        for name, v in START.items()
    }


NAMES = {
    "st.a": "source_to_target.a",
    "st.b": "source_to_target.b",
    "ts.a": "target_to_source.a",
    "ts.b": "target_to_source.b",
}

LOSSES: dict[str, Pixel] = {
    "gan_st": replace(OFF, gan_source_to_target=2.0, semantic="none"),
    "gan_ts": replace(OFF, gan_target_to_source=1.0, semantic="none"),
    "both gans": replace(OFF, gan_source_to_target=0.7, gan_target_to_source=3, semantic="none"),
    "cycle": replace(OFF, cycle=1.0, semantic="none"),
    "cycle and gan_st": replace(OFF, cycle=10.0, gan_source_to_target=2.0, semantic="none"),
    "paper": replace(OFF, semantic="paper"),
    "released": replace(OFF, semantic="released"),
    "cooperative": replace(OFF, semantic="cooperative"),
    "the paper's": TINY,
    "the paper's, weighted": replace(TINY, semantic_weight=0.3, cycle=5.0),
    "released code's": replace(TINY, semantic="released"),
    "ours": replace(TINY, semantic="cooperative", semantic_weight=4.0),
    "no semantic": replace(TINY, semantic="none"),
    "identity": replace(TINY, semantic="none", identity=0.5),
    "identity, one way": replace(OFF, gan_source_to_target=1.0, semantic="none", identity=0.5),
}

every_loss = pytest.mark.parametrize("how", LOSSES.values(), ids=LOSSES)


def seeing(labels_right: bool) -> Task:  # noqa: FBT001
    """Return the task with the labels that a `Mean` gives, or with another for each image."""
    data = task()
    labels = torch.from_numpy(mean_scores(in_numpy(data)[0]).argmax(1))
    if not labels_right:
        labels = (labels + 1) % CLASSES
    return replace(data, source=LabeledImages(data.source.pixels, labels, "source"))


@pytest.mark.parametrize("right", [True, False], ids=["right labels", "wrong labels"])
@every_loss
def test_the_first_losses_and_gradients(
    tmp_path: Path,
    patches: type[Patches],
    how: Pixel,
    right: bool,  # noqa: FBT001
) -> None:
    """With right labels, f_S's loss is below 1 and "released" speaks; else it is silent."""
    data = seeing(right)
    trial = run(tmp_path, how, translator=hand_made(), data=data)
    expected = expected_losses(how, data)
    assert trial.losses == pytest.approx(expected, rel=1e-4)
    if how.semantic == "released":
        assert ("semantic_s" in expected) == right
    gradients = expected_gradients(how, data)
    for short, long in NAMES.items():
        got = trial.gradients[long]
        assert (0.0 if got is None else got) == pytest.approx(gradients[short], rel=2e-3, abs=2e-5)
    assert len(patches.made) == 2


@every_loss
def test_the_discriminators_learn_from_their_own_loss_only(
    tmp_path: Path, patches: type[Patches], how: Pixel
) -> None:
    """Their gradients come once a step, and are those of the LSGAN loss."""
    data = seeing(labels_right=True)
    run(tmp_path, replace(how, max_steps=1), translator=hand_made(), data=data)
    x_s, _, x_t = in_numpy(data)
    fake_t = START["st.a"] * x_s + START["st.b"]
    fake_s = START["ts.a"] * x_t + START["ts.b"]
    used = how.gan_target_to_source, how.gan_source_to_target
    for i, (real, fake) in enumerate([(x_s, fake_s), (x_t, fake_t)]):
        made, (a, b) = patches.made[i], PATCHES[i]
        assert made.gradients == bool(used[i])
        if not used[i]:
            assert made.a.item() == pytest.approx(a), "it was not trained"
            continue
        # d/da of half of the mean of (a x + b - wanted)^2, whatever the generator's weight is.
        by_hand = ((a * real + b - 1) * real).mean() + ((a * fake + b) * fake).mean()
        assert made.a.grad is not None
        assert made.a.grad.item() == pytest.approx(by_hand, rel=1e-3)
        # Adam's first step has the length of its rate.
        assert made.a.item() == pytest.approx(a - how.lr * np.sign(by_hand), abs=1e-6)
        assert made.gradients == 1


@pytest.mark.parametrize("semantic", ["none", *READINGS])
def test_a_weight_scales_its_terms_and_no_other(
    tmp_path: Path, patches: type[Patches], semantic: str
) -> None:
    del patches
    data = seeing(labels_right=True)
    base = replace(TINY, semantic=semantic)  # type: ignore[arg-type]
    first = run(tmp_path / "base", base, translator=hand_made(), data=data).losses
    terms = {
        "gan_source_to_target": {"gan_st"},
        "gan_target_to_source": {"gan_ts"},
        "cycle": {"cycle_s", "cycle_t"},
        "semantic_weight": {"semantic_s", "semantic_t"} & set(first),
    }
    for name, keys in terms.items():
        how = replace(base, **{name: 5 * getattr(base, name)})
        losses = run(tmp_path / name, how, translator=hand_made(), data=data).losses
        scaled = {k: v * (5 if k in keys else 1) for k, v in first.items()}
        assert losses == pytest.approx(scaled, rel=1e-5)


# ------------------------------------------------------------------ switches, on real networks


PRESENT = {
    "gan_source_to_target": {"gan_st"},
    "gan_target_to_source": {"gan_ts"},
    "cycle": {"cycle_s", "cycle_t"},
}

SEMANTIC_KEYS = {
    "none": set[str](),
    "paper": {"semantic_s", "semantic_t"},
    "released": {"classifier"},  # and two more once that is <= 1
    "cooperative": {"classifier", "semantic_s"},
}


@pytest.mark.parametrize("semantic", SEMANTIC_KEYS)
def test_what_is_switched_off_is_not_logged(tmp_path: Path, semantic: str) -> None:
    for mask in range(8):
        on = [name for i, name in enumerate(PRESENT) if mask & (1 << i)]
        if not on and semantic == "none":
            continue
        # Labels as they come: the classifier's first loss is above 1.
        how = replace(OFF, semantic=semantic, **dict.fromkeys(on, 1.0))  # type: ignore[arg-type]
        expected = set(SEMANTIC_KEYS[semantic])
        for name in on:
            expected |= PRESENT[name]
        if {"gan_source_to_target", "gan_target_to_source"} & set(on):
            expected.add("discriminators")
        trial = run(tmp_path / str(mask), how, data=seeing(labels_right=False))
        assert set(trial.losses) == expected, on


@pytest.mark.parametrize(
    ("on", "semantic", "trains"),
    [
        (["gan_source_to_target"], "none", {"source_to_target"}),
        (["gan_target_to_source"], "none", {"target_to_source"}),
        (["cycle"], "none", {"source_to_target", "target_to_source"}),
        ([], "paper", {"source_to_target", "target_to_source"}),
        ([], "released", {"source_to_target", "target_to_source"}),
        ([], "cooperative", {"source_to_target"}),
        (["gan_target_to_source"], "cooperative", {"source_to_target", "target_to_source"}),
        (["gan_source_to_target"], "cooperative", {"source_to_target"}),
    ],
)
def test_a_generator_is_trained_when_a_loss_looks_at_it(
    tmp_path: Path, on: list[str], semantic: str, trains: set[str]
) -> None:
    how = replace(OFF, semantic=semantic, **dict.fromkeys(on, 1.0))  # type: ignore[arg-type]
    trial = run(tmp_path, how, data=seeing(labels_right=True))
    names = {"source_to_target", "target_to_source"}
    assert {name for name in names if trial.moved(name)} == trains


@pytest.mark.parametrize("semantic", SEMANTIC_KEYS)
def test_who_needs_the_way_back(semantic: str) -> None:
    alone = {"semantic": semantic, "gan_source_to_target": 1.0}
    assert replace(OFF, **alone).needs_target_to_source == (semantic in ("paper", "released"))
    for name in ("gan_target_to_source", "cycle"):
        assert replace(OFF, **alone, **{name: 0.1}).needs_target_to_source


def test_a_generator_that_is_not_needed_is_not_run(tmp_path: Path, patches: type[Patches]) -> None:
    translator = hand_made()
    run(tmp_path, LOSSES["gan_st"], translator=translator)
    assert translator.target_to_source.seen == []
    assert len(translator.source_to_target.seen) == 1
    assert patches.made[0].seen == []


# ------------------------------------------------------------------ the semantic readings


def test_paper_takes_the_labels_of_the_frozen_network(
    tmp_path: Path, patches: type[Patches]
) -> None:
    """The true labels are wrong everywhere here, and make no difference."""
    del patches
    how = LOSSES["paper"]
    right, wrong = seeing(labels_right=True), seeing(labels_right=False)
    assert (right.source.labels != wrong.source.labels).all()
    assert len(right.source.labels.unique()) == CLASSES
    one = run(tmp_path / "right", how, translator=hand_made(), data=right)
    two = run(tmp_path / "wrong", how, translator=hand_made(), data=wrong)
    assert one.losses == two.losses
    assert one.gradients == two.gradients


@pytest.mark.parametrize("semantic", READINGS)
def test_the_frozen_network_stays_as_it_was(tmp_path: Path, semantic: str) -> None:
    """With dropout and batch norm in it, a change of mode would show."""
    torch.manual_seed(0)
    f_s = Whole().eval().requires_grad_(requires_grad=False)
    before = copy.deepcopy(f_s.state_dict())
    how = replace(TINY, max_steps=3, semantic=semantic)  # type: ignore[arg-type]
    trial = run(tmp_path, how, f_s=f_s, network=Whole)
    for name, value in f_s.state_dict().items():
        assert torch.equal(value, before[name]), name
    for part in f_s.modules():
        assert not part.training
    for weight in f_s.parameters():
        assert weight.grad is None
        assert not weight.requires_grad
    assert trial.moved("source_to_target")


def semantics(tmp_path: Path, semantic: str, **more: float) -> Semantics:
    how = replace(OFF, semantic=semantic, **more)  # type: ignore[arg-type]
    return Semantics(how, Mean().requires_grad_(requires_grad=False), context(tmp_path))


def constant(mean: float, n: int = 2) -> Tensor:
    return torch.full((n, 1, 8, 8), mean)


def own_loss(mean: float, label: int) -> float:
    """Return the loss of a `Mean` for images of one brightness."""
    return cross_entropy(mean_scores(np.full((1, 1, 1, 1), mean)), np.array([label]))


steps = st.lists(st.tuples(st.floats(-1, 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=8)


@given(steps)
def test_released_is_silent_until_its_classifier_is_good_and_then_stays_on(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[float, int]]
) -> None:
    part = semantics(tmp_path_factory.mktemp("trial"), "released")
    was_good = False
    for mean, label in history:
        own = own_loss(mean, label)
        was_good = was_good or own <= 1.0
        y = torch.full((2,), label)
        terms = part.losses(constant(mean), y, constant(0.5), constant(0.1), constant(0.9), (8, 8))
        assert terms["classifier"].item() == pytest.approx(own, rel=1e-4, abs=1e-6)
        assert set(terms) == {"classifier"} | ({"semantic_s", "semantic_t"} if was_good else set())


def test_released_stays_on_after_a_resume(tmp_path: Path) -> None:
    """The switch is among what the harness saves."""
    first, second = semantics(tmp_path, "released"), semantics(tmp_path, "released")
    good, bad = torch.tensor([0, 0]), torch.tensor([2, 2])
    images = constant(0.5), constant(0.5), constant(0.1), constant(0.9)

    def keys(part: Semantics, y: Tensor) -> set[str]:
        return set(part.losses(images[0], y, *images[1:], (8, 8)))

    assert keys(first, bad) == keys(second, bad) == {"classifier"}
    assert keys(first, good) == {"classifier", "semantic_s", "semantic_t"}
    for name, saved in first.state.items():
        second.state[name].load_state_dict(saved.state_dict())
    assert keys(second, bad) == {"classifier", "semantic_s", "semantic_t"}


@given(st.lists(st.booleans(), max_size=10), st.integers(0, 10))
def test_a_switch_turns_once(history: list[bool], restored_at: int) -> None:
    switch = Switch()
    assert not switch.on
    for i, condition in enumerate(history):
        if i == restored_at:
            saved = json.loads(json.dumps(switch.state_dict()))
            switch = Switch()
            switch.load_state_dict(saved)
        switch.flip_if(condition)
        assert switch.on == any(history[: i + 1])


def graded(part: Semantics, term: str) -> dict[str, bool]:
    """Return whom one term teaches: the classifier, and each kind of image."""
    named = {"x_s": constant(-0.1), "x_t": constant(0.4), "fake_t": constant(0.2)}
    named["fake_s"] = constant(0.3)
    images = {name: x.requires_grad_() for name, x in named.items()}
    y = torch.tensor([0, 1])
    # A first call with easy images switches "released" on.
    part.losses(constant(1.0), torch.zeros(2).long(), *(constant(0.1),) * 3, (8, 8))
    terms = part.losses(images["x_s"], y, images["x_t"], images["fake_t"], images["fake_s"], (8, 8))
    weights = list(part._net.parameters())
    leaves = [w for w in weights if w.requires_grad]
    found = torch.autograd.grad(terms[term], [*images.values(), *leaves], allow_unused=True)
    taught = [g is not None and bool(g.abs().sum() > 0) for g in found]
    n = len(images)
    return dict(zip(images, taught[:n], strict=True)) | {"classifier": any(taught[n:])}


@pytest.mark.parametrize(
    ("semantic", "term", "taught"),
    [
        ("paper", "semantic_s", {"fake_t"}),
        ("paper", "semantic_t", {"fake_s"}),
        ("released", "classifier", {"x_s", "classifier"}),
        ("released", "semantic_s", {"fake_t"}),
        ("released", "semantic_t", {"fake_s"}),
        ("cooperative", "classifier", {"x_s", "classifier"}),
        ("cooperative", "semantic_s", {"fake_t", "classifier"}),
    ],
)
def test_whom_a_term_teaches(tmp_path: Path, semantic: str, term: str, taught: set[str]) -> None:
    found = graded(semantics(tmp_path, semantic), term)
    assert {name for name, yes in found.items() if yes} == taught


@pytest.mark.parametrize("semantic", READINGS)
def test_which_labels_a_reading_uses(tmp_path: Path, semantic: str) -> None:
    """Dark source images are class 2 to the network, bright target images class 0."""
    part = semantics(tmp_path, semantic, semantic_weight=0.5)
    part.losses(constant(1.0), torch.zeros(2).long(), *(constant(0.1),) * 3, (8, 8))
    y = torch.tensor([1, 0])
    terms = part.losses(constant(-0.3), y, constant(0.3), constant(0.2), constant(-0.1), (8, 8))
    source = [2, 2] if semantic == "paper" else [1, 0]
    on_fake_t = np.mean([own_loss(0.2, label) for label in source])
    assert terms["semantic_s"].item() == pytest.approx(0.5 * on_fake_t, rel=1e-4)
    if semantic != "cooperative":
        assert terms["semantic_t"].item() == pytest.approx(0.5 * own_loss(-0.1, 0), rel=1e-4)
    if semantic != "paper":
        own = np.mean([own_loss(-0.3, 1), own_loss(-0.3, 0)])
        assert terms["classifier"].item() == pytest.approx(own, rel=1e-4), "never weighted"


def test_paper_trains_no_classifier(tmp_path: Path) -> None:
    part = semantics(tmp_path, "paper")
    assert part.state == {}
    part.zero_grad()
    part.step()


@pytest.mark.parametrize("semantic", ["released", "cooperative"])
def test_the_classifier_takes_an_adam_step(tmp_path: Path, semantic: str) -> None:
    """The first has the length of its own rate, in the direction of its gradient."""
    part = semantics(tmp_path, semantic, classifier_lr=0.25)
    net, y = part._net, torch.tensor([0, 0])
    assert isinstance(net, Mean)
    before = net.bias.detach().clone()
    for _ in range(2):  # what the first round leaves must not add to the second
        part.zero_grad()
        terms = part.losses(constant(0.6), y, constant(0.3), constant(0.2), constant(0.1), (8, 8))
        torch.stack(list(terms.values())).sum().backward()
    gradient = net.bias.grad
    assert gradient is not None
    by_hand = np.zeros(CLASSES)
    # "released" teaches it originals only, "cooperative" translations as well.
    for mean in (0.6,) if semantic == "released" else (0.6, 0.2):
        odds = np.exp(mean_scores(np.full((1, 1, 1, 1), mean))[0])
        by_hand += odds / odds.sum() - [1, 0, 0]
    np.testing.assert_allclose(gradient, by_hand, atol=1e-6)
    part.step()
    # Towards class 0, and away from the others.
    moved = (net.bias - before).detach()
    torch.testing.assert_close(moved, torch.tensor([0.25, -0.25, -0.25]), atol=1e-3, rtol=0)
    assert set(part.state) == {"classifier", "classifier_optimizer", "classifier_ready"}


@pytest.mark.parametrize("semantic", ["released", "cooperative"])
@pytest.mark.parametrize("cycle", [0.0, 1.0])
def test_a_step_of_the_stage_is_one_of_the_classifier_too(
    tmp_path: Path, patches: type[Patches], semantic: str, cycle: float
) -> None:
    """At its own rate, and whatever the generators' other losses are."""
    del patches
    nets: list[Mean] = []

    def network() -> Mean:
        nets.append(Mean())
        return nets[-1]

    # One label throughout: its score must rise, the others fall.
    data = task()
    ones = torch.ones_like(data.source.labels)
    data = replace(data, source=LabeledImages(data.source.pixels, ones, "source"))
    how = replace(TINY, semantic=semantic, cycle=cycle, classifier_lr=0.125)  # type: ignore[arg-type]
    run(tmp_path, how, translator=hand_made(), data=data, network=network)
    moved = (nets[0].bias - torch.tensor(BIAS)).detach()
    torch.testing.assert_close(moved, torch.tensor([-0.125, 0.125, -0.125]), atol=1e-4, rtol=0)
    assert len(nets) == 1


def test_cooperative_shows_both_halves_at_once(tmp_path: Path) -> None:
    """One batch of originals and translations, so that batch norm sees both together."""
    torch.manual_seed(0)
    how = replace(OFF, semantic="cooperative")
    part = Semantics(how, Mean(), context(tmp_path, Plain))
    net = part._net
    assert isinstance(net, Plain)
    x_s, fake_t, y = torch.rand(4, 1, 8, 8) - 1, torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    scores = copy.deepcopy(net)(torch.cat([x_s, fake_t])).detach().double().numpy()
    terms = part.losses(x_s, y, fake_t, fake_t, None, (8, 8))
    labels = y.numpy()
    assert terms["classifier"].item() == pytest.approx(cross_entropy(scores[:4], labels), rel=1e-4)
    assert terms["semantic_s"].item() == pytest.approx(cross_entropy(scores[4:], labels), rel=1e-4)
    assert net.norm.num_batches_tracked == 1


class Plain(nn.Module):
    """A classifier with batch norm and without dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.norm(x).flatten(1))
        return scores


# ------------------------------------------------------------------ judge


@pytest.mark.parametrize("training", [True, False])
def test_judge_sees_but_does_not_touch(training: bool) -> None:  # noqa: FBT001
    torch.manual_seed(0)
    net = Whole().train(training)
    before = copy.deepcopy(net.state_dict())
    x = torch.rand(5, 1, 8, 8, requires_grad=True)
    logits = judge(net, x)
    logits.square().sum().backward()
    assert net.training == training
    assert all(part.training == training for part in net.modules())
    assert all(w.grad is None and w.requires_grad for w in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

    twin, same_x = copy.deepcopy(net).eval(), x.detach().clone().requires_grad_()
    expected = twin(same_x)
    expected.square().sum().backward()
    assert torch.equal(logits, expected)
    assert x.grad is not None
    assert same_x.grad is not None
    assert x.grad.abs().sum() > 0
    torch.testing.assert_close(x.grad, same_x.grad)


# ------------------------------------------------------------------ running average


def test_the_average_follows_the_trained_weights(tmp_path: Path, patches: type[Patches]) -> None:
    """By w <- d w + (1 - d) w_trained; d = min(average, (1 + i) / (10 + i)): 0.1, 2/11, 0.2."""
    how = replace(TINY, max_steps=4, lr=0.01)
    path: list[dict[str, float]] = []
    translator = hand_made()

    def note(_: str, __: int, ___: int) -> None:
        path.append({k: w.item() for k, w in translator.named_parameters()})

    run(tmp_path / "last", how, translator=translator, on_step=note)
    patches.made.clear()
    averaged = run(tmp_path / "mean", replace(how, average=0.2), translator=hand_made())
    for short, long in NAMES.items():
        w = START[short]
        for decay, trained in zip((0.1, 2 / 11, 0.2, 0.2), path, strict=True):
            w = decay * w + (1 - decay) * trained[long]
        assert averaged.translator.state_dict()[long].item() == pytest.approx(w, abs=1e-6)
        assert abs(w - path[-1][long]) > 1e-4, "or it would say nothing"


# ------------------------------------------------------------------ image pools


def rows(images: Tensor) -> set[tuple[float, ...]]:
    return {tuple(image) for image in images.flatten(1).tolist()}


@pytest.mark.parametrize("pool", [0, 6, 1000])
def test_the_discriminators_see_a_history(
    tmp_path: Path, patches: type[Patches], pool: int
) -> None:
    """In a step each is shown: the newest translations, real images, the pool's answer."""
    n, batch = 6, 6
    how = replace(TINY, max_steps=n, batch=batch, pool=pool, lr=0.05)
    run(tmp_path, how, translator=hand_made(), data=task())
    x_s, x_t = (rows(task().source[torch.arange(12)][0]), rows(task().target[torch.arange(12)]))
    for made, real_domain in zip(patches.made, (x_s, x_t), strict=True):
        newest, real, shown = (made.seen[i::3] for i in range(3))
        assert len(shown) == n
        assert all(rows(images) <= real_domain for images in real)
        old, past = 0, set[tuple[float, ...]]()
        for now, images in zip(newest, shown, strict=True):
            assert images.shape == now.shape
            assert rows(images) <= rows(now) | past, "a translation of the same direction"
            old += len(rows(images) & past)
            past |= rows(now)
        if pool == batch:
            assert 5 < old < 25, "after the first step, half of 30 on average"
        else:
            # Without a pool, or while it fills, only the newest.
            assert old == 0
            assert all(torch.equal(a, b) for a, b in zip(newest, shown, strict=True))


# ------------------------------------------------------------------ sizes


def test_resize_by_hand() -> None:
    """Pixel centres lie at halves: twice the size takes quarters, half the size takes means."""
    up = resize(torch.tensor([[[[0.0, 1.0]]]]), (1, 4))
    assert up.flatten().tolist() == [0.0, 0.25, 0.75, 1.0]
    down = resize(torch.tensor([[[[0.0, 1.0, 4.0, 6.0]]]]), (1, 2))
    assert down.flatten().tolist() == [0.5, 5.0]
    square = resize(torch.tensor([[[[0.0, 2.0], [4.0, 6.0]]]]), 1)
    assert square.tolist() == [[[[3.0]]]]


def test_resize_to_the_same_size_is_free() -> None:
    x = torch.rand(2, 1, 4, 6)
    for size in (None, (4, 6), x.shape[-2:]):
        assert resize(x, size) is x
    assert resize(x, 4).shape == (2, 1, 4, 4)


@given(st.floats(-1, 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_resize_keeps_what_is_constant(value: float, h: int, w: int, size: int) -> None:
    resized = resize(torch.full((1, 2, h, w), value), size)
    assert resized.shape == (1, 2, size, size)
    torch.testing.assert_close(resized, torch.full_like(resized, value))


@pytest.mark.parametrize("generator", ["resnet", "unshuffle"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "size"), [(16, None), (16, 8), (13, 12), (8, 8)])
def test_a_translator_keeps_shapes(
    generator: str, channels: int, side: int, size: int | None
) -> None:
    torch.manual_seed(0)
    how = replace(TINY, generator=generator, size=size)  # type: ignore[arg-type]
    translator = ImageTranslator(how, channels)
    kind = {"resnet": ResNetGenerator, "unshuffle": UnshuffleGenerator}[generator]
    for part in (translator.source_to_target, translator.target_to_source):
        assert isinstance(part, kind)
    x = torch.rand(2, channels, side, side) * 2 - 1
    there, back = translator(x), translator.back(x)
    for image in (there, back):
        assert image.shape == x.shape
        assert image.abs().max() <= 1
    assert not torch.equal(there, back)


def test_each_direction_has_its_generator() -> None:
    translator = hand_made()
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(translator(x), 0.7 * x + 0.2)
    torch.testing.assert_close(translator.back(x), 1.3 * x - 0.1)


def test_translation_happens_at_the_stage_s_size() -> None:
    translator = ImageTranslator(replace(TINY, size=8), 1)
    translator.source_to_target = Affine(1.0, 0.0)  # type: ignore[assignment]
    x = torch.rand(2, 1, 12, 12)
    out = translator(x)
    assert translator.source_to_target.seen[0].shape == (2, 1, 8, 8)
    torch.testing.assert_close(out, resize(resize(x, 8), 12))


@pytest.mark.parametrize("semantic", READINGS)
def test_training_is_at_the_stage_s_size_and_classifying_at_the_task_s(
    tmp_path: Path, patches: type[Patches], semantic: str
) -> None:
    nets: list[Mean] = []

    def network() -> Mean:
        nets.append(Mean())
        return nets[-1]

    f_s = network().eval().requires_grad_(requires_grad=False)
    translator = hand_made()
    run(
        tmp_path,
        replace(TINY, size=8, semantic=semantic),  # type: ignore[arg-type]
        translator=translator,
        f_s=f_s,
        data=task(size=12),
        network=network,
    )
    generators = translator.source_to_target, translator.target_to_source
    for part in (*generators, *patches.made):
        assert {tuple(x.shape[-2:]) for x in part.seen} == {(8, 8)}
    assert nets[-1].sizes == {(12, 12)}
    assert len(nets) == (1 if semantic == "paper" else 2)


# ------------------------------------------------------------------ the loop


def test_steps_count_the_larger_set(tmp_path: Path) -> None:
    data = task()
    small = LabeledImages(data.source.pixels[:5], data.source.labels[:5], "source")
    for n, part in (("source", replace(data, source=small)), ("target", data)):
        if n == "target":
            part = replace(data, target=Images(data.target.pixels[:5], "target"))  # noqa: PLW2901
        done: list[tuple[str, int, int]] = []
        run(
            tmp_path / n,
            replace(TINY, max_steps=None, epochs=3, batch=8),
            data=part,
            on_step=lambda *what, done=done: done.append(what),  # type: ignore[misc]
        )
        assert done[-1] == ("translator", 5, 5), "3 epochs of 12 images are 4.5 batches"


def test_the_rate_falls_in_the_second_half(tmp_path: Path, patches: type[Patches]) -> None:
    """Generators and discriminators alike: steps in one direction shrink by 1, 1, 1, 1, ..."""
    path: list[list[float]] = []
    translator = hand_made()

    def note(_: str, __: int, ___: int) -> None:
        path.append([translator.source_to_target.b.item(), patches.made[1].b.item()])

    # So slow that the gradient is the same at each step, and Adam's step is the rate itself.
    how = replace(LOSSES["gan_st"], max_steps=8, lr=1e-4, pool=0)
    run(tmp_path, how, translator=translator, on_step=note)
    start = [[START["st.b"], PATCHES[1][1]]]
    lengths = np.abs(np.diff(np.array(start + path), axis=0)) / 1e-4
    expected = np.array([1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(lengths, np.stack([expected] * 2, axis=1), atol=0.02)


def test_losses_are_logged_every_fiftieth_step(tmp_path: Path, patches: type[Patches]) -> None:
    del patches
    trial = run(tmp_path, replace(TINY, epochs=200, max_steps=101), translator=hand_made())
    assert [line["step"] for line in trial.log] == [0, 50, 100]


def test_the_discriminators_are_as_wide_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []

    class Remembered(PatchDiscriminator):
        def __init__(self, *args: int) -> None:
            super().__init__(*args)
            asked.append(args)

    monkeypatch.setattr(pixel_stage, "PatchDiscriminator", Remembered)
    how = replace(TINY, discriminator_filters=5, discriminator_layers=1)
    run(tmp_path, how)
    assert asked == [(1, 5, 1), (1, 5, 1)]


def test_the_task_stays_as_it_was(tmp_path: Path) -> None:
    data = task()
    before = data.digest()
    run(tmp_path, replace(TINY, max_steps=3), data=data)
    assert data.digest() == before


@pytest.mark.parametrize("semantic", READINGS)
def test_a_stopped_stage_goes_on_exactly(tmp_path: Path, semantic: str) -> None:
    """With history, average, both schedules and the classifier; lr is high, so that all matter."""
    how = replace(
        TINY,
        semantic=semantic,  # type: ignore[arg-type]
        max_steps=8,  # stopped at half, where the rates begin to fall
        batch=4,
        pool=4,
        average=0.15,
        lr=0.01,
        classifier_lr=0.05,
    )
    data = seeing(labels_right=True)

    def stop(_: str, done: int, __: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    whole = run(tmp_path / "whole", how, data=data, network=Whole)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", how, data=data, network=Whole, on_step=stop)
    parts = run(tmp_path / "parts", how, data=data, network=Whole)
    assert parts.log == whole.log
    expected = whole.translator.state_dict()
    for name, value in parts.translator.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_translation_learns_what_tells_the_domains_apart(tmp_path: Path) -> None:
    """The target is brighter. A real generator against a real discriminator finds that out."""
    data = task()
    how = replace(
        TINY,
        epochs=200,
        max_steps=150,
        lr=3e-3,
        filters=8,
        discriminator_filters=8,
        semantic="none",
        average=0.95,
    )
    trial = run(tmp_path, how, data=data)
    every = torch.arange(12)
    x_s, x_t = data.source[every][0], data.target[every]
    gap = (x_t.mean() - x_s.mean()).item()
    assert gap > 0.6
    there, back = trial.translator(x_s).mean() - x_t.mean(), trial.translator.back(x_t).mean()
    assert abs(there.item()) < 0.4 * gap
    assert abs(back.item() - x_s.mean().item()) < 0.4 * gap
