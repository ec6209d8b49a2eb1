"""The registry of published figures, one *cell* of a paper's table at a time.

Each cell carries the conditions under which its authors measured it, because a difference between
two figures means something only if both were measured alike. The files are
``leaderboards/published/<suite>.csv``; figures stand there in per cent, as printed, and a note
says where they disagree with themselves.

Of ``driving``: the paper's architecture A is ``fcn8s``, B is ``drn26``. What they start from, and
what the bound is trained on, the paper does not say; its released code does
(github.com/jhoffman/cycada_release: cycada/models/fcn8s.py, cycada/models/drn.py and
cycada/data/cityscapes.py): torchvision's VGG-16 and DRN-C-26, both trained on ImageNet, and the
fine labels of Cityscapes' train. No adaptation, no unlabelled target images: source only matches
whatever their number.

By which checkpoint a figure was obtained, the paper does not say. Of digits, its released code
trains task networks and the feature stage for a fixed number of epochs and tests the last network
(cycada/tools/train_task_net.py and train_adda_net.py); which epoch of the pixel stage translates
the images, it leaves to whoever runs it (README.md). So what has no pixel stage is "last", and the
rest "unstated", as is all of `driving`: scripts/train_fcn.py there keeps a network every 5,000
iterations and does not say which was tested.

Later work is in the same files, after the paper's: figures that their authors, or others who quote
or reproduce them, put where anybody can read them; `source` names the place. They have a table of
their own beneath ours.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from bench.errors import BenchError

PAPER = "Hoffman et al. 2018"
"""What the source of a figure in the paper's own tables begins with."""


@dataclass(frozen=True)
class Cell:
    """One published figure.

    Attributes:
        method: label of the suite's entry that it belongs beside; the paper's name if we have none.
        label: the row's name as printed.
        shift: a shift's name.
        metric: what was measured: "accuracy"; of segmentation "miou", "fwiou", "pixel_accuracy",
            and "iou:road" and so on for single classes.
        value: a fraction in 0..1.
        std: its printed "plus or minus", a fraction, or None.
        protocol: which images trained and scored. "full" is ours for digits; "unstated" matches
            nothing.
        backbone: the network, "" if the paper does not say.
        weights: its initial weights, "" if the paper does not say.
        rule: by which selection rule, as in `bench.select`: "last", or "oracle" if the test labels
            chose the checkpoint; "unstated" if neither paper, code nor authors say.
        source: paper and table; of later work, where the figure was read.
        note: what a reader must know to judge the figure; may be "".
    """

    method: str
    label: str
    shift: str
    metric: str
    value: float
    std: float | None
    protocol: str
    backbone: str
    weights: str
    rule: str
    source: str
    note: str

    @property
    def later(self) -> bool:
        """Whether it is of later work than the paper whose tables the suites follow."""
        return not self.source.startswith(PAPER)

    def matches(self, *, metric: str, protocol: str, backbone: str, weights: str) -> bool:
        """Say whether a figure of ours was measured alike, so that a difference has a meaning."""
        theirs = (self.metric, self.protocol, self.backbone, self.weights)
        return theirs == (metric, protocol, backbone, weights)


@cache
def cells(suite: str) -> tuple[Cell, ...]:
    """Return what has been published for `suite`, in the paper's order; () if nothing has.

    >>> [c.value for c in cells("digits") if (c.method, c.shift) == ("cycada", "usps2mnist")]
    [0.965]
    """
    file = resources.files("leaderboards") / "published" / f"{suite}.csv"
    if not file.is_file():
        return ()
    return parse(file.read_text(encoding="utf-8"), file.name)


def parse(text: str, name: str) -> tuple[Cell, ...]:
    """Read the text of a registry file.

    Raises:
        BenchError: a column is missing or unknown, a figure is no percentage, or a cell stands
            there twice. The message names the line.
    """
    try:
        return _cells(text, name)
    except csv.Error as error:
        message = f"{name} is no CSV file ({error})"
        raise BenchError(message) from error


def _cells(text: str, name: str) -> tuple[Cell, ...]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    expected = [field.name for field in fields(Cell)]
    if list(reader.fieldnames or ()) != expected:
        message = f"{name}: expected the columns {expected}, got {reader.fieldnames}"
        raise BenchError(message)
    found: dict[tuple[str, ...], Cell] = {}
    for row in reader:
        where = f"{name}, line {reader.line_num}"
        if None in row or None in row.values():
            message = f"{where}: expected {len(expected)} values"
            raise BenchError(message)
        values: dict[str, Any] = dict(row)
        values["value"] = _fraction(row["value"], where)
        values["std"] = _fraction(row["std"], where) if row["std"] else None
        cell = Cell(**values)
        key = (cell.method, cell.shift, cell.metric, cell.backbone)
        if key in found:
            what = f"{cell.metric} of {cell.method} on {cell.shift}"
            message = f"{where}: {what} stands there twice for backbone '{cell.backbone}'"
            raise BenchError(message)
        found[key] = cell
    return tuple(found.values())


def _fraction(percent: str, where: str) -> float:
    """Return a printed percentage as the nearest float fraction: "95.6" gives exactly 0.956."""
    try:
        value = Decimal(percent) / 100
        valid = 0 <= value <= 1  # to compare NaN is one of these errors, too
    except ArithmeticError:
        valid = False
    if not valid:
        message = f"{where}: expected a percentage in 0..100, got {percent!r}"
        raise BenchError(message)
    return float(value)
