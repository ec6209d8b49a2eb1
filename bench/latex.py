"""A leaderboard as LaTeX, for the packages booktabs and graphicx. Equal rows give equal text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.layout import legends, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.layout import Grid
    from bench.row import Row

WIDE = 12
"""Columns from which a table is set small, with its column heads upright, as Table 4 is."""


def latex(rows: Sequence[Row], comment: str) -> str:
    """Return a floating table for each table and each part; `comment` stands at the top."""
    blocks = [f"% {comment}"]
    blocks += [f"% {legend.replace(chr(0xB1), '+-')}" for legend in legends(rows)]
    for table in tables(rows):
        caption = ". ".join(part for part in (table.title, table.warning, *table.facts) if part)
        notes = [rf"\par\footnotesize [{i}] {_escaped(n)}" for i, n in enumerate(table.notes, 1)]
        blocks.append(_float(caption, table.grid, notes))
        blocks += [
            _float(f"{table.title}. {part.title}. {part.about}", part.grid, [])
            for part in table.parts
        ]
    return "\n\n".join(blocks) + "\n"


def _float(caption: str, grid: Grid, notes: Sequence[str]) -> str:
    """Return one floating table. `notes` are escaped already."""
    first, *others = map(_escaped, grid.head)
    wide = len(grid.columns) >= WIDE
    heads = [rf"\rotatebox{{90}}{{{other}}}" if wide else other for other in others]
    body = [" & ".join(map(_escaped, line)) + r" \\" for line in grid.lines]
    name = "table*" if wide else "table"
    small = (r"\scriptsize\setlength{\tabcolsep}{2pt}",) if wide else ()
    parts = (
        *(rf"\begin{{{name}}}", r"\centering", *small, rf"\caption{{{_escaped(caption)}}}"),
        *(rf"\begin{{tabular}}{{{grid.columns}}}", r"\toprule"),
        *(" & ".join([first, *heads]) + r" \\", r"\midrule", *body, r"\bottomrule"),
        *(r"\end{tabular}", *notes, rf"\end{{{name}}}"),
    )
    return "\n".join(parts)


_MARKUP = {
    **{char: "\\" + char for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\u00b1": r"$\pm$",
    "\u2014": "---",
}


def _escaped(text: str) -> str:
    return "".join(_MARKUP.get(char, char) for char in text)
