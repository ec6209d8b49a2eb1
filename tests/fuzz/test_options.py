"""Texts of the command line: ``--set`` and ``--seeds``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from near_misses import ODD, REFUSED, fuzzed, outcome, same

from bench.digest import canonical_json
from bench.hyperparameters import differing, flat, parse, resolve
from bench.request import parse_seeds

LINES = st.text(st.characters(codec="utf-8"), max_size=12)
DIGITS = st.text("0123456789_-+.eEx,٣² \0\n", max_size=8)
NUMBERS = st.one_of(
    DIGITS,
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ("9" * 400, "9" * 5000, "1e400", "-1e400", "1e-400", "nan", "inf", "0x10", "1_0")
    ),
)


@dataclass(frozen=True)
class Part:
    lr: float = 1e-3
    steps: int = 10


@dataclass(frozen=True)
class Mine:
    count: int = 1
    rate: float = 0.5
    on: bool = True
    text: str = "a"
    kind: Literal["x", "none", 3] = "x"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, float] = (1, 0.5)
    maybe: float | None = None
    part: Part | None = Part()

    presets: ClassVar = {"smoke": {"count": 2}}

    def fit(self, task: Any, ctx: Any) -> Any: ...


KEYS = tuple(flat(Mine()))


def expected(text: str, kind: type) -> object:
    """Return the number that Python's grammar, or its constructors, make of a text."""
    try:
        number = kind(text.strip())
    except ValueError:
        return REFUSED
    sound = abs(number) < 2**63 if kind is int else math.isfinite(number)
    return number if sound else REFUSED


@fuzzed
@given(key=st.sampled_from(("count", "rate")), text=NUMBERS)
@example(key="count", text="9" * 400)
@example(key="count", text=str(2**63))
@example(key="rate", text="1e400")
def test_a_number_is_pythons_or_refused(key: str, text: str) -> None:
    key, value = parse(f"{key}={text}")
    made = outcome("--set", lambda: resolve(Mine, "paper", {key: value}), key)
    found = REFUSED if made is REFUSED else getattr(made, key)
    assert same(found, expected(text, int if key == "count" else float))


@fuzzed
@given(text=LINES | st.builds("{}={}".format, st.sampled_from(KEYS) | LINES, LINES | NUMBERS))
@example("pair=1,9e999")
@example(f"sizes={'9' * 400}")
@example("part=none")
def test_any_setting_is_applied_or_refused(text: str) -> None:
    def read() -> tuple[str, str, Mine]:
        key, value = parse(text)
        return key, value, resolve(Mine, "smoke", {key: value})

    found = outcome("--set", read)
    if found is REFUSED:
        return
    key, value, made = found
    assert (key, value) == tuple(part.strip() for part in text.split("=", 1))
    # Nothing else has changed, and what a run would record says it all.
    base = flat(resolve(Mine, "smoke", {}))
    changed = {k: v for k, v in flat(made).items() if not same(base.get(k, REFUSED), v)}
    assert set(changed) <= {key}
    again = differing(Mine, "smoke", {key: value})
    assert same(again, changed)
    if key == "sizes" and changed:
        parts = [part for part in value.strip("()[]").split(",") if part.strip()]
        assert changed[key] == tuple(map(int, parts))


@fuzzed
@given(key=st.sampled_from(KEYS), value=ODD)
@example(key="count", value=10**400)
@example(key="text", value="\ud800")
@example(key="sizes", value=[10**400])
@example(key="kind", value=3.0)
def test_any_plain_value_of_a_file_is_applied_or_refused(key: str, value: Any) -> None:
    made = outcome("--set", lambda: resolve(Mine, "paper", {key: value}), key)
    if made is REFUSED:
        return
    kept = orjson.loads(canonical_json(flat(made)))  # as a run's record holds it
    assert all(same(kept[key], part) for key, part in json.loads(json.dumps(flat(made))).items())
    if type(value) in (int, float, bool):
        found = flat(made)[key]
        assert found == type(found)(value)


@fuzzed
@given(
    text=LINES | DIGITS | st.lists(NUMBERS | st.integers(0, 99).map(str), max_size=4).map(",".join)
)
@example("9" * 5000)
@example("99999999999")
@example("99999999999999999999,")
@example("²")
@example("0,")
def test_seeds_are_a_count_or_a_list(text: str) -> None:
    found = outcome("--seeds", lambda: parse_seeds(text), "--seeds")
    parts = [part.strip() for part in text.split(",")]
    if found is REFUSED:
        sound = [p for p in parts if p.isascii() and p.isdigit() and len(p) < 19]
        assert len(sound) < len([p for p in parts if p]) or not sound or "," not in text
        assert "," in text or not sound or not 1 <= int(sound[0]) <= 10_000
    elif "," in text:
        assert list(found) == list(dict.fromkeys(int(part) for part in parts if part))
    else:
        assert found == tuple(range(int(text)))


@pytest.mark.parametrize("text", ["=", "=1", " =1", "lr", ""])
def test_a_setting_without_a_name_is_told(text: str) -> None:
    assert outcome("--set", lambda: parse(text), "--set key=value") is REFUSED
