"""Divergence noticed while training: in logged numbers, in generators, at the gate."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.context import Context
from bench.errors import DivergedError
from bench.stages import StageStore
from bench.task import Images, LabeledImages, Task
from bench.watch import ABOVE, FIRST, TIMES, Watch
from cycada.feature_stage import Feature, adapt_features
from cycada.pixel_stage import COLLAPSED, Pixel, spread, train_translator
from cycada.translator import ImageTranslator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS = ("exploding loss", "collapsed generator", "gate never opened")


# ------------------------------------------------------------------ the numbers alone


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_named(value: float) -> None:
    watch = Watch()
    watch.look({"gan": 1.0})
    with pytest.raises(DivergedError, match=f"'gan' is {value}"):
        watch.look({"loss": 0.5, "gan": value})


def test_what_is_not_defined_is_no_divergence() -> None:
    assert Watch().look({"accuracy": None}) is None


@given(st.lists(st.floats(-ABOVE, ABOVE), min_size=1, max_size=40))
def test_nothing_below_the_bound_explodes(values: list[float]) -> None:
    watch = Watch()
    assert all(watch.look({"loss": value}) is None for value in values)


@given(st.lists(st.floats(0.2, 5.0), min_size=1, max_size=12), st.sampled_from([1.0, -1.0]))
def test_an_explosion_is_measured_by_the_median_of_the_first(
    values: list[float], sign: float
) -> None:
    watch = Watch()
    for value in values:
        assert watch.look({"loss": value}) is None
    first = sorted(values[:FIRST])
    half = len(first) // 2
    median = first[half] if len(first) % 2 else (first[half - 1] + first[half]) / 2
    assert watch.look({"loss": sign * median * TIMES * 0.99}) is None
    if len(values) >= FIRST:  # else the value before is one of the first
        said = watch.look({"loss": sign * median * TIMES * 1.01})
        assert said is not None
        assert said.startswith("'loss' rose to ")


def test_numbers_are_watched_by_name() -> None:
    watch = Watch()
    for _ in range(FIRST):
        watch.look({"large": 1e6, "small": 1e-6})
    assert watch.look({"large": 2e6, "small": 900.0}) is None
    said = watch.look({"large": 2e6, "small": 1100.0})
    assert said == "'small' rose to 1.1e+03, from 1e-06 at first"


# ------------------------------------------------------------------ in a trial


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)

    def classify(self, f: torch.Tensor) -> torch.Tensor:
        return self.head(f)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(x))


def context(folder: Path, **changed: Any) -> Context:
    given_: dict[str, Any] = {
        "seed": 0,
        "device": torch.device("cpu"),
        "network": Tiny,
        "workspace": folder / "work",
        "store": StageStore(folder / "stages"),
        "identity": "identity",
        "budget": 10_000,
    }
    return Context(**(given_ | changed))


def logging(ctx: Context, values: Callable[[int], float], n: int) -> Callable[[nn.Module], None]:
    def train(_: nn.Module) -> None:
        for step in ctx.steps(n):
            if step.index % 10 == 0:
                ctx.log(loss=values(step.index))

    return train


def test_nan_ends_the_trial_where_it_is_logged(tmp_path: Path) -> None:
    ctx, lines = context(tmp_path, on_log=(seen := []).append), seen
    train = logging(ctx, lambda step: math.nan if step >= 123 else 1.0, 5000)
    with pytest.raises(DivergedError, match="'loss' is nan at step 130 of 'a'"):
        ctx.stage("a", params=0, build=ctx.network, train=train)
    # The log has the line, too: JSON has no NaN.
    assert lines[-1] == {"stage": "a", "loop": 0, "step": 130, "loss": None}
    assert [json.loads(line) for line in ctx.unfinished_log] == lines


def explosion(folder: Path, **changed: Any) -> Context:
    ctx = context(folder, **changed)
    train = logging(ctx, lambda step: 1.0 if step < 50 else 1e5 + step, 100)
    ctx.stage("a", params=0, build=ctx.network, train=train)
    return ctx


EXPLODED = {
    "stage": "a",
    "step": 50,
    "kind": "exploding loss",
    "reason": "'loss' rose to 1e+05, from 1 at first",
}


def test_an_explosion_is_an_event_once_a_stage(tmp_path: Path) -> None:
    assert explosion(tmp_path).events == [EXPLODED]


def test_a_cached_stage_brings_its_events(tmp_path: Path) -> None:
    explosion(tmp_path)
    ctx = explosion(tmp_path)
    assert ctx.stages[0].cached
    assert ctx.events == [EXPLODED]


@pytest.mark.parametrize("killed", [20, 55, 100])
def test_a_resumed_stage_remembers_what_was_usual_and_what_went_wrong(
    killed: int, tmp_path: Path
) -> None:
    def on_step(_: str, done: int, __: int) -> None:
        if done == killed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explosion(tmp_path, on_step=on_step)
    assert explosion(tmp_path).events == [EXPLODED]


def test_events_of_a_stage_that_failed_are_kept(tmp_path: Path) -> None:
    ctx = context(tmp_path)

    def train(_: nn.Module) -> None:
        ctx.warn("odd", "it was odd")
        ctx.warn("odd", "it was odd again")
        raise RuntimeError

    ctx.warn("early", "before any stage")
    with pytest.raises(RuntimeError):
        ctx.stage("a", params=0, build=ctx.network, train=train)
    assert [(e["stage"], e["kind"], e["reason"]) for e in ctx.events] == [
        ("a", "odd", "it was odd"),
        ("fit", "early", "before any stage"),
    ]


def test_two_loops_of_a_stage_have_numbers_of_their_own(tmp_path: Path) -> None:
    ctx = context(tmp_path)

    def train(_: nn.Module) -> None:
        for scale in (1.0, 1e6):
            for step in ctx.steps(3):
                ctx.log(loss=scale * (1 + step.index))

    ctx.stage("a", params=0, build=ctx.network, train=train)
    assert ctx.events == []


# ------------------------------------------------------------------ collapsed generators


def task(n: int = 24, size: int = 8) -> Task:
    random = torch.Generator().manual_seed(0)

    def images() -> torch.Tensor:
        shape = (n, 1, size, size)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)

    labels = torch.arange(n) % 3
    source = LabeledImages(images(), labels, "source")
    return Task(source, source, Images(images(), "target"), 3)


PIXEL = {
    "max_steps": 101,
    "batch": 4,
    "generator": "unshuffle",
    "filters": 4,
    "blocks": 0,
    "size": None,
    "discriminator_filters": 4,
    "discriminator_layers": 1,
    "semantic": "none",
    "pool": 4,
}


def translated(folder: Path, spoil: Callable[[ImageTranslator], None], **changed: Any) -> Context:
    ctx, how = context(folder), Pixel(**(PIXEL | changed))

    def train(translator: ImageTranslator) -> None:
        spoil(translator)
        train_translator(translator, Tiny(), task(), how, ctx)

    ctx.stage("translator", params=how, build=lambda: ImageTranslator(how, 1), train=train)
    return ctx


def test_a_healthy_generator_raises_no_event(tmp_path: Path) -> None:
    assert translated(tmp_path, lambda _: None).events == []


@pytest.mark.parametrize(
    ("part", "to"), [("source_to_target", "target"), ("target_to_source", "source")]
)
def test_a_generator_of_one_image_is_noticed(part: str, to: str, tmp_path: Path) -> None:
    """Zero weights and a tiny learning rate: it makes grey of everything, and stays so."""

    def spoil(translator: ImageTranslator) -> None:
        leave = getattr(translator, part).leave
        nn.init.zeros_(leave.weight)

    (event,) = translated(tmp_path, spoil, lr=1e-9).events
    assert (event["stage"], event["step"], event["kind"]) == ("translator", 50, KINDS[1])
    assert event["reason"].startswith(f"translations to the {to} are all alike")


def test_a_batch_of_one_cannot_be_alike(tmp_path: Path) -> None:
    def spoil(translator: ImageTranslator) -> None:
        nn.init.zeros_(translator.source_to_target.leave.weight)  # type: ignore[union-attr,arg-type]

    assert translated(tmp_path, spoil, lr=1e-9, batch=1, max_steps=51).events == []


@given(st.integers(2, 6), st.integers(1, 3), st.floats(0.01, 1.0))
def test_spread_is_the_mean_standard_deviation_of_a_pixel(n: int, c: int, scale: float) -> None:
    images = scale * torch.rand(n, c, 3, 2, generator=torch.Generator().manual_seed(n))
    expected = images.double().numpy().std(axis=0).mean()
    assert spread(images) == pytest.approx(expected, rel=1e-4)
    assert 0 < COLLAPSED < 1


# ------------------------------------------------------------------ the gate


def adapted(folder: Path, **changed: Any) -> Context:
    ctx = context(folder)
    how = Feature(**({"max_steps": 8, "batch": 8, "epochs": 100, "hidden": 4} | changed))
    data = task(size=2)

    def train(net: nn.Module) -> None:
        adapt_features(net, Tiny(), data.source, data.target, how, ctx)

    ctx.stage("feature", params=how, build=Tiny, train=train)
    return ctx


def test_a_gate_that_never_opens_is_noticed(tmp_path: Path) -> None:
    ctx = adapted(tmp_path, gate=1.0)
    (event,) = ctx.events
    assert (event["stage"], event["step"], event["kind"]) == ("feature", 2, KINDS[2])
    assert ctx.stages[0].stop == "the gate stayed closed for an epoch of 3 steps"


def test_it_is_also_noticed_where_the_steps_end_first(tmp_path: Path) -> None:
    ctx = adapted(tmp_path, gate=1.0, max_steps=2)
    assert [event["kind"] for event in ctx.events] == [KINDS[2]]
    assert ctx.stages[0].stop is None


def test_a_gate_that_opened_once_is_no_event(tmp_path: Path) -> None:
    assert adapted(tmp_path, gate=0.0).events == []
