"""Exported records become run folders again; and what is said of any run that comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.digest import digest_of
from bench.errors import BenchError
from bench.records import confusions_of, export, load_records, write_confusions, write_run
from bench.runs.differences import differences, spoken
from bench.runs.moving import arriving
from bench.runs.occupied import alone_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from bench.records import Record

NEW, EQUAL, KEPT, REPLACED = "new", "equal", "kept", "replaced"
"""Outcomes: it was not here; it is here; the one here is as good; the one here was not finished."""

CONFLICT, LEFT_OUT = "conflict", "left out"
"""Outcomes that the user has to look at: another one is here; it cannot be taken now."""


@dataclass(frozen=True)
class Arrival:
    """What came, or will come, of a run or stage: its name, an outcome, and why."""

    name: str
    outcome: str
    why: str = ""


def import_records(paths: Iterable[Path], runs: Path) -> Iterator[Arrival]:
    """Make run folders of exported records. A run that is here already is never changed.

    Raises:
        BenchError: a file cannot be read, or two of its records contradict each other: nothing
            was written. Or the runs folder cannot be written.
    """
    for record in load_records(paths)["record"]:
        yield _import(dict(record), runs)


def _import(record: Record, runs: Path) -> Arrival:
    run_id, folder = record["run_id"], runs / record["run_id"]
    if not is_own_name(record):
        return Arrival(run_id, LEFT_OUT, "its id is not that of its configuration")
    with alone_at(runs, run_id) as alone:
        if not alone:
            return Arrival(run_id, LEFT_OUT, "a process is at work on it")
        if (folder / "run.json").exists():
            return _compared(record, folder)
        arrival = absent(folder)
        if arrival.outcome != NEW:
            return arrival
        confusions = confusions_of(record, None)
        with arriving(folder) as temporary:
            write_run(temporary, {k: v for k, v in record.items() if k != "confusion"})
            if record["status"] == "done" or confusions.checkpoints or confusions.stages:
                write_confusions(temporary, confusions)
    return arrival


def absent(folder: Path) -> Arrival:
    """Return what is to come of a run that is not here: what else has its name stays."""
    if folder.exists() or folder.is_symlink():
        return Arrival(folder.name, LEFT_OUT, "something else has its name here: it is no run")
    return Arrival(folder.name, NEW)


def is_own_name(record: Record) -> bool:
    """Say whether the id is what names this configuration, and can name a folder."""
    config, run_id = record["config"], record["run_id"]
    start = f"{config['method']}-{config['shift']['name']}-{config['seed']}"
    safe = not run_id.startswith(".") and not set(run_id) & set("/\\\0")
    return safe and run_id == f"{start}-{digest_of(config)[:12]}"


def _compared(record: Record, folder: Path) -> Arrival:
    """Return what an exported record has to do with the run of the same name that is here."""
    try:
        ours = export(folder)
    except BenchError as error:
        return Arrival(folder.name, CONFLICT, f"the one here cannot be read: {error}")
    found = list(differences(ours, record))
    if not found:
        return Arrival(folder.name, EQUAL)
    return Arrival(folder.name, CONFLICT, f"the one here differs: {spoken(found)}")
