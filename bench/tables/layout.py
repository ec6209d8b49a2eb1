"""What a leaderboard says to its readers, in plain text, before a format escapes it.

Per cent, rounded; one table a shift and its conditions, with smaller parts beneath it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import select
from bench.agreement import rank_correlation
from bench.classes import PROTOCOLS
from bench.paired import needed
from bench.tables.cells import (
    DASH,
    NAMES,
    OTHERS,
    facts_of,
    later_line_of,
    line_of,
    marker,
    method_of,
    note_of,
    percent,
    tenths,
    title_of,
)
from bench.tables.letters import MOST

LAST, ORACLE = select.LAST.name, select.ORACLE.name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.tables.row import Row


@dataclass(frozen=True)
class Grid:
    """Cells in columns, each column "l"eft, "r"ight or "c"entred."""

    columns: str
    head: tuple[str, ...]
    lines: list[tuple[str, ...]]


@dataclass(frozen=True)
class Part:
    """A table beneath the main one, with a sentence on how to read it."""

    title: str
    about: str
    grid: Grid


@dataclass(frozen=True)
class Table:
    """All that is said of one shift under one set of conditions."""

    title: str
    facts: list[str]
    warning: str | None
    grid: Grid
    notes: list[str]
    parts: list[Part]


_SPREAD = (
    "how far another set of seeds might lie, not another set of test images. Seeds: finished of"
    " attempted; a row with seeds that did not finish has no rank. Equal means share a rank, and a"
    " rank is no test. Every method trains on nine tenths of the source's training images; the last"
    " tenth is held out for validation. Wall time: training, a seed; a stage that several methods"
    " share counts in full for each."
)

_LEGENDS = {
    "accuracy": (
        "Accuracy on the target's test set in per cent: mean \u00b1 sample standard deviation over"
        f" the seeds that finished, and the 95 % interval of the mean (Student's t): {_SPREAD}"
        " Difference: ours minus published, in percentage points, only where protocol, backbone"
        " and initial weights match, and never for the preset smoke."
    ),
    "miou": (
        "Scores on the target's test images (of Cityscapes: its validation images) in per cent, at"
        " the label maps' own resolution: mean \u00b1 sample standard deviation over the seeds that"
        " finished. mIoU is the mean over the protocol's classes that occur in ground truth or"
        " predictions; fwIoU weights each class by its pixels. Rows are ranked by mIoU, and"
        f" interval, published and difference are of mIoU. 95 % interval of the mean (Student's t):"
        f" {_SPREAD} Difference: ours minus published, in percentage points, only where protocol,"
        " backbone and initial weights match, and never for the preset smoke."
    ),
}


_GROUPS = (
    "Group: methods of a table that share a letter cannot be told apart at 5 %, those that share"
    " none can. Every two were tested by an exact sign-flip test of their differences at equal"
    " seeds, and the p-values adjusted by Holm's method over all pairs of the table."
)


def legends(rows: Sequence[Row]) -> list[str]:
    """Return how to read the tables of `rows`: paragraphs on the kinds of tasks, and on groups."""
    found = [_LEGENDS[metric] for metric in dict.fromkeys(row.metric for row in rows)]
    return [*found, _GROUPS] if any(row.group for row in rows) else found


def tables(rows: Sequence[Row]) -> list[Table]:
    """Group rows into tables; published rows join every table of their shift that lacks them."""
    ours: dict[tuple[str, ...], list[Row]] = {}
    published: dict[str, list[Row]] = {}
    for row in rows:
        if row.rule is None:
            published.setdefault(row.shift, []).append(row)
        else:
            ours.setdefault(row.section, []).append(row)
    found = []
    for shift in dict.fromkeys(row.shift for row in rows):
        sections = [part for key, part in ours.items() if key[0] == shift]
        found += [_table(part, published.get(shift, ())) for part in sections or [[]]]
    return found


def lacking(ours: Sequence[Row], published: Iterable[Row]) -> list[Row]:
    """Return the published rows that one table of ours must add.

    Those are the rows that stand beside none of ours. Where a publication has one row for each of
    several backbones, the table takes the row of its own backbone, or all of them if it has none.
    """
    rows = list(published)
    backbone = ours[0].backbone if ours else None
    beside = {row.published_label for row in ours}
    own = {row.published_label for row in rows if row.published_backbone == backbone}
    return [
        row
        for row in rows
        if row.published_label not in beside
        and (row.published_backbone == backbone or row.published_label not in own)
    ]


def _table(ours: list[Row], published: Iterable[Row]) -> Table:
    found = _told_apart(lacking(ours, published))
    later = [row for row in found if row.published_later]
    others = [row for row in found if not row.published_later]
    if not ours and not others:
        others, later = later, []
    every = [*ours, *others]
    conditions = ours[0] if ours else None
    notes: list[str] = []
    ranks: dict[str, int] = {}
    lines, count = [], 0
    for row in ours:
        count += row.ranked
        # Equal means share a rank; the same figures in another order may differ by a rounding.
        rank = str(ranks.setdefault(f"{row.mean:.12f}", count)) if row.ranked else ""
        lines.append(line_of(row, conditions, rank, notes))
    lines += [line_of(row, conditions, "", notes) for row in others]
    title, facts, warning = f"{every[0].shift}: published figures only", [], None
    if ours:
        title, facts = title_of(ours[0]), facts_of(ours)
        if ours[0].chosen_on_test_labels:
            what = (
                "a search chose every setting"
                if ours[0].tuned_on_test_labels
                else f"the rule '{ours[0].rule}' chose every checkpoint"
            )
            warning = (
                f"Not a fair result: {what} by the target's test labels."
                " An upper bound, compared with no published figure."
            )
    sources = dict.fromkeys(row.published_source for row in every if row.published_source)
    facts += [f"Published: {'; '.join(sources)}"] if sources else []
    metric = every[0].metric
    more = tuple(NAMES[other] for other in OTHERS[metric])
    head = (
        *("#", "Method", NAMES[metric], "95 % interval", *more, "Seeds", "Steps", "Wall time"),
        *("Published", "Difference"),
    )
    if reason := _ungrouped(ours):
        head = ("#" + marker(notes, reason), *head[1:])
    grid = _with_groups(Grid("rlrc" + "r" * (len(head) - 4), head, lines), every)
    parts = [
        part
        for part in (
            _by_class(every, conditions, notes),
            _by_stage(ours),
            _picked(ours),
            _correlated(ours),
            _later(later, notes),
        )
        if part
    ]
    return Table(title, facts, warning, grid, notes, parts)


def _with_groups(grid: Grid, rows: list[Row]) -> Grid:
    """Return the grid with a column of groups after that of ranks, if a row has one."""
    if not any(row.group for row in rows):
        return grid
    lines = [(line[0], row.group, *line[1:]) for line, row in zip(grid.lines, rows, strict=True)]
    head = (grid.head[0], "Group", *grid.head[1:])
    return Grid(grid.columns[0] + "l" + grid.columns[1:], head, lines)


def _ungrouped(rows: list[Row]) -> str | None:
    """Say why ranked rows have no groups; None if they have, or if fewer than two are ranked."""
    count = sum(row.ranked for row in rows)
    if count < 2 or any(row.group for row in rows):  # noqa: PLR2004
        return None
    if count > MOST:
        return f"Ranks of more than {MOST} methods: which can be told apart was not tested"
    return (
        f"Ranks are not tested: with so few seeds in common, no two of {count} methods can be told"
        f" apart at 5 %. It takes {needed(count * (count - 1) // 2)} seeds"
    )


def _told_apart(published: list[Row]) -> list[Row]:
    """Return published rows; where two have one name, the name says on which backbone."""
    labels = [row.label for row in published]
    return [
        dataclasses.replace(row, label=f"{row.label}, {row.published_backbone}")
        if labels.count(row.label) > 1
        else row
        for row in published
    ]


# ------------------------------------------------------------------ beneath the main table


def _by_class(rows: list[Row], table: Row | None, notes: list[str]) -> Part | None:
    """Return the IoU of each class, one column a class, as in Table 4 of the CyCADA paper."""
    others = OTHERS[rows[0].metric]
    ours = [name for row in rows for name in row.classes]
    names = list(dict.fromkeys(ours or [name for r in rows for name in r.published_classes]))
    if not others or not (names or any(row.published_others for row in rows)):
        return None
    lines = []
    for row in rows:
        if row.rule is not None:
            values = [row.classes.get(name, {}).get("mean") for name in names]
            values += [row.mean, *(row.others.get(other, {}).get("mean") for other in others)]
            lines.append((method_of(row), *map(tenths, values)))
        if row.published is not None:
            values = [row.published_classes.get(name) for name in names]
            values += [row.published, *(row.published_others.get(other) for other in others)]
            # The same note, and so the same number, as in the main table.
            mark = marker(notes, note) if (note := note_of(row, table)) else ""
            lines.append((f"{row.label} (published){mark}", *map(tenths, values)))
    about = (
        "In per cent: ours are means over the seeds that finished (JSON has each spread), published"
        f" figures stand as printed. {DASH}: the class does not occur, or no figure was printed."
    )
    left_out = _left_out(rows[0].protocol)
    if ours and left_out:
        about += f" mIoU leaves out {', '.join(left_out)}."
    head = ("Method", *names, *(NAMES[metric] for metric in (rows[0].metric, *others)))
    title = "IoU by class" if names else "All scores"
    return Part(title, about, Grid("l" + "r" * (len(head) - 1), head, lines))


def _left_out(protocol: str) -> list[str]:
    """Return the classes that a protocol's mIoU does not average."""
    if protocol not in PROTOCOLS:
        return []
    played = PROTOCOLS[protocol]
    return [name for name in played.classes.names if name not in played.averaged]


