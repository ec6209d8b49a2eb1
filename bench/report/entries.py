"""The list of runs in a page, and how much of each there is room for.

`BUDGET` is spent on the *core* of every run first (`bench.report.details` says what that is), then
on *logs*, last on *pictures*, each from the top of the list down. The list is newest first, or has
the runs that were asked for, in the order in which they were.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, unknown
from bench.groups import distinct_labels, groups, label_of
from bench.headline import ranked_by
from bench.report import details
from bench.report.text import visible
from bench.stored import Run, brief_of
from bench.tables.cells import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from bench.select import Rule
    from bench.suites import Suite

BUDGET = 6_500_000
"""Bytes of all details in a page. Of 1,000 runs the rest is below 3 MB, 2 MB of it Plotly."""

FOR_PICTURES = 1_000_000
"""Bytes of it that are kept from logs."""

LISTED = 2_000
"""Runs in a list at most."""


@dataclass(eq=False)
class Entry:
    """One run in the list.

    Attributes:
        run_id: its name.
        label: of the leaderboard's row in which it counts; "" if its record cannot be read.
        status: one of `bench.records.STATUSES`, or "broken".
        error: why it did not finish, or "".
        run: its record and folder; None if the record cannot be read.
        config: its configuration; {} likewise.
        started: when it began; "" likewise.
        suite: as in ``--suite``; None if no suite that the page knows has its shift.
        rows: that suite.
        figure: per cent, with the name of the metric, or "".
        parts: "core", "log" and "pictures", packed, as far as there is room.
    """

    run_id: str
    label: str
    status: str
    error: str
    run: Run | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    suite: str | None = None
    rows: Suite | None = None
    figure: str = ""
    parts: dict[str, str] = field(default_factory=dict)


def entries(frame: pd.DataFrame, suites: Mapping[str, Suite]) -> list[Entry]:
    """Return all runs of a frame, the newest first; `suites` by what ``--suite`` calls them."""
    rows: dict[str, tuple[str, str | None, Suite | None]] = {}
    for spec, suite in suites.items():
        found = groups(frame, suite)
        for group, label in zip(found, distinct_labels(found), strict=True):
            for run in group.runs.values():
                rows.setdefault(brief_of(run.record).run_id, (label, spec, suite))
    result = []
    columns = (frame[name] for name in ("run_id", "status", "error", "record", "folder"))
    for run_id, status, error, record, folder in zip(*columns, strict=True):
        entry = Entry(str(run_id), "", str(status), str(error or ""))
        if record is not None:
            entry.run = Run(record, folder)
            brief = brief_of(record)
            entry.config = brief.config | {"seed": brief.seed}
            entry.started = brief.started
            row = rows.get(brief.run_id) or (label_of(entry.config, ()), None, None)
            entry.label, entry.suite, entry.rows = row
        result.append(entry)
    return sorted(result, key=lambda entry: (entry.started, entry.run_id), reverse=True)


def named_only(every: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """Return the runs that are meant by ids, or by how their ids begin, in the order of `names`.

    Raises:
        BenchError: a name means no run, or more than one.
    """
    by_id = {entry.run_id: entry for entry in every}
    chosen: dict[str, Entry] = {}
    for name in names:
        found = [name] if name in by_id else [known for known in by_id if known.startswith(name)]
        if not found:
            raise unknown("run", name, by_id)
        if len(found) > 1:
            raise BenchError(
                f"'{name}' could be {len(found)} runs: {', '.join(sorted(found))}."
                " Write more of the id."
            )
        chosen[found[0]] = by_id[found[0]]
    return list(chosen.values())


# ------------------------------------------------------------------ what there is room for


def fill(listed: Sequence[Entry], rules: Sequence[Rule]) -> dict[str, int]:
    """Give every run its details, as far as there is room; say for how many there was none.

    Args:
        listed: runs in the order of the list; their `figure` is that of the first rule.
        rules: whose choices are marked among a run's checkpoints.
    """
    readable = [(entry, entry.run) for entry in listed if entry.run is not None]
    room = BUDGET
    for entry, run in readable:
        score = details.figure(run, rules[0])
        metric = NAMES[ranked_by(entry.config["shift"])]
        entry.figure = f"{metric} {score} %" if score else ""
        entry.parts["core"] = pack(details.core(run, entry.suite, entry.rows, rules))
        room -= len(entry.parts["core"])
    room, no_log = _spend(room - FOR_PICTURES, readable, "log", details.log)
    _, no_pictures = _spend(room + FOR_PICTURES, readable, "pictures", details.pictures)
    return {"log": no_log, "pictures": no_pictures}


def _spend(
    room: int,
    readable: Sequence[tuple[Entry, Run]],
    name: str,
    make: Callable[[Run], object],
) -> tuple[int, int]:
    """Give runs a part, from the first on, until one does not fit; return room left, runs left."""
    for place, (entry, run) in enumerate(readable):
        packed = pack(make(run))
        if len(packed) > room:
            return room, sum(other.folder is not None for _, other in readable[place:])
        entry.parts[name] = packed
        room -= len(packed)
    return room, 0


def pack(value: object) -> str:
    """Return JSON, compressed, as text: a fifth of its size, and without any markup.

    >>> pack([1]) == pack((1,))
    True
    """
    text = json.dumps(visible(value), separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")
