"""One trial: load the task, let the method fit, predict, score, record."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock

from bench import backbones, evidence
from bench.context import Context
from bench.environment import device_name, environment
from bench.errors import BenchError, DivergedError, MissingDataError, PrunedError
from bench.outputs import Networks, draw, score_images, score_scenes
from bench.records import append_metrics, read_confusions, read_run, write_confusions, write_run
from bench.stages import StageStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
) -> Record:
    """Train, predict, score and record one trial; go on where an earlier attempt was killed.

    A method that raises or diverges is recorded as such and does not raise here; and so is a
    trial that `on_candidate` ends by a `PrunedError`. What it, `on_step` and `on_log` are called
    with, `bench.context.Context` says.

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

    Raises:
        BenchError: the runs folder cannot be written.
        MissingDataError: an image file or the initial weights cannot be had.
        KeyboardInterrupt: the user stopped it; the record then says "interrupted".
    """
    folder = runs / trial.config.run_id
    locks = runs / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    # Another command may be at the same trial: wait for it, and take what it found.
    with FileLock(locks / f"{trial.config.run_id}.lock"):
        finished = finished_run(folder)
        if finished is not None:
            return finished
        watchers = {"on_step": on_step, "on_log": on_log, "on_candidate": on_candidate}
        return _run_alone(trial, material, folder, device, threads, stages, watchers)


def finished_run(folder: Path) -> Record | None:
    """Return the record of a trial that ended for good, with its scores; else None.

    A diverged trial has ended for good, since it would diverge again; a failed one may yet pass.
    """
    try:
        record = read_run(folder)
        if record["status"] == "done":
            read_confusions(folder)
    except BenchError:
        return None
    return record if record["status"] in ("done", "diverged") else None


def _run_alone(
    trial: Trial,
    material: Material,
    folder: Path,
    device: torch.device,
    threads: int,
    stages: Path | None,
    watchers: Mapping[str, Any],
) -> Record:
    record = _opened(folder, trial, device, threads)
    threads = record["threads"]
    _configure(threads)
    config, task = trial.config, material.task
    context = Context(
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
        store=StageStore(stages or folder.parent / "stages"),
        identity=config.stage_identity(material.task_digest, threads),
        budget=config.budget,
        **watchers,
    )
    try:
        with context.fitting():
            network = _fitted(trial.method, task, context)
        _finish(folder, record, context, network, material, trial.shift)
    except KeyboardInterrupt:
        _close(folder, record, context, "interrupted", "stopped by the user")
        raise
    except MissingDataError as error:
        # No fault of the method's, and once the file is there it goes on: keep what it needs.
        _close(folder, record, context, "interrupted", str(error))
        raise
    except PrunedError as error:
        _close(folder, record, context, "pruned", str(error))
    except DivergedError as error:
        _close(folder, record, context, "diverged", str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001  a method may raise anything
        _close(folder, record, context, "failed", _described(error))
    return record


def _configure(threads: int) -> None:
    """Ask torch for the arithmetic that a record claims: float32, and the same each time."""
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
    with contextlib.suppress(BenchError):
        threads = int(read_run(folder)["threads"])
    record: Record = {
        "run_id": config.run_id,
        "status": "running",
        "error": None,
        "config": config.described(),
        "departure": None if departure is None else str(departure),
        "stages": [],
        "checkpoints": [],
        "scores": {},
        "steps": 0,
        "seconds": 0.0,
        "threads": threads,
        "device": device_name(device),
        "environment": environment(),
        "started": _now(),
        "finished": None,
    }
    write_run(folder, record)
    return record


def _fitted(method: Method, task: Task, context: Context) -> nn.Module:
    network = method.fit(task, context)
    if not isinstance(network, torch.nn.Module):
        raise BenchError(
            f"fit must return a torch.nn.Module, got {type(network).__name__}."
            " Return the trained network, which maps images to logits."
        )
    return network


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
    except Exception as error:  # noqa: BLE001  a picture must not decide how a trial ended
        sys.stderr.write(f"warning: no pictures for {folder.name}: {_described(error)}\n")
    predicted = np.flatnonzero(confusions.checkpoints[max(confusions.checkpoints)].sum(0))
    if material.task.classes > 1 and len(predicted) == 1:
        items = "pixel" if material.task.dense else "target image"
        message = f"collapsed: every {items} is predicted as class {int(predicted[0])}"
        raise DivergedError(message)
    _close(folder, record, context, "done", None)


def _close(folder: Path, record: Record, context: Context, status: str, error: str | None) -> None:
    """Write how the run ended; when it is over, drop what only a resume would need."""
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
        "error": error,
        "steps": context.steps_taken,
        "seconds": round(context.seconds, 3),
        "finished": _now(),
    }
    if status not in ("interrupted", "pruned"):
        (folder / "metrics.jsonl").unlink(missing_ok=True)
        for stage in context.stages:
            log = stage.folder / "metrics.jsonl"
            append_metrics(folder, log.read_text(encoding="utf-8").splitlines())
        append_metrics(folder, context.unfinished_log)
        append_metrics(folder, context.unstaged_log)
        shutil.rmtree(folder / "work", ignore_errors=True)
    write_run(folder, record)


def _described(error: BaseException) -> str:
    """Return one line for a method's exception: what, and where in the method's code."""
    if isinstance(error, BenchError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = frames[-1]
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    return f"{what} ({Path(place.filename).name}, line {place.lineno})"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