def _by_stage(rows: list[Row]) -> Part | None:
    """Return a line for each method of which more than one stage was scored."""
    several = [row for row in rows if len(row.stages) > 1]
    if not several:
        return None
    # The longest first: what others leave out has its place there.
    longest = sorted(several, key=lambda row: -len(row.stages))
    names = list(dict.fromkeys(stage["stage"] for row in longest for stage in row.stages))
    lines = []
    for row in several:
        cells = {s["stage"]: percent(s["mean"], s["std"], 2) for s in row.stages}
        reported = percent(row.mean, row.std, 2)
        lines.append((row.label, *(cells.get(name, "") for name in names), reported))
    head = ("Method", *names, f"reported ({several[0].rule})")
    about = (
        f"{NAMES[several[0].metric]} of each stage's own network on the same test images: a"
        " diagnosis of where a gain comes from. Nothing was chosen by it."
    )
    return Part("Stage by stage", about, Grid("l" + "r" * (len(head) - 1), head, lines))


def _picked(rows: list[Row]) -> Part | None:
    """Return a line a method: what each selection rule would have reported."""
    judged = [row for row in rows if row.picked]
    if not judged:
        return None
    names = _rules(judged)
    lines = [
        (
            method_of(row),
            *(
                percent(row.picked[n].get("mean"), row.picked[n].get("std"), 2)
                if n in row.picked
                else DASH
                for n in names
            ),
        )
        for row in judged
    ]
    about = (
        f"{NAMES[rows[0].metric]} of the checkpoint that each rule would have picked of the same"
        f" runs. {ORACLE} looks at the target's test labels: no other column can be above it."
    )
    head = ("Method", *names)
    title = "What each selection rule would have picked"
    return Part(title, about, Grid("l" + "r" * len(names), head, lines))


