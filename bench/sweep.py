"""Many trials: resolve a request, find the data, skip what is done, run the rest, tabulate."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import backbones, hyperparameters, leaderboard, plugins
from bench.config import RunConfig
from bench.data import manage
from bench.data.domain import Scenes
from bench.errors import BenchError, MissingDataError, unknown
from bench.files import write_text
from bench.groups import Run, scores
from bench.progress import Progress
from bench.records import load_runs
from bench.suites import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import torch

    from bench.data.assemble import LearnsFrom
    from bench.material import Material
    from bench.plugins import LoadedMethod
    from bench.records import Record
    from bench.request import Request
    from bench.run import Trial
    from bench.suites import Shift, Suite
    from bench.task import Task

BUDGETS = {"smoke": 1_000, "fast": 20_000, "paper": 1_000_000}
"""Training steps a trial may take, by preset; ``--budget`` changes it."""


@dataclass(frozen=True)
class Row:
    """One row of the table to be: a method with its settings, as the request asks for it."""

    label: str
    loaded: LoadedMethod
    asked: dict[str, Any]

    def settings(self, preset: str, shift: Shift) -> dict[str, Any]:
        """Return what differs from the preset, which may be another for each task."""
        return hyperparameters.differing(self.loaded.cls, preset, self.asked, shift.task)


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
    suite, shifts, rows = _resolved(request)
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
    suite, shifts, rows = _resolved(request)
    # A shift of another suite that was asked for belongs in the table, too.
    suite = replace(suite, shifts=tuple(dict.fromkeys((*suite.shifts, *shifts))))
    for folder in (request.runs, request.out or request.runs):
        _check_writable(folder)
    shifts, left_out = _available(shifts, request)
    device = choose_device(request.device)
    from bench.run import finished_run  # noqa: PLC0415  torch, after mistakes have been answered

    threads = request.threads or _own_threads()
    outcomes: list[dict[str, Any]] = []
    total = len(shifts) * len(request.seeds) * len(rows)
    with Progress(total) as progress:
        for shift in shifts:
            for trial, material in _trials(shift, rows, request, device):
                record = finished_run(request.runs / trial.config.run_id)
                if record is None:
                    record = _run(trial, material, request, device, threads, progress)
                outcome = _outcome(record, request)
                outcomes.append(outcome)
                progress.finish_trial(outcome)
    rows_of_table = leaderboard.rows(load_runs(request.runs), suite, request.rule)
    markdown = leaderboard.render(rows_of_table, "md")
    path = (request.out or request.runs) / "leaderboard.md"
    write_text(path, markdown)
    return Report(outcomes, left_out, markdown, path)


def _own_threads() -> int:
    """Return the number of threads that torch chooses: it knows OMP_NUM_THREADS and the cores."""
    import torch  # noqa: PLC0415

    return torch.get_num_threads()


def choose_device(name: str) -> torch.device:
    """Return the torch device for "auto", "cpu", "cuda" or "mps".

    Raises:
        BenchError: the name is unknown, or this machine has no such device.
    """
    import torch  # noqa: PLC0415  importing it takes seconds; wrong names answer at once

    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    if name not in present:
        raise unknown("device", name, ["auto", *present])
    if not present[name]:
        raise BenchError(f"This machine has no '{name}' device. Use --device auto.")
    return torch.device(name)


def _resolved(request: Request) -> tuple[Suite, list[Shift], list[Row]]:
    """Turn the request's names into objects; every mistake in them surfaces here."""
    suite = plugins.load_suite(request.suite)
    plugins.load_rule(request.rule)
    shifts = [_shift(suite, name) for name in request.shifts] or list(suite.shifts)
    for shift in shifts:
        _check_backbone(request, shift)
    entries = [e for name in request.methods for e in _entries(suite, name)] or suite.entries
    chosen = dict(hyperparameters.parse(text) for text in request.settings)
    rows = []
    for entry in entries:
        loaded = plugins.load_method(entry.method)
        row = Row(entry.label, loaded, {**entry.settings, **chosen})
        for shift in shifts:
            row.settings(request.preset, shift)
        rows.append(row)
    return suite, shifts, rows


def _shift(suite: Suite, name: str) -> Shift:
    own = {shift.name: shift for shift in suite.shifts}
    return own[name] if name in own else plugins.find_shift(name)


def _check_backbone(request: Request, shift: Shift) -> None:
    backbone = request.backbone or shift.backbone
    backbones.check(backbone, request.weights)
    kind = backbones.task(backbone)
    if kind != shift.task:
        raise BenchError(
            f"The shift '{shift.name}' is one of {shift.task}, and the backbone '{backbone}' one"
            f" for {kind}. `bench list backbones` says what each is for."
        )


