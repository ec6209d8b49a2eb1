"""Every method keeps every property of the contract: ours, and a third party's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from bench.hyperparameters import PRESETS, flat, resolve
from bench.plugins import load_method, names
from bench.testing import Check, check_method
from bench.tuning import space

BNM = Path(__file__).parent / "plugins" / "bnm.py"

METHODS = {name: name for name in names("method")} | {"bnm": f"{BNM}:BNM"}

PROPERTIES = (
    "is a frozen dataclass with fit",
    "its defaults and presets are valid",
    "fits a grey task of 10 classes",
    "fits a colour task of 7 classes",
    "fits a segmentation task of 5 classes, 255 for none",
    "leaves the task as it was",
    "equal seeds give equal logits",
    "a cached stage gives what a computed one gives",
    "an interrupted run ends like an uninterrupted one",
)


@cache
def outcomes(method: str) -> dict[str, Check]:
    """Run all checks of a method once; each test below reads one of them."""
    return {check.name: check for check in check_method(load_method(METHODS[method]).cls)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PROPERTIES)
def test_contract(method: str, name: str) -> None:
    check = outcomes(method)[name]
    assert check.ok, check.detail


@pytest.mark.parametrize("method", METHODS)
def test_no_check_is_forgotten_or_passes_for_lack_of_use(method: str) -> None:
    """The list above is all there is; stages are shared, and runs resumed rather than repeated."""
    checks = outcomes(method)
    assert tuple(checks) == PROPERTIES
    assert checks[PROPERTIES[-2]].detail == ""
    # BNM does without segmentation, as a third party's method may.
    skipped = {name for name, check in checks.items() if check.skipped}
    assert skipped == ({PROPERTIES[4]} if method == "bnm" else set())
    assert checks[PROPERTIES[-1]].detail.startswith("stopped ")


@pytest.mark.parametrize("task", ["classification", "segmentation"])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", names("method"))
def test_what_a_method_declares_can_be_searched(method: str, preset: str, task: str) -> None:
    """In every preset, and a search begins with the preset's own values."""
    cls = load_method(method).cls
    base = flat(resolve(cls, preset, {}, task))
    ranges = space.distributions(cls, space.declared(cls), base)
    assert ranges
    for key, value in space.start(ranges, base).items():
        # Zero, which no range by ratio has, becomes the least that it has.
        assert value == base[key] or (base[key] == 0 and value == ranges[key].low)  # type: ignore[attr-defined]


def test_bnm_is_one_short_file() -> None:
    """What a third party has to write: at most 40 lines, on `bench.api` and torch alone."""
    source = BNM.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 40
    imported = [
        line.split()[1] for line in source.splitlines() if line.startswith(("import", "from"))
    ]
    assert {name.partition(".")[0] for name in imported} == {"dataclasses", "torch", "bench"}
    assert [name for name in imported if name.startswith("bench")] == ["bench.api"]
