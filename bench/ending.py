"""How an attempt at a trial ends: what is recorded of it, and what is kept for the next one."""

from __future__ import annotations

import contextlib
import os
import shutil
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import (
    BenchError,
    ClaimLostError,
    DivergedError,
    MachineError,
    MissingDataError,
    PrunedError,
)
from bench.faults import fault_of
from bench.printable import printable
from bench.records import append_metrics, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.claim import Claim
    from bench.context import Context
    from bench.records import Record

_RESERVE = 64 * 1024
"""Bytes kept for the record of how a run ended, should the disk be full by then."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """A trial that is running, in its folder, which it has claimed."""

    folder: Path
    record: Record
    context: Context
    claim: Claim
    stages: Path


@contextlib.contextmanager
def ending(attempt: Attempt) -> Iterator[None]:
    """Record how the block ends, which may be by anything that a method raises.

    Raises:
        MachineError: the machine gave out, and would so for other trials, too.
        ClaimLostError: another machine is at the trial now, and nothing was recorded.
        MissingDataError, KeyboardInterrupt: if the block raised it.
    """
    try:
        yield
        _close(attempt, "done")
    except ClaimLostError:
        raise
    except KeyboardInterrupt:
        with contextlib.suppress(ClaimLostError):
            _close(attempt, "interrupted", "stopped by the user", keep=True)
        raise
    except MissingDataError as error:
        # No fault of the method's, and once the file is there it goes on: keep what it needs.
        _close(attempt, "interrupted", str(error), keep=True)
        raise
    except PrunedError as error:
        _close(attempt, "pruned", str(error), keep=True)
    except DivergedError as error:
        _close(attempt, "diverged", str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001  a method may raise anything
        _fail(attempt, error)


def _fail(attempt: Attempt, error: BaseException) -> None:
    fault = fault_of(error, attempt.folder, attempt.stages)
    if fault is None:
        _close(attempt, "failed", described(error))
        return
    try:
        _close(attempt, fault.status, fault.reason, keep=True)
    except ClaimLostError:
        raise
    except BenchError as again:
        message = f"{fault.reason} The record of {attempt.folder.name} was left as it is: {again}"
        raise MachineError(message) from error
    if fault.stops:
        raise MachineError(fault.reason) from error


def _close(attempt: Attempt, status: str, error: str | None = None, *, keep: bool = False) -> None:
    """Write how the run ended; unless told to `keep` it, drop what only a resume would need."""
    attempt.claim.check()
    folder, record, context = attempt.folder, attempt.record, attempt.context
    record["stages"] = [
        {
            "name": stage.name,
            "key": stage.key,
            "steps": stage.steps,
            "seconds": round(stage.seconds, 3),
            "stop": stage.stop,
            "cached": stage.cached,
        }
        for stage in context.stages
    ]
    record |= {
        "status": status,
        # A file's name may be no text, and the record must stay readable.
        "error": None if error is None else printable(error, "\n"),
        "events": context.events,
        "nondeterministic": context.nondeterministic,
        "steps": context.steps_taken,
        "seconds": round(context.seconds, 3),
        "finished": now(),
    }
    if status not in ("interrupted", "pruned"):
        (folder / "metrics.jsonl").unlink(missing_ok=True)
        for stage in context.stages:
            log = stage.folder / "metrics.jsonl"
            with contextlib.suppress(FileNotFoundError):  # somebody deleted the stage
                append_metrics(folder, log.read_text(encoding="utf-8").splitlines())
        append_metrics(folder, context.unfinished_log)
        append_metrics(folder, context.unstaged_log)
    if not keep:
        shutil.rmtree(folder / "work", ignore_errors=True)
    try:
        write_run(folder, record)
    except BenchError:
        if not _give_reserve(folder):
            raise
        write_run(folder, record)


def reserve(folder: Path) -> None:
    """Keep some room on the disk for the record of how the run in `folder` ended."""
    path = folder / "work" / "reserve"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.stat().st_size < _RESERVE:
        path.write_bytes(os.urandom(_RESERVE))  # not zeros: they may take no room


def _give_reserve(folder: Path) -> bool:
    """Make room on a full disk; say whether there was any to make."""
    try:
        (folder / "work" / "reserve").unlink()
    except OSError:
        return False
    return True


def described(error: BaseException) -> str:
    """Return one line for a method's exception: what, and where in the method's code."""
    if isinstance(error, BenchError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = frames[-1]
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    return f"{what} ({Path(place.filename).name}, line {place.lineno})"


def now() -> str:
    """Return the time, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
