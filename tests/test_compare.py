"""Two methods compared: what is paired, what is refused, what is said, and how it is printed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from bench import leaderboard, records
from bench.cli import app
from bench.compare import compare
from bench.config import RunConfig
from bench.errors import BenchError
from bench.suites import (
    DIGITS,
    DIGITS_ABLATION,
    MNIST_TO_USPS,
    SVHN_TO_MNIST,
    USPS_TO_MNIST,
    Shift,
)

if TYPE_CHECKING:
    import pandas as pd


IMAGES = 2000
COMMITTED = Path(__file__).parents[1] / "leaderboards" / "records"


def run(
    correct: int | None = 1900,
    method: str = "cycada",
    seed: int = 0,
    *,
    shift: Shift = MNIST_TO_USPS,
    best: int | None = None,
    status: str = "done",
    error: str | None = None,
    device: str = "cpu",
    threads: int = 1,
    **other: Any,
) -> records.Record:
    """Return an exported record that got `correct` of 2,000 images right, and `best` earlier on."""
    plain = {
        "settings": {},
        "params": {},
        "preset": "fast",
        "code": "builtin-1",
        "learns_from": "target" if method == "target-only" else "source",
        "backbone": shift.backbone,
        "budget": 20_000,
        "data": ("e" if method == "target-only" else "d") * 64,
    }
    made = RunConfig(method=method, seed=seed, shift=shift.described(), **plain | other)
    right = {"300": correct if best is None else best, "600": correct} if correct else {}
    checkpoints = {step: [[count, IMAGES - count], [0, 0]] for step, count in right.items()}
    return {
        "run_id": made.run_id,
        "status": status,
        "error": error,
        "config": json.loads(json.dumps(made.described())),
        "stages": [],
        "checkpoints": [int(step) for step in checkpoints],
        "steps": 4500,
        "seconds": 60.0,
        "departure": None,
        "threads": threads,
        "device": device,
        "environment": {},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": None,
        "confusion": {"checkpoints": checkpoints if status == "done" else {}, "stages": {}},
    }


def runs(method: str, *correct: int, **other: Any) -> list[records.Record]:
    """Return a run for each seed from 0 on."""
    return [run(count, method, seed, **other) for seed, count in enumerate(correct)]


@pytest.fixture
def frame_of(tmp_path: Path) -> Any:
    """Return a function from records to the frame that the command line would load."""

    def load(*made: records.Record) -> pd.DataFrame:
        records.write_records(tmp_path / "r.jsonl", made)
        return records.load_records([tmp_path / "r.jsonl"])

    return load


@pytest.fixture
def command(tmp_path: Path) -> Any:
    """Return a function that writes records and runs ``bench compare`` on them."""

    def call(made: list[records.Record], *arguments: str, suite: str = "digits") -> Any:
        records.write_records(tmp_path / "r.jsonl", made)
        options = ("--suite", suite, "--records", str(tmp_path / "r.jsonl"))
        return CliRunner().invoke(app, ["compare", *arguments, *options])

    return call


def plain(text: str) -> str:
    """Undo the wrapping of lines."""
    return " ".join(text.split())


SEVEN = (1900, 1910, 1920, 1930, 1940, 1950, 1960)
LOWER = (1890, 1880, 1900, 1890, 1880, 1890, 1880)


# ------------------------------------------------------------------ figures


def test_by_hand(frame_of: Any) -> None:
    # Differences of 10, 30, 20 images of 2,000: 1 %, on two of the eight sign assignments.
    frame = frame_of(*runs("cycada", 1900, 1910, 1920), *runs("adda", 1890, 1880, 1900))
    found = compare(frame, DIGITS, "cycada", "adda")
    result = found.shifts["mnist2usps"]
    assert (result.metric, result.pairs, result.seeds) == ("accuracy", 3, (0, 1, 2))
    assert result.difference == pytest.approx(0.01)
    assert (result.mean_a, result.mean_b) == pytest.approx((0.955, 0.945))
    # Standard deviation 0.005, t(2 degrees of freedom) = 4.302653, over the root of 3.
    assert result.ci95 == pytest.approx((0.01 - 0.0124207, 0.01 + 0.0124207), abs=1e-7)
    assert result.effect_size == pytest.approx(2.0)
    assert (result.p_value, result.p_adjusted) == (0.25, 0.25)
    assert result.verdict == "too few seeds: 6 are needed"
    assert (found.overall.pairs, found.overall.verdict) == (3, "too few seeds: 6 are needed")
    assert found.overall.difference == result.difference


def test_swapping_the_sides_swaps_the_verdict(frame_of: Any) -> None:
    frame = frame_of(*runs("cycada", *SEVEN), *runs("adda", *LOWER))
    one = compare(frame, DIGITS, "cycada", "adda")
    other = compare(frame, DIGITS, "adda", "cycada")
    first, second = one.overall, other.overall
    assert (first.verdict, second.verdict) == ("A is better", "B is better")
    assert first.p_value == second.p_value == 2 / 2**7
    assert first.difference == -(second.difference or 0)
    assert first.ci95 is not None
    assert second.ci95 == pytest.approx([-end for end in first.ci95[::-1]])
    assert one.sentence.startswith("cycada is better than adda on mnist2usps. Over 7 pairs of runs")
    assert other.sentence.startswith("cycada is better than adda on mnist2usps.")
    assert "the accuracy of cycada is 2.14 points higher (95 % interval" in one.sentence
    assert "the accuracy of adda is 2.14 points lower (95 % interval" in other.sentence
    assert "exact sign-flip test, p = 0.0156)" in one.sentence


def test_p_values_are_adjusted_over_the_shifts(frame_of: Any) -> None:
    # Seven seeds: 2/128 on one shift, no difference on another; none on the third.
    made = [*runs("cycada", *SEVEN), *runs("adda", *LOWER)]
    made += runs("cycada", *SEVEN, shift=USPS_TO_MNIST)
    level = [count + change for count, change in zip(SEVEN, (5, -5, 5, -5, 5, -5, 0), strict=True)]
    made += runs("adda", *level, shift=USPS_TO_MNIST)
    found = compare(frame_of(*made), DIGITS, "cycada", "adda")
    assert list(found.shifts) == ["mnist2usps", "usps2mnist"]
    one, other = found.shifts.values()
    assert (one.p_value, one.p_adjusted, one.verdict) == (2 / 128, 4 / 128, "A is better")
    assert (other.p_value, other.p_adjusted, other.verdict) == (1.0, 1.0, "indistinguishable")
    assert found.overall.pairs == 14
    assert found.overall.p_adjusted == found.overall.p_value
    assert other.difference == pytest.approx(0.0)
    assert found.overall.difference == pytest.approx((one.difference or 0) / 2)
    assert any("Holm" in note and "not quite" in note for note in found.notes)


def test_shifts_stand_in_the_suites_order(frame_of: Any) -> None:
    made = []
    for shift in (SVHN_TO_MNIST, USPS_TO_MNIST, MNIST_TO_USPS):
        made += [run(1900, "cycada", shift=shift), run(1800, "adda", shift=shift)]
    found = compare(frame_of(*made), DIGITS, "cycada", "adda")
    assert list(found.shifts) == ["mnist2usps", "usps2mnist", "svhn2mnist"]


def test_six_seeds_are_enough_for_one_shift_and_not_for_two(frame_of: Any) -> None:
    made = [*runs("cycada", *SEVEN[:6]), *runs("adda", *LOWER[:6])]
    assert compare(frame_of(*made), DIGITS, "cycada", "adda").overall.verdict == "A is better"
    made += [*runs("cycada", *SEVEN[:6], shift=USPS_TO_MNIST)]
    made += [*runs("adda", *LOWER[:6], shift=USPS_TO_MNIST)]
    found = compare(frame_of(*made), DIGITS, "cycada", "adda")
    assert {r.verdict for r in found.shifts.values()} == {"too few seeds: 7 are needed"}
    assert found.overall.verdict == "A is better"  # twelve pairs


def test_fewer_seeds_are_enough_beside_a_shift_that_is_surer(frame_of: Any) -> None:
    # Holm's second step is by one test less: six pairs reach 5 % behind ten.
    made = [*runs("cycada", *[1950] * 10), *runs("adda", *[1900] * 10)]
    made += runs("cycada", *SEVEN[:6], shift=USPS_TO_MNIST)
    made += runs("adda", *LOWER[:6], shift=USPS_TO_MNIST)
    found = compare(frame_of(*made), DIGITS, "cycada", "adda")
    assert [r.p_adjusted for r in found.shifts.values()] == [4 / 2**10, 2 / 2**6]
    assert {r.verdict for r in found.shifts.values()} == {"A is better"}


def test_overall_needs_six_pairs_however_they_spread_over_shifts(frame_of: Any) -> None:
    def overall(seeds: int) -> str:
        made = []
        for shift in (MNIST_TO_USPS, USPS_TO_MNIST):
            made += runs("cycada", *SEVEN[:seeds], shift=shift)
            made += runs("adda", *LOWER[:seeds], shift=shift)
        return compare(frame_of(*made), DIGITS, "cycada", "adda").overall.verdict

    assert overall(2) == "too few seeds: 3 are needed"
    assert overall(3) == "A is better"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(1, IMAGES), st.integers(1, IMAGES)), min_size=2, max_size=8))
def test_it_agrees_with_a_paired_t_test_and_ignores_the_order_of_records(
    frame_of: Any, pairs: list[tuple[int, int]]
) -> None:
    a, b = zip(*pairs, strict=True)
    frame = frame_of(*runs("cycada", *a), *runs("adda", *b))
    result = compare(frame, DIGITS, "cycada", "adda").overall
    shares = np.array(a) / IMAGES, np.array(b) / IMAGES
    assert result.difference == pytest.approx(float(np.mean(shares[0] - shares[1])), abs=1e-12)
    if len({x - y for x, y in pairs}) > 1:
        other = stats.ttest_rel(*shares).confidence_interval(0.95)
        assert result.ci95 == pytest.approx((other.low, other.high), rel=1e-9, abs=1e-12)
    assert compare(frame.sample(frac=1, random_state=1), DIGITS, "cycada", "adda").overall == result


def test_json_has_its_stable_keys_and_fractions(command: Any) -> None:
    result = command([*runs("cycada", *SEVEN), *runs("adda", *LOWER)], "cycada", "adda", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {"shifts", "overall", "a", "b", "differs", "notes", "sentence", "suite"} <= set(found)
    for part in (found["overall"], *found["shifts"].values()):
        assert {"pairs", "difference", "ci95", "p_value", "verdict", "metric"} <= set(part)
        assert 0 < part["difference"] < 0.03
    assert (found["a"]["name"], found["a"]["rule"], found["differs"]) == ("cycada", "last", [])


# ------------------------------------------------------------------ pairs


def test_only_finished_runs_of_equal_seeds_are_paired_and_the_others_are_named(
    frame_of: Any,
) -> None:
    made = [*runs("cycada", *SEVEN), *runs("adda", *LOWER)]
    made[3] = run(None, "cycada", 3, status="diverged", error="NaN at\nstep 7")
    made[7 + 5] = run(None, "adda", 5, status="failed", error="x" * 500)
    made += [run(1500, "adda", 9)]
    found = compare(frame_of(*made), DIGITS, "cycada", "adda")
    result = found.shifts["mnist2usps"]
    assert (result.seeds, result.pairs) == ((0, 1, 2, 4, 6), 5)
    assert (result.a.finished, result.a.attempted, result.a.alone) == (6, 7, (5,))
    assert (result.b.finished, result.b.attempted, result.b.alone) == (7, 8, (3, 9))
    assert [failure["seed"] for failure in (*result.a.failed, *result.b.failed)] == [3, 5]
    assert result.difference == pytest.approx(
        np.mean([SEVEN[s] - LOWER[s] for s in result.seeds]) / IMAGES
    )
    assert found.sentence.endswith("2 of 15 runs did not finish.")
    notes = "\n".join(found.notes)
    assert "cycada on mnist2usps: 6 of 7 runs finished. Seed 3: diverged: NaN at step 7." in notes
    assert "adda on mnist2usps: 7 of 8 runs finished. Seed 5: failed: xxx" in notes
    assert "x" * 200 not in notes
    assert "adda on mnist2usps: no pair for seed 3, 9, which the other side lacks." in notes


def test_a_shift_of_one_side_only_is_named(frame_of: Any) -> None:
    made = [*runs("cycada", 1900, shift=USPS_TO_MNIST), *runs("cycada", 1900), *runs("adda", 1800)]
    found = compare(frame_of(*made), DIGITS, "cycada", "adda")
    assert list(found.shifts) == ["mnist2usps"]
    assert "Only cycada ran on usps2mnist: nothing to compare there." in found.notes


def test_a_shift_without_a_pair_says_so_and_is_no_test(frame_of: Any) -> None:
    made = [*runs("cycada", *SEVEN), *runs("adda", *LOWER)]
    made += [run(1900, "cycada", 0, shift=USPS_TO_MNIST), run(1900, "adda", 1, shift=USPS_TO_MNIST)]
    found = compare(frame_of(*made), DIGITS, "cycada", "adda")
    empty = found.shifts["usps2mnist"]
    assert (empty.pairs, empty.difference, empty.ci95, empty.p_value) == (0, None, None, None)
    assert (empty.mean_a, empty.verdict) == (None, "too few seeds: 6 are needed")
    assert found.shifts["mnist2usps"].p_adjusted == found.shifts["mnist2usps"].p_value


def test_no_common_seed_is_answered_with_the_command_to_run(frame_of: Any) -> None:
    failed = run(None, "adda", 5, status="failed")
    frame = frame_of(run(1900, "cycada", 3), run(1900, "adda", 7), failed)
    with pytest.raises(BenchError) as error:
        compare(frame, DIGITS, "cycada", "adda")
    assert str(error.value) == (
        "The two have no seed in common on mnist2usps: 'cycada' finished with 3 and 'adda' finished"
        " with 7. Run both with equal seeds: bench run --suite digits --method cycada --method adda"
        " --preset fast --seeds 3,5,7,"
    )


def test_no_common_shift(frame_of: Any) -> None:
    frame = frame_of(run(1900, "cycada"), run(1900, "adda", shift=USPS_TO_MNIST))
    with pytest.raises(BenchError, match="'cycada' ran on mnist2usps and 'adda' ran on usps2mnist"):
        compare(frame, DIGITS, "cycada", "adda")


# ------------------------------------------------------------------ measured alike


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"preset": "smoke"}, "preset (fast against smoke)"),
        ({"backbone": "dtn"}, "backbone (lenet against dtn)"),
        ({"weights": "imagenet"}, "weights (random against imagenet)"),
        ({"shift": replace(MNIST_TO_USPS, protocol="small")}, "protocol (full against small)"),
        ({"shift": replace(MNIST_TO_USPS, size=32)}, "preprocessing (size 28, channels 1"),
        ({"data": "f" * 64}, "data (dddddddddddd against ffffffffffff)"),
        (
            {"tuned": {"rule": "infomax", "trials": 20, "study": "s"}},
            "search for settings (none against by infomax, 20 trials)",
        ),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_what_was_not_measured_alike_is_refused_unless_allowed(
    frame_of: Any, other: dict[str, Any], said: str
) -> None:
    frame = frame_of(*runs("cycada", *SEVEN), *runs("adda", *LOWER, **other))
    with pytest.raises(BenchError, match="--allow-differences") as error:
        compare(frame, DIGITS, "cycada", "adda")
    assert said in str(error.value)
    found = compare(frame, DIGITS, "cycada", "adda", allow_differences=True)
    assert found.differs[0]["condition"] == said.split(" (", maxsplit=1)[0]
    assert said in found.sentence
    assert f"Not the same on both sides: {said}" in "\n".join(found.notes)


def test_two_searches_of_equal_size_by_one_rule_are_alike(frame_of: Any) -> None:
    tuned = {"rule": "infomax", "trials": 20}
    frame = frame_of(
        *runs("cycada", *SEVEN, tuned=tuned | {"study": "one"}),
        *runs("adda", *LOWER, tuned=tuned | {"study": "other"}),
    )
    found = compare(frame, DIGITS, "cycada", "adda")
    assert found.a.name == "cycada (tuned by infomax, 20 trials)"
    assert found.a.tuned == {"mnist2usps": tuned | {"study": "one"}}
    assert (found.differs, found.a.chosen_on_test_labels) == ((), False)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"budget": 7}, "budget (20000 against 7)"),
        ({"precision": "bfloat16"}, "precision (float32 against bfloat16)"),
        ({"device": "H100"}, "device (cpu against H100)"),
        ({"threads": 4}, "threads (1 against 4)"),
        ({"code": "builtin-2"}, "numerics version (builtin-1 against builtin-2)"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_other_differences_are_a_note(frame_of: Any, other: dict[str, Any], said: str) -> None:
    frame = frame_of(*runs("cycada", *SEVEN), *runs("adda", *LOWER, **other))
    found = compare(frame, DIGITS, "cycada", "adda")
    assert f"Not the same on both sides: {said}." in found.notes
    assert "Not measured alike" not in found.sentence
    assert found.differs == ({"condition": said.split(" (", maxsplit=1)[0], **_values(said)},)


def _values(said: str) -> dict[str, str]:
    a, b = said.rstrip(")").split(" (")[1].split(" against ")
    return {"a": a, "b": b}


def test_a_difference_on_several_shifts_is_said_once(frame_of: Any) -> None:
    made = []
    for shift in (MNIST_TO_USPS, USPS_TO_MNIST):
        made += [*runs("cycada", *SEVEN, shift=shift), *runs("adda", *LOWER, shift=shift, budget=7)]
    found = compare(frame_of(*made), DIGITS, "cycada", "adda")
    assert found.differs == ({"condition": "budget", "a": "20000", "b": "7"},)


def test_what_is_the_same_on_both_sides_is_said(frame_of: Any) -> None:
    made = [*runs("cycada", *SEVEN), *runs("adda", *LOWER, backbone="dtn")]
    for method in ("cycada", "adda"):
        made += runs(method, *SEVEN, shift=replace(USPS_TO_MNIST, protocol="small"), backbone="dtn")
    found = compare(frame_of(*made), DIGITS, "cycada", "adda", allow_differences=True)
    said = "rule last, preset fast, protocol full or small, weights random"
    assert f"Same on both sides: {said}." in found.notes


def test_a_plug_ins_code_is_no_difference(frame_of: Any) -> None:
    frame = frame_of(*runs("cycada", *SEVEN), *runs("mine", *LOWER, code="abcdef123456"))
    assert compare(frame, DIGITS, "cycada", "mine").differs == ()


def test_the_oracle_is_marked(frame_of: Any) -> None:
    frame = frame_of(*runs("cycada", *SEVEN, best=1990), *runs("adda", *LOWER))
    found = compare(frame, DIGITS, "cycada", "adda", "oracle")
    assert (found.a.chosen_on_test_labels, found.b.chosen_on_test_labels) == (True, True)
    assert found.overall.mean_a == pytest.approx(1990 / IMAGES)
    assert "cycada (chosen on test labels) is better than adda (chosen on" in found.sentence
    assert "No fair result: the target's test labels chose for cycada" in "\n".join(found.notes)


def test_a_search_by_the_oracle_is_marked(frame_of: Any) -> None:
    tuned = {"rule": "oracle", "trials": 20, "study": "s"}
    frame = frame_of(*runs("cycada", *SEVEN, tuned=tuned), *runs("adda", *LOWER))
    found = compare(frame, DIGITS, "cycada", "adda", allow_differences=True)
    assert (found.a.chosen_on_test_labels, found.b.chosen_on_test_labels) == (True, False)
    assert "tuned by oracle" in "\n".join(found.notes)


def test_an_upper_bound_is_marked_and_may_have_other_training_images(frame_of: Any) -> None:
    frame = frame_of(*runs("cycada", *SEVEN), *runs("target-only", *[1990] * 7))
    found = compare(frame, DIGITS, "cycada", "target-only")
    assert found.sentence.startswith("target-only (upper bound: uses target labels) is better")
    assert "target-only is an upper bound: it trains on the target's labels." in found.notes


# ------------------------------------------------------------------ the two sides


def test_a_method_with_itself_is_refused_and_its_rules_can_be_compared(frame_of: Any) -> None:
    frame = frame_of(*runs("cycada", *SEVEN, best=1990))
    for other in ("cycada", "cycada:preset=fast", "cycada:rule=last"):
        with pytest.raises(BenchError, match="the same runs"):
            compare(frame, DIGITS, "cycada", other)
    names = ("cycada", "cycada:rule=oracle")
    with pytest.raises(BenchError, match=r"rule \(last against oracle\)"):
        compare(frame, DIGITS, *names)
    found = compare(frame, DIGITS, *names, allow_differences=True)
    assert (found.a.name, found.b.name) == names
    assert (found.a.rule, found.b.rule) == ("last", "oracle")
    assert found.overall.verdict == "B is better"


def test_conditions_single_out_runs(frame_of: Any) -> None:
    frame = frame_of(
        *runs("cycada", *SEVEN),
        *runs("cycada", *LOWER, preset="smoke", budget=5),
        *runs("adda", *LOWER),
    )
    with pytest.raises(BenchError) as error:
        compare(frame, DIGITS, "cycada", "adda")
    assert str(error.value) == (
        "'cycada' stands for 2 configurations on mnist2usps, which differ in preset (fast, smoke)"
        " and budget (20000, 5). Write 'cycada:preset=fast' or 'cycada:preset=smoke'."
    )
    found = compare(frame, DIGITS, "cycada:preset=fast", "adda")
    assert found.overall.mean_a == pytest.approx(np.mean(SEVEN) / IMAGES)
    both = ("cycada:preset=smoke,budget=5", "cycada:budget=20000")
    found = compare(frame, DIGITS, *both, allow_differences=True)
    assert found.overall.verdict == "B is better"
    assert (found.a.name, found.b.name) == both
    assert {d["condition"] for d in found.differs} == {"preset", "budget"}


def test_of_smoke_runs_the_first_words_say_that_they_mean_nothing(frame_of: Any) -> None:
    made = [*runs("cycada", *SEVEN, preset="smoke"), *runs("adda", *LOWER)]
    found = compare(frame_of(*made), DIGITS, "cycada", "adda", allow_differences=True)
    assert found.sentence.startswith(
        "Of runs of preset smoke, whose figures mean nothing: cycada is better than adda on"
    )
    alike = [*runs("cycada", *SEVEN), *runs("adda", *LOWER)]
    assert "smoke" not in compare(frame_of(*alike), DIGITS, "cycada", "adda").sentence


def test_of_several_the_newest_is_named(frame_of: Any) -> None:
    """Who edits a method and runs it again means the new one, most of the time."""
    old = [each | {"started": "2026-01-09T09:00:00+00:00"} for each in runs("m", *SEVEN, code="b")]
    new = runs("m", *SEVEN, code="a")
    new[3]["started"] = "2026-01-10T08:30:59+00:00"
    with pytest.raises(BenchError, match=r"'m:code=a', of 2026-01-10 08:30\.$"):
        compare(frame_of(*old, *new), DIGITS, "m", "m")
    equal = [each | {"started": "now"} for each in (*old, *new)]
    with pytest.raises(BenchError, match=r"Write 'm:code=a' or 'm:code=b'\.$"):
        compare(frame_of(*equal), DIGITS, "m", "m")
    rows = [*runs("m", *SEVEN, settings={"lr": 0.1}), *runs("m", *SEVEN, settings={"lr": 0.2})]
    rows[-1]["started"] = "2027-01-01T00:00:00+00:00"
    with pytest.raises(BenchError, match=r"newest is 'm \[lr=0\.2\]', of 2027-01-01 00:00\.$"):
        compare(frame_of(*rows), DIGITS, "m", "m")


@pytest.mark.parametrize(
    ("key", "value", "other"),
    [
        ("code", "builtin-1", {"code": "builtin-2"}),
        ("budget", "20000", {"budget": 7}),
        ("precision", "float32", {"precision": "bfloat16"}),
        ("data", "dddddddddddd", {"data": "f" * 64}),
        ("weights", "file sha256:abc", {}),
        ("protocol", "full", {"shift": replace(MNIST_TO_USPS, protocol="small")}),
        ("backbone", "lenet", {"backbone": "dtn"}),
    ],
)
def test_each_condition_singles_out(frame_of: Any, key: str, value: str, other: Any) -> None:
    weights = {"weights": "file sha256:abc"} if key == "weights" else {}
    frame = frame_of(
        *runs("cycada", *SEVEN, **weights), *runs("cycada", *LOWER, **other), *runs("adda", *LOWER)
    )
    with pytest.raises(BenchError) as error:
        compare(frame, DIGITS, "cycada", "adda")
    assert f"'cycada:{key}={value}'" in str(error.value)
    found = compare(frame, DIGITS, f"cycada:{key}={value}", "adda", allow_differences=True)
    assert found.overall.mean_a == pytest.approx(np.mean(SEVEN) / IMAGES)


def test_the_label_of_a_row_with_commas_brackets_and_colons(frame_of: Any) -> None:
    odd = {"settings": {"a.b": "x:preset=fast", "lr": 0.001}}
    frame = frame_of(*runs("cycada", *SEVEN), *runs("cycada", *LOWER, **odd))
    label = "cycada [a.b=x:preset=fast, lr=0.001]"
    for name in (label, f"{label}:preset=fast", f"{label}:weights=random,preset=fast"):
        found = compare(frame, DIGITS, "cycada", name)
        assert found.b.name == name
        assert found.overall.mean_b == pytest.approx(np.mean(LOWER) / IMAGES)


def test_rows_of_an_ablation_and_a_method_that_is_several_rows(frame_of: Any) -> None:
    off, params = {"pixel.cycle": 0.0}, {"pixel": {"cycle": 0.0}}
    none = {"pixel": None}
    made = runs("cycada", *SEVEN, shift=SVHN_TO_MNIST, settings=off, params=params)
    made += runs("cycada", *LOWER, shift=SVHN_TO_MNIST, settings=none, params=none)
    frame = frame_of(*made)
    labels = "cycada, no cycle consistency", "cycada, no pixel adaptation"
    assert compare(frame, DIGITS_ABLATION, *labels).overall.verdict == "A is better"
    # No row is named just "cycada": the method's name stands for both.
    with pytest.raises(BenchError) as error:
        compare(frame, DIGITS_ABLATION, "cycada", labels[0])
    assert str(error.value) == (
        "'cycada' stands for 2 configurations on svhn2mnist, which are other rows of the table."
        " Write 'cycada, no cycle consistency' or 'cycada, no pixel adaptation'."
    )


def test_the_method_of_one_row_is_shown_by_the_rows_label(frame_of: Any) -> None:
    frame = frame_of(*runs("cycada", *SEVEN, settings={"lr": 0.1}), *runs("adda", *LOWER))
    assert compare(frame, DIGITS, "cycada", "adda").a.name == "cycada [lr=0.1]"


def test_namesakes_are_found_by_the_label_that_the_table_shows(frame_of: Any) -> None:
    made = [*runs("mine", *SEVEN, code="aaaaaaaaaaaa"), *runs("mine", *LOWER, code="bbbbbbbbbbbb")]
    made += runs("mine", *LOWER, code="bbbbbbbbbbbb", shift=USPS_TO_MNIST)
    frame = frame_of(*made)
    shown = {row.label for row in leaderboard.rows(frame, DIGITS) if row.method == "mine"}
    assert shown == {"mine (code aaaaaaaaaaaa)", "mine (code bbbbbbbbbbbb)", "mine"}
    names = "mine (code aaaaaaaaaaaa)", "mine (code bbbbbbbbbbbb)"
    assert compare(frame, DIGITS, *names).overall.verdict == "A is better"
    # Not the one of them that happens to stand alone on another shift.
    with pytest.raises(BenchError, match="'mine:code=aaaaaaaaaaaa' or 'mine:code=bbbbbbbbbbbb'"):
        compare(frame, DIGITS, "mine", names[0])


def test_namesakes_that_differ_in_no_condition_are_told_by_their_labels(frame_of: Any) -> None:
    made = [*runs("mine", *SEVEN, params={"lr": 1}), *runs("mine", *LOWER, params={"lr": 2})]
    frame = frame_of(*made)
    labels = sorted(row.label for row in leaderboard.rows(frame, DIGITS) if row.method == "mine")
    with pytest.raises(BenchError) as error:
        compare(frame, DIGITS, "mine", labels[0])
    assert f"Write '{labels[0]}' or '{labels[1]}'." in str(error.value)
    assert compare(frame, DIGITS, *labels).overall.pairs == 7


def test_mistakes_are_answered(frame_of: Any) -> None:
    frame = frame_of(*runs("cycada", *SEVEN), *runs("adda", *LOWER))
    for name, said in (
        ("cycda", "Unknown method or row 'cycda'. Did you mean 'cycada'?"),
        ("cycda:preset=fast", "Unknown method or row 'cycda'. Did you mean 'cycada'?"),
        ("cycada:presett=fast", "Unknown condition 'presett'. Did you mean 'preset'?"),
        ("cycada:shift=x", "Unknown condition 'shift'"),
        ("cycada:preset=smoke", "Unknown preset of 'cycada' 'smoke'. Available: fast."),
        ("cycada:rule=lasst", "Did you mean 'last'"),
        ("cycada:", "Unknown method or row 'cycada:'"),
        ("", "Unknown method or row ''"),
    ):
        with pytest.raises(BenchError) as error:
            compare(frame, DIGITS, name, "adda")
        assert said in str(error.value)
    with pytest.raises(BenchError, match="There is no run on a shift of 'digits'"):
        compare(frame_of(), DIGITS, "cycada", "adda")


# ------------------------------------------------------------------ the command


def test_the_command_begins_with_the_verdict(command: Any) -> None:
    result = command([*runs("cycada", *SEVEN), *runs("adda", *LOWER)], "cycada", "adda")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("cycada is better than adda on mnist2usps.")
    table = [line.split() for line in lines if line.startswith(("shift", "mnist2usps", "overall"))]
    assert len(table) == 2  # one shift is all there is overall
    assert table[1][:5] == ["mnist2usps", "7", "96.50", "94.36", "+2.14"]
    assert lines[-1].startswith("- ")


def test_committed_records_as_a_stranger_would() -> None:
    for suite, pairs, said in (
        ("digits", "overall     10", "cycada and adda cannot be told apart on 2 shifts of digits."),
        ("streets-camvid", "game2camvid  3", "cycada and adda on game2camvid: too few seeds, 6"),
    ):
        records_of = ("--suite", suite, "--records", str(COMMITTED / f"{suite}.jsonl"))
        result = CliRunner().invoke(app, ["compare", "cycada", "adda", *records_of])
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(said)
        assert pairs in result.stdout


HOSTILE = "<script>|\x1b]0;owned\x07\x1b[31m../../etc\n\u202etxt` $(x)"


@pytest.mark.parametrize("as_json", [False, True])
def test_hostile_names_reach_no_terminal(command: Any, as_json: bool) -> None:  # noqa: FBT001
    made = [*runs("cycada", *SEVEN), *runs("adda", *LOWER, settings={"name": HOSTILE})]
    made += [run(None, "adda", 8, settings={"name": HOSTILE}, status="failed", error=HOSTILE)]
    made[-1]["device"] = HOSTILE
    result = command(made, "cycada", "adda", *(["--json"] if as_json else []))
    assert result.exit_code == 0, result.output
    seen = result.stdout + result.stderr
    assert not {"\x1b", "\x07", "\u202e"} & set(seen)
    assert "<script>" in seen
    if as_json:
        assert HOSTILE in json.loads(result.stdout)["b"]["name"]
    else:
        assert r"\x1b]0;owned\x07" in seen
        assert len(result.stdout.splitlines()) < 20


def test_hostile_names_in_an_error(command: Any) -> None:
    made = [*runs("cycada", *SEVEN), *runs("adda", *LOWER, weights=HOSTILE)]
    result = command(made, "cycada", "adda")
    assert (result.exit_code, result.stdout) == (2, "")
    assert not {"\x1b", "\x07", "\u202e"} & set(result.stderr)
    assert r"\x1b]0;owned" in result.stderr


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda record: record.pop("status"), "missing 'status'"),
        (lambda record: record.update(mood="good"), "unknown 'mood'"),
        (lambda record: record["config"].update(tuned="yes"), "expected a rule's name"),
        (lambda record: record["confusion"].update(checkpoints={"6": [[-1]]}), "malformed"),
    ],
    ids=["missing", "unknown", "tuned", "negative"],
)
def test_records_that_were_edited_are_refused_in_a_sentence(
    tmp_path: Path, damage: Any, said: str
) -> None:
    made = [*runs("cycada", *SEVEN), *runs("adda", *LOWER)]
    damage(made[0])
    path = tmp_path / "edited.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in made), encoding="utf-8")
    arguments = ["compare", "cycada", "adda", "--suite", "digits", "--records", str(path)]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in plain(result.stderr)
    assert "edited.jsonl, line 1" in plain(result.stderr)
    assert "Traceback" not in result.stderr


def test_a_runs_folder_and_its_absence(tmp_path: Path) -> None:
    for record in (*runs("cycada", *SEVEN), *runs("adda", *LOWER)):
        matrix = np.array(record.pop("confusion")["checkpoints"]["600"])
        records.write_run(tmp_path / record["run_id"], record)
        confusions = records.Confusions({600: matrix})
        records.write_confusions(tmp_path / record["run_id"], confusions)
    arguments = ["compare", "cycada", "adda", "--suite", "digits", "--runs"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path)])
    assert result.stdout.startswith("cycada is better than adda")
    gone = CliRunner().invoke(app, [*arguments, str(tmp_path / "gone")])
    assert gone.exit_code == 2
    assert "There is no runs folder" in plain(gone.stderr)


def test_its_help_answers_at_once() -> None:
    code = """
        import sys
        from bench.cli import main
        sys.argv = ["bench", "compare", "--help"]
        try:
            main()
        except SystemExit as end:
            assert not end.code, end.code
        assert not {"torch", "pandas", "scipy", "numpy"} & set(sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--allow-differences" in done.stdout


# ------------------------------------------------------------------ groups of the leaderboard


def board(frame: pd.DataFrame, **other: Any) -> dict[str, str]:
    rows = leaderboard.rows(frame, DIGITS, **other)
    return {row.label: row.group for row in rows if row.rule is not None}


def test_methods_that_cannot_be_told_apart_share_a_letter(frame_of: Any) -> None:
    made = [*runs("cycada", *SEVEN), *runs("source-only", *LOWER)]
    near = [count + change for count, change in zip(SEVEN, (5, -9, 5, -9, 5, -9, 5), strict=True)]
    made += runs("adda", *near)
    made += runs("target-only", *[1990] * 7)
    frame = frame_of(*made)
    assert board(frame) == {"cycada": "a", "adda": "a", "source-only": "b", "target-only": ""}
    row = leaderboard.rows(frame, DIGITS)[0]
    assert row.figures == pytest.approx([count / IMAGES for count in SEVEN])
    text = leaderboard.render(leaderboard.rows(frame, DIGITS), "md")
    assert "| # | Group | Method | Accuracy |" in text
    assert "| 1 | a | cycada | 96.50" in text
    assert "| 3 | b | source-only |" in text
    assert "|  |  | target-only (upper bound" in text
    assert "methods of a table that share a letter cannot be told apart at 5 %" in text
    assert r"1 & a & cycada & \textbf{96.50}" in leaderboard.render(
        leaderboard.rows(frame, DIGITS), "latex"
    )
    lines = [x for x in text.split("## ")[1].splitlines() if x.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1


def test_too_few_seeds_for_any_two_are_said_beneath_the_table(frame_of: Any) -> None:
    made = [*runs("cycada", *SEVEN[:6]), *runs("source-only", *LOWER[:6])]
    assert board(frame_of(*made)) == {"cycada": "a", "source-only": "b"}
    made += runs("adda", *[1500] * 6)
    frame = frame_of(*made)
    assert set(board(frame).values()) == {""}
    text = leaderboard.render(leaderboard.rows(frame, DIGITS), "md")
    note = "no two of 3 methods can be told apart at 5 %. It takes 7 seeds"
    assert text.index("| 3 | adda |") < text.index(note)
    assert "| Group |" not in text
    assert "share a letter" not in text
    assert note.replace("%", r"\%") in leaderboard.render(leaderboard.rows(frame, DIGITS), "latex")


def test_a_row_without_a_rank_has_no_group_and_takes_no_part(frame_of: Any) -> None:
    made = [*runs("cycada", *SEVEN[:6]), *runs("source-only", *LOWER[:6])]
    failed = [*runs("adda", *[1500] * 6), run(None, "adda", 6, status="failed")]
    assert board(frame_of(*made, *failed)) == {"cycada": "a", "source-only": "b", "adda": ""}
    # Other presets stand in another table: each is tested for itself.
    other = [*runs("cycada", *SEVEN[:6], preset="smoke"), *runs("dann", *LOWER[:6], preset="smoke")]
    rows = leaderboard.rows(frame_of(*made, *other), DIGITS)
    assert [row.group for row in rows if row.rule] == ["a", "b", "a", "b"]


def test_tables_of_many_methods_are_not_tested(frame_of: Any) -> None:
    def rows(count: int) -> list[Any]:
        made = []
        for place in range(count):
            made += runs("cycada", *[1900 - place] * 15, settings={"i": place})
        return leaderboard.rows(frame_of(*made), DIGITS)

    assert [row.group for row in rows(30) if row.rule][:3] == ["a", "b", "c"]
    many = rows(31)
    assert {row.group for row in many} == {""}
    text = leaderboard.render(many, "md")
    assert "Ranks of more than 30 methods: which can be told apart was not tested" in text


def test_one_method_alone_needs_no_test(frame_of: Any) -> None:
    text = leaderboard.render(leaderboard.rows(frame_of(*runs("cycada", *SEVEN)), DIGITS), "md")
    assert "told apart" not in text
