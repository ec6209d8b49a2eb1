"""What a search may try: every kind of range, and a sentence for every mistake in one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bench.errors import BenchError
from bench.hyperparameters import flat, resolve
from bench.tuning.space import contains, declared, described, distributions, read_space, start

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Part:
    gate: float = 0.6
    steps: int = 10


@dataclass(frozen=True)
class Mine:
    lr: float = 1e-3
    batch: int = 64
    bound: int | None = None
    rate: float | None = 0.5
    name: Literal["sgd", "adam"] = "sgd"
    flag: bool = False
    sizes: tuple[int, ...] = (8, 4)
    note: str = ""
    part: Part | None = field(default_factory=Part)

    space: ClassVar[Mapping[str, object]] = {"lr": ("around", 10)}


BASE = flat(Mine())


def one(key: str, given: object, **base: object) -> BaseDistribution:
    return distributions(Mine, {key: given}, BASE | base)[key]


def said(key: str, given: object, **base: object) -> str:
    with pytest.raises(BenchError) as error:
        one(key, given, **base)
    return str(error.value)


# ------------------------------------------------------------------ kinds


@pytest.mark.parametrize(
    ("key", "asked", "expected"),
    [
        ("lr", ("around", 10), FloatDistribution(1e-4, 1e-2, log=True)),
        ("lr", ["log", 1e-5, 1], FloatDistribution(1e-5, 1.0, log=True)),
        ("lr", ("uniform", -1, 2.5), FloatDistribution(-1.0, 2.5)),
        ("rate", ("uniform", 0, 1), FloatDistribution(0.0, 1.0)),
        ("part.gate", ("uniform", 0.5, 0.8), FloatDistribution(0.5, 0.8)),
        ("batch", ("around", 4), IntDistribution(16, 256, log=True)),
        # Whole numbers within the range: 64 / 3 = 21.33, 64 * 3 = 192.
        ("batch", ("around", 3), IntDistribution(22, 192, log=True)),
        ("part.steps", ("around", 1.15), IntDistribution(9, 11, log=True)),
        ("batch", ("log", 0.5, 9.9), IntDistribution(1, 9, log=True)),
        ("batch", ("uniform", -1.5, 2.5), IntDistribution(-1, 2)),
        ("bound", ("uniform", 1, 3), IntDistribution(1, 3)),
        ("batch", ("uniform", 2.5, 3.4), IntDistribution(3, 3)),
        ("batch", ("choice", 64, 128), CategoricalDistribution([64, 128])),
        ("batch", ("choice", "64"), CategoricalDistribution([64])),
        ("bound", ("choice", None, 5), CategoricalDistribution([None, 5])),
        ("name", ("choice", "adam", "sgd"), CategoricalDistribution(["adam", "sgd"])),
        ("flag", ("choice", True, False), CategoricalDistribution([True, False])),
        ("sizes", ("choice", "8,4", "16,8"), CategoricalDistribution(["8,4", "16,8"])),
    ],
)
def test_a_range_becomes_this_distribution(
    key: str, asked: object, expected: BaseDistribution
) -> None:
    made = one(key, asked)
    assert made == expected
    assert type(made) is type(expected)


def test_around_is_around_the_presets_value_or_the_users() -> None:
    assert one("lr", ("around", 2), lr=0.5) == FloatDistribution(0.25, 1.0, log=True)
    assert one("batch", ("around", 1.2), batch=1) == IntDistribution(1, 1, log=True)


def test_several_keys_keep_their_order() -> None:
    asked = {"part.gate": ("uniform", 0, 1), "lr": ("around", 2), "batch": ("choice", 1)}
    assert list(distributions(Mine, asked, BASE)) == ["part.gate", "lr", "batch"]


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("key", "asked", "words"),
    [
        ("lrr", ("around", 10), "Unknown Mine hyperparameter 'lrr'. Did you mean 'lr'?"),
        ("gate", ("uniform", 0, 1), "Available: batch,"),
        ("lr", 3, "The range of 'lr' must be a list, such as [\"log\", 1e-5, 1e-2]"),
        ("lr", (), "must be a list"),
        ("lr", ("logarithmic", 1, 2), "got ('logarithmic', 1, 2)"),
        ("lr", "around", "got 'around'"),
        ("lr", {"around": 10}, "got {'around': 10}"),
        ("lr", ("around",), "too few or too many values: ('around',)"),
        ("lr", ("around", 2, 3), "too few or too many values"),
        ("lr", ("log", 1), "too few or too many values"),
        ("lr", ("uniform", 1, 2, 3), "too few or too many values"),
        ("batch", ("choice",), "too few or too many values"),
        ("lr", ("log", "1e-3", 1), "must have finite numbers below 1e15, got ('log', '1e-3', 1)"),
        ("lr", ("uniform", True, 2), "must have finite numbers"),
        ("lr", ("uniform", 0, math.inf), "must have finite numbers"),
        ("lr", ("uniform", math.nan, 1), "must have finite numbers"),
        ("batch", ("uniform", 0, 10**400), "must have finite numbers"),
        ("lr", ("log", 0, 1), "must lie above 0 to be searched by ratio, got ('log', 0, 1)"),
        ("batch", ("log", -1, 1), "must lie above 0"),
        ("lr", ("log", 1, 0.1), "must begin below its end, got 1.0 to 0.1"),
        ("lr", ("uniform", 1, 1), "must begin below its end"),
        ("lr", ("around", 1), "The factor around 'lr' must be above 1, got 1.0"),
        ("lr", ("around", -3), "must be above 1"),
        ("bound", ("around", 2), "'bound' is None, and nothing can be searched around that"),
        ("batch", ("uniform", 0.2, 0.8), "'batch' takes whole numbers, and its range"),
        ("batch", ("choice", 0.5), "'batch' must be a whole number, but got 0.5"),
        ("name", ("choice", "sgd", "rmsprop"), "'name' must be one of sgd, adam"),
        ("name", ("uniform", 0, 1), "'name' must be one of sgd, adam"),
        ("flag", ("uniform", 0, 1), "'flag' must be true or false"),
        ("note", ("log", 1, 2), "'note' must be text"),
        ("sizes", ("choice", (8, 4)), "cannot store (8, 4) for 'sizes'; write it as text"),
    ],
)
def test_a_mistake_in_a_range(key: str, asked: object, words: str) -> None:
    assert words in said(key, asked)


@pytest.mark.parametrize("base", [0, 0.0, -1.0, True, "x"])
def test_nothing_is_around_what_is_not_positive(base: object) -> None:
    assert f"'lr' is {base!r}, and nothing can be searched around" in said(
        "lr", ("around", 2), lr=base
    )


def test_a_key_inside_a_part_that_is_off() -> None:
    base = flat(resolve(Mine, "paper", {"part": "none"}))
    with pytest.raises(BenchError, match="'part.gate' cannot be searched, because a part"):
        distributions(Mine, {"part.gate": ("uniform", 0, 1)}, base)


# ------------------------------------------------------------------ where a space comes from


def test_declared_is_the_class_attribute() -> None:
    assert declared(Mine) == {"lr": ("around", 10)}
    assert declared(Part) == {}

    class Wrong:
        space = (("lr", 1, 2),)

    with pytest.raises(BenchError, match=r"Wrong.space must be a dict of ranges, such as"):
        declared(Wrong)


def test_what_declared_returns_is_the_callers_own() -> None:
    declared(Mine)["batch"] = ("choice", 1)
    assert declared(Mine) == {"lr": ("around", 10)}


def test_a_space_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text('{"lr": ["log", 1e-5, 1e-2], "part.gate": ["choice", 0.5, 1]}')
    space = read_space(path)
    assert space == {"lr": ["log", 1e-5, 1e-2], "part.gate": ["choice", 0.5, 1]}
    assert distributions(Mine, space, BASE)["lr"] == FloatDistribution(1e-5, 1e-2, log=True)


@pytest.mark.parametrize("content", [b"", b"{", b'["lr"]', b"3", b"\xff\xfe\xfa"])
def test_a_file_that_holds_no_space(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "space.json"
    path.write_bytes(content)
    with pytest.raises(BenchError, match="space.json"):
        read_space(path)


def test_a_space_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(BenchError, match="cannot read the search space"):
            read_space(path)


# ------------------------------------------------------------------ what is sampled is accepted

numbers = st.floats(1e-6, 1e6)
pairs = st.tuples(numbers, numbers).filter(lambda p: p[0] < p[1])
ranges = st.one_of(
    st.tuples(st.just("around"), st.floats(1.001, 100)),
    pairs.map(lambda p: ("log", *p)),
    pairs.map(lambda p: ("uniform", *p)),
    st.lists(st.integers(1, 9), min_size=1).map(lambda v: ("choice", *v)),
)


@given(ranges, st.sampled_from(["lr", "batch", "rate", "part.gate", "part.steps"]), st.data())
def test_a_field_accepts_whatever_may_be_tried(
    asked: tuple[Any, ...], key: str, data: st.DataObject
) -> None:
    asked = json.loads(json.dumps(asked))
    whole = key in ("batch", "part.steps")
    if whole and asked[0] in ("log", "uniform") and math.ceil(asked[1]) > math.floor(asked[2]):
        assert "whole numbers" in said(key, asked)
        return
    made = one(key, asked)
    if isinstance(made, CategoricalDistribution):
        value: Any = data.draw(st.sampled_from(made.choices))
    elif isinstance(made, IntDistribution):
        value = data.draw(st.integers(made.low, made.high))
        assert made.low >= 1
    else:
        assert isinstance(made, FloatDistribution)
        value = data.draw(st.floats(made.low, made.high))
    assert contains(made, value)
    got = flat(resolve(Mine, "paper", {key: value}))[key]
    assert got == value
    if asked[0] == "around":
        base = BASE[key]
        assert isinstance(base, (int, float))
        assert contains(made, base)
        assert base / asked[1] * (1 - 1e-12) <= value <= base * asked[1] * (1 + 1e-12)
    elif asked[0] != "choice":
        assert asked[1] <= value <= asked[2]


def test_contains_says_what_may_be_tried() -> None:
    floats, ints = FloatDistribution(0.5, 1.0), IntDistribution(2, 4)
    choices = CategoricalDistribution([None, "a", 3])
    assert [contains(floats, v) for v in (0.5, 1, 1.0, 0.49, 1.01)] == [True] * 3 + [False] * 2
    assert [contains(ints, v) for v in (2, 4, 1, 5)] == [True, True, False, False]
    assert [contains(choices, v) for v in (None, "a", 3, "b")] == [True] * 3 + [False]
    for nothing in (None, "1", True, math.nan):
        assert not contains(floats, nothing)


def test_a_search_starts_with_the_presets_values_or_the_nearest() -> None:
    ranges = {
        "a": FloatDistribution(0.5, 1.0),
        "b": FloatDistribution(0.5, 1.0),
        "c": FloatDistribution(1e-6, 1e-2, log=True),
        "d": IntDistribution(2, 4),
        "e": IntDistribution(2, 4),
        "f": CategoricalDistribution([None, 3]),
        "g": CategoricalDistribution([1, 3]),
        "h": FloatDistribution(0.5, 1.0),
    }
    base = {"a": 0.7, "b": 2.0, "c": 0.0, "d": 9, "e": 3, "f": None, "g": 2, "h": None, "i": 1}
    assert start(ranges, base) == {"a": 0.7, "b": 1.0, "c": 1e-6, "d": 4, "e": 3, "f": None}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("around", 10), "0.0001 to 0.01, by ratio"),
        (("uniform", 0, 1), "0 to 1"),
        (("choice", 1, 2), "1.0 or 2.0"),
    ],
)
def test_a_range_in_words(asked: object, words: str) -> None:
    assert described(one("lr", asked)) == words
