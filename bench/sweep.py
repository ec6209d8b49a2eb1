"""Many trials: resolve a request, find the data, hand the trials to an executor, tabulate."""

from __future__ import annotations

import itertools
import uuid
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench import executors, leaderboard
from bench.executors.order import Job, Order
from bench.files import write_text
from bench.progress import Progress
from bench.records import load_runs
from bench.trials import available, check_device, check_writable, resolved
from bench.world import first_alone, rank

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.executors import Outcome
    from bench.request import Request
    from bench.suites import Shift
    from bench.trials import Row


@dataclass(eq=False)
class Report:
    """What a sweep did.

    Attributes:
        outcomes: one dict a trial: run_id, method, shift, seed, status, metrics, error.
        left_out: a sentence for each shift left out for lack of data, and for each pair of files
            that a domain leaves out because their sizes differ.
        text: the leaderboard in brief.
        path: where the whole leaderboard was written, as Markdown.
    """

    outcomes: list[Outcome]
    left_out: list[str]
    text: str
    path: Path
    failed: bool = field(init=False)

    def __post_init__(self) -> None:
        """Note whether any trial did not end well."""
        self.failed = any(outcome["status"] != "done" for outcome in self.outcomes)


def plan(request: Request) -> list[dict[str, Any]]:
    """Return what `sweep` would run, without reading data: method, shift, seed, preset, settings.

    Raises:
        BenchError: a name or a value in the request is wrong.
    """
    suite, shifts, rows = resolved(request)
    executors.name_of(request)
    # Once a shift and row, not once a seed: a plan of 10,000 trials must not take a minute.
    settings = {
        (shift.name, number): row.settings(request.preset, shift)
        for shift in shifts
        for number, row in enumerate(rows)
    }
    return [
        {
            "suite": suite.name,
            "method": rows[job.row].label,
            "shift": job.shift,
            "seed": job.seed,
            "preset": request.preset,
            "settings": settings[job.shift, job.row],
        }
        for job in _jobs(shifts, request.seeds, rows)
    ]


def sweep(request: Request) -> Report:
    """Run every trial of the request that is not done yet, and write the leaderboard.

    Raises:
        BenchError: a name or value is wrong, or the runs folder cannot be written.
        MissingDataError: data is missing, before any training; unless `skip_missing`.
    """
    suite, shifts, rows = resolved(request)
    executor = executors.name_of(request)
    # A shift of another suite that was asked for belongs in the table, too.
    suite = replace(suite, shifts=tuple(dict.fromkeys((*suite.shifts, *shifts))))
    for folder in (request.runs, request.out or request.runs):
        check_writable(folder)
    if executor != "ray":  # there the devices are elsewhere
        check_device(request.device)
    if rank():
        request = replace(request, log=None)
    shifts, left_out = first_alone(lambda: available(shifts, request), "the data")
    outcomes = _run(request, executor, list(_jobs(shifts, request.seeds, rows)))
    rows_of_table = leaderboard.rows(load_runs(request.runs), suite, request.rule)
    path = (request.out or request.runs) / "leaderboard.md"
    if rank() == 0:
        write_text(path, leaderboard.render(rows_of_table, "md"))
    return Report(outcomes, left_out, leaderboard.render(rows_of_table, "text"), path)


def _jobs(shifts: Sequence[Shift], seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Job]:
    """Yield the trials seed by seed, so that methods share stages even if stopped early."""
    plan = itertools.product(shifts, seeds, enumerate(rows))
    for place, (shift, seed, (number, row)) in enumerate(plan):
        yield Job(place, shift.name, seed, number, row.loaded.name)


def _run(request: Request, executor: str, jobs: list[Job]) -> list[Outcome]:
    """Return what came of every job, in the order of the plan."""
    request = replace(request, command=uuid.uuid4().hex)
    run = executors.load(executor)
    outcomes: list[Outcome] = []
    # Closed, whatever happens: nothing may go on after the command has ended.
    with Progress(len(jobs)) as progress, closing(run(request, Order(jobs), progress)) as ended:
        for outcome in ended:
            outcomes.append(outcome)
            progress.finish_trial(outcome)
    ordered = sorted(outcomes, key=lambda outcome: outcome["place"])
    passing = ("place", "reused")  # of this command, and not of the trial
    return [{k: v for k, v in outcome.items() if k not in passing} for outcome in ordered]
