"""What is left of a job whose worker died."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.records import read_run, write_run
from bench.runs.occupied import alone_at

if TYPE_CHECKING:
    from pathlib import Path

    from bench.executors import Outcome
    from bench.executors.order import Job


def lost(job: Job, runs: Path, run_id: str | None, reason: str) -> Outcome:
    """Return the outcome of a job whose worker died; say so in its record, too.

    What the run had saved stays: another attempt goes on from there.
    """
    record: dict[str, Any] = {}
    if run_id is not None:
        # Unless another command is at it already.
        with contextlib.suppress(BenchError), alone_at(runs, run_id) as alone:
            record = read_run(runs / run_id)
            if alone and record["status"] == "running":
                record |= {"status": "failed", "error": reason}
                write_run(runs / run_id, record)
    return {
        "place": job.place,
        "run_id": run_id,
        "method": job.method,
        "settings": record.get("config", {}).get("settings", {}),
        "shift": job.shift,
        "seed": job.seed,
        "status": "failed",
        "metrics": {},
        "error": reason,
        "seconds": record.get("seconds", 0.0),
        "reused": False,
    }
