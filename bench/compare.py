"""Is one method better than another? Paired by shift and seed, with an interval and a verdict.

Two runs of equal shift and seed are a pair, if both finished. Per shift and over all of them: the
mean difference a - b, its 95 % interval, a sign-flip test, and what that allows to say. See
`bench.paired` for the statistics.
"""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import paired, select
from bench.comparing.alike import differences, said
from bench.comparing.comparison import FEW, TIE, A, B, Comparison, OnShift, Result, Sample, Side
from bench.comparing.contenders import contenders
from bench.comparing.wording import listed, notes, sentence
from bench.errors import BenchError
from bench.groups import outcomes
from bench.headline import ranked_by

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from bench.comparing.contenders import Contender
    from bench.suites import Suite

Pairs = dict[int, tuple[float, float]]
"""The figures of A and B by seed."""


def compare(
    frame: pd.DataFrame,
    suite: Suite,
    a: str,
    b: str,
    rule: str = select.DEFAULT,
    *,
    allow_differences: bool = False,
) -> Comparison:
    """Compare two methods on the shifts of a suite that both ran on.

    Args:
        frame: runs, as `bench.records.load_runs` returns them.
        suite: decides shifts and labels.
        a: ``NAME[:key=value,...]``, see `bench.comparing.contenders.contenders`.
        b: likewise.
        rule: name of the selection rule, for a side that names none.
        allow_differences: compare also what was not measured alike.

    Raises:
        BenchError: a side cannot be found or is ambiguous; both are one; they have no shift or no
            seed in common; or they were not measured alike, and that is not allowed.
    """
    first, second = contenders(frame, suite, (a, b), rule)
    common = [shift for shift in first.groups if shift in second.groups]
    _check_different(first, second, common)
    unfair, noted = differences(first, second, common)
    if unfair and not allow_differences:
        message = (
            f"'{first.name}' and '{second.name}' were not measured alike:"
            f" {'; '.join(map(said, unfair))}. Single out runs that were, as in"
            " NAME:preset=fast, or say --allow-differences."
        )
        raise BenchError(message)
    runs = {shift: _samples(first, second, shift) for shift in common}
    if not any(pairs for *_, pairs in runs.values()):
        raise _no_pair(suite, (first, second), common)
    metrics = {shift: ranked_by(first.groups[shift].config["shift"]) for shift in common}
    shifts, overall = _results(runs, metrics)
    sides = _side(first, common), _side(second, common)
    return Comparison(
        suite.name,
        *sides,
        shifts,
        overall,
        sentence=sentence(suite.name, (first, second), sides, shifts, overall, unfair),
        differs=(*unfair, *noted),
        notes=notes((first, second), sides, shifts, overall, [*unfair, *noted]),
    )


def _check_different(a: Contender, b: Contender, common: Sequence[str]) -> None:
    if not common:
        ran = (f"'{side.name}' ran on {', '.join(side.groups)}" for side in (a, b))
        message = f"There is no shift to compare on: {' and '.join(ran)}."
        raise BenchError(message)
    for shift in common:
        if a.groups[shift] is b.groups[shift] and a.rule.name == b.rule.name:
            message = f"Both sides are the same runs of '{a.name}' on {shift}. Name two methods."
            raise BenchError(message)


def _side(contender: Contender, shifts: Sequence[str]) -> Side:
    configs = {shift: contender.groups[shift].config for shift in shifts}
    tuned = {shift: config["tuned"] for shift, config in configs.items() if config.get("tuned")}
    searched = any(each["rule"] == select.ORACLE.name for each in tuned.values())
    return Side(
        contender.name,
        contender.rule.name,
        tuned,
        contender.rule.looks_at_target_labels or searched,
        configs[shifts[0]]["learns_from"],
    )


# ------------------------------------------------------------------ pairs and figures


