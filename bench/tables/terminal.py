"""A leaderboard in brief, for a terminal: the main table of each shift, in aligned columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.tables.cells import SMOKE
from bench.tables.layout import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.tables.layout import Grid
    from bench.tables.row import Row


LEGEND = (
    "In per cent: mean \u00b1 standard deviation over the seeds that finished, and the 95 %"
    " interval of that mean, which says nothing of other test images."
)


def terminal(rows: Sequence[Row], _comment: str) -> str:
    """Return a block for each table: its title, its rows, and what its marks refer to; a legend.

    Shifts of which there are published figures only are left out, unless there is nothing else.
    """
    if not rows:
        return "No runs yet.\n"
    run = {row.shift for row in rows if row.rule is not None}
    blocks = []
    for table in tables([row for row in rows if row.shift in run] or rows):
        lines = _aligned(table.grid)
        marks = [(f"[{number}]", note) for number, note in enumerate(table.notes, 1)]
        notes = [f"{mark} {note}" for mark, note in marks if any(mark in line for line in lines)]
        warnings = [table.warning or "", *(fact for fact in table.facts if fact == SMOKE)]
        title = [table.title, *filter(None, warnings)]
        blocks.append("\n".join([*title, "", *lines, "", *notes]).rstrip())
    return "\n\n\n".join([*blocks, LEGEND] if run else blocks) + "\n"


def _aligned(grid: Grid) -> list[str]:
    """Return a table's lines, without the columns in which nothing stands."""
    columns = zip(grid.columns, zip(grid.head, *grid.lines, strict=True), strict=True)
    shown = [_column(side, cells) for side, cells in columns if any(cells[1:])]
    return ["  ".join(line).rstrip() for line in zip(*shown, strict=True)]


def _column(side: str, cells: Sequence[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) if side == "l" else cell.rjust(width) for cell in cells]
