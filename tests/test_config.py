"""Run ids: what determines a result changes them, and nothing else does."""

from __future__ import annotations

import dataclasses
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import plugins
from bench.config import RunConfig
from bench.digest import digest_of
from bench.request import Request
from bench.suites import Shift
from bench.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGINS = Path(__file__).parent / "plugins"

BASE = RunConfig(
    method="cycada",
    settings={"pixel.cycle": 0.0, "feature": None},
    params={"source": {"lr": 0.1, "steps": 3}, "feature": None},
    preset="fast",
    code="builtin-1",
    learns_from="source",
    shift=Shift("mnist2usps", "mnist", "usps").described(),
    seed=3,
    backbone="lenet",
    budget=1000,
    data="d" * 64,
)

CHANGED: dict[str, list[Any]] = {
    "method": ["adda"],
    "settings": [{}, {"pixel.cycle": 0.1, "feature": None}, {"pixel.cycle": 0.0}],
    "params": [{"source": {"lr": 0.2, "steps": 3}, "feature": None}, {"feature": None}],
    "preset": ["paper"],
    "code": ["builtin-2"],
    "learns_from": ["target"],
    "shift": [
        BASE.shift | {key: value}
        for key, value in {
            "name": "other",
            "source": "svhn",
            "target": "svhn",
            "size": 32,
            "channels": 3,
            "backbone": "dtn",
            "protocol": "half",
            "interpolation": "nearest",
        }.items()
    ],
    "seed": [4],
    "backbone": ["dtn"],
    "budget": [1001],
    "data": ["e" * 64],
    "weights": ["imagenet"],
    "precision": ["bf16"],
    "compile": [True],
    "processes": [2, 3],
    "tuned": [
        {"rule": "infomax", "trials": 20, "study": "a"},
        {"rule": "oracle", "trials": 20, "study": "a"},
        {"rule": "infomax", "trials": 21, "study": "a"},
        {"rule": "infomax", "trials": 20, "study": "b"},
    ],
}


def test_every_field_changes_the_run_id() -> None:
    """A field that is missing above is a new one: decide, and add it."""
    assert set(CHANGED) == {field.name for field in dataclasses.fields(RunConfig)}
    assert {*BASE.shift} == {key for shift in CHANGED["shift"] for key in shift}
    variants = [
        replace(BASE, **{field: value}) for field, values in CHANGED.items() for value in values
    ]
    digests = {config.run_id.rpartition("-")[2] for config in (BASE, *variants)}
    assert len(digests) == 1 + len(variants)


def test_a_shift_says_its_task_where_it_is_not_the_usual_one() -> None:
    """Left out where it is, because records of before segmentation lack it; their names hold."""
    scenes = Shift("a", "b", "c", task="segmentation", size=(96, 192))
    assert scenes.described() == dataclasses.asdict(scenes)
    digits = dataclasses.replace(scenes, task="classification")
    assert digits.described() == {
        key: value for key, value in scenes.described().items() if key != "task"
    }


def test_a_configuration_says_how_it_was_found_only_if_it_was() -> None:
    """Left out where nobody searched, because older records lack it; their names hold."""
    later = {"tuned", "compile", "processes"}
    bare = {k: v for k, v in dataclasses.asdict(BASE).items() if k not in later}
    assert BASE.described() == bare
    tuned = replace(BASE, tuned={"rule": "infomax", "trials": 20, "study": "a"})
    assert tuned.described() == bare | {"tuned": tuned.tuned}
    fast = replace(tuned, compile=True, processes=2)
    assert fast.described() == dataclasses.asdict(fast)
    assert tuned.run_id == "cycada-mnist2usps-3-77d1785a80cd"


def test_a_run_id_is_the_same_on_every_machine() -> None:
    """If this moves, every finished run of every user is run again."""
    assert BASE.run_id == "cycada-mnist2usps-3-106066abb69f"


@given(st.permutations(list(BASE.shift)), st.permutations(["source", "feature"]))
def test_the_order_of_keys_does_not_matter(shift: list[str], params: list[str]) -> None:
    other = replace(
        BASE,
        settings=dict(reversed(BASE.settings.items())),
        shift={key: BASE.shift[key] for key in shift},
        params={key: BASE.params[key] for key in params},
    )
    assert other.run_id == BASE.run_id
    assert other == BASE


