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

from bench import plugins, published, select
from bench.agreement import agreement
from bench.beside import references, with_published
from bench.groups import distinct_labels, groups, label_of, outcomes
from bench.headline import ranked_by
from bench.letters import letters
from bench.paired import summary
from bench.row import Row
from bench.tables import render

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from bench.groups import Group
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
    found = groups(frame, suite)
    measured = []
    for group, label in zip(found, distinct_labels(found), strict=True):
        row = dataclasses.replace(_measured(group, chosen, seeds), suite=suite.name)
        measured.append(dataclasses.replace(with_published(row, cells), label=label))
    order = {shift.name: place for place, shift in enumerate(suite.shifts)}
    return _grouped(
        sorted([*measured, *references(measured, suite, cells)], key=lambda row: _place(row, order))
    )


def _grouped(rows: list[Row]) -> list[Row]:
    """Return the rows with their `group`; they stand in the order of the table already."""
    tables: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if row.ranked:
            tables.setdefault(row.section, []).append(place)
    result = list(rows)
    for places in tables.values():
        values = [dict(zip(rows[i].seeds, rows[i].values, strict=True)) for i in places]
        for place, group in zip(places, letters(values), strict=True):
            result[place] = dataclasses.replace(rows[place], group=group)
    return result


def _measured(group: Group, rule: Rule, planned: Collection[int]) -> Row:
    """Return the row of one configuration; its suite is still to be named."""
    scored, failed = outcomes(group, rule)
    records = {seed: run.record for seed, run in group.runs.items()}
    config = group.config
    tuned = config.get("tuned", {})
    metric = ranked_by(config["shift"])
    figures = _collected(score.figures for score in scored.values())
    values = figures.pop(metric, [])
    mean, std, ci95 = summary(values)
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
        planned=len({*records, *group.broken, *planned}),
        mean=mean,
        std=std,
        ci95=ci95,
        settings=config["settings"],
        weights=config["weights"],
        learns_from=config["learns_from"],
        chosen_on_test_labels=rule.looks_at_target_labels
        or tuned.get("rule") == select.ORACLE.name,
        steps=float(np.mean([r["steps"] for r in finished])) if finished else None,
        seconds=float(np.mean([r["seconds"] for r in finished])) if finished else None,
        seeds=tuple(scored),
        values=tuple(values),
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
        tuned=tuned or None,
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
