"""One trial: load the task, let the method fit, predict, score, record."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench import backbones, evidence
from bench.arithmetic import check_compiler, plain
from bench.claim import Claim
from bench.context import Context
from bench.ending import Attempt, described, ending, now, reserve
from bench.environment import device_name, environment
from bench.errors import BenchError, ClaimLostError, DivergedError, MachineError
from bench.faults import fault_of
from bench.files import clean
from bench.migrate import CURRENT
from bench.outputs import Networks, draw, score_images, score_scenes
from bench.records import read_confusions, read_run, write_confusions, write_run
from bench.stages import StageStore
from bench.world import world

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import nn

    from bench.api import Method
    from bench.config import RunConfig
    from bench.material import Material
    from bench.records import Record
    from bench.suites import Shift
    from bench.task import Task


@dataclass(frozen=True, eq=False)
class Trial:
    """One method on one shift with one seed, ready to run."""

    config: RunConfig
    method: Method
    shift: Shift
    weights: str = "random"
    """Initial weights as the user named them: a path, maybe, where `config` has a digest."""


def run_trial(  # noqa: PLR0913  a trial has that many parts
    trial: Trial,
    material: Material,
    *,
    runs: Path,
    device: torch.device,
    threads: int,
    on_step: Callable[[str, int, int], None] | None = None,
    on_log: Callable[[Mapping[str, Any]], None] | None = None,
    on_candidate: Callable[[int, int, nn.Module], None] | None = None,
    stages: Path | None = None,
    command: str = "",
) -> Record:
    """Train, predict, score and record one trial; go on where an earlier attempt was killed.

    A method that raises or diverges is recorded as such and does not raise here; and so is a
    trial that `on_candidate` ends by a `PrunedError`. What it, `on_step` and `on_log` are called
    with, `bench.context.Context` says.

    Where several processes train it together (see `bench.world`), process 0 claims, scores and
    records, and all return its record. There, a trial that does not end well ends the command.

    Args:
        trial: what to run.
        material: its data.
        runs: the folder that gets the run's folder.
        device: where it trains.
        threads: CPU threads of arithmetic, unless an earlier attempt had other ones.
        on_step: for progress bars.
        on_log: for loggers.
        on_candidate: for pruners.
        stages: the cache of stages; None for the one inside of `runs`.
        command: names the command that the trial belongs to, in its claim.

    Raises:
        MachineError: the disk is full, or may not be written; or the accelerator was lost. The
            trial can go on later: its record says "interrupted", if that could be written.
        BenchError: not even the first record could be written; --compile does not work here; or
            one of several processes failed.
        MissingDataError: an image file or the initial weights cannot be had.
        KeyboardInterrupt: the user stopped it; the record then says "interrupted".
    """
    run_id = trial.config.run_id
    folder, lock = runs / run_id, runs / "locks" / f"{run_id}.lock"
    stages = stages or runs / "stages"
    if trial.config.compile:
        check_compiler(device)
    if world().rank:
        return _follow(trial, material, folder, device, stages)
    watchers: dict[str, Any] = {"on_log": on_log, "on_candidate": on_candidate}
    while True:
        try:
            # Another command may be at the same trial: wait for it, and take what it found.
            with Claim(lock, {"run": run_id, "command": command}) as claim:
                finished = world().broadcast(finished_run(folder), f"the beginning of {run_id}")
                if finished is not None:
                    return finished
                watchers["on_step"] = _reporting(claim, on_step)
                return _run_alone(
                    trial,
                    material,
                    folder,
                    device,
                    threads,
                    claim,
                    stages=stages,
                    watchers=watchers,
                )
        except ClaimLostError:
            if world().size > 1:
                raise
            continue  # another machine is at it now: wait for that one
        except OSError as error:
            fault = fault_of(error, runs)
            if fault is None:
                raise
            raise MachineError(fault.reason) from error


def _reporting(
    claim: Claim, on_step: Callable[[str, int, int], None] | None
) -> Callable[[str, int, int], None]:
    """Return an `on_step` that also tells other processes how far the trial is."""

    def report(stage: str, done: int, total: int) -> None:
        claim.progress(stage, done, total)
        if on_step is not None:
            on_step(stage, done, total)

    return report


def finished_run(folder: Path) -> Record | None:
    """Return the record of a trial that ended for good, with its scores; else None.

    A diverged trial has ended for good, since it would diverge again; a failed one may yet pass.
    """
    try:
        record = read_run(folder)
        if record["run_id"] != folder.name:
            return None  # somebody renamed the folder of another run
        if record["status"] == "done":
            scored = read_confusions(folder).checkpoints
            if sorted(scored) != sorted(record["checkpoints"]):
                return None
    except BenchError:
        return None
    return record if record["status"] in ("done", "diverged") else None


def _run_alone(
    trial: Trial,
    material: Material,
    folder: Path,
    device: torch.device,
    threads: int,
    claim: Claim,
    *,
    stages: Path,
    watchers: Mapping[str, Any],
) -> Record:
    clean(folder)
    record = _opened(folder, trial, device, threads)
    world().broadcast(record, f"the record of {folder.name}")
    context = _context(trial, material, folder, device, record["threads"], stages, watchers)
    with ending(Attempt(folder, record, context, claim, stages)):
        network = _fitted(trial.method, material.task, context)
        claim.check()
        _finish(folder, record, context, network, material, trial.shift)
    if world().size > 1 and record["status"] != "done":
        raise BenchError(
            f"{folder.name} ended as '{record['status']}': {record['error']}. Several processes"
            " trained it, and they end with it; run the same command to go on with the others."
        )
    return world().broadcast(record, f"the end of {folder.name}")


def _follow(
    trial: Trial, material: Material, folder: Path, device: torch.device, stages: Path
) -> Record:
    """Train together with process 0, and return what it found."""
    finished: Record | None = world().broadcast(None, f"the beginning of {folder.name}")
    if finished is not None:
        return finished
    record: Record = world().broadcast({}, f"the record of {folder.name}")
    context = _context(trial, material, folder, device, record["threads"], stages, {})
    _fitted(trial.method, material.task, context)
    return world().broadcast(record, f"the end of {folder.name}")


def _context(
    trial: Trial,
    material: Material,
    folder: Path,
    device: torch.device,
    threads: int,
    stages: Path,
    watchers: Mapping[str, Any],
) -> Context:
    _configure(threads)
    config, task = trial.config, material.task
    return Context(
        seed=config.seed,
        device=device,
        network=lambda: backbones.build(
            config.backbone,
            classes=task.classes,
            channels=task.channels,
            size=task.size,
            weights=trial.weights,
        ),
        workspace=folder / "work",
        store=StageStore(stages),
        identity=config.stage_identity(material.task_digest, threads),
        budget=config.budget,
        precision=config.precision,
        compiled=config.compile,
        world=world(),
        **watchers,
    )


def _configure(threads: int) -> None:
    """Ask torch for the arithmetic that a record claims: exact, and the same each time."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # cuBLAS reads it when it starts, and is deterministic only with it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True, warn_only=True)


