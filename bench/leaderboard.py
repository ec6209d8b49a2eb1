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
from bench.config import arithmetic_of
from bench.groups import distinct_labels, finished, groups, label_of, unfinished
from bench.headline import class_names, metrics_of
from bench.measured import measure
from bench.paired import summary
from bench.spread import spreads
from bench.stored import brief_of
from bench.tables.beside import references, with_published
from bench.tables.formats import render
from bench.tables.letters import letters
from bench.tables.row import Row

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bench.groups import Group
    from bench.select import Rule
    from bench.spread import Spreads
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
    board = _Board(found, chosen)
    measured = [
        with_published(board.row(place, label, suite.name, seeds), cells)
        for place, label in enumerate(distinct_labels(found))
    ]
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
        values = [dict(zip(rows[i].seeds, rows[i].figures, strict=True)) for i in places]
        for place, group in zip(places, letters(values), strict=True):
            result[place] = dataclasses.replace(rows[place], group=group) if group else rows[place]
    return result


class _Board:
    """All finished runs of some groups, measured at once, and summarised by group."""

    def __init__(self, found: Sequence[Group], rule: Rule) -> None:
        self._groups, self._rule = found, rule
        self._seeds = [finished(group) for group in found]
        runs = [g.runs[seed] for g, seeds in zip(found, self._seeds, strict=True) for seed in seeds]
        briefs = [brief_of(run.record) for run in runs]
        sizes = [len(seeds) for seeds in self._seeds]
        self._start = np.cumsum([0, *sizes]).tolist()
        self._of_run = np.repeat(np.arange(len(found)), sizes)
        self._measured = measured = measure(runs, rule)
        self._figures = self._spreads(measured.figures)
        self._classes = self._spreads(measured.classes)
        self._stages = self._spreads(measured.stages)
        self._picked = self._spreads(measured.picked)
        self._correlation = self._spreads(measured.correlation)
        self._values = {name: column.tolist() for name, column in measured.figures.items()}
        last = measured.picked.get(select.LAST.name, np.array([])).tolist()
        self._judged = {
            name: [
                None if math.isnan(score) else (score, figure)
                for score, figure in zip(column.tolist(), last, strict=True)
            ]
            for name, column in measured.judged.items()
        }
        scored = ~np.isnan(measured.steps)
        self._taken = {
            key: spreads(
                np.where(scored, [getattr(brief, key) for brief in briefs], np.nan),
                self._of_run,
                len(found),
            )
            for key in ("steps", "seconds")
        }

    def _spreads(self, columns: Mapping[str, NDArray[np.float64]]) -> dict[str, Spreads]:
        return {n: spreads(v, self._of_run, len(self._groups)) for n, v in columns.items()}

    def row(self, place: int, label: str, suite: str, planned: Collection[int]) -> Row:
        """Return the row of one group, without published figures."""
        group, rule, measured = self._groups[place], self._rule, self._measured
        config, briefs = group.config, [brief_of(run.record) for run in group.runs.values()]
        shift, tuned = config["shift"], config.get("tuned", {})
        runs = range(self._start[place], self._start[place + 1])
        seeds = dict(zip(runs, self._seeds[place], strict=True))
        errors = {seeds[run]: measured.errors[run] for run in runs if run in measured.errors}
        scored = [run for run in runs if run not in measured.errors]
        metric, *others = metrics_of(shift)
        figures = self._figures.get(metric)
        names = dict.fromkeys(name for run in scored for name in measured.stage_names[run])
        return Row(
            suite=suite,
            shift=shift["name"],
            protocol=shift["protocol"],
            backbone=config["backbone"],
            method=config["method"],
            preset=config["preset"],
            rule=rule.name,
            metric=metric,
            label=label,
            n=len(scored),
            planned=len({*group.runs, *group.broken, *planned}),
            mean=figures.mean[place] if figures else None,
            std=figures.std[place] if figures else None,
            ci95=figures.ci95[place] if figures else None,
            settings=config["settings"],
            weights=config["weights"],
            learns_from=config["learns_from"],
            chosen_on_test_labels=rule.looks_at_target_labels
            or tuned.get("rule") == select.ORACLE.name,
            steps=self._taken["steps"].mean[place],
            seconds=self._taken["seconds"].mean[place],
            seeds=tuple(seeds[run] for run in scored),
            figures=tuple([self._values[metric][run] for run in scored]),
            failed=tuple(unfinished(group, errors).values()),
            stages=tuple(
                {"stage": n, "n": self._stages[n].n[place], **self._stages[n].of(place)}
                for n in names
            ),
            departure=briefs[0].departure,
            devices=tuple(sorted({brief.device for brief in briefs})),
            threads=tuple(sorted({brief.threads for brief in briefs})),
            others={name: self._figures[name].of(place) for name in others if scored},
            classes={n: self._classes[n].of(place) for n in class_names(shift) if scored},
            picked={n: each.of(place) for n, each in self._picked.items() if each.n[place]},
            correlation={
                n: each.mean[place]
                for n, each in self._correlation.items()
                if self._picked[n].n[place]
            },
            judged=self._judgements(runs),
            tuned=tuned or None,
            arithmetic=arithmetic_of(config),
            events=tuple({"seed": b.seed, **event} for b in briefs for event in b.events),
        )

    def _judgements(self, runs: range) -> dict[str, tuple[tuple[float, float], ...]]:
        """Return by rule (score, figure) of the last checkpoint of some runs, where it has one."""
        found = {
            name: tuple([pair for pair in pairs[runs.start : runs.stop] if pair])
            for name, pairs in self._judged.items()
        }
        return {name: pairs for name, pairs in found.items() if pairs}


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
