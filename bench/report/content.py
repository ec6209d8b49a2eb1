"""What a page says, as plain data: leaderboards, comparisons, and a list of runs."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pandas as pd

from bench import leaderboard, plugins
from bench.confusions import packed
from bench.errors import BenchError
from bench.records import confusions_of
from bench.report.boards import Board, boards
from bench.report.contests import Contest, contests
from bench.report.entries import LISTED, Entry, entries, fill, named_only
from bench.stored import Stored, brief_of
from bench.tables.layout import legends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.records import Record
    from bench.suites import Suite

Key = tuple[str, str, str]
"""A shift's name, source and target."""


@dataclass(frozen=True)
class Content:
    """All that the page's template needs.

    Attributes:
        suites: names of the suites that the page is of.
        legends: how to read the leaderboards.
        boards: the leaderboards.
        contests: comparisons of methods.
        entries: the listed runs.
        total: how many runs there are, listed or not.
        left_out: by part of a run's details, how many listed runs there was no room for.
        versions: of the programs that made the runs: one sentence each.
        elsewhere: shifts of runs that no suite of the page has.
        named: whether only runs that were asked for are listed.
    """

    suites: list[str]
    legends: list[str]
    boards: list[Board]
    contests: list[Contest]
    entries: list[Entry]
    total: int
    left_out: dict[str, int]
    versions: list[str]
    elsewhere: list[str]
    named: bool

    @property
    def statuses(self) -> dict[str, int]:
        """How many listed runs ended how."""
        return dict(Counter(sorted(entry.status for entry in self.entries)))

    @property
    def shifts(self) -> list[str]:
        """All shifts of leaderboards and listed runs; likewise `presets` and `rules`."""
        listed = [entry.config["shift"]["name"] for entry in self.entries if entry.run]
        return list(dict.fromkeys([*(board.shift for board in self.boards), *listed]))

    @property
    def presets(self) -> list[str]:
        """See `shifts`."""
        listed = [entry.config["preset"] for entry in self.entries if entry.run]
        return list(dict.fromkeys([*(b.preset for b in self.boards if b.preset), *listed]))

    @property
    def rules(self) -> list[str]:
        """See `shifts`."""
        return list(dict.fromkeys(board.rule for board in self.boards if board.rule))


def content(
    frame: pd.DataFrame,
    suite: str | None = None,
    rules: Sequence[str] = ("last",),
    named: Sequence[str] = (),
) -> Content:
    """Return what a page of some runs says.

    Args:
        frame: runs, as `bench.records.load_runs` and `load_records` return them.
        suite: as in ``--suite``; None for all installed suites that have any of the runs.
        rules: names of selection rules; each has leaderboards of its own.
        named: ids of runs, or how they begin: the list then has only these, in this order.

    Raises:
        BenchError: a name is wrong, or one run stands in the frame twice.
    """
    loaded = [plugins.load_rule(rule) for rule in rules]
    keys = [_key(record) for record in frame["record"]]
    suites = (
        {suite: plugins.load_suite(suite)}
        if suite is not None
        else _suites_of({key for key in keys if key})
    )
    known = {key for each in suites.values() for key in _keys(each)}
    elsewhere = sorted({key[0] for key in keys if key and key not in known})
    if suite is not None:
        # An unreadable record has no shift: it may be of this suite, and is never dropped.
        frame = frame[[key is None or key in known for key in keys]]
    frame = _with_matrices(frame)
    tables = [
        (spec, each, rule, leaderboard.rows(frame, each, rule))
        for spec, each in suites.items()
        for rule in rules
    ]
    every = entries(frame, suites)
    listed = named_only(every, named) if named else every[:LISTED]
    return Content(
        suites=[each.name for each in suites.values()],
        legends=legends([row for *_, rows in tables for row in rows]),
        boards=[board for *_, rows in tables for board in boards(rows)],
        contests=[
            c for spec, each, rule, rows in tables for c in contests(frame, spec, each, rule, rows)
        ],
        left_out=fill(listed, loaded),
        entries=listed,
        total=len(every),
        versions=list(_versions(frame)),
        elsewhere=elsewhere,
        named=bool(named),
    )


def _with_matrices(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with finished runs' matrices in their records: they are used ten times.

    Of more runs than a page lists they are not kept, which would take gigabytes.
    """
    if len(frame) > LISTED:
        return frame
    records = []
    for record, folder in zip(frame["record"], frame["folder"], strict=True):
        found = record
        if record is not None and brief_of(record).status == "done":
            with contextlib.suppress(BenchError):  # whoever uses the matrices says what is wrong
                matrices = packed(confusions_of(record, folder))
                brief = brief_of(record)._replace(matrices=matrices)
                found = Stored(orjson.dumps(dict(record)), brief)
        records.append(found)
    return frame.assign(record=pd.Series(records, index=frame.index, dtype=object))


def _suites_of(keys: set[Key]) -> dict[str, Suite]:
    """Return the installed suites that have these shifts, without one whose shifts others have."""
    found, missing = {}, set(keys)
    for name in plugins.names("suite"):
        suite = plugins.load_suite(name)
        if missing & _keys(suite):
            found[name] = suite
            missing -= _keys(suite)
    return found


def _keys(suite: Suite) -> set[Key]:
    return {(shift.name, shift.source, shift.target) for shift in suite.shifts}


def _key(record: Record | None) -> Key | None:
    if record is None:
        return None
    shift = brief_of(record).config["shift"]
    return shift["name"], shift["source"], shift["target"]


def _versions(frame: pd.DataFrame) -> Iterator[str]:
    """Yield what made the runs: each program with all versions of it."""
    found: dict[str, set[str]] = {}
    for record in frame["record"]:
        for name, version in (record or {}).get("environment", {}).items():
            found.setdefault(str(name), set()).add(str(version))
    for name in ("cycada-bench", "torch", "torchvision", "numpy", "python"):
        if name in found:
            yield f"{name} {', '.join(sorted(found[name]))}"
