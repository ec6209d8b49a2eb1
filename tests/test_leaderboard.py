"""The table: its arithmetic, what never shares a row, and that no failed run disappears."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench import leaderboard, records
from bench.config import RunConfig
from bench.errors import BenchError
from bench.suites import DIGITS, DIGITS_ABLATION, MINI, MNIST_TO_USPS, SVHN_TO_MNIST, Shift

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.tables.formats import Row

IMAGES = 2000
"""In each test set here: an accuracy is a multiple of 1/2000."""

STABLE = (
    *("suite", "shift", "protocol", "backbone", "method", "preset", "rule", "metric", "n"),
    *("planned", "mean", "std", "ci95", "published", "delta"),
)


def config(method: str = "cycada", seed: int = 0, **other: Any) -> RunConfig:
    shift: Shift = other.pop("shift", MNIST_TO_USPS)
    plain = {
        "settings": {},
        "params": {"pixel": {"cycle": 1.0}},
        "preset": "fast",
        "code": "builtin-1",
        "learns_from": "target" if method == "target-only" else "source",
        "backbone": shift.backbone,
        "budget": 20_000,
        "data": "d" * 64,
    }
    return RunConfig(method=method, seed=seed, shift=shift.described(), **plain | other)


def run(
    correct: int | None = 1900,
    method: str = "cycada",
    seed: int = 0,
    *,
    status: str = "done",
    error: str | None = None,
    best: int | None = None,
    run_fields: dict[str, Any] | None = None,
    **other: Any,
) -> records.Record:
    """Return an exported record that got `correct` of 2,000 images right, and `best` earlier on."""
    made = config(method, seed, **other)
    checkpoints = {}
    if correct is not None and status == "done":
        right = {"300": correct if best is None else best, "600": correct}
        checkpoints = {step: [[count, IMAGES - count], [0, 0]] for step, count in right.items()}
    record = {
        "run_id": made.run_id,
        "status": status,
        "error": error,
        "config": json.loads(json.dumps(made.described())),
        "stages": [],
        "checkpoints": [int(step) for step in checkpoints],
        "steps": 4500,
        "seconds": 60.0,
        "departure": None,
        "threads": 2,
        "device": "cpu",
        "environment": {},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": None,
        "confusion": {"checkpoints": checkpoints, "stages": {}},
    }
    return record | (run_fields or {})


@pytest.fixture
def frame_of(tmp_path: Path) -> Any:
    """Return a function from records to the frame that the command line would load."""

    def load(*made: records.Record) -> pd.DataFrame:
        records.write_records(tmp_path / "r.jsonl", made)
        return records.load_records([tmp_path / "r.jsonl"])

    return load


def ours(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.rule is not None]


# ------------------------------------------------------------------ arithmetic


@given(st.lists(st.integers(0, IMAGES), min_size=2, max_size=20))
def test_mean_spread_and_interval_agree_with_other_libraries(correct: list[int]) -> None:
    values = [count / IMAGES for count in correct]
    mean, std, ci95 = leaderboard.summary(values)
    assert mean == pytest.approx(statistics.fmean(values), abs=1e-12)
    assert std == pytest.approx(statistics.stdev(values), abs=1e-12)
    if len(set(values)) == 1:
        assert ci95 == pytest.approx((mean, mean))
        return
    other = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert ci95 == pytest.approx((other.low, other.high), rel=1e-9, abs=1e-12)


def test_an_interval_by_hand() -> None:
    # 94, 95, 96 %: mean 95, std 1, t(2 degrees of freedom, 97.5 %) = 4.302653, / sqrt(3).
    mean, std, ci95 = leaderboard.summary([0.94, 0.95, 0.96])
    assert mean == pytest.approx(0.95)
    assert std == pytest.approx(0.01)
    assert ci95 == pytest.approx((0.95 - 0.02484138, 0.95 + 0.02484138), abs=1e-8)


def test_too_few_seeds_have_no_spread_or_no_mean() -> None:
    assert leaderboard.summary([0.5]) == (0.5, None, None)
    assert leaderboard.summary([]) == (None, None, None)


def test_a_row_is_the_mean_over_its_seeds(frame_of: Any) -> None:
    made = [run(correct, seed=seed) for seed, correct in enumerate([1900, 1920, 1940])]
    made[2] |= {"steps": 4800, "seconds": 90.0}
    row = leaderboard.rows(frame_of(*made), DIGITS)[0]
    assert (row.n, row.planned, row.seeds) == (3, 3, (0, 1, 2))
    assert row.mean == pytest.approx(0.96)
    assert row.std == pytest.approx(0.01)
    assert (row.steps, row.seconds) == (4600, 70.0)
    assert (row.method, row.preset, row.rule, row.metric) == ("cycada", "fast", "last", "accuracy")


# ------------------------------------------------------------------ n of N


def test_runs_that_did_not_finish_are_counted_with_their_reasons(frame_of: Any) -> None:
    frame = frame_of(
        run(1900, seed=0),
        run(1940, seed=1),
        run(seed=2, status="diverged", error="NaN at step 7"),
        run(seed=3, status="failed", error="a | pipe\nand <more>"),
        run(seed=4, status="interrupted"),
        run(seed=5, status="running"),
        run(None, seed=6),
        run(seed=7, status="pruned", error="hopeless at step 300"),
    )
    rows = leaderboard.rows(frame, DIGITS)
    row = ours(rows)[0]
    assert (row.n, row.planned) == (2, 8)
    assert row.mean == pytest.approx(0.96)
    assert [failure["seed"] for failure in row.failed] == [2, 3, 4, 5, 6, 7]
    text = leaderboard.render(rows, "md")
    assert "| 2 of 8 [1] [2] [3] [4] [5] [6] |" in text
    assert "[1] cycada, seed 2: diverged: NaN at step 7" in text
    assert r"[2] cycada, seed 3: failed: a \| pipe and \<more\>" in text
    assert "[3] cycada, seed 4: interrupted" in text
    assert "[4] cycada, seed 5: running" in text
    assert "[5] cycada, seed 6: broken: no checkpoint was scored" in text
    assert "[6] cycada, seed 7: pruned: hopeless at step 300" in text
    assert "Seeds: 0 to 7" in text


def test_a_method_whose_every_seed_failed_still_has_its_row_without_a_rank(frame_of: Any) -> None:
    frame = frame_of(
        run(method="adda", seed=0, status="failed", error="out of memory"),
        run(method="adda", seed=1, status="failed", error="out of memory"),
        run(1500, "source-only"),
    )
    rows = leaderboard.rows(frame, DIGITS)
    assert [(row.method, row.n, row.planned, row.mean) for row in ours(rows)] == [
        ("source-only", 1, 1, 0.75),
        ("adda", 0, 2, None),
    ]
    text = leaderboard.render(rows, "md")
    assert "|  | adda |  |  | 0 of 2 [1] |" in text
    assert "[1] adda, seeds 0, 1: failed: out of memory" in text


def test_planned_seeds_count_before_they_exist(frame_of: Any) -> None:
    rows = leaderboard.rows(frame_of(run(seed=0), run(seed=7)), DIGITS, seeds=range(5))
    assert (rows[0].n, rows[0].planned) == (2, 6)
    assert "cycada: 4 of the planned seeds not run" in leaderboard.render(rows, "md")


def test_a_run_whose_record_broke_is_counted_where_its_name_belongs(tmp_path: Path) -> None:
    for method in ("cycada", "adda"):
        for seed in range(3):
            record = run(1900, method, seed)
            del record["confusion"]
            records.write_run(tmp_path / record["run_id"], record)
            confusions = records.Confusions({600: np.array([[1900, 100], [0, 0]])})
            records.write_confusions(tmp_path / record["run_id"], confusions)
    broken = tmp_path / config("cycada", 1).run_id
    (broken / "run.json").write_text("{", encoding="utf-8")
    scoreless = tmp_path / config("cycada", 2).run_id
    (scoreless / "confusion.npz").unlink()
    rows = ours(leaderboard.rows(records.load_runs(tmp_path), DIGITS))
    assert {row.method: (row.n, row.planned) for row in rows} == {"cycada": (1, 3), "adda": (3, 3)}
    failed = {row.method: row.failed for row in rows}["cycada"]
    assert [(failure["seed"], failure["status"]) for failure in failed] == [
        (1, "broken"),
        (2, "broken"),
    ]
    assert "is not JSON" in failed[0]["error"]
    assert "confusion.npz is missing" in failed[1]["error"]


# ------------------------------------------------------------------ what never mixes


@pytest.mark.parametrize(
    "other",
    [
        {"preset": "smoke"},
        {"backbone": "dtn"},
        {"weights": "imagenet"},
        {"shift": replace(MNIST_TO_USPS, protocol="adda-2000-1800")},
        {"shift": replace(MNIST_TO_USPS, size=32)},
        {"settings": {"pixel.cycle": 0.0}, "params": {"pixel": {"cycle": 0.0}}},
        {"params": {"pixel": {"cycle": 2.0}}},
        {"code": "builtin-2"},
        {"budget": 7},
        {"data": "e" * 64},
        {"precision": "bf16"},
        {"compile": True},
        {"processes": 2},
        {"tuned": {"rule": "infomax", "trials": 20, "study": "a"}},
        {"tuned": {"rule": "oracle", "trials": 20, "study": "a"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_runs_that_differ_in_more_than_the_seed_never_share_a_row(
    frame_of: Any, other: dict[str, Any]
) -> None:
    frame = frame_of(run(1900, seed=0), run(1000, seed=1, **other), run(1940, seed=2))
    rows = leaderboard.rows(frame, DIGITS)
    assert sorted((row.n, round(row.mean, 6)) for row in ours(rows)) == [(1, 0.5), (2, 0.96)]
    # A reader of any format can tell them apart.
    assert len({(row.section, row.label) for row in ours(rows)}) == 2


def test_arithmetic_is_a_condition_of_a_table(frame_of: Any) -> None:
    frame = frame_of(
        run(1900), run(1800, precision="bf16"), run(1700, precision="bf16", compile=True)
    )
    rows = leaderboard.rows(frame, DIGITS)
    assert {row.arithmetic for row in ours(rows)} == {"float32", "bf16", "bf16, compiled"}
    text = leaderboard.render(rows)
    headings = [line.partition("rule last")[2] for line in text.splitlines() if "rule last" in line]
    assert [text for text in headings if not text.startswith(" ")] == [
        *(", trained in bf16", ", trained in bf16, compiled", "")
    ]


def test_what_went_wrong_while_training_is_a_note_beside_the_method(frame_of: Any) -> None:
    def event(kind: str, step: int, stage: str = "translator") -> dict[str, Any]:
        return {"stage": stage, "step": step, "kind": kind, "reason": "it was seen"}

    def of(seed: int, *events: dict[str, Any], **other: Any) -> records.Record:
        return run(1900, seed=seed, run_fields={"events": list(events)}, **other)

    frame = frame_of(
        of(0, event("collapsed generator", 350), event("exploding loss", 7, "source")),
        of(1, event("collapsed generator", 100)),
        of(2),
        of(3, event("exploding loss", 9, "feature"), status="diverged", error="'loss' is nan"),
    )
    rows = leaderboard.rows(frame, DIGITS)
    (row,) = ours(rows)
    assert [(e["seed"], e["kind"], e["step"]) for e in row.events] == [
        (0, "collapsed generator", 350),
        (0, "exploding loss", 7),
        (1, "collapsed generator", 100),
        (3, "exploding loss", 9),
    ]
    for fmt in ("md", "latex"):
        text = leaderboard.render(rows, fmt)
        assert "cycada: collapsed generator in 2 of 4 runs (translator, steps 100, 350)" in text, (
            fmt
        )
        assert "cycada: exploding loss in 2 of 4 runs (source, step 7; feature, step 9)" in text, (
            fmt
        )
        assert "diverged: 'loss' is nan" in text, fmt
    assert "| cycada [" in leaderboard.render(rows)


def test_a_row_of_one_name_says_what_differs(frame_of: Any) -> None:
    frame = frame_of(
        run(1900, "mine", code="aaaaaaaaaaaa"), run(1800, "mine", code="bbbbbbbbbbbb", budget=5)
    )
    labels = [row.label for row in ours(leaderboard.rows(frame, DIGITS))]
    assert labels == [
        "mine (code aaaaaaaaaaaa, budget 20000)",
        "mine (code bbbbbbbbbbbb, budget 5)",
    ]


def test_other_presets_stand_in_another_table(frame_of: Any) -> None:
    frame = frame_of(run(1900, preset="smoke"), run(1800, preset="paper"), run(1850))
    text = leaderboard.render(leaderboard.rows(frame, DIGITS), "md")
    titles = [line for line in text.splitlines() if line.startswith("## mnist2usps")]
    assert [title.partition("preset ")[2] for title in titles] == [
        "paper, rule last",
        "fast, rule last",
        "smoke, rule last",
    ]


def test_a_run_that_is_there_twice_is_refused(frame_of: Any) -> None:
    frame = frame_of(run())
    with pytest.raises(BenchError, match="twice"):
        leaderboard.rows(frame.loc[[0, 0]], DIGITS)


def test_runs_on_other_shifts_are_left_out(frame_of: Any) -> None:
    namesake = replace(MNIST_TO_USPS, source="svhn")
    frame = frame_of(run(), run(shift=MINI.shifts[0]), run(shift=namesake))
    assert [row.shift for row in ours(leaderboard.rows(frame, DIGITS))] == ["mnist2usps"]


# ------------------------------------------------------------------ names and order


def test_the_rows_of_an_ablation_have_their_names(frame_of: Any) -> None:
    made = []
    for place, entry in enumerate(DIGITS_ABLATION.entries):
        params: dict[str, Any] = {
            "pixel": {"cycle": 1.0, "semantic": "paper"},
            "feature": {"lr": 1},
        }
        for key, value in entry.settings.items():
            outer, _, inner = key.partition(".")
            if inner:
                params[outer][inner] = value
            else:
                params[outer] = value
        made.append(
            run(
                1000 + place,
                entry.method,
                shift=SVHN_TO_MNIST,
                settings=dict(entry.settings),
                params=params,
            )
        )
    rows = ours(leaderboard.rows(frame_of(*made), DIGITS_ABLATION))
    found = {row.label: round(row.mean * IMAGES) - 1000 for row in rows}
    assert found == {entry.label: place for place, entry in enumerate(DIGITS_ABLATION.entries)}
    published = {row.label: row.published for row in rows}
    assert published["cycada, no cycle consistency"] == 0.757
    assert published["cycada, no feature adaptation, no semantic loss"] == 0.703


def test_settings_that_are_no_row_of_the_suite_are_shown(frame_of: Any) -> None:
    settings = {"pixel.lr": 1e-4, "feature": None, "pixel.semantic": "none", "a": True}
    row = leaderboard.rows(frame_of(run(settings=settings)), DIGITS)[0]
    assert row.label == "cycada [a=true, feature=none, pixel.lr=0.0001, pixel.semantic=none]"
    assert row.published is None


def test_an_entry_that_sets_what_the_preset_has_anyway_keeps_its_name() -> None:
    entries = [replace(DIGITS.entries[0], label="same", method="m", settings={"pixel.cycle": 0})]
    same = {"method": "m", "settings": {}, "params": {"pixel": {"cycle": 0.0}}}
    other = {"method": "m", "settings": {}, "params": {"pixel": {"cycle": 1.0}}}
    off = {"method": "m", "settings": {}, "params": {"pixel": None}}
    assert [leaderboard.label_of(c, entries) for c in (same, other, off)] == ["same", "m", "m"]


def test_methods_are_ranked_and_a_bound_is_not(frame_of: Any) -> None:
    frame = frame_of(
        run(1700, "adda"), run(1900, "cycada"), run(1990, "target-only"), run(1500, "source-only")
    )
    text = leaderboard.render(leaderboard.rows(frame, DIGITS), "md")
    table = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith("|")]
    assert table[2:6] == [
        ["| 1", "cycada"],
        ["| 2", "adda"],
        ["| 3", "source-only"],
        ["| ", "target-only (upper bound: uses target labels)"],
    ]


# ------------------------------------------------------------------ published figures


def test_a_difference_only_where_everything_matches(frame_of: Any) -> None:
    # The paper: cycada 95.6 measured as here; ADDA 89.4 by a protocol of its own.
    frame = frame_of(run(1932, "cycada"), run(1800, "adda"))
    rows = leaderboard.rows(frame, DIGITS)
    cycada, adda = ours(rows)
    assert (cycada.published, cycada.published_std) == (0.956, 0.002)
    assert cycada.delta == pytest.approx(0.01)
    assert (adda.published, adda.delta, adda.published_protocol) == (0.894, None, "adda-2000-1800")
    text = leaderboard.render(rows, "md")
    assert "| 95.6 ± 0.2 | +1.0 |" in text
    assert "| 89.4 ± 0.2 [1] |  |" in text
    assert (
        "[1] ADDA (Tzeng et al., 2017): no difference, because it was measured under other"
        " conditions; protocol adda-2000-1800" in text
    )


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"backbone": "resnet18"}, "; backbone lenet"),
        ({"weights": "imagenet"}, "; initial weights random"),
        ({"shift": replace(MNIST_TO_USPS, protocol="small")}, "; protocol full"),
    ],
    ids=["backbone", "weights", "protocol"],
)
def test_no_difference_from_a_figure_measured_otherwise(
    frame_of: Any, other: dict[str, Any], said: str
) -> None:
    rows = leaderboard.rows(frame_of(run(1932, **other)), DIGITS)
    assert (rows[0].published, rows[0].delta) == (0.956, None)
    assert (
        f"CyCADA (Ours): no difference, because it was measured under other conditions{said}"
        in (leaderboard.render(rows, "md"))
    )


def test_published_rows_without_ours_are_shown_once_a_shift(frame_of: Any) -> None:
    rows = leaderboard.rows(frame_of(run(), run(preset="smoke", method="adda")), DIGITS)
    published = [row for row in rows if row.rule is None and row.shift == "mnist2usps"]
    references = [row for row in published if not row.published_later]
    # In the table of `fast` stands cycada, in that of `smoke` adda; each lacks the other's figure.
    assert {row.label for row in references} == {
        *("PixelDA", "UNIT", "CoGAN", "source-only", "target-only", "cycada", "adda")
    }
    for row in references:
        assert (row.n, row.planned, row.mean, row.delta, row.preset) == (0, 0, None, None, None)
    text = leaderboard.render(rows, "md")
    fast, smoke = text.split("\n## ")[1:3]
    for part, own in ((fast, "cycada"), (smoke, "adda")):
        main = part.split("### ")[0]
        lines = [line for line in main.splitlines() if line.startswith("|")][2:]
        labels = [line.split(" | ")[1].split(" (")[0] for line in lines]
        assert labels[0] == own
        assert sorted(labels) == sorted({row.label for row in references})
    assert "## svhn2mnist: published figures only" in text
    assert text.count("| UNIT |") == 4


def test_the_source_of_published_figures_is_named(frame_of: Any) -> None:
    text = leaderboard.render(leaderboard.rows(frame_of(run()), DIGITS), "md")
    assert text.count("- Published: Hoffman et al. 2018, Table 2\n") == 3


# ------------------------------------------------------------------ rules


def test_the_oracle_is_marked_wherever_it_appears_and_compared_with_nothing(frame_of: Any) -> None:
    frame = frame_of(run(1900, best=1960), run(1500, "source-only", best=1500))
    last = leaderboard.rows(frame, DIGITS)
    oracle = leaderboard.rows(frame, DIGITS, "oracle")
    assert (last[0].mean, oracle[0].mean) == (0.95, 0.98)
    assert last[0].delta is not None
    assert [row.delta for row in oracle] == [None] * len(oracle)
    for fmt in leaderboard_formats():
        assert "oracle" in leaderboard.render(oracle, fmt)
    ours = [row for row in last if not row.published_later]  # later work may have looked at them
    for fmt in leaderboard_formats():
        assert "oracle" not in leaderboard.render(ours, fmt)
    text = leaderboard.render(oracle, "md")
    assert "rule oracle (uses test labels)" in text
    assert "Not a fair result" in text
    assert "| cycada (oracle) |" in text
    assert "Not a fair result" in leaderboard.render(oracle, "latex")
    assert all(row["chosen_on_test_labels"] for row in loaded(oracle) if row["rule"])


def test_a_row_says_what_other_rules_would_have_picked_of_its_own_runs(frame_of: Any) -> None:
    def judged(*scores: float | None) -> dict[str, Any]:
        return {"scores": {"infomax": dict(zip(("300", "600"), scores, strict=True))}}

    frame = frame_of(
        run(1900, seed=0, best=1960, run_fields=judged(0.5, 0.4)),
        run(1900, seed=1, best=1940, run_fields=judged(0.4, None)),
        run(1900, seed=2, run_fields={"steps": 9000}),
        run(1500, "adda", best=1600),
        run(1500, "source-only", run_fields={"scores": {"dev": {"300": 1.0, "600": 2.0}}}),
    )
    rows = {row["method"]: row for row in loaded(ours(leaderboard.rows(frame, DIGITS)))}
    picked = {name: round(each["mean"], 6) for name, each in rows["cycada"]["picked"].items()}
    assert picked == {"last": 0.95, "oracle": 0.975, "infomax": 0.975}
    assert rows["cycada"]["picked"]["infomax"]["std"] == pytest.approx(math.sqrt(0.00005))
    assert rows["cycada"]["correlation"] == {"infomax": None}  # of two checkpoints it says nothing
    assert rows["cycada"]["judged"] == {"infomax": [[0.4, 0.95]]}
    assert [rows["adda"][key] for key in ("picked", "correlation", "judged")] == [{}, {}, {}]
    assert list(rows["source-only"]["picked"]) == ["last", "oracle", "dev"]
    assert rows["source-only"]["correlation"] == {"dev": None}
    by_infomax = {row.method: row for row in ours(leaderboard.rows(frame, DIGITS, "infomax"))}
    cycada, adda = by_infomax["cycada"], by_infomax["adda"]
    assert (cycada.seeds, cycada.figures, cycada.steps) == ((0, 1), (0.98, 0.97), 4500)
    (failure,) = cycada.failed
    assert (failure["seed"], failure["status"]) == (2, "broken")
    assert "no scores by the rule 'infomax'" in failure["error"]
    assert (adda.n, adda.steps, adda.mean) == (0, None, None)


def tuned_by(rule: str, trials: int = 20, study: str = "a") -> dict[str, Any]:
    settings = {"pixel.cycle": 0.5}
    params = {"pixel": {"cycle": 0.5}}
    tuned = {"rule": rule, "trials": trials, "study": study}
    return {"settings": settings, "params": params, "tuned": tuned}


def test_tuned_runs_say_by_what_and_after_how_many_trials(frame_of: Any) -> None:
    frame = frame_of(
        run(1900),
        run(1800, **tuned_by("infomax")),
        run(1700, **tuned_by("entropy", 1, "a")),
        run(1600, **tuned_by("entropy", 1, "b")),
    )
    rows = ours(leaderboard.rows(frame, DIGITS))
    plain, infomax, *two = [row.label for row in rows]
    assert (plain, infomax) == ("cycada", "cycada (tuned by infomax, 20 trials)")
    assert all(label.startswith("cycada (tuned by entropy, 1 trial) (tuned ") for label in two)
    assert len({row.label for row in rows}) == 4
    assert len({row.section for row in rows}) == 1
    assert not any(row.chosen_on_test_labels for row in rows)
    assert [row["tuned"] for row in loaded(rows)][:2] == [None, tuned_by("infomax")["tuned"]]


def test_what_was_tuned_on_test_labels_never_stands_among_the_rest(frame_of: Any) -> None:
    frame = frame_of(run(1900), run(1960, **tuned_by("oracle")))
    rows = leaderboard.rows(frame, DIGITS)
    fair, tuned = ours(rows)
    assert (fair.chosen_on_test_labels, tuned.chosen_on_test_labels) == (False, True)
    assert (fair.published, tuned.published) == (0.956, None)
    text = leaderboard.render(rows, "md")
    heads = [line for line in text.splitlines() if line.startswith("## mnist2usps")]
    assert heads[0].endswith("rule last")
    assert heads[1].endswith("rule last, tuned on test labels")
    assert text.count("Not a fair result: a search chose every setting by the target's test") == 1
    assert "| 1 | cycada (tuned by oracle, 20 trials) | 98.00 |" in text
    both = leaderboard.rows(frame, DIGITS, "oracle")
    assert "Not a fair result: the rule 'oracle' chose every" in leaderboard.render(both, "md")
    assert len({row.section for row in ours(both)}) == 2


def test_an_unknown_rule_or_format_is_answered_with_the_nearest(frame_of: Any) -> None:
    with pytest.raises(BenchError, match="Did you mean 'last'"):
        leaderboard.rows(frame_of(run()), DIGITS, "lasst")
    with pytest.raises(BenchError, match="Unknown format 'jsn'. Did you mean 'json'"):
        leaderboard.render([], "jsn")


# ------------------------------------------------------------------ formats


def leaderboard_formats() -> list[str]:
    return ["md", "text", "csv", "latex", "json"]


def loaded(rows: list[Row]) -> list[dict[str, Any]]:
    return json.loads(leaderboard.render(rows, "json"))


def everything(frame_of: Any) -> list[Row]:
    return leaderboard.rows(
        frame_of(
            run(1900, seed=0, run_fields={"departure": "a departure"}),
            run(1920, seed=1),
            run(seed=2, status="diverged", error="50 % & more_of {it}"),
            run(1500, "source-only"),
        ),
        DIGITS,
    )


def test_json_has_the_stable_keys_first_and_fractions(frame_of: Any) -> None:
    rows = loaded(everything(frame_of))
    for row in rows:
        assert tuple(row)[: len(STABLE)] == STABLE
        for key in ("mean", "std", "published", "published_std"):
            assert row[key] is None or 0 <= row[key] <= 1
    first = next(row for row in rows if row["method"] == "cycada")
    assert first["mean"] == pytest.approx(0.955)
    low, high = first["ci95"]
    assert low < 0.955 < high
    assert math.isclose(high - low, 2 * 12.706204736 * first["std"] / math.sqrt(2), rel_tol=1e-9)
    assert first["failed"] == [{"seed": 2, "status": "diverged", "error": "50 % & more_of {it}"}]


def test_csv_holds_the_same_numbers_as_json(frame_of: Any) -> None:
    rows = everything(frame_of)
    table = list(csv.DictReader(io.StringIO(leaderboard.render(rows, "csv"))))
    for flat, nested in zip(table, loaded(rows), strict=True):
        low, high = nested.pop("ci95") or ("", "")
        assert (flat.pop("ci95_low"), flat.pop("ci95_high")) == (str(low), str(high))
        assert flat.keys() == nested.keys()
        for key, value in nested.items():
            if isinstance(value, (list, dict)):
                assert json.loads(flat[key]) == value
            else:
                assert flat[key] == ("" if value is None else str(value))


def test_markdown_says_under_which_conditions(frame_of: Any) -> None:
    made = [run(seed=0), run(seed=2, run_fields={"device": "NVIDIA H100", "threads": 4})]
    text = leaderboard.render(leaderboard.rows(frame_of(*made), DIGITS), "md", command="make it")
    assert text.startswith("<!-- Generated by `make it` from the records of runs; do not edit. -->")
    assert (
        "## mnist2usps: protocol full, backbone lenet, random initial weights, preset fast,"
        " rule last\n" in text
    )
    assert "- Seeds: 0, 2\n- Trained on: NVIDIA H100, cpu, 2 or 4 threads\n" in text
    assert "| 1 | cycada | 95.00 ± 0.00 | 95.00 to 95.00 | 2 of 2 | 4,500 | 60 s |" in text


def test_every_line_of_a_table_has_all_columns(frame_of: Any) -> None:
    rows = everything(frame_of)
    lines = [x for x in leaderboard.render(rows, "md").splitlines() if x.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in lines} == {10, 7}  # and of later work
    latex = leaderboard.render(rows, "latex")
    lines = [x for x in latex.splitlines() if x.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in lines} == {8, 5}
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2 * 3


def test_departures_and_failures_are_footnotes_in_both_readable_formats(frame_of: Any) -> None:
    rows = everything(frame_of)
    text = leaderboard.render(rows, "md")
    assert (
        "| 1 | source-only | 75.00 |" in text
    )  # a mean without the seed that diverged has no rank
    assert "|  | cycada [1] | 95.50 ± 0.71 |" in text
    assert (
        "- [1] cycada: a departure\n- [2] cycada, seed 2: diverged: 50 % & more_of {it}\n" in text
    )
    latex = leaderboard.render(rows, "latex")
    assert r" & cycada [1] & 95.50 $\pm$ 0.71 &" in latex
    assert r"\par\footnotesize [2] cycada, seed 2: diverged: 50 \% \& more\_of \{it\}" in latex


def test_a_long_error_is_cut(frame_of: Any) -> None:
    rows = leaderboard.rows(frame_of(run(status="failed", error="x" * 5000)), MINI_LIKE)
    assert len(leaderboard.render(rows, "md")) < 2000


MINI_LIKE = replace(MINI, shifts=(MNIST_TO_USPS,))


@pytest.mark.parametrize("fmt", leaderboard_formats())
def test_equal_records_give_equal_text_in_whatever_order_they_come(frame_of: Any, fmt: str) -> None:
    made = [run(1900 + seed, m, seed) for seed in range(3) for m in ("adda", "cycada", "mine")]
    made += [run(1900, "tie"), run(1900, "other-tie")]
    frame = frame_of(*made)
    text = leaderboard.render(leaderboard.rows(frame, DIGITS), fmt)
    for seed in range(3):
        shuffled = frame.sample(frac=1, random_state=seed)
        assert leaderboard.render(leaderboard.rows(shuffled, DIGITS), fmt) == text
    assert text.endswith("\n")


@pytest.mark.parametrize("fmt", leaderboard_formats())
def test_no_runs_are_no_error(frame_of: Any, fmt: str) -> None:
    rows = leaderboard.rows(frame_of(), MINI)
    assert rows == []
    text = leaderboard.render(rows, fmt)
    expected = {
        "md": "No runs yet",
        "text": "No runs yet",
        "csv": "suite,shift",
        "latex": "% Generated",
        "json": "[]",
    }
    assert expected[fmt] in text


# ------------------------------------------------------------------ stage by stage


def staged(seed: int, correct: int, **stages: int) -> records.Record:
    """Return a finished run whose stages' own networks got so many images right, in this order."""
    names = list(stages)
    run_fields = {
        "stages": [{"name": name} for name in ("translator", *names)],
        "confusion": {
            "checkpoints": {"600": [[correct, IMAGES - correct], [0, 0]]},
            # Sorted by name, as a file has them: the order must come from the run.
            "stages": {n: [[stages[n], IMAGES - stages[n]], [0, 0]] for n in sorted(names)},
        },
    }
    return run(seed=seed, run_fields=run_fields)