def _samples(a: Contender, b: Contender, shift: str) -> tuple[Sample, Sample, Pairs]:
    """Return both sides' runs on a shift, and the pairs."""
    metric = ranked_by(a.groups[shift].config["shift"])
    figures: list[dict[int, float]] = []
    failures = []
    for side in (a, b):
        scored, failed = outcomes(side.groups[shift], side.rule)
        measured = {seed: each.figures.get(metric) for seed, each in scored.items()}
        figures.append({seed: value for seed, value in measured.items() if value is not None})
        failures.append(tuple(failed[seed] for seed in sorted(failed)))
    pairs = {s: (figures[0][s], figures[1][s]) for s in sorted(figures[0]) if s in figures[1]}
    one, other = (
        Sample(
            finished=len(own),
            attempted=len(own) + len(failed),
            failed=failed,
            alone=tuple(sorted(own.keys() - pairs.keys())),
        )
        for own, failed in zip(figures, failures, strict=True)
    )
    return one, other, pairs


def _results(
    runs: Mapping[str, tuple[Sample, Sample, Pairs]], metrics: Mapping[str, str]
) -> tuple[dict[str, OnShift], Result]:
    """Return the result of each shift, and that of all pairs together."""
    tested = {shift: pairs for shift, (*_, pairs) in runs.items() if pairs}
    p_values = [paired.sign_flip(_minus(pairs.values())) for pairs in tested.values()]
    adjusted = dict(zip(tested, paired.holm(p_values), strict=True))
    least = paired.needed(len(tested))
    shifts = {}
    for shift, (a, b, pairs) in runs.items():
        statistics = _statistics(pairs.values(), adjusted.get(shift), least)
        shifts[shift] = OnShift(metrics[shift], seeds=tuple(pairs), a=a, b=b, **statistics)
    every = [pair for pairs in tested.values() for pair in pairs.values()]
    seeds = sorted({seed for pairs in tested.values() for seed in pairs})
    p_value = paired.sign_flip(_minus(every))
    statistics = _statistics(every, p_value, paired.needed(), len(runs))
    metric = ", ".join(dict.fromkeys(metrics.values()))
    return shifts, Result(metric, seeds=tuple(seeds), **statistics)


def _statistics(
    pairs: Collection[tuple[float, float]], p_adjusted: float | None, least: int, shifts: int = 1
) -> dict[str, Any]:
    """Return all of a `Result` that follows from its pairs.

    Args:
        pairs: figures of A and B.
        p_adjusted: of the test of these pairs, or None without a pair.
        least: pairs without which no verdict can be reached.
        shifts: number of shifts that share those pairs.
    """
    d = _minus(pairs)
    difference = float(np.mean(d)) if d else None
    if difference is not None and p_adjusted is not None and p_adjusted <= paired.LEVEL:
        verdict = A if difference > 0 else B
    else:
        enough = len(d) >= least
        verdict = TIE if enough else f"{FEW}: {math.ceil(least / shifts)} are needed"
    return {
        "pairs": len(d),
        "difference": difference,
        "ci95": paired.interval(d),
        "p_value": paired.sign_flip(d) if d else None,
        "p_adjusted": p_adjusted,
        "effect_size": paired.effect_size(d),
        "verdict": verdict,
        "mean_a": float(np.mean([a for a, _ in pairs])) if d else None,
        "mean_b": float(np.mean([b for _, b in pairs])) if d else None,
    }


def _minus(pairs: Iterable[tuple[float, float]]) -> list[float]:
    return [a - b for a, b in pairs]


def _no_pair(suite: Suite, sides: Sequence[Contender], shifts: Sequence[str]) -> BenchError:
    """Return the error for runs that make no pair, with the command that would make some."""
    said_of: list[str] = []
    seeds: set[int] = set()
    for side in sides:
        finished: set[int] = set()
        for shift in shifts:
            finished |= outcomes(side.groups[shift], side.rule)[0].keys()
            seeds |= side.groups[shift].runs.keys()
        said_of.append(f"'{side.name}' finished with {listed(finished) or 'no seed'}")
    config = sides[0].groups[shifts[0]].config
    methods = dict.fromkeys(side.groups[shifts[0]].config["method"] for side in sides)
    asked = "".join(f" --method {shlex.quote(method)}" for method in methods)
    command = (
        f"bench run --suite {shlex.quote(suite.name)}{asked} --preset {config['preset']}"
        f" --seeds {','.join(map(str, sorted(seeds)))},"
    )
    return BenchError(
        f"The two have no seed in common on {', '.join(shifts)}: {' and '.join(said_of)}."
        f" Run both with equal seeds: {command}"
    )
