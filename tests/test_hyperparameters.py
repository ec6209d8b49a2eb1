"""Hyperparameters: typed by their field, set by dotted keys, canonical in a run's name."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.digest import canonical_json
from bench.errors import BenchError
from bench.hyperparameters import as_dict, convert, differing, flat, keys, parse, resolve
from bench.plugins import load_method, names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Pixel:
    lr: float = 2e-4
    size: int | None = 32
    semantic: Literal["paper", "none"] = "paper"


@dataclass(frozen=True)
class Method:
    pixel: Pixel | None = field(default_factory=Pixel)
    steps: int = 100
    decay: float = 0.0
    fast: bool = False
    note: str = ""
    betas: tuple[float, float] = (0.9, 0.999)
    widths: tuple[int, ...] = ()
    limit: Optional[int] = None  # noqa: UP045  both spellings must work
    mixed: int | str = 1

    # The annotation names what only type checkers import: it must not be evaluated.
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "fast": {"pixel.lr": 1, "steps": 10},
        "smoke": {"pixel": None},
    }

    def __post_init__(self) -> None:
        if self.steps < 1:
            message = f"steps must be positive, got {self.steps}"
            raise ValueError(message)


def test_defaults_then_preset_then_settings() -> None:
    assert resolve(Method, "paper", {}) == Method()
    fast = resolve(Method, "fast", {"steps": 7, "pixel.size": 28})
    assert fast == Method(pixel=Pixel(lr=1.0, size=28), steps=7)
    assert type(fast.pixel.lr) is float  # type: ignore[union-attr]  an int was given


@dataclass(frozen=True)
class TwoTasks:
    lr: float = 1.0
    steps: int = 100
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "fast": {"lr": 2.0},
        "smoke": {"steps": 2},
        "segmentation/fast": {"steps": 7},
        "segmentation/paper": {"lr": 5.0},
    }


@pytest.mark.parametrize(
    ("preset", "classification", "segmentation"),
    [
        ("paper", TwoTasks(), TwoTasks(lr=5.0)),
        ("fast", TwoTasks(lr=2.0), TwoTasks(steps=7)),
        ("smoke", TwoTasks(steps=2), TwoTasks(steps=2)),
    ],
)
def test_a_preset_for_segmentation_takes_the_place_of_the_other(
    preset: str, classification: TwoTasks, segmentation: TwoTasks
) -> None:
    assert resolve(TwoTasks, preset, {}) == classification
    assert resolve(TwoTasks, preset, {}, "segmentation") == segmentation
    assert differing(TwoTasks, preset, {"lr": "5"}, "segmentation") == (
        {} if preset == "paper" else {"lr": 5.0}
    )


def test_a_misspelt_preset_for_segmentation_is_named() -> None:
    wrong = type("Wrong", (TwoTasks,), {"presets": {"segmentation/fats": {}}})
    with pytest.raises(BenchError, match="Did you mean 'segmentation/fast'"):
        resolve(wrong, "fast", {})


def test_a_method_without_a_preset_uses_its_defaults() -> None:
    assert resolve(Pixel, "smoke", {}) == Pixel()


@pytest.mark.parametrize("off", [None, "none", "None"])
def test_a_part_is_switched_off(off: object) -> None:
    assert resolve(Method, "fast", {"pixel": off}).pixel is None


def test_none_is_text_where_a_literal_has_it() -> None:
    assert resolve(Pixel, "paper", {"semantic": "none"}).semantic == "none"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("steps", "50", 50),
        ("decay", "1e-4", 1e-4),
        ("decay", "3", 3.0),
        ("fast", "true", True),
        ("fast", "off", False),
        ("note", "3", "3"),
        ("note", "", ""),
        ("pixel.size", "none", None),
        ("pixel.size", "28", 28),
        ("limit", "none", None),
        ("limit", "5", 5),
        ("betas", "0.5, 1", (0.5, 1.0)),
        ("betas", "(0.5,0.9)", (0.5, 0.9)),
        ("betas", [0, 1], (0.0, 1.0)),
        ("widths", "1,2,3", (1, 2, 3)),
        ("widths", "", ()),
        ("mixed", "4", 4),
        ("mixed", "four", "four"),
    ],
)
def test_values_are_read_by_the_type_of_their_field(key: str, text: object, value: object) -> None:
    read = flat(resolve(Method, "paper", {key: text}))[key]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"step": 1}, "Unknown Method hyperparameter 'step'. Did you mean 'steps'?"),
        ({"lr": 1}, "Did you mean 'pixel.lr'?"),
        ({"pixel.lrr": 1}, "Did you mean 'pixel.lr'?"),
        ({"zzz": 1}, "Available: betas, decay, fast, limit, mixed, note, pixel, pixel.lr"),
        ({"steps": "many"}, "'steps' must be a whole number, but got 'many'."),
        ({"steps": 1.5}, "'steps' must be a whole number, but got 1.5."),
        ({"steps": True}, "'steps' must be a whole number, but got True."),
        ({"decay": "nan"}, "'decay' must be a number, but got 'nan'."),
        ({"decay": float("inf")}, "'decay' must be a number"),
        ({"fast": 1}, "'fast' must be true or false, but got 1."),
        ({"note": 1}, "'note' must be text, but got 1."),
        ({"pixel.size": "big"}, "'pixel.size' must be a whole number or none, but got 'big'."),
        (
            {"pixel.semantic": "papr"},
            "'pixel.semantic' must be one of paper, none, but got 'papr'.",
        ),
        ({"betas": "1"}, "'betas' must be 2 values separated by commas, but got '1'."),
        ({"widths": "1,x"}, "each is a whole number, but got '1,x'."),
        ({"pixel": 3}, "'pixel' must be a Pixel or none, but got 3."),
        (
            {"pixel": None, "pixel.lr": 1},
            "'pixel.lr' cannot be set, because 'pixel' is switched off",
        ),
        ({"steps": 0}, "Method refuses these hyperparameters: steps must be positive, got 0"),
    ],
)
def test_mistakes_are_explained(settings: dict[str, object], said: str) -> None:
    with pytest.raises(BenchError) as caught:
        resolve(Method, "paper", settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_into_what_the_preset_switched_off_is_an_error() -> None:
    with pytest.raises(BenchError, match="'pixel' is switched off"):
        resolve(Method, "smoke", {"pixel.lr": 1})


def test_a_group_that_cannot_be_switched_off_is_not_a_value() -> None:
    @dataclass(frozen=True)
    class Outer:
        inner: Pixel = field(default_factory=Pixel)

    with pytest.raises(BenchError, match=r"'inner' of Outer is a group; .* inner\.lr, inner\.size"):
        resolve(Outer, "paper", {"inner": "none"})


def test_an_unknown_preset_and_a_wrong_one() -> None:
    with pytest.raises(BenchError, match=r"Unknown preset 'fest'\. Did you mean 'fast'"):
        resolve(Method, "fest", {})

    @dataclass(frozen=True)
    class Wrong:
        steps: int = 1
        presets: ClassVar[dict[str, dict[str, object]]] = {"fast": {"stops": 1}}

    with pytest.raises(BenchError, match=r"The preset 'fast' of Wrong is wrong: .*'steps'"):
        resolve(Wrong, "fast", {})


@pytest.mark.parametrize("presets", [3, {"fast": 3}, ["fast"]])
def test_presets_of_another_form(presets: object) -> None:
    cls = dataclass(frozen=True)(type("Odd", (), {"presets": presets}))
    with pytest.raises(BenchError, match="of Odd is wrong: presets must look like"):
        resolve(cls, "paper", {})


def test_a_misspelt_preset_does_not_pass_for_an_empty_one() -> None:
    cls = dataclass(frozen=True)(type("Odd", (), {"presets": {"smok": {}}}))
    with pytest.raises(BenchError, match=r"Unknown preset 'smok'\. Did you mean 'smoke'"):
        resolve(cls, "smoke", {})


def test_whatever_a_class_raises_becomes_a_sentence() -> None:
    @dataclass(frozen=True)
    class Asserts:
        steps: int = 1

        def __post_init__(self) -> None:
            assert self.steps > 1, "too few"

    @dataclass(frozen=True)
    class NoDefault:
        steps: int = field(default_factory=lambda: 1 // 0)

    with pytest.raises(BenchError, match=r"Asserts refuses .*: AssertionError: too few"):
        resolve(Asserts, "paper", {})
    with pytest.raises(BenchError, match="default of 'steps' cannot be made: ZeroDivisionError"):
        resolve(NoDefault, "paper", {})


@pytest.mark.parametrize("value", [int, {1, 2}, float("nan"), b"raw"])
def test_a_value_that_no_record_holds_is_refused(value: object) -> None:
    @dataclass(frozen=True)
    class Odd:
        odd: object = field(default_factory=lambda: value)

    with pytest.raises(BenchError, match=r"'odd' of Odd is .* cannot record"):
        resolve(Odd, "paper", {})


def test_a_field_without_a_default_must_be_given() -> None:
    @dataclass(frozen=True)
    class Bare:
        lr: float

    with pytest.raises(BenchError, match="Bare has no default for 'lr'; give one: --set lr="):
        resolve(Bare, "paper", {})
    assert resolve(Bare, "paper", {"lr": "1"}).lr == 1.0
    assert differing(Bare, "paper", {"lr": "1"}) == {"lr": 1.0}


def test_values_that_are_valid_only_together_can_be_set_together() -> None:
    @dataclass(frozen=True)
    class Paired:
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            if self.low >= self.high:
                message = "low must be below high"
                raise ValueError(message)

    assert resolve(Paired, "paper", {"low": 5, "high": 6}) == Paired(5, 6)


def test_a_nested_default_that_is_not_its_class_default_is_kept() -> None:
    @dataclass(frozen=True)
    class Outer:
        inner: Pixel = field(default_factory=lambda: Pixel(size=7))

    assert resolve(Outer, "paper", {"inner.lr": 1}).inner == Pixel(lr=1.0, size=7)


def test_inherited_fields_are_typed_where_they_were_written() -> None:
    @dataclass(frozen=True)
    class Child(Method):
        extra: int = 0

    assert resolve(Child, "fast", {"extra": "2", "decay": "1"}).decay == 1.0


@pytest.mark.parametrize("text", ["lr", "=1", "", " =2"])
def test_set_needs_key_and_value(text: str) -> None:
    with pytest.raises(BenchError, match="Expected --set key=value"):
        parse(text)


def test_set_splits_at_the_first_equals_sign() -> None:
    assert parse("note=a=b") == ("note", "a=b")


def test_what_equals_the_preset_makes_no_difference() -> None:
    assert differing(Method, "fast", {"steps": "10", "pixel.lr": 1}) == {}
    assert differing(Method, "paper", {"steps": "10", "decay": 0}) == {"steps": 10}
    assert differing(Method, "paper", {"pixel": "none"}) == {"pixel": None}
    assert differing(Method, "smoke", {"pixel": None}) == {}


settings = st.fixed_dictionaries(
    {},
    optional={
        "pixel.lr": st.floats(0, 1),
        "pixel.size": st.none() | st.integers(1, 64),
        "steps": st.integers(1, 1000),
        "decay": st.floats(0, 1) | st.integers(0, 3),
        "fast": st.booleans(),
        "note": st.text(alphabet="abc=.", max_size=5),
        "widths": st.lists(st.integers(0, 9), max_size=3),
    },
)


@given(settings, st.sampled_from(["paper", "fast"]))
def test_differing_is_canonical(chosen: dict[str, Any], preset: str) -> None:
    """It leads to the same method, it is a fixed point, and it survives JSON."""
    method = resolve(Method, preset, chosen)
    short = differing(Method, preset, chosen)
    assert resolve(Method, preset, short) == method
    assert differing(Method, preset, short) == short
    assert resolve(Method, preset, json.loads(canonical_json(short))) == method
    assert set(short) <= set(chosen)


@given(settings)
def test_text_means_what_values_mean(chosen: dict[str, Any]) -> None:
    texts = {
        key: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in chosen.items()
    }
    assert resolve(Method, "paper", texts) == resolve(Method, "paper", chosen)


def test_as_dict_is_plain_and_nested() -> None:
    resolved = as_dict(resolve(Method, "fast", {}))
    assert resolved["pixel"] == {"lr": 1.0, "size": 32, "semantic": "paper"}
    canonical_json(resolved)


@pytest.mark.parametrize("name", names("method"))
@pytest.mark.parametrize("preset", ["paper", "fast", "smoke"])
def test_our_methods_have_valid_presets(name: str, preset: str) -> None:
    cls = load_method(name).cls
    method = resolve(cls, preset, {})
    for key, value in flat(method).items():
        assert convert(value, keys(cls)[key], key) == value
        assert resolve(cls, preset, {key: str(value)}) == method


def test_types_are_evaluated_without_their_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in's helper module may have left sys.modules when its fields are read."""
    source = """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Inner:
            lr: float = 0.0

        @dataclass(frozen=True)
        class Outer:
            inner: Inner = Inner()
    """
    (tmp_path / "leaves_soon.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    outer = importlib.import_module("leaves_soon").Outer
    del sys.modules["leaves_soon"]
    assert as_dict(resolve(outer, "paper", {"inner.lr": "2"})) == {"inner": {"lr": 2.0}}


def test_an_annotation_that_cannot_be_read_says_so() -> None:
    @dataclass(frozen=True)
    class Hidden:
        lr: "Missing" = 0.0  # type: ignore[name-defined]  # noqa: F821, UP037

    with pytest.raises(BenchError, match=r"type of 'lr' in Hidden cannot be read.*TYPE_CHECKING"):
        resolve(Hidden, "paper", {})