def test_each_stages_own_network_is_shown_in_the_order_of_training(frame_of: Any) -> None:
    frame = frame_of(
        staged(0, 1900, source=1600, adapted=1800, feature=1910),
        staged(1, 1920, source=1640, adapted=1840, feature=1930),
    )
    (row,) = ours(leaderboard.rows(frame, DIGITS))
    assert [(s["stage"], s["n"]) for s in row.stages] == [
        ("source", 2),
        ("adapted", 2),
        ("feature", 2),
    ]
    assert [s["mean"] for s in row.stages] == pytest.approx([0.81, 0.91, 0.96])
    assert row.stages[0]["std"] == pytest.approx(math.sqrt(2) * 0.01)
    text = leaderboard.render([row], "md")
    assert "| Method | source | adapted | feature | reported (last) |" in text
    assert (
        "| cycada | 81.00 \u00b1 1.41 | 91.00 \u00b1 1.41 | 96.00 \u00b1 0.71 | 95.50 \u00b1 0.71 |"
        in text
    )
    assert r"Method & source & adapted & feature & reported (last) \\" in leaderboard.render(
        [row], "latex"
    )


def test_a_method_of_one_stage_has_no_table_of_stages(frame_of: Any) -> None:
    text = leaderboard.render(
        leaderboard.rows(frame_of(staged(0, 1900, source=1900)), DIGITS), "md"
    )
    assert "Stage by stage" not in text
