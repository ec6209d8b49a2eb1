"""What a comparison says in words: a sentence to quote, and what its reader must know."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from bench import paired
from bench.comparing.alike import said, shared
from bench.comparing.comparison import TIE, A, B
from bench.stored import brief_of
from bench.tables.cells import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bench.comparing.alike import Difference
    from bench.comparing.comparison import OnShift, Result, Side
    from bench.comparing.contenders import Contender
    from bench.stored import Run

_TINY = 0.0001
"""P-values below it are not written out."""

_IN_TEXT = {"accuracy": "accuracy"}
"""Names of metrics that begin with a small letter inside a sentence."""

_LONGEST = 200
"""Characters of an error that a note shows."""


def sentence(
    suite: str,
    found: tuple[Contender, Contender],
    sides: tuple[Side, Side],
    shifts: Mapping[str, OnShift],
    overall: Result,
    unfair: Sequence[Difference],
) -> str:
    """Return the overall verdict, the figures that it rests on, and what speaks against it."""
    a, b = map(_marked, sides)
    on = f"on {len(shifts)} shifts of {suite}" if len(shifts) > 1 else f"on {next(iter(shifts))}"
    verdict = {
        A: f"{a} is better than {b} {on}",
        B: f"{b} is better than {a} {on}",
        TIE: f"{a} and {b} cannot be told apart {on}",
    }.get(overall.verdict, f"{a} and {b} {on}: {overall.verdict.replace(':', ',')}")
    presets = {group.config["preset"] for side in found for group in side.groups.values()}
    smoke = "Of runs of preset smoke, whose figures mean nothing: " if "smoke" in presets else ""
    said_of = [f"{smoke}{verdict}. {_figures(sides[0].name, overall)}"]
    attempted = sum(s.attempted for each in shifts.values() for s in (each.a, each.b))
    if failed := attempted - sum(s.finished for each in shifts.values() for s in (each.a, each.b)):
        said_of.append(f"{failed} of {attempted} runs did not finish.")
    if unfair:
        said_of.append(f"Not measured alike: {'; '.join(map(said, unfair))}.")
    return " ".join(said_of)


def _marked(side: Side) -> str:
    mark = " (chosen on test labels)" if side.chosen_on_test_labels else ""
    bound = " (upper bound: uses target labels)" if side.learns_from == "target" else ""
    return f"{side.name}{mark}{bound}"


def _figures(name: str, overall: Result) -> str:
    difference = overall.difference or 0.0
    metric = " and ".join(_IN_TEXT.get(each, NAMES[each]) for each in overall.metric.split(", "))
    low, high = overall.ci95 or (None, None)
    spread = "" if low is None else f"95 % interval {points(low)} to {points(high)}; "
    test = "exact sign-flip test" if overall.pairs <= paired.EXACT else "sign-flip test"
    return (
        f"Over {overall.pairs} pair{'s' if overall.pairs > 1 else ''} of runs with equal seeds, the"
        f" {metric} of {name} is {100 * abs(difference):.2f} points"
        f" {'higher' if difference >= 0 else 'lower'} ({spread}{test}, p"
        f" {'' if (overall.p_value or 0) < _TINY else '= '}{p_value(overall.p_value)})."
    )


def points(value: float | None) -> str:
    """Write a difference of fractions in percentage points.

    >>> points(0.0123), points(-0.5), points(None)
    ('+1.23', '-50.00', '')
    """
    return "" if value is None else f"{100 * value:+.2f}"


def p_value(value: float | None) -> str:
    """Write a p-value.

    >>> p_value(0.0625), p_value(0.001953125), p_value(0.00001), p_value(1.0), p_value(None)
    ('0.0625', '0.00195', '< 0.0001', '1', '')
    """
    if value is None:
        return ""
    return f"< {_TINY}" if value < _TINY else f"{value:.3g}"


def notes(
    found: tuple[Contender, Contender],
    sides: Sequence[Side],
    shifts: Mapping[str, OnShift],
    overall: Result,
    differing: Sequence[Difference],
) -> tuple[str, ...]:
    """Return what a reader must know, in sentences, what weighs most first."""
    return (
        *_on_fairness(sides, shared(*found, shifts), differing),
        *_on_runs(*found, shifts),
        *_on_statistics(overall, len(shifts)),
    )


def listed(seeds: Iterable[int]) -> str:
    """Write seeds in ascending order."""
    return ", ".join(map(str, sorted(seeds)))


def _on_fairness(
    sides: Sequence[Side], same: Sequence[str], differing: Sequence[Difference]
) -> Iterator[str]:
    for side in sides:
        if side.chosen_on_test_labels:
            yield (
                f"No fair result: the target's test labels chose for {side.name}"
                f" ({_chooser(side)}). Its figures are an upper bound."
            )
        if side.learns_from == "target":
            yield f"{side.name} is an upper bound: it trains on the target's labels."
    if same:
        yield f"Same on both sides: {', '.join(same)}."
    if differing:
        yield f"Not the same on both sides: {'; '.join(map(said, differing))}."


def _chooser(side: Side) -> str:
    searches = sorted({each["rule"] for each in side.tuned.values()})
    return ", ".join([f"rule {side.rule}", *(f"tuned by {rule}" for rule in searches)])


def _on_runs(a: Contender, b: Contender, shifts: Mapping[str, OnShift]) -> Iterator[str]:
    for side, other in ((a, b), (b, a)):
        if alone := [shift for shift in side.groups if shift not in other.groups]:
            yield f"Only {side.name} ran on {', '.join(alone)}: nothing to compare there."
    for side in (a, b):
        for shift, group in side.groups.items():
            seen = Counter(kind for run in group.runs.values() for kind in _troubles(run))
            for kind, count in sorted(seen.items()):
                yield f"{side.name} on {shift}: {kind} in {count} of {len(group.runs)} runs."
    for shift, result in shifts.items():
        for side, sample in ((a, result.a), (b, result.b)):
            if sample.failed:
                reasons = "; ".join(_reason(failure) for failure in sample.failed)
                yield (
                    f"{side.name} on {shift}: {sample.finished} of {sample.attempted} runs"
                    f" finished. {reasons}. A comparison without them may flatter it."
                )
            if sample.alone:
                yield (
                    f"{side.name} on {shift}: no pair for seed {listed(sample.alone)}, which the"
                    " other side lacks."
                )


def _troubles(run: Run) -> set[str]:
    """Return what went wrong while a run trained, each kind once."""
    return {event["kind"] for event in brief_of(run.record).events}


def _reason(failure: Mapping[str, Any]) -> str:
    error = " ".join(str(failure["error"] or "").split())
    error = error if len(error) <= _LONGEST else error[: _LONGEST - 3] + "..."
    return f"Seed {failure['seed']}: {': '.join(filter(None, (failure['status'], error)))}"


def _on_statistics(overall: Result, shifts: int) -> Iterator[str]:
    how = "exact" if overall.pairs <= paired.EXACT else f"{paired.FLIPS:,} draws"
    yield (
        f"A verdict follows the sign-flip test ({how}): were neither better, a difference would be"
        " as likely with the other sign. An interval (Student's t; a studentised bootstrap from"
        f" {paired.BOOTSTRAPPED} pairs on) can leave out 0 where the test is not sure."
        " Both speak of other seeds, not of other test images."
    )
    if shifts > 1:
        yield (
            "Overall takes all pairs as independent, which those of one seed on several shifts are"
            " not quite; p-values of shifts are adjusted by Holm's method over the shifts."
        )
