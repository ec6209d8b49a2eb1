"""A leaderboard as LaTeX, for the packages booktabs and graphicx. Equal rows give equal text.

The highest figure of each column among ranked rows is bold: a bound and a published figure are
not in the contest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.tables.cells import NAMES
from bench.tables.layout import legends, tables

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bench.tables.layout import Grid
    from bench.tables.row import Row

WIDE = 12
"""Columns from which a table is set small, with its column heads upright, as Table 4 is."""


def latex(rows: Sequence[Row], comment: str) -> str:
    """Return a floating table for each table and each part; `comment` stands at the top.

    A table's label is ``tab:`` and its shift, with a number from its shift's second table on;
    that of a part has the part's title after it.
    """
    blocks = [f"% {comment}", r"% Needs \usepackage{booktabs,graphicx}."]
    blocks += [f"% {legend.replace(chr(0xB1), '+-')}" for legend in legends(rows)]
    shifts: list[str] = []
    for table in tables(rows):
        shift = table.title.partition(":")[0]
        shifts.append(shift)
        count = shifts.count(shift)
        label = _slug(shift) + (f"-{count}" if count > 1 else "")
        notes = [rf"\par\footnotesize [{i}] {_escaped(n)}" for i, n in enumerate(table.notes, 1)]
        caption = _sentences(table.title, table.warning or "", *table.facts)
        blocks.append(_float(caption, label, table.grid, notes, _best(table.grid)))
        for part in table.parts:
            caption = _sentences(table.title, part.title, part.about)
            blocks.append(_float(caption, f"{label}-{_slug(part.title)}", part.grid))
    return "\n\n".join(blocks) + "\n"


def _sentences(*parts: str) -> str:
    return " ".join(part.removesuffix(".") + "." for part in parts if part)


def _slug(text: str) -> str:
    """Return what may stand in a label.

    >>> _slug("IoU by class"), _slug("my_shift, v2")
    ('iou-by-class', 'my-shift-v2')
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _best(grid: Grid) -> set[tuple[int, int]]:
    """Return (line, column) of the highest figures, as printed, of two ranked rows or more."""
    ranked = [i for i, line in enumerate(grid.lines) if line[0].isdigit()]
    best = set()
    for column, head in enumerate(grid.head):
        if head in NAMES.values() and len(ranked) > 1:
            figures = {i: float(grid.lines[i][column].split()[0]) for i in ranked}
            best |= {(i, column) for i in ranked if figures[i] == max(figures.values())}
    return best


def _float(
    caption: str,
    label: str,
    grid: Grid,
    notes: Sequence[str] = (),
    bold: Collection[tuple[int, int]] = (),
) -> str:
    """Return one floating table. `notes` are escaped already."""
    first, *others = map(_escaped, grid.head)
    wide = len(grid.columns) >= WIDE
    heads = [rf"\rotatebox{{90}}{{{other}}}" if wide else other for other in others]
    cells = [
        [_bold(_cell(text)) if (i, j) in bold else _cell(text) for j, text in enumerate(line)]
        for i, line in enumerate(grid.lines)
    ]
    name = "table*" if wide else "table"
    small = (r"\scriptsize\setlength{\tabcolsep}{2pt}",) if wide else ()
    parts = (
        *(rf"\begin{{{name}}}", r"\centering", *small),
        *(rf"\caption{{{_escaped(caption)}}}", rf"\label{{tab:{label}}}"),
        *(rf"\begin{{tabular}}{{{grid.columns}}}", r"\toprule"),
        *(" & ".join([first, *heads]) + r" \\", r"\midrule"),
        *(_line(line) for line in cells),
        *(r"\bottomrule", r"\end{tabular}", *notes, rf"\end{{{name}}}"),
    )
    return "\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    text = " & ".join(cells)
    # Right after the end of a line, LaTeX would take these for arguments of that end.
    return ("{}" if text.startswith(("[", "*")) else "") + text + r" \\"


def _cell(text: str) -> str:
    r"""Return a cell's text; a hyphen before a number is a minus.

    >>> _cell("-3.2"), _cell("source-only"), _cell("50.0 % & -")
    ('$-$3.2', 'source-only', '50.0 \\% \\& -')
    """
    return re.sub(r"^-(?=\d)", "$-$", _escaped(text))


def _bold(cell: str) -> str:
    """Set a figure in bold, without its spread."""
    figure, space, spread = cell.partition(" ")
    return rf"\textbf{{{figure}}}{space}{spread}"


_MARKUP = {
    **{char: "\\" + char for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "\u00b1": r"$\pm$",
    "\u2014": "---",
}


def _escaped(text: str) -> str:
    return "".join(_MARKUP.get(char, char) for char in text)
