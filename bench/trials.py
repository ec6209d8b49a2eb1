"""From a request to trials: its names become objects, its data is found, each trial is made."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import backbones, hyperparameters, loggers, plugins, world
from bench.config import PRECISIONS, RunConfig
from bench.data import manage
from bench.data.domain import Scenes
from bench.errors import BenchError, MissingDataError, unknown
from bench.params_file import read_params
from bench.suites import Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import torch

    from bench.data.assemble import LearnsFrom
    from bench.material import Material
    from bench.params_file import Params
    from bench.plugins import LoadedMethod
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
    tuned: Mapping[str, Any] | None = None
    """How its settings were found, if `bench tune` did; see `bench.config.RunConfig`."""

    def settings(self, preset: str, shift: Shift) -> dict[str, Any]:
        """Return what differs from the preset, which may be another for each task."""
        return hyperparameters.differing(self.loaded.cls, preset, self.asked, shift.task)


@dataclass(eq=False)
class Materials:
    """The data of the request's shifts, read when a trial first needs it."""

    request: Request
    device: torch.device
    _loaded: dict[tuple[str, LearnsFrom], Material] = field(default_factory=dict)

    def of(self, shift: Shift, learns_from: LearnsFrom) -> Material:
        """Return a shift's data; raise BenchError or MissingDataError if it is not sound."""
        from bench.material import load_material  # noqa: PLC0415  torch

        key = (shift.name, learns_from)
        if key not in self._loaded:
            request = self.request
            load = partial(
                load_material,
                shift,
                plugins.load_domain(shift.source),
                plugins.load_domain(shift.target),
                request.data,
                self.device,
                learns_from,
                request.cache,
            )
            first = not any(name == shift.name for name, _ in self._loaded)
            self._loaded[key] = plugins.guarded(load, f"the data of '{shift.name}'")
            if request.weights != "random" and first:
                _try_weights(request, shift, self._loaded[key].task)
        return self._loaded[key]

    def forget(self, shift: Shift) -> None:
        """Let go of a shift's data."""
        for key in [key for key in self._loaded if key[0] == shift.name]:
            del self._loaded[key]


def make_trial(row: Row, shift: Shift, seed: int, materials: Materials) -> tuple[Trial, Material]:
    """Return one trial of a row, and the data that it needs."""
    from bench.run import Trial  # noqa: PLC0415  torch

    request, cls = materials.request, row.loaded.cls
    learns_from: LearnsFrom = getattr(cls, "learns_from", "source")
    material = materials.of(shift, learns_from)
    settings = row.settings(request.preset, shift)
    method: Any = hyperparameters.resolve(cls, request.preset, settings, shift.task)
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
        weights=backbones.describe_weights(request.weights),
        precision=PRECISIONS[request.precision],
        tuned=row.tuned,
        compile=request.compile,
        processes=world.size(),
    )
    return Trial(config, method, shift, request.weights), material


def _try_weights(request: Request, shift: Shift, task: Task) -> None:
    """Load the initial weights once, so that what is wrong with them shows before any training."""
    backbones.build(
        request.backbone or shift.backbone,
        classes=task.classes,
        channels=task.channels,
        size=task.size,
        weights=request.weights,
    )


def choose_device(name: str) -> torch.device:
    """Return the torch device for "auto", "cpu", "cuda" or "mps".

    Raises:
        BenchError: the name is unknown, or this machine has no such device.
    """
    launched = world.world() if world.size() > 1 else None
    if launched is not None:
        return launched.device(name)
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


def check_device(name: str) -> None:
    """Raise BenchError if `choose_device` would; what every machine has needs no torch to know."""
    if name not in ("auto", "cpu"):
        choose_device(name)


def own_threads() -> int:
    """Return the number of threads that torch chooses: it knows OMP_NUM_THREADS and the cores."""
    import torch  # noqa: PLC0415

    return torch.get_num_threads()


def resolved(request: Request) -> tuple[Suite, list[Shift], list[Row]]:
    """Turn the request's names into objects; every mistake in them surfaces here."""
    suite = plugins.load_suite(request.suite)
    plugins.load_rule(request.rule)
    if request.precision not in PRECISIONS:
        raise unknown("precision", request.precision, PRECISIONS)
    if request.log is not None:
        loggers.check(request.log)
    shifts = [_shift(suite, name) for name in request.shifts] or list(suite.shifts)
    for shift in shifts:
        _check_backbone(request, shift)
    entries = [e for name in request.methods for e in _entries(suite, name)] or suite.entries
    chosen = dict(hyperparameters.parse(text) for text in request.settings)
    # A params file says the method's own name, also where the request says its file.
    methods = {entry.method: plugins.load_method(entry.method) for entry in entries}
    # A row with settings of the suite's own is another configuration than the one that was tuned.
    tunable = {methods[entry.method].name for entry in entries if not entry.settings}
    found = _params(request, chosen, tunable)
    rows = []
    for entry in entries:
        loaded = methods[entry.method]
        params = None if entry.settings else found.get(loaded.name)
        settings = params.settings if params else {}
        tuned = params.tuned if params else None
        row = Row(entry.label, loaded, {**entry.settings, **settings, **chosen}, tuned)
        for shift in shifts:
            row.settings(request.preset, shift)
        rows.append(row)
    return suite, shifts, rows


def _params(
    request: Request, chosen: Mapping[str, object], methods: Collection[str]
) -> dict[str, Params]:
    """Read the request's params files: by method, one each."""
    found: dict[str, Params] = {}
    for path in request.params:
        params = read_params(path)
        problem = None
        if params.method not in methods:
            problem = f"is for '{params.method}', which is not among the methods to run"
        elif params.method in found:
            problem = f"is the second one for '{params.method}'"
        elif params.preset != request.preset:
            problem = f"is for the preset '{params.preset}', not '{request.preset}'"
        elif chosen:
            problem = (
                f"comes with --set {', '.join(sorted(chosen))}, which would change what was tuned;"
                " give --set to bench tune"
            )
        if problem:
            message = f"The params file {path} {problem}."
            raise BenchError(message)
        found[params.method] = params
    return found


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


def check_writable(folder: Path) -> None:
    """Make a folder; raise BenchError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BenchError(
            f"The folder {folder} cannot be written ({error.strerror})."
            " Choose another with --runs DIR, or --out DIR for the leaderboard."
        ) from error


def available(shifts: list[Shift], request: Request) -> tuple[list[Shift], list[str]]:
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
            "Add it, say where it is (--data DIR, or BENCH_DATA), or run the rest with"
            " --skip-missing."
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
