"""Published figures beside our rows, and a difference only where it has a meaning.

A publication's table has a row for each method, shift and backbone, and a *cell* of it for each
metric. Such a row stands beside ours of the same method, shift and backbone; where none is of our
backbone, the only one there is stands there, and says so.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bench.headline import METRICS
from bench.tables.layout import lacking
from bench.tables.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.published import Cell
    from bench.suites import Suite

CLASS = "iou:"
"""What the metric of a cell begins with that is the IoU of one class; the class follows."""


def with_published(row: Row, cells: Iterable[Cell]) -> Row:
    """Return `row` with the published figures that belong beside it, if there are any."""
    key = row.label, row.shift
    found = _by_row(cell for cell in cells if (cell.method, cell.shift) == key)
    same = [part for part in found if part[0].backbone == row.backbone]
    alone = same or found
    return _beside(row, alone[0]) if len(alone) == 1 else row


def references(measured: Sequence[Row], suite: Suite, cells: Iterable[Cell]) -> list[Row]:
    """Return a row for each published row that some table of its shift lacks."""
    methods = {entry.label: entry.method for entry in suite.entries}
    shifts = {shift.name for shift in suite.shifts}
    published: dict[str, list[Row]] = {}
    for part in _by_row(cells):
        if part[0].shift in shifts:
            row = _reference(part, suite.name, methods)
            published.setdefault(row.shift, []).append(row)
    result = []
    for shift, rows in published.items():
        tables: dict[tuple[str, ...], list[Row]] = {}
        for row in measured:
            if row.shift == shift:
                tables.setdefault(row.section, []).append(row)
        lacked = [row for table in tables.values() or [[]] for row in lacking(table, rows)]
        result += [row for row in rows if row in lacked]
    return result


def _by_row(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Return the cells of each published row, first the one by which rows are ranked."""
    rows: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.method, cell.shift, cell.backbone), []).append(cell)
    ranking = {metrics[0] for metrics in METRICS.values()}
    ordered = [sorted(row, key=lambda cell: cell.metric not in ranking) for row in rows.values()]
    return [row for row in ordered if row[0].metric in ranking]


def _reference(cells: Sequence[Cell], suite: str, methods: dict[str, str]) -> Row:
    first = cells[0]
    empty = Row(
        suite=suite,
        shift=first.shift,
        protocol=first.protocol,
        backbone=first.backbone,
        method=methods.get(first.method, first.method),
        preset=None,
        rule=None,
        metric=first.metric,
        label=first.method,
        weights=first.weights,
        learns_from="target" if first.method == "target-only" else "source",
    )
    return _beside(empty, cells)


def _beside(row: Row, cells: Sequence[Cell]) -> Row:
    """Return `row` with a published row beside it, and the difference if that has a meaning.

    A figure chosen on test labels is compared with none, nor is one of the preset smoke, which
    trains for a few steps.
    """
    first, *others = cells
    alike = first.matches(
        metric=row.metric, protocol=row.protocol, backbone=row.backbone, weights=row.weights
    )
    fair = not row.chosen_on_test_labels and row.preset != "smoke"
    return dataclasses.replace(
        row,
        published=first.value,
        delta=row.mean - first.value if alike and fair and row.mean is not None else None,
        published_std=first.std,
        published_label=first.label,
        published_protocol=first.protocol,
        published_backbone=first.backbone,
        published_weights=first.weights,
        published_rule=first.rule,
        published_source=first.source,
        published_note=first.note,
        published_later=first.later,
        published_others={c.metric: c.value for c in others if not c.metric.startswith(CLASS)},
        published_classes={
            c.metric.removeprefix(CLASS): c.value for c in others if c.metric.startswith(CLASS)
        },
    )
