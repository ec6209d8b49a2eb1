"""A leaderboard as Markdown. Equal rows give equal text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.tables.layout import legends, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.tables.layout import Grid
    from bench.tables.row import Row

_RULERS = {"l": ":--", "r": "--:", "c": ":-:"}


def markdown(rows: Sequence[Row], comment: str) -> str:
    """Return a document with a heading for each table; `comment` stands at its top, unseen."""
    if not rows:
        return f"<!-- {comment} -->\n\nNo runs yet.\n"
    blocks = [f"<!-- {comment} -->", f"# Leaderboard: {escaped(rows[0].suite)}", *legends(rows)]
    for table in tables(rows):
        blocks.append(f"## {escaped(table.title)}")
        if table.warning:
            blocks.append(f"> **{escaped(table.warning)}**")
        if table.facts:
            blocks.append("\n".join(f"- {escaped(fact)}" for fact in table.facts))
        blocks.append(lines_of(table.grid))
        if table.notes:
            notes = enumerate(table.notes, 1)
            blocks.append("\n".join(f"- [{i}] {escaped(note)}" for i, note in notes))
        for part in table.parts:
            blocks += [f"### {escaped(part.title)}", escaped(part.about), lines_of(part.grid)]
    return "\n\n".join(blocks) + "\n"


def lines_of(grid: Grid) -> str:
    """Return a table's lines."""
    head, *body = ([escaped(cell) for cell in line] for line in (grid.head, *grid.lines))
    rulers = [_RULERS[column] for column in grid.columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rulers, *body))


_MAY_BE_MARKUP = frozenset("\\`*|<>_")
_MARKUP = re.compile(r"([\\`*|<>])|((?<![^\W_])_|_(?![^\W_]))")


def escaped(text: str) -> str:
    """Escape what Markdown would take for markup; an underscore inside a word is none."""
    if _MAY_BE_MARKUP.isdisjoint(text):  # nearly every cell: several times as fast
        return text
    return _MARKUP.sub(lambda found: "\\" + found[0], text)
