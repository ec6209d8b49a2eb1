"""From a frame of runs to a ranked table: Markdown, CSV, LaTeX, JSON.

One row holds the seeds of one configuration. Runs that differ in anything but the seed (method,
settings, preset, protocol, backbone, budget, code, data) never share a row, because a row is
keyed by the whole configuration without its seed. A run that did not finish is counted, with its
reason; it is never dropped.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from bench import plugins, published, select
from bench.agreement import agreement
from bench.beside import references, with_published
from bench.digest import digest_of
from bench.errors import BenchError
from bench.groups import groups, label_of, scores
from bench.headline import ranked_by
from bench.records import BROKEN
from bench.row import Row
from bench.tables import render

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from bench.groups import Config, Group, Scores
    from bench.select import Rule
    from bench.suites import Suite

PRESETS = ("paper", "fast", "smoke")


def rows(
    frame: pd.DataFrame,
    suite: Suite,
    rule: str = select.DEFAULT,
    *,
    seeds: Collection[int] = (),
) -> list[Row]:
    """Return the suite's table, in the order in which it is shown.

    Args:
        frame: runs, as `bench.records.load_runs` returns them; those on other shifts are left out.
        suite: decides shifts, the names of rows and the published figures beside them.
        rule: name of the selection rule.
        seeds: seeds that were planned, whether or not a run of them exists.

    Raises:
        BenchError: the rule is unknown, or one run stands in the frame twice.
    """
    chosen = plugins.load_rule(rule)
    cells = published.cells(suite.name)
    ours = []
    for group in groups(frame, suite):
        row = dataclasses.replace(_measured(group, chosen, seeds), suite=suite.name)
        ours.append((with_published(row, cells), group.config))
    measured = _told_apart(ours)
    order = {shift.name: place for place, shift in enumerate(suite.shifts)}
    return sorted(
        [*measured, *references(measured, suite, cells)], key=lambda row: _place(row, order)
    )


def summary(
    values: Sequence[float],
) -> tuple[float | None, float | None, tuple[float, float] | None]:
    """Return mean, sample standard deviation and 95 % interval of the mean.

    The interval is mean -+ t * std / sqrt(n), where t is the 97.5 % point of Student's
    distribution with n - 1 degrees of freedom. It may leave 0..1. What n is too small for is None.

    >>> mean, std, (low, high) = summary([0.5, 0.7])
    >>> round(mean, 4), round(std, 4), round(low, 4), round(high, 4)
    (0.6, 0.1414, -0.6706, 1.8706)
    """
    n = len(values)
    if n == 0:
        return None, None, None
    mean = float(np.mean(values))
    if n == 1:
        return mean, None, None
    std = float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
    return mean, std, (mean - half, mean + half)


def _measured(group: Group, rule: Rule, planned: Collection[int]) -> Row:
    """Return the row of one configuration; its suite is still to be named."""
    scored: dict[int, Scores] = {}
    broken = group.broken
    failed = {
        seed: {"seed": seed, "status": BROKEN, "error": error} for seed, error in broken.items()
    }
    records = {seed: run.record for seed, run in group.runs.items()}
    for seed, run in group.runs.items():
        status, error = run.record["status"], run.record["error"]
        if status == "done":
            try:
                scored[seed] = scores(run, rule)
                continue
            except BenchError as reason:
                status, error = BROKEN, str(reason)
        failed[seed] = {"seed": seed, "status": status, "error": error}
    config = group.config
    metric = ranked_by(config["shift"])
    figures = _collected(score.figures for score in scored.values())
    mean, std, ci95 = summary(figures.pop(metric, []))
    classes = _collected(score.classes for score in scored.values())
    stages = _collected(score.stages for score in scored.values())
    finished = [records[seed] for seed in scored]
    agreed = agreement([group.runs[seed] for seed in scored])
    return Row(
        suite="",
        shift=config["shift"]["name"],
        protocol=config["shift"]["protocol"],
        backbone=config["backbone"],
        method=config["method"],
        preset=config["preset"],
        rule=rule.name,
        metric=metric,
        label=group.label,
        n=len(scored),
        planned=len({*records, *broken, *planned}),
        mean=mean,
        std=std,
        ci95=ci95,
        settings=config["settings"],
        weights=config["weights"],
        learns_from=config["learns_from"],
        chosen_on_test_labels=rule.looks_at_target_labels,
        steps=float(np.mean([r["steps"] for r in finished])) if finished else None,
        seconds=float(np.mean([r["seconds"] for r in finished])) if finished else None,
        seeds=tuple(scored),
        failed=tuple(failed[seed] for seed in sorted(failed)),
        stages=tuple(
            {"stage": name, "n": len(values), **_spread(values)} for name, values in stages.items()
        ),
        departure=next(iter(records.values()))["departure"],
        devices=tuple(sorted({r["device"] for r in records.values()})),
        threads=tuple(sorted({r["threads"] for r in records.values()})),
        others={name: _spread(values) for name, values in figures.items()},
        classes={name: _spread(values) for name, values in classes.items()},
        picked={name: _spread(values) for name, values in agreed.picked.items()},
        correlation=agreed.correlation,
        judged=agreed.judged,
    )


def _collected(by_seed: Iterable[Mapping[str, float | None]]) -> dict[str, list[float]]:
    """Return the values of all seeds by name; a name without any has an empty list."""
    found: dict[str, list[float]] = {}
    for values in by_seed:
        for name, value in values.items():
            found.setdefault(name, []).extend([] if value is None else [value])
    return found


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    mean, std, _ = summary(values)
    return {"mean": mean, "std": std}


def _told_apart(measured: list[tuple[Row, Config]]) -> list[Row]:
    """Return the rows; where two of one table have one name, say what differs between them."""
    namesakes: dict[object, list[Config]] = {}
    for row, config in measured:
        namesakes.setdefault((row.section, row.label), []).append(config)
    result = []
    for row, config in measured:
        others = namesakes[row.section, row.label]
        differing = [
            f"{key} {config[key] if isinstance(config[key], int) else _short(config[key])}"
            for key in ("code", "budget", "precision", "data", "shift", "params")
            if any(other[key] != config[key] for other in others)
        ]
        label = f"{row.label} ({', '.join(differing)})" if differing else row.label
        result.append(dataclasses.replace(row, label=label))
    return result


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else digest_of(value)[:8]


def _place(row: Row, order: Mapping[str, int]) -> tuple[Any, ...]:
    """Sort key: by table; then ranked methods, best first; incomplete ones; bounds; published."""
    preset = PRESETS.index(row.preset) if row.preset in PRESETS else len(PRESETS)
    kind = 3 if row.rule is None else 2 if row.learns_from == "target" else int(not row.complete)
    value = row.published if row.rule is None else row.mean
    return (
        order[row.shift],
        row.rule is None,
        preset,
        row.section[1:] if row.rule is not None else (),
        kind,
        math.inf if value is None else -value,
        row.label,
    )


__all__ = ["Row", "label_of", "render", "rows", "summary"]