def _entries(suite: Suite, name: str) -> list[Entry]:
    """Return the suite's rows for a label or a method's name; else the method on its own."""
    labelled = [entry for entry in suite.entries if entry.label == name]
    return labelled or [e for e in suite.entries if e.method == name] or [Entry(name, name)]


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BenchError(
            f"The folder {folder} cannot be written ({error.strerror})."
            " Choose another with --runs DIR, or --out DIR for the leaderboard."
        ) from error


def _available(shifts: list[Shift], request: Request) -> tuple[list[Shift], list[str]]:
    """Fetch what can be fetched; return the shifts whose data is there, and why others are not."""
    reasons: dict[str, str] = {}
    for name in sorted({d for shift in shifts for d in (shift.source, shift.target)}):
        domain = plugins.load_domain(name)
        try:
            if isinstance(domain, Scenes):
                domain.prepare(request.data)
            if not manage.missing(domain, request.data):
                continue
            manage.fetch({name: domain}, request.data, offline=request.offline)
        except MissingDataError as error:
            reasons[name] = str(error)
    usable = [s for s in shifts if s.source not in reasons and s.target not in reasons]
    left_out = [
        f"{shift.name}: no data for {name}. {reasons[name]}"
        for shift in shifts
        for name in dict.fromkeys((shift.source, shift.target))
        if name in reasons
    ]
    if left_out and not request.skip_missing:
        listed = "\n".join(f"  {line}" for line in left_out)
        raise MissingDataError(
            f"Nothing was run, because data is missing:\n{listed}\n"
            "Add it, or run the rest with --skip-missing."
        )
    if not usable:
        listed = "\n".join(f"  {line}" for line in left_out)
        raise MissingDataError(f"Nothing is left to run, because data is missing:\n{listed}")
    return usable, left_out + _incomplete(usable, request.data)


def _incomplete(shifts: list[Shift], data: Path) -> list[str]:
    """Return what is usable of large images but not all there is, in sentences."""
    notes = []
    for name in dict.fromkeys(name for shift in shifts for name in (shift.source, shift.target)):
        domain = plugins.load_domain(name)
        if isinstance(domain, Scenes):
            reports = domain.inspect(data, thorough=False)
            notes += [f"{name}: {r.detail}" for r in reports if r.usable and r.detail]
            if hasattr(domain, "left_out") and any(name == shift.source for shift in shifts):
                notes += domain.left_out(data, "train")
    return notes


def _trials(
    shift: Shift, rows: list[Row], request: Request, device: torch.device
) -> Iterator[tuple[Trial, Material]]:
    """Yield the trials of one shift, seed by seed, so that a method's stages are still shared."""
    from bench.material import load_material  # noqa: PLC0415  torch
    from bench.run import Trial  # noqa: PLC0415

    materials: dict[str, Material] = {}
    weights = backbones.describe_weights(request.weights)
    source, target = plugins.load_domain(shift.source), plugins.load_domain(shift.target)
    for seed in request.seeds:
        for row in rows:
            learns_from: LearnsFrom = getattr(row.loaded.cls, "learns_from", "source")
            if learns_from not in materials:
                load = partial(
                    load_material,
                    shift,
                    source,
                    target,
                    request.data,
                    device,
                    learns_from,
                    request.cache,
                )
                materials[learns_from] = plugins.guarded(load, f"the data of '{shift.name}'")
                if request.weights != "random" and len(materials) == 1:
                    _try_weights(request, shift, materials[learns_from].task)
            material = materials[learns_from]
            settings = row.settings(request.preset, shift)
            method: Any = hyperparameters.resolve(
                row.loaded.cls, request.preset, settings, shift.task
            )
            config = RunConfig(
                method=row.loaded.name,
                settings=settings,
                params=hyperparameters.as_dict(method),
                preset=request.preset,
                code=row.loaded.code,
                learns_from=learns_from,
                shift=shift.described(),
                seed=seed,
                backbone=request.backbone or shift.backbone,
                budget=request.budget or BUDGETS[request.preset],
                data=material.digest,
                weights=weights,
            )
            yield Trial(config, method, shift, request.weights), material


def _try_weights(request: Request, shift: Shift, task: Task) -> None:
    """Load the initial weights once, so that what is wrong with them shows before any training."""
    backbones.build(
        request.backbone or shift.backbone,
        classes=task.classes,
        channels=task.channels,
        size=task.size,
        weights=request.weights,
    )


def _run(
    trial: Trial,
    material: Material,
    request: Request,
    device: torch.device,
    threads: int,
    progress: Progress,
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
