"""The runs and stages of another runs folder come into this one; that one stays as it is."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.evidence import OUTPUTS
from bench.records import read_confusions, read_run
from bench.runs.arrivals import (
    CONFLICT,
    EQUAL,
    KEPT,
    LEFT_OUT,
    NEW,
    REPLACED,
    Arrival,
    absent,
    is_own_name,
)
from bench.runs.differences import differences, spoken
from bench.runs.moving import arriving, run_folders
from bench.runs.occupied import alone_at, at_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.records import Record

STAGES = "stages"
"""The folder of finished stages in a runs folder."""

_DESCRIPTION = "stage.json"
"""What every finished stage has; `bench.stages`, which writes it, would load torch."""

_RANK = {"done": 2, "diverged": 1}
"""A run replaces one of lower rank; statuses that are not named have rank 0."""


def planned(source: Path, runs: Path) -> Iterator[Arrival]:
    """Return what `merge` would do with each run of another runs folder, if nothing changes.

    Raises:
        BenchError: there is no such folder, or it is `runs` itself.
    """
    if not source.is_dir():
        message = f"There is no runs folder '{source}'. Name folders that bench run wrote."
        raise BenchError(message)
    if source.resolve() == runs.resolve():
        message = f"'{source}' is the folder to merge into. Name others."
        raise BenchError(message)
    busy = at_work(source)
    for theirs in run_folders(source):
        if _is_linked(theirs, "run.json", "confusion.npz"):
            yield Arrival(theirs.name, LEFT_OUT, "it is a link, or a result in it is")
        elif theirs.name in busy:
            yield Arrival(theirs.name, LEFT_OUT, f"a process is at work on it in {source}")
        else:
            yield _decided(theirs, runs / theirs.name)


def merge(source: Path, runs: Path, *, stages: bool = True) -> Iterator[Arrival]:
    """Copy the runs of another runs folder, and its finished stages, into this one.

    A finished run replaces one that is not. Two results of one run are a conflict, and neither is
    touched. Runs of studies are left where they are.

    Raises:
        BenchError: as `planned` does; or the runs folder cannot be written.
    """
    for arrival in planned(source, runs):
        coming = arrival.outcome in (NEW, REPLACED)
        yield _merge(source / arrival.name, runs) if coming else arrival
    if stages:
        yield from _merge_stages(source / STAGES, runs / STAGES)


def _merge(theirs: Path, runs: Path) -> Arrival:
    folder = runs / theirs.name
    with alone_at(runs, theirs.name) as alone:
        if not alone:
            return Arrival(theirs.name, LEFT_OUT, f"a process is at work on it in {runs}")
        arrival = _decided(theirs, folder)  # again: now nobody can change ours
        if arrival.outcome not in (NEW, REPLACED):
            return arrival
        before = read_run(theirs)
        try:
            with arriving(folder) as temporary:
                _copy(theirs, temporary)
                _check_unchanged(theirs, before)
                _check_copied(theirs, temporary)
        except _ChangedError as error:
            return Arrival(theirs.name, LEFT_OUT, str(error))
    return arrival


class _ChangedError(Exception):
    """A run changed while it was copied, or did not come whole."""


def _check_unchanged(theirs: Path, before: Record) -> None:
    now: Record | None = None
    with contextlib.suppress(BenchError):
        now = read_run(theirs)
    if now != before or theirs.name in at_work(theirs.parent):
        message = f"a process began to work on it in {theirs.parent}"
        raise _ChangedError(message)


def _check_copied(theirs: Path, copy: Path) -> None:
    try:
        whole = _read(copy) == _read(theirs)
    except BenchError:
        whole = False
    if not whole:
        message = "its record and its result did not come whole"
        raise _ChangedError(message)


def _is_linked(folder: Path, *files: str) -> bool:
    return any(path.is_symlink() for path in (folder, *(folder / name for name in files)))


def _copy(source: Path, target: Path) -> None:
    """Copy a folder's content, but for what killed writers left, and links: runs have none."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [n for n in names if n.startswith(".") or Path(folder, n).is_symlink()]

    shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)


def _decided(theirs: Path, ours: Path) -> Arrival:
    """Return what is to come of a run in another folder."""
    name = theirs.name
    try:
        record, result = _read(theirs)
    except BenchError as error:
        return Arrival(name, LEFT_OUT, str(error))
    if record["run_id"] != name or not is_own_name(record):
        return Arrival(name, LEFT_OUT, "its name is not that of its configuration")
    if not (ours / "run.json").exists():
        return absent(ours)
    try:
        own, own_result = _read(ours)
    except BenchError:
        return Arrival(name, REPLACED, "the one here cannot be read")
    if own["run_id"] != name:
        return Arrival(name, CONFLICT, f"the one here is {own['run_id']} by its record")
    more = (theirs / OUTPUTS).exists() and not (ours / OUTPUTS).exists()
    return _better(own, record, spoken(differences(own_result, result)), more_outputs=more)


def _better(own: Record, record: Record, two: str, *, more_outputs: bool) -> Arrival:
    """Return which of two records of one run stays.

    Args:
        own: of the one here.
        record: of the other.
        two: how their results differ, if both are done.
        more_outputs: whether only the other kept outputs.
    """
    name = own["run_id"]
    statuses = f"the one here is {own['status']}, this one {record['status']}"
    if _RANK.get(record["status"], 0) > _RANK.get(own["status"], 0):
        return Arrival(name, REPLACED, statuses)
    if not own["status"] == record["status"] == "done":
        return Arrival(name, EQUAL if own == record else KEPT, statuses)
    if two:
        return Arrival(name, CONFLICT, f"two results: {two}")
    if more_outputs:
        return Arrival(name, REPLACED, "the one here has the same result, but kept no outputs")
    return Arrival(name, EQUAL)


def _read(folder: Path) -> tuple[Record, dict[str, Any]]:
    """Return a run's record, and its matrices as nested lists by name; {} if it is not done."""
    record = read_run(folder)
    if record["status"] != "done":
        return record, {}
    found = read_confusions(folder)
    return record, {
        "checkpoints": {str(step): m.tolist() for step, m in found.checkpoints.items()},
        "stages": {name: m.tolist() for name, m in found.stages.items()},
    }


def _merge_stages(source: Path, stages: Path) -> Iterator[Arrival]:
    """Copy finished stages that are not here; equal keys are equal stages."""
    for description in sorted(source.glob(f"[!.]*/{_DESCRIPTION}")):
        theirs = description.parent
        if (stages / theirs.name).exists():
            continue
        if _is_linked(theirs, _DESCRIPTION):
            yield Arrival(theirs.name, LEFT_OUT, "this stage is a link, or its description is")
        else:
            with arriving(stages / theirs.name) as temporary:
                _copy(theirs, temporary)
            yield Arrival(theirs.name, NEW)