@given(st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True), st.integers(0, 2**31))
def test_a_run_id_is_readable_and_names_a_folder_anywhere(name: str, seed: int) -> None:
    run_id = replace(BASE, method=name, seed=seed).run_id
    assert run_id.startswith(f"{name}-mnist2usps-{seed}-")
    assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{12}", run_id)


# ------------------------------------------------------------------ what stages depend on


def test_a_stage_depends_on_the_task_the_network_the_code_and_the_threads() -> None:
    base = BASE.stage_identity("task", 1)
    changed = [
        BASE.stage_identity("another", 1),
        BASE.stage_identity("task", 2),
        *(
            replace(BASE, **{field: CHANGED[field][0]}).stage_identity("task", 1)
            for field in ("backbone", "weights", "precision", "code", "compile")
        ),
        *(replace(BASE, processes=n).stage_identity("task", 1) for n in (2, 3)),
    ]
    assert len({base, *changed}) == 1 + len(changed)
    # If this moves, every finished stage of every user is computed again.
    assert base == digest_of("task", "lenet", "random", "float32", "builtin-1", 1)


@pytest.mark.parametrize(
    "field",
    [
        *("method", "settings", "params", "preset", "learns_from", "shift", "seed", "budget"),
        *("data", "tuned"),
    ],
)
def test_stages_are_shared_across(field: str) -> None:
    """The context adds seed and parameters itself; the images are in the task's digest."""
    for value in CHANGED[field]:
        other = replace(BASE, **{field: value})
        assert other.stage_identity("task", 1) == BASE.stage_identity("task", 1)


# ------------------------------------------------------------------ where things are


def run_ids(folder: Path, **changed: Any) -> list[str]:
    """Run ours and a third party's method from a copy of the plug-ins; return their run ids."""
    shutil.copytree(PLUGINS, folder / "plugins", dirs_exist_ok=True)
    bnm = f"{folder}/plugins/bnm.py:BNM"
    asked: dict[str, Any] = {
        "suite": f"{folder}/plugins/toy_suite.py:TOY",
        "methods": ("source-only", bnm),
        "seeds": (0,),
        "preset": "smoke",
        "threads": 1,
        "runs": folder / "runs",
        "data": folder / "data",
    }
    return [outcome["run_id"] for outcome in sweep(Request(**(asked | changed))).outcomes]


def test_moving_things_and_watching_them_differently_keeps_run_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where a suite's domains lie is remembered; another place is another process.
    monkeypatch.setattr(plugins, "_FILE_DOMAINS", {})
    here = run_ids(tmp_path / "here")
    monkeypatch.setattr(plugins, "_FILE_DOMAINS", {})
    there = run_ids(
        tmp_path / "there",
        device="cpu",
        rule="oracle",
        out=tmp_path / "out",
        offline=True,
        skip_missing=True,
    )
    assert here == there
    # Two threads on a machine with one core are slow, so the method of few steps has to do.
    bnm = f"{tmp_path}/there/plugins/bnm.py:BNM"
    runs = tmp_path / "threads"
    assert run_ids(tmp_path / "there", threads=2, runs=runs, methods=(bnm,)) == there[1:]
    assert len({path.parent.name for path in tmp_path.rglob("run.json")}) == 2


def touched(path: Path) -> None:
    path.write_text(path.read_text() + "\n# another byte\n")


def another_image(path: Path) -> None:
    path.write_text(path.read_text().replace("randint(0, 60", "randint(0, 61"))


@pytest.mark.parametrize(
    ("change", "file", "moved"),
    [
        (touched, "bnm.py", [False, True]),  # a plug-in's code is part of its name
        (touched, "toy_suite.py", [False, False]),
        (touched, "toy_domain.py", [False, False]),  # a domain counts by its images
        (another_image, "toy_domain.py", [True, True]),
    ],
)
def test_what_is_in_a_plug_in_counts(
    change: Callable[[Path], None],
    file: str,
    moved: list[bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugins, "_FILE_DOMAINS", {})
    before = run_ids(tmp_path / "before")
    shutil.copytree(PLUGINS, tmp_path / "after" / "plugins")
    content = tmp_path / "after" / "plugins" / file
    change(content)
    text = content.read_text()
    monkeypatch.setattr(plugins, "_FILE_DOMAINS", {})
    monkeypatch.setattr(shutil, "copytree", lambda *_, **__: None)  # not over the change
    after = run_ids(tmp_path / "after")
    assert content.read_text() == text
    assert [a != b for a, b in zip(after, before, strict=True)] == moved
