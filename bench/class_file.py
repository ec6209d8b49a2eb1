"""Class lists of the user's own, from a small file; ``bench eval --classes FILE`` reads them.

A class list is a CSV file, UTF-8, one label a line, in the order in which tables show them::

    name,id,colour,evaluated
    road,0,#804080,yes
    sky,1,#4682b4,yes
    sensor,7,#000000,no

``id`` is the label's value in files, 0..254; 255 always means "no label" and needs no line.
``colour`` is red, green and blue, hexadecimal. ``evaluated`` may be left out, as a column or in a
line, and is then yes; "no" is for labels that may occur in files but do not count. In files of
``trainIds`` the evaluated labels are 0, 1, 2 and so on, and the others 255.
"""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.classes import CLASS_LISTS, IGNORED, UNKNOWN, ClassList, Label
from bench.errors import BenchError, MissingDataError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUIRED = ("name", "id", "colour")
COLUMNS = (*REQUIRED, "evaluated")
COLOUR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


def class_list(name: str) -> ClassList:
    """Return a built-in class list by its name, or the one in a file.

    Raises:
        BenchError: there is neither such a list nor such a file, or the file is malformed.

    >>> class_list("camvid").names[:2]
    ('sky', 'building')
    """
    if name in CLASS_LISTS:
        return CLASS_LISTS[name]
    if Path(name).is_file():
        return read_class_file(Path(name))
    if os.path.dirname(name) or Path(name).suffix:  # noqa: PTH120  "./x" is a path and "x" is not
        raise MissingDataError(
            f"{name} is no file. Expected a class list: a CSV file with the columns"
            f" {','.join(COLUMNS)}; or one of {', '.join(sorted(CLASS_LISTS))}."
        )
    raise unknown("class list", name, CLASS_LISTS)


def read_class_file(path: Path) -> ClassList:
    """Read a class list; the top of this file says what it looks like.

    Raises:
        BenchError: the file is malformed; the message names the line and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.reader(text.splitlines(), skipinitialspace=True))
    except OSError as error:
        raise MissingDataError(f"{path} cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"{path} is no class list: expected CSV in UTF-8 ({error}).") from error
    columns = [column.strip() for column in rows[0]] if rows else []
    if not set(REQUIRED) <= set(columns) <= set(COLUMNS) or len(set(columns)) < len(columns):
        raise BenchError(
            f"{path} is no class list: expected the first line {','.join(COLUMNS)}"
            f" (the last may be left out), got '{','.join(columns)}'."
        )
    labels: list[Label] = []
    for line, cells in enumerate(rows[1:], start=2):
        try:
            labels += [_label(columns, cells, labels)] if cells else []
        except ValueError as error:
            raise BenchError(f"{path}, line {line}: {error}.") from error
    evaluated = sum(label.evaluated for label in labels)
    if not 1 <= evaluated <= UNKNOWN:
        raise BenchError(f"{path}: expected 1 to {UNKNOWN} evaluated classes, got {evaluated}.")
    return ClassList(str(path), tuple(labels))


def _label(columns: list[str], cells: list[str], before: Iterable[Label]) -> Label:
    if len(cells) > len(columns):
        raise ValueError(f"expected {len(columns)} cells, got {len(cells)}")
    row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
    name, number, colour = (row.get(column, "") for column in REQUIRED)
    counts = row.get("evaluated") or "yes"
    if not name or any(label.name == name for label in before):
        raise ValueError(f"expected a name that no other line has, got '{name}'")
    if not re.fullmatch(r"[0-9]{1,3}", number) or int(number) >= IGNORED:
        raise ValueError(f"expected an id in 0..{IGNORED - 1} for '{name}', got '{number}'")
    if any(label.id == int(number) for label in before):
        raise ValueError(f"expected an id that no other line has for '{name}', got {number}")
    parts = COLOUR.fullmatch(colour)
    if parts is None:
        raise ValueError(f"expected a colour such as #804080 for '{name}', got '{colour}'")
    if counts not in {"yes", "no"}:
        raise ValueError(f"expected 'yes' or 'no' in evaluated for '{name}', got '{counts}'")
    red, green, blue = (int(part, 16) for part in parts.groups())
    index = sum(label.evaluated for label in before)
    evaluated = counts == "yes"
    return Label(name, int(number), index if evaluated else IGNORED, (red, green, blue), evaluated)
