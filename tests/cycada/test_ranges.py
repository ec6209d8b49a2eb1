"""Hyperparameters out of range are refused before any training, by name and value."""

from __future__ import annotations

import dataclasses
import math
import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.hyperparameters import resolve
from cycada.classifier import Classifier
from cycada.feature_stage import Feature
from cycada.method import CyCADA
from cycada.pixel_stage import Pixel
from cycada.ranges import between, positive

Part = type[Classifier] | type[Feature] | type[Pixel]

numbers = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6)

POSITIVE: dict[Part, tuple[str, ...]] = {
    Classifier: ("epochs", "max_steps", "batch", "lr", "crop"),
    Feature: (
        "epochs",
        "max_steps",
        "batch",
        "lr",
        "discriminator_lr",
        "hidden",
        "crop",
        "gate_window",
        "gan",
    ),
    Pixel: (
        "epochs",
        "max_steps",
        "batch",
        "lr",
        "filters",
        "size",
        "crop",
        "discriminator_filters",
        "discriminator_layers",
        "classifier_lr",
    ),
}
"""What 0 makes meaningless."""

BETWEEN: dict[Part, dict[str, tuple[float, float]]] = {
    Classifier: {"momentum": (0, 0.9999), "weight_decay": (0, math.inf)},
    Feature: {
        "beta1": (0, 0.9999),
        "momentum": (0, 0.9999),
        "gate": (0, 1),
        "weight_decay": (0, math.inf),
        "supervised": (0, math.inf),
    },
    Pixel: {
        "gan_source_to_target": (0, math.inf),
        "gan_target_to_source": (0, math.inf),
        "cycle": (0, math.inf),
        "identity": (0, math.inf),
        "semantic_weight": (0, math.inf),
        "blocks": (0, math.inf),
        "pool": (0, math.inf),
        "beta1": (0, 0.9999),
        "average": (0, 0.9999),
    },
}
"""The lowest and the highest allowed."""

parts = pytest.mark.parametrize("part", POSITIVE)


# ------------------------------------------------------------------ the two checks


@given(numbers)
def test_positive_is_above_zero(value: float) -> None:
    if value > 0:
        positive(SimpleNamespace(rate=value), "rate")
    else:
        with pytest.raises(ValueError, match=re.escape(f"'rate' must be above 0, got {value}.")):
            positive(SimpleNamespace(rate=value), "rate")


@given(numbers, numbers, numbers)
def test_between_includes_its_limits(low: float, high: float, value: float) -> None:
    low, high = min(low, high), max(low, high)
    part = SimpleNamespace(share=value)
    if low <= value <= high:
        between(part, low, high, "share")
    else:
        message = f"'share' must lie in {low}..{high}, got {value}."
        with pytest.raises(ValueError, match=re.escape(message)):
            between(part, low, high, "share")


def test_both_limits_themselves_are_allowed() -> None:
    between(SimpleNamespace(a=0, b=1), 0, 1, "a", "b")


def test_none_means_no_bound() -> None:
    positive(SimpleNamespace(max_steps=None), "max_steps")


def test_a_limit_at_infinity_is_not_spelled_out() -> None:
    with pytest.raises(ValueError, match=r"^'decay' must be 0 or more, got -1\.$"):
        between(SimpleNamespace(decay=-1), 0, math.inf, "decay")


def test_not_a_number_lies_nowhere() -> None:
    with pytest.raises(ValueError, match=r"'gate' must lie in 0\.\.1, got nan"):
        between(SimpleNamespace(gate=math.nan), 0, 1, "gate")


def test_every_name_is_looked_at() -> None:
    part = SimpleNamespace(a=1, b=1, c=-1)
    with pytest.raises(ValueError, match="'c'"):
        positive(part, "a", "b", "c")
    with pytest.raises(ValueError, match="'c'"):
        between(part, 0, 1, "a", "b", "c")


# ------------------------------------------------------------------ the parts of a method


@parts
def test_every_number_has_a_range(part: Part) -> None:
    """A hyperparameter that is added without a check shows here."""
    numeric = {f.name for f in dataclasses.fields(part) if f.type.split(" ")[0] in ("int", "float")}
    assert numeric == {*POSITIVE[part], *BETWEEN[part]}


@parts
def test_what_must_be_above_zero(part: Part) -> None:
    for name in POSITIVE[part]:
        smallest = 1 if isinstance(getattr(part(), name), int | None) else 1e-12
        assert getattr(part(**{name: smallest}), name) == smallest
        for bad in (0, -1):
            with pytest.raises(ValueError, match=rf"^'{name}' must be above 0, got {bad}\.$"):
                part(**{name: bad})


@parts
def test_what_must_lie_between_limits(part: Part) -> None:
    for name, (low, high) in BETWEEN[part].items():
        finite = 1000.0 if high == math.inf else high
        for good in (low, finite):
            assert getattr(part(**{name: good}), name) == good
        bads = [low - 0.01, -1] + ([] if high == math.inf else [high + 0.0001, 2])
        for bad in bads:
            with pytest.raises(ValueError, match=rf"^'{name}' must .*, got {bad}\.$"):
                part(**{name: bad})


def test_none_only_where_it_means_something() -> None:
    assert Pixel(size=None, max_steps=None).size is None
    assert Classifier(max_steps=None) == Classifier()
    assert Feature(max_steps=None) == Feature()


def test_every_loss_switched_off_is_no_pixel_stage() -> None:
    off = {"gan_source_to_target": 0.0, "gan_target_to_source": 0.0, "cycle": 0.0}
    with pytest.raises(ValueError, match=r"every loss is switched off; .* pixel=none"):
        Pixel(**off, semantic="none")
    for name in off:
        Pixel(**{**off, name: 0.1}, semantic="none")
    for semantic in ("paper", "released", "cooperative"):
        Pixel(**off, semantic=semantic)


@pytest.mark.parametrize("semantic", ["paper", "released", "cooperative"])
def test_a_semantic_loss_of_weight_zero_is_off_as_well(semantic: str) -> None:
    """Nothing would train the generators."""
    off = dict.fromkeys(("gan_source_to_target", "gan_target_to_source", "cycle"), 0.0)
    with pytest.raises(ValueError, match="every loss is switched off"):
        Pixel(**off, semantic=semantic, semantic_weight=0.0)
    Pixel(**{**off, "cycle": 1.0}, semantic=semantic, semantic_weight=0.0)


def test_the_command_line_hears_of_it() -> None:
    with pytest.raises(BenchError, match=r"'gate' must lie in 0\.\.1, got 60"):
        resolve(CyCADA, "paper", {"feature.gate": "60"})
    off = dict.fromkeys(
        ("pixel.gan_source_to_target", "pixel.gan_target_to_source", "pixel.cycle"), "0"
    )
    with pytest.raises(BenchError, match="every loss is switched off"):
        resolve(CyCADA, "paper", {**off, "pixel.semantic": "none"})
