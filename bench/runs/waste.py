"""What of a runs folder is of no more use, and how to be rid of it."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from bench.claim import claims, is_locked
from bench.errors import BenchError
from bench.records import BROKEN, read_run
from bench.runs.merging import STAGES
from bench.runs.moving import ARRIVING, LEAVING, remove, run_folders
from bench.runs.occupied import LOCKS, alone_at, at_work

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

STOPPED = "stopped"
"""Status of a run whose record says "running" although nobody is at it."""

USELESS = ("failed", "pruned")
"""Statuses of runs that go unless others are asked for; with others, a command may go on."""

_SETTLED = ("done", "diverged", *USELESS)
"""Statuses of runs whose records name all stages that they need."""

STUDIES = "studies"
"""The folder in which `bench tune` keeps runs folders, one a study."""

HEAVY = ("checkpoints", "outputs.safetensors", "predictions")
"""What of a finished run only new rules and new pictures need."""

YOUNG = 3600.0
"""Seconds for which a temporary file may still be somebody's on another machine."""

_TEMPORARY = re.compile(r"\.(?P<name>.+(?P<suffix>\.[^.]+))\.[a-z0-9_]{8}(?P=suffix)")
"""What `bench.files.atomic_path` calls what it has not finished."""


@dataclass(frozen=True)
class Waste:
    """Something to delete.

    Attributes:
        kind: "run", "heavy", "stage", "damaged stage", "temporary" or "lock".
        path: what it is, and what else goes with it in `more`.
        why: it is of no more use.
        more: further paths.
    """

    kind: str
    path: Path
    why: str
    more: tuple[Path, ...] = field(default=())

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that goes."""
        return (self.path, *self.more)


def status_of(folder: Path, busy: Collection[str]) -> str:
    """Return a run's status; `STOPPED` and `BROKEN` where its record cannot know."""
    try:
        status: str = read_run(folder)["status"]
    except BenchError:
        return BROKEN
    return STOPPED if status == "running" and folder.name not in busy else status


def find(
    runs: Path,
    statuses: Collection[str] = USELESS,
    *,
    stages: bool = True,
    heavy: bool = False,
    studies: bool = False,
) -> list[Waste]:
    """Return what of a runs folder can go. Never what a living process is at, nor behind a link.

    Args:
        runs: the runs folder.
        statuses: of runs that go.
        stages: whether stages go that no run refers to that stays, here or in a study. None goes
            while a run stays that is `unsettled`.
        heavy: whether finished runs that stay lose their `HEAVY` parts.
        studies: whether runs of studies go, too.
    """
    every = [runs, *_studies(runs)]
    places = every if studies else [runs]
    found = [each for place in places for each in _of_place(place, statuses, heavy=heavy)]
    if stages and not any(at_work(place) for place in every):
        gone = {each.path for each in found if each.kind == "run"}
        found += _stages(runs / STAGES, _needed(runs, gone))
    return [each for each in found if all(_is_inside(path, runs) for path in each.paths)]


def unsettled(runs: Path, gone: Collection[Path] = ()) -> list[Path]:
    """Return the runs that may come to need any stage: unfinished, or with a broken record.

    A record names the stages of its run once that has ended.

    Args:
        runs: the runs folder; studies in it are looked at, too.
        gone: run folders that do not count.
    """
    return [f for f in _staying(runs, gone) if status_of(f, ()) not in _SETTLED]


def delete(waste: Waste, statuses: Collection[str] = USELESS) -> bool:
    """Delete it, unless somebody has come to need it since it was found; say whether it went.

    Args:
        waste: what `find` returned.
        statuses: what it was given.

    Raises:
        BenchError: the file system does not let it.
    """
    try:
        if waste.kind == "lock":
            return _delete_lock(waste)
        if waste.kind in ("run", "heavy"):
            folder = waste.path if waste.kind == "run" else waste.path.parent
            return _delete_alone(folder, waste, statuses)
        if waste.kind in ("stage", "damaged stage"):
            return _delete_stage(waste)
        _remove_all(waste.paths)
    except OSError as error:
        message = f"cannot delete {waste.path}: {error.strerror}. What is left of it is unharmed."
        raise BenchError(message) from error
    return True


def size(paths: Iterable[Path]) -> int:
    """Return the bytes that deleting these frees: a file that is linked elsewhere, too, stays."""
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    for path in paths:
        for each in (path, *path.rglob("*")):
            with contextlib.suppress(OSError):
                stat = each.lstat()
                key = (stat.st_dev, stat.st_ino)
                seen = found.get(key, (0, 0, 0))[0] + 1
                found[key] = (seen, stat.st_nlink, 0 if each.is_dir() else stat.st_size)
    return sum(bytes_ for seen, links, bytes_ in found.values() if seen >= links)


# ------------------------------------------------------------------ finding


def _studies(runs: Path) -> list[Path]:
    return sorted(path for path in (runs / STUDIES).glob("[!.]*") if path.is_dir())


