"""The leaderboards of a page: `bench.tables.layout`'s tables, and what can filter them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.tables.layout import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.tables.layout import Table
    from bench.tables.row import Row


@dataclass(frozen=True)
class Line:
    """One line of a leaderboard.

    Attributes:
        cells: as `bench.tables.layout.Grid` has them.
        kind: "ours", "bound" (uses target labels) or "published".
        label: the row's name.
        statuses: how its seeds ended; empty for a published figure.
    """

    cells: tuple[str, ...]
    kind: str
    label: str
    statuses: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """One table, of a shift under one set of conditions.

    Attributes:
        table: what it says.
        lines: of its grid.
        shift: the shift's name.
        preset: "" of a table of published figures only.
        rule: likewise.
    """

    table: Table
    lines: tuple[Line, ...]
    shift: str
    preset: str
    rule: str


def boards(rows: Sequence[Row]) -> list[Board]:
    """Return the tables of `bench.leaderboard.rows`, in `bench.tables.layout`'s order."""
    sections: dict[tuple[str, ...], list[Row]] = {}
    published: dict[str, list[Row]] = {}
    for row in rows:
        if row.rule is None:
            published.setdefault(row.shift, []).append(row)
        else:
            sections.setdefault(row.section, []).append(row)
    found = []
    for shift in dict.fromkeys(row.shift for row in rows):
        own = [section for section in sections.values() if section[0].shift == shift]
        for section in own or [[]]:
            [table] = tables([*section, *published.get(shift, ())])
            found.append(_board(table, section, shift))
    return found


def _board(table: Table, ours: Sequence[Row], shift: str) -> Board:
    """Return a table whose first lines are those of `ours`; the rest is published."""
    lines = [
        Line(
            cells,
            "bound" if row.learns_from == "target" else "ours",
            row.label,
            tuple(dict.fromkeys((*["done"] * (row.n > 0), *(f["status"] for f in row.failed)))),
        )
        for row, cells in zip(ours, table.grid.lines, strict=False)
    ]
    lines += [Line(cells, "published", "", ()) for cells in table.grid.lines[len(ours) :]]
    first = ours[0] if ours else None
    return Board(
        table,
        tuple(lines),
        shift,
        (first and first.preset) or "",
        (first and first.rule) or "",
    )
