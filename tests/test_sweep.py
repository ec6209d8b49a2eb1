"""Sweeps: shared work is done once, finished work never again, and what failed is tried again."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from torch.optim.optimizer import register_optimizer_step_post_hook

from bench.request import Request
from bench.sweep import sweep

if TYPE_CHECKING:
    from bench.sweep import Report

PLUGINS = Path(__file__).parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"

ABLATION = f"""
    from bench.suites import DIGITS_ABLATION, Shift, Suite

    SUITE = Suite(
        "tiny-ablation",
        "Table 3 of the paper, on bars.",
        (Shift("bright2dark", "{PLUGINS}/toy_domain.py:BrightBars",
               "{PLUGINS}/toy_domain.py:DarkBars", size=16),),
        DIGITS_ABLATION.entries,
    )
"""


def request(runs: Path, **changed: Any) -> Request:
    base = Request(suite=TOY, seeds=(0,), preset="smoke", threads=1, runs=runs)
    return replace(base, **changed)


def records(runs: Path) -> dict[str, dict[str, Any]]:
    paths = runs.glob("*/run.json")
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def counted(asked: Request) -> tuple[Report, int]:
    """Return a sweep's report, and how often any optimiser stepped."""
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    hook = register_optimizer_step_post_hook(count)
    try:
        return sweep(asked), steps
    finally:
        hook.remove()


# ------------------------------------------------------------------ shared stages


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """Return the request for Table 3's rows on the toy domains, already run once."""
    folder = tmp_path_factory.mktemp("ablation")
    (folder / "suite.py").write_text(textwrap.dedent(ABLATION))
    asked = request(folder / "runs", suite=f"{folder / 'suite.py'}:SUITE")
    _, steps = counted(asked)
    assert steps > 0
    return asked


def computed(runs: Path) -> list[dict[str, Any]]:
    """Return the stages that some trial computed, and did not find."""
    return [s for record in records(runs).values() for s in record["stages"] if not s["cached"]]


def test_the_rows_of_table_3_share_their_stages(ablation: Request) -> None:
    """One f_S for all six rows that start from the source; target-only has its own."""
    found = records(ablation.runs)
    assert len(found) == 7
    stages = computed(ablation.runs)
    names = Counter(stage["name"] for stage in stages)
    assert names == {"source": 1 + 1, "translator": 3, "adapted": 3, "feature": 3}
    assert len({stage["key"] for stage in stages}) == len(stages)
    done = (ablation.runs / "stages").glob("*/stage.json")
    assert {p.parent.name for p in done} == {s["key"] for s in stages}
    sources = {
        record["config"]["method"] == "target-only": record["stages"][0]["key"]
        for record in found.values()
    }
    assert {r["stages"][0]["key"] for r in found.values()} == set(sources.values())
    assert sources[True] != sources[False]


def test_a_trial_counts_the_steps_of_stages_that_it_found(ablation: Request) -> None:
    """An expensive method must look expensive, also when another one has paid for its parts."""
    for record in records(ablation.runs).values():
        assert record["steps"] == sum(stage["steps"] for stage in record["stages"]) > 0
        seconds = sum(stage["seconds"] for stage in record["stages"])
        assert record["seconds"] >= seconds - 0.01  # and the work between stages


def test_a_second_sweep_computes_nothing(ablation: Request) -> None:
    def written() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in ablation.runs.glob("*/*.json*")}

    before = written()
    report, steps = counted(ablation)
    assert steps == 0
    assert len(report.outcomes) == 7
    assert written() == before


def test_deleted_runs_come_back_from_the_cache_alone(ablation: Request) -> None:
    before = {name: record["stages"] for name, record in records(ablation.runs).items()}
    for name in before:
        (ablation.runs / name / "run.json").unlink()
    _, steps = counted(ablation)
    after = records(ablation.runs)
    assert steps == 0
    assert after.keys() == before.keys()
    for name, record in after.items():
        assert all(stage["cached"] for stage in record["stages"])
        assert [s["key"] for s in record["stages"]] == [s["key"] for s in before[name]]