def _of_place(place: Path, statuses: Collection[str], *, heavy: bool) -> Iterator[Waste]:
    """Yield the waste of one runs folder, but for its stages."""
    busy = at_work(place)
    for folder in run_folders(place):
        if folder.name in busy:
            continue
        status = status_of(folder, busy)
        if status in statuses:
            yield Waste("run", folder, status)
            continue
        parts = [folder / name for name in HEAVY if (folder / name).exists()]
        if heavy and status == "done" and parts:
            yield Waste("heavy", parts[0], "done", tuple(parts[1:]))
        yield from _temporary(folder.rglob(".*"), _is_written)
    yield from _temporary(place.glob(".*"), _is_ours)
    yield from _locks(place / LOCKS)


def _is_ours(name: str) -> bool:
    found = _TEMPORARY.fullmatch(name)
    return name.startswith((ARRIVING, LEAVING)) or (
        found is not None and found["name"] == "leaderboard.md"
    )


def _is_written(name: str) -> bool:
    return _is_ours(name) or bool(_TEMPORARY.fullmatch(name))


def _temporary(paths: Iterable[Path], ours: Callable[[str], bool]) -> Iterator[Waste]:
    """Yield what a killed writer left behind."""
    for path in sorted(paths):
        with contextlib.suppress(OSError):
            if ours(path.name) and time.time() - path.lstat().st_mtime > YOUNG:
                yield Waste("temporary", path, "its writer was killed")


def _locks(folder: Path) -> Iterator[Waste]:
    """Yield locks and claims of nobody."""
    alive = {seen.name for seen in claims(folder) if seen.alive}
    for name in sorted({path.stem for path in folder.glob("[!.]*")}):
        both = [folder / f"{name}{suffix}" for suffix in (".lock", ".claim")]
        there = [path for path in both if path.exists()]
        if there and name not in alive and not is_locked(both[0]):
            yield Waste("lock", there[0], "nobody has it", tuple(there[1:]))


def _stages(folder: Path, needed: set[str] | None) -> Iterator[Waste]:
    """Yield stages that nothing needs, none if that is None, and what was set aside."""
    if any(seen.alive for seen in claims(folder / LOCKS)):
        return
    for path in sorted(folder.glob("[!.]*")):
        if path.name.startswith("damaged-"):
            yield Waste("damaged stage", path, "it was set aside")
        elif needed is not None and path.is_dir() and path.name not in {LOCKS, *needed}:
            yield Waste("stage", path, "no run that stays refers to it")
    yield from _temporary(folder.glob(".*"), _is_ours)
    yield from _locks(folder / LOCKS)


def _staying(runs: Path, gone: Collection[Path]) -> list[Path]:
    places = (runs, *_studies(runs))
    return [f for place in places for f in run_folders(place) if f not in gone]


def _needed(runs: Path, gone: Collection[Path] = ()) -> set[str] | None:
    """Return the keys of the stages that runs refer to; None if one may come to need any."""
    try:
        records = [read_run(folder) for folder in _staying(runs, gone)]
    except BenchError:
        return None
    if any(record["status"] not in _SETTLED for record in records):
        return None
    return {str(stage.get("key")) for record in records for stage in record["stages"]}


def _is_inside(path: Path, runs: Path) -> bool:
    """Say whether a path lies in the runs folder, and neither it nor a folder above is a link."""
    return path.resolve() == runs.resolve() / path.relative_to(runs)


# ------------------------------------------------------------------ deleting


def _delete_alone(folder: Path, waste: Waste, statuses: Collection[str]) -> bool:
    """Delete a run or its parts while nobody else can be at it."""
    with alone_at(folder.parent, folder.name) as alone:
        # Our own claim is in the folder of locks: the record alone says whether it was taken up.
        status = status_of(folder, ())
        if not alone or (status not in statuses if waste.kind == "run" else status != "done"):
            return False
        _remove_all(waste.paths)
    if waste.kind == "run":
        _delete_lock(Waste("lock", folder.parent / LOCKS / f"{folder.name}.lock", "its run went"))
    return True


def _delete_stage(waste: Waste) -> bool:
    """Delete a stage while nobody can compute it, unless a run has begun that may use it."""
    stages, name = waste.path.parent, waste.path.name
    runs = stages.parent
    with alone_at(stages, name) as alone:
        if not alone or any(at_work(place) for place in (runs, *_studies(runs))):
            return False
        if at_work(stages).keys() - {name}:
            return False
        needed = set() if waste.kind == "damaged stage" else _needed(runs)
        if needed is None or name in needed:
            return False
        _remove_all(waste.paths)
    _delete_lock(Waste("lock", stages / LOCKS / f"{name}.lock", "its stage went"))
    return True


def _remove_all(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # what it lay in went before
            remove(path)


def _delete_lock(waste: Waste) -> bool:
    """Delete a lock while it is held: whoever waits for the file finds it gone, and makes one."""
    lock = FileLock(waste.path.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    try:
        for path in waste.paths:
            path.unlink(missing_ok=True)
        Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()
    return True
