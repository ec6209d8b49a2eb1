"""Many trials: resolve a request, find the data, skip what is done, run the rest, tabulate."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench import leaderboard, loggers, plugins
from bench.files import write_text
from bench.groups import scores
from bench.progress import Progress
from bench.records import load_runs
from bench.stored import Run
from bench.trials import (
    Materials,
    available,
    check_writable,
    choose_device,
    make_trial,
    own_threads,
    resolved,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from bench.material import Material
    from bench.records import Record
    from bench.request import Request
    from bench.run import Trial


@dataclass(eq=False)
class Report:
    """What a sweep did.

    Attributes:
        outcomes: one dict a trial: run_id, method, shift, seed, status, metrics, error.
        left_out: a sentence for each shift left out for lack of data, and for each pair of files
            that a domain leaves out because their sizes differ.
        markdown: the leaderboard.
        path: where it was written.
    """

    outcomes: list[dict[str, Any]]
    left_out: list[str]
    markdown: str
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
    return [
        {
            "suite": suite.name,
            "method": row.label,
            "shift": shift.name,
            "seed": seed,
            "preset": request.preset,
            "settings": row.settings(request.preset, shift),
        }
        for shift in shifts
        for seed in request.seeds
        for row in rows
    ]


def sweep(request: Request) -> Report:
    """Run every trial of the request that is not done yet, and write the leaderboard.

    Raises:
        BenchError: a name or value is wrong, or the runs folder cannot be written.
        MissingDataError: data is missing, before any training; unless `skip_missing`.
    """
    suite, shifts, rows = resolved(request)
    # A shift of another suite that was asked for belongs in the table, too.
    suite = replace(suite, shifts=tuple(dict.fromkeys((*suite.shifts, *shifts))))
    for folder in (request.runs, request.out or request.runs):
        check_writable(folder)
    shifts, left_out = available(shifts, request)
    device = choose_device(request.device)
    from bench.run import finished_run  # noqa: PLC0415  torch, after mistakes have been answered

    threads = request.threads or own_threads()
    materials = Materials(request, device)
    outcomes: list[dict[str, Any]] = []
    total = len(shifts) * len(request.seeds) * len(rows)
    with Progress(total) as progress:
        for shift in shifts:
            # Seed by seed, so that methods share stages even if the command is stopped early.
            for seed, row in itertools.product(request.seeds, rows):
                trial, material = make_trial(row, shift, seed, materials)
                with loggers.Log(request.log, request.runs / trial.config.run_id) as log:
                    record = finished_run(request.runs / trial.config.run_id)
                    if record is None:
                        record = _run(trial, material, request, device, threads, progress, log)
                    outcome = _outcome(record, request)
                    log.finish(record["steps"], outcome["metrics"], request.rule)
                outcomes.append(outcome)
                progress.finish_trial(outcome)
            materials.forget(shift)
    rows_of_table = leaderboard.rows(load_runs(request.runs), suite, request.rule)
    markdown = leaderboard.render(rows_of_table, "md")
    path = (request.out or request.runs) / "leaderboard.md"
    write_text(path, markdown)
    return Report(outcomes, left_out, markdown, path)


def _run(
    trial: Trial,
    material: Material,
    request: Request,
    device: torch.device,
    threads: int,
    progress: Progress,
    log: loggers.Log,
) -> Record:
    from bench.run import run_trial  # noqa: PLC0415  torch

    config = trial.config
    title = f"{config.method} {config.shift['name']} seed {config.seed}"
    return run_trial(
        trial,
        material,
        runs=request.runs,
        device=device,
        threads=threads,
        on_step=progress.stepper(title),
        on_log=log.line,
    )


def _outcome(record: Record, request: Request) -> dict[str, Any]:
    metrics: Mapping[str, float | None] = {}
    if record["status"] == "done":
        run = Run(record, request.runs / record["run_id"])
        metrics = scores(run, plugins.load_rule(request.rule)).figures
    return {
        "run_id": record["run_id"],
        "method": record["config"]["method"],
        "settings": record["config"]["settings"],
        "shift": record["config"]["shift"]["name"],
        "seed": record["config"]["seed"],
        "status": record["status"],
        "metrics": metrics,
        "error": record["error"],
        "seconds": record["seconds"],
    }