def _opened(folder: Path, trial: Trial, device: torch.device, threads: int) -> Record:
    """Return a record of a run that has begun, written; keep an earlier attempt's threads."""
    config = trial.config
    departure = getattr(trial.method, "departure", None)
    attempts = 0
    with contextlib.suppress(BenchError):
        earlier = read_run(folder)
        threads, attempts = int(earlier["threads"]), int(earlier["attempts"])
    record: Record = {
        "schema": CURRENT,
        "run_id": config.run_id,
        "status": "running",
        "error": None,
        "config": config.described(),
        "departure": None if departure is None else str(departure),
        "stages": [],
        "checkpoints": [],
        "scores": {},
        "events": [],
        "nondeterministic": [],
        "attempts": attempts + 1,
        "steps": 0,
        "seconds": 0.0,
        "threads": threads,
        "device": device_name(device),
        "environment": environment(),
        "started": now(),
        "finished": None,
    }
    reserve(folder)
    write_run(folder, record)
    return record


def _fitted(method: Method, task: Task, context: Context) -> nn.Module:
    with context.fitting():
        network = method.fit(task, context)
    if not isinstance(network, torch.nn.Module):
        raise BenchError(
            f"fit must return a torch.nn.Module, got {type(network).__name__}."
            " Return the trained network, which maps images to logits."
        )
    return plain(network)


def _finish(
    folder: Path,
    record: Record,
    context: Context,
    network: nn.Module,
    material: Material,
    shift: Shift,
) -> None:
    """Predict with every kept network, score, draw, and record."""
    networks = Networks(folder, context, network)
    if material.task.dense:
        confusions, judged, truths = score_scenes(networks, material, shift)
    else:
        (confusions, judged), truths = score_images(networks, material), []
    record["checkpoints"] = sorted(confusions.checkpoints)
    record["scores"] = evidence.scores(judged)
    write_confusions(folder, confusions)
    try:
        draw(networks, confusions, material, shift, truths)
    except Exception as error:  # a picture must not decide how a trial ended
        fault = fault_of(error, folder)
        if fault is not None and fault.stops:
            raise
        sys.stderr.write(f"warning: no pictures for {folder.name}: {described(error)}\n")
    predicted = np.flatnonzero(confusions.checkpoints[max(confusions.checkpoints)].sum(0))
    if material.task.classes > 1 and len(predicted) == 1:
        items = "pixel" if material.task.dense else "target image"
        message = f"collapsed: every {items} is predicted as class {int(predicted[0])}"
        raise DivergedError(message)