def test_equal_seeds_give_equal_confusion_matrices_and_others_do_not(
    ablation: Request, tmp_path: Path
) -> None:
    names = ("cycada", "target-only")
    sweep(replace(ablation, runs=tmp_path / "again", methods=names, seeds=(1, 0)))
    found = 0
    for name, record in records(tmp_path / "again").items():
        with np.load(tmp_path / "again" / name / "confusion.npz") as again:
            if record["config"]["seed"] == 1:
                continue
            with np.load(ablation.runs / name / "confusion.npz") as first:
                assert set(again) == set(first)
                assert all(np.array_equal(again[key], first[key]) for key in first)
            found += 1
    assert found == len(names)
    keys = [set(), set()]
    for record in records(tmp_path / "again").values():
        keys[record["config"]["seed"]] |= {stage["key"] for stage in record["stages"]}
    assert not keys[0] & keys[1]


# ------------------------------------------------------------------ how trials end

UNSTEADY = """
    from dataclasses import dataclass
    from pathlib import Path
    import torch

    HERE = Path(__file__).parent

    def note(name):
        with (HERE / "calls").open("a") as file:
            file.write(name + "\\n")

    @dataclass(frozen=True)
    class FailsOnce:
        def fit(self, task, ctx):
            note("fails-once")
            net = ctx.stage("whole", params=self, build=ctx.network, train=lambda net: None)
            if (HERE / "broken").exists():
                raise RuntimeError("the disk is full")
            return net

    @dataclass(frozen=True)
    class Diverges:
        def fit(self, task, ctx):
            note("diverges")
            return ctx.stage(
                "broken", params=self, build=ctx.network, train=lambda net: self.train(net, ctx)
            )

        def train(self, net, ctx):
            for step in ctx.steps(4):
                next(net.parameters()).data.fill_(float("nan"))
"""


def test_a_failed_trial_is_tried_again_and_a_diverged_one_is_not(tmp_path: Path) -> None:
    """A full disk may be emptied; the same seed would diverge again."""
    (tmp_path / "unsteady.py").write_text(textwrap.dedent(UNSTEADY))
    (tmp_path / "broken").touch()
    methods = tuple(f"{tmp_path / 'unsteady.py'}:{name}" for name in ("FailsOnce", "Diverges"))
    # source-only comes last: it is not held up by those before it.
    asked = request(tmp_path / "runs", methods=(*methods, "source-only"))
    first = sweep(asked)
    assert [o["status"] for o in first.outcomes] == ["failed", "diverged", "done"]
    assert first.failed
    assert "the disk is full" in first.outcomes[0]["error"]
    assert "at step 1 of 'broken'" in first.outcomes[1]["error"]
    (tmp_path / "broken").unlink()
    second = sweep(asked)
    assert [o["status"] for o in second.outcomes] == ["done", "diverged", "done"]
    assert [o["run_id"] for o in second.outcomes] == [o["run_id"] for o in first.outcomes]
    assert second.outcomes[0]["error"] is None
    calls = (tmp_path / "calls").read_text().split()
    assert Counter(calls) == {"fails-once": 2, "diverges": 1}


TWINS = """
    from dataclasses import dataclass
    import torch

    @dataclass(frozen=True)
    class Zeros:
        value = 0.0
        def fit(self, task, ctx):
            return ctx.stage("s", params=self, build=ctx.network, train=self.train)

        def train(self, net):
            torch.nn.init.constant_(net.head[1].weight, self.value)

    @dataclass(frozen=True)
    class Ones(Zeros):
        value = 1.0
"""


def test_two_methods_of_one_file_do_not_take_each_others_stages(tmp_path: Path) -> None:
    """A method's class variables and code are no parameters; two classes may differ in them."""
    (tmp_path / "twins.py").write_text(textwrap.dedent(TWINS))
    methods = tuple(f"{tmp_path / 'twins.py'}:{name}" for name in ("Zeros", "Ones"))
    sweep(request(tmp_path / "runs", methods=methods))
    keys = [
        stage["key"] for record in records(tmp_path / "runs").values() for stage in record["stages"]
    ]
    assert len(keys) == len(set(keys)) == 2


def test_a_trial_of_another_budget_or_setting_is_another_trial(tmp_path: Path) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"budget": 500},
        {"settings": ("source.batch=16",)},
        {"settings": ("source.batch=32",)},  # the preset's own value: no other trial
    )
    methods = ("source-only",)
    reports = [sweep(request(tmp_path, methods=methods, **change)) for change in changes]
    ids = [report.outcomes[0]["run_id"] for report in reports]
    assert ids[0] == ids[3]
    assert len(set(ids)) == len(records(tmp_path)) == 3
