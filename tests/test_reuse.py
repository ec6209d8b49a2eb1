"""A run that is trained although others of its kind are there: the user hears what differs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config import RunConfig
from bench.digest import canonical_json
from bench.records import write_run
from bench.runs.differences import differences, spoken
from bench.runs.reuse import explained, mismatches, nearest
from bench.suites import MNIST_TO_USPS

if TYPE_CHECKING:
    from pathlib import Path

BASE = RunConfig(
    method="cycada",
    settings={},
    params={"pixel": {"lr": 0.001, "pool": 50}, "feature": {"lr": 1e-5}},
    preset="fast",
    code="builtin-1",
    learns_from="source",
    shift=asdict(MNIST_TO_USPS),
    seed=0,
    backbone="lenet",
    budget=20_000,
    data="a" * 64,
)
LR = replace(
    BASE,
    settings={"pixel.lr": 0.002},
    params={"pixel": {"lr": 0.002, "pool": 50}, "feature": {"lr": 1e-5}},
)


FOUR = (
    "pixel.lr was 0.001 and is 0.002; code was builtin-1 and is c; backbone was lenet and is dtn;"
    " budget was 20000 and is 5; 1 more"
)


def finish(runs: Path, config: RunConfig, status: str = "done") -> str:
    record = {
        "schema": 2,
        "run_id": config.run_id,
        "status": status,
        "error": None,
        "config": config.described(),
        "departure": None,
        **{key: [] for key in ("stages", "checkpoints", "events", "nondeterministic")},
        "scores": {},
        "attempts": 1,
        "steps": 1,
        "seconds": 1.0,
        "threads": 1,
        "device": "cpu",
        "environment": {},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": None,
    }
    write_run(runs / config.run_id, record)
    return config.run_id


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (LR, "pixel.lr was 0.001 and is 0.002"),
        (replace(BASE, code="builtin-2"), "code was builtin-1 and is builtin-2"),
        (replace(BASE, data="b" * 64), f"data was {'a' * 12}... and is {'b' * 12}..."),
        (
            replace(BASE, settings={"pixel": None}, params={**BASE.params, "pixel": None}),
            "pixel was given and is none",
        ),
        (replace(BASE, precision="bf16"), "precision was float32 and is bf16"),
        (replace(BASE, shift={**BASE.shift, "size": 32}), "shift.size was 28 and is 32"),
        (
            replace(BASE, tuned={"rule": "dev", "trials": 3, "study": "s"}),
            "tuned was absent and is given",
        ),
        (
            replace(LR, budget=5, backbone="dtn", code="c", data="b" * 64),
            FOUR,
        ),
    ],
)
def test_one_sentence_says_what_differs(tmp_path: Path, changed: RunConfig, said: str) -> None:
    run_id = finish(tmp_path, BASE)
    start = f"cycada on mnist2usps, seed 0, is not taken from {run_id}: "
    assert explained(changed, tmp_path) == f"{start}{said}."


def test_it_is_about_the_nearest_of_the_finished_runs(tmp_path: Path) -> None:
    finish(tmp_path, replace(LR, budget=5, code="builtin-2", backbone="dtn"))
    near = finish(tmp_path, replace(LR, budget=6, code="builtin-2"), "diverged")
    for status in ("failed", "interrupted", "running"):  # nearer, but there is nothing to reuse
        finish(tmp_path, replace(LR, budget=len(status)), status)
    said = explained(LR, tmp_path)
    assert said is not None
    assert near in said
    assert said.endswith("code was builtin-2 and is builtin-1; budget was 6 and is 20000.")


def test_a_run_that_goes_on_is_not_explained_again(tmp_path: Path) -> None:
    finish(tmp_path, BASE)
    finish(tmp_path, LR, "interrupted")
    assert explained(LR, tmp_path) is None


def test_runs_of_another_kind_say_nothing(tmp_path: Path) -> None:
    assert explained(BASE, tmp_path / "none") is None
    assert explained(BASE, tmp_path) is None
    for other in (
        replace(BASE, seed=1),
        replace(BASE, method="adda"),
        replace(BASE, shift={**BASE.shift, "name": "usps2mnist"}),
        # The id of this one begins as one of BASE's does.
        replace(BASE, method="cycada", shift={**BASE.shift, "name": "mnist2usps-0"}, seed=3),
    ):
        finish(tmp_path, other)
    assert explained(BASE, tmp_path) is None


def test_no_other_record_is_read(tmp_path: Path) -> None:
    other = tmp_path / finish(tmp_path, replace(BASE, seed=1))
    same = tmp_path / finish(tmp_path, BASE)
    for folder in (other, same):
        (folder / "run.json").write_text("torn", encoding="utf-8")
    near = finish(tmp_path, replace(BASE, budget=7))
    assert near in (explained(LR, tmp_path) or "")


def test_a_parameter_may_have_the_name_of_a_part_of_the_configuration() -> None:
    one, two = (replace(BASE, params={"budget": n}, settings={"budget": n}) for n in (1, 2))
    assert spoken(mismatches(two, one.described())) == "budget was 1 and is 2"
    assert nearest(two, {}) is None


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 0.5, "a", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), VALUES)


@given(MAPPINGS, MAPPINGS)
def test_nothing_differs_exactly_if_the_digests_would_be_equal(
    before: dict[str, Any], now: dict[str, Any]
) -> None:
    found = list(differences(before, now))
    assert (not found) == (canonical_json(before) == canonical_json(now))
    assert len({each.key for each in found}) == len(found)
    assert bool(spoken(found)) == bool(found)