def _correlated(rows: list[Row]) -> Part | None:
    """Return rank correlations of rules' scores with figures: within runs, and over runs."""
    judged = [row for row in rows if row.correlation]
    if not judged:
        return None
    names = [name for name in _rules(judged) if any(name in row.correlation for row in judged)]
    lines = [
        (method_of(row), str(row.n), *(_signed(row.correlation.get(name)) for name in names))
        for row in judged
    ]
    fair = [row for row in judged if row.learns_from != "target"]
    pooled = {name: [point for row in fair for point in row.judged.get(name, ())] for name in names}
    over = [
        _signed(rank_correlation([s for s, _ in points], [f for _, f in points]))
        for points in pooled.values()
    ]
    count = str(max((len(points) for points in pooled.values()), default=0))
    if len(fair) > 1:
        lines.append(("over all runs but bounds", count, *over))
    metric = NAMES[rows[0].metric]
    about = (
        f"Spearman's rank correlation, -1 to 1, of a rule's score with the {metric} on the target's"
        " test set. A method's line: over the checkpoints of a run, mean over its runs. The last"
        " line: over the last checkpoints of all runs. A diagnosis: nothing was chosen by it."
    )
    head = ("Method", "Runs", *names)
    title = "How well the rules' scores agree with the truth"
    return Part(title, about, Grid("l" + "r" * (len(names) + 1), head, lines))


def _later(rows: list[Row], notes: list[str]) -> Part | None:
    """Return a line for each figure of later work, with how it was obtained."""
    if not rows:
        return None
    head = ("Method", NAMES[rows[0].metric], "Protocol", "Network", "Initial weights", "Checkpoint")
    about = (
        "As published, in per cent, each under conditions of its own: none is compared with ours."
        " Checkpoint: which one was scored; chosen by test labels, it is an upper bound."
    )
    lines = [later_line_of(row, notes) for row in rows]
    return Part("Later work", about, Grid("lrllll", head, lines))


def _rules(rows: list[Row]) -> list[str]:
    """Return the rules of some rows: `last` first, `oracle` last."""
    names = sorted({name for row in rows for name in row.picked})
    return sorted(names, key=lambda name: (name == ORACLE, name != LAST))


def _signed(rho: float | None) -> str:
    return DASH if rho is None else f"{rho:+.2f}"
