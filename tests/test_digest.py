"""Digests: equal content, equal name; anything else, another name."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.digest import canonical_json, digest_of

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), FLOATS, st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


@dataclass(frozen=True)
class Inner:
    lr: float = 0.1


@dataclass(frozen=True)
class Outer:
    steps: int = 3
    inner: Inner | None = Inner()


def backwards(value: object) -> object:
    """Return an equal value whose dicts were filled in the opposite order."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(list(value))}
    return [backwards(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_canonical_json_is_json_in_one_form(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(backwards(value)) == text
    assert digest_of(backwards(value)) == digest_of(value)


def test_canonical_json_has_no_blanks_and_writes_dataclasses_as_objects() -> None:
    assert canonical_json({"b": [1, 2], "a": Outer()}) == (
        '{"a":{"inner":{"lr":0.1},"steps":3},"b":[1,2]}'
    )
    assert canonical_json(Outer(inner=None)) == '{"inner":null,"steps":3}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_what_json_has_not(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"lr": number})


@pytest.mark.parametrize("value", [Path("a"), {1, 2}, Outer, object()])
def test_canonical_json_refuses_what_it_cannot_write(value: object) -> None:
    with pytest.raises(TypeError, match=f"cannot write a {type(value).__name__}"):
        canonical_json(value)


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_parts_do_not_run_into_each_other(a: list[object], b: list[object]) -> None:
    # Compared as text, because 1 == 1.0 == True in Python, and not in JSON.
    assert (digest_of(*a) == digest_of(*b)) == (canonical_json(a) == canonical_json(b))


def test_parts_have_borders() -> None:
    alike = [("ab", "c"), ("a", "bc"), ("abc",), (["ab", "c"],), ("abc", ""), (1, 23), (12, 3)]
    assert len({digest_of(*parts) for parts in alike}) == len(alike)


def test_a_digest_is_the_same_on_every_machine() -> None:
    """Run ids and stage keys are made of these: if one moves, every finished run is lost."""
    assert digest_of("a", {"k": [1, 2.5, None]})[:16] == "ecbee1c4930d4665"
    assert digest_of(torch.arange(6, dtype=torch.uint8).view(2, 3))[:16] == "6264e40f4eba2dfb"


def test_a_tensor_counts_with_dtype_shape_and_bytes() -> None:
    tensor = torch.arange(6, dtype=torch.int32)
    different = [
        tensor,
        tensor.to(torch.int64),
        tensor.to(torch.float32),
        tensor.view(2, 3),
        tensor.view(3, 2),
        tensor.flip(0),
        tensor[:5],
    ]
    assert len({digest_of(t) for t in different}) == len(different)


def test_a_tensor_counts_by_content_not_by_layout() -> None:
    tensor = torch.arange(24.0).view(1, 2, 3, 4)
    same = [
        tensor.clone(),
        tensor.transpose(2, 3).contiguous().transpose(2, 3),
        tensor.to(memory_format=torch.channels_last),
        tensor.clone().requires_grad_(),
    ]
    assert {digest_of(t) for t in same} == {digest_of(tensor)}
