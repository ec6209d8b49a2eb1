"""One trial: load the task, let the method fit, predict, score, record."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock

from bench import backbones, figures
from bench.api import Translator
from bench.context import Context
from bench.data.assemble import build_task, test_images
from bench.digest import digest_of
from bench.errors import BenchError, DivergedError
from bench.records import (
    Confusions,
    append_metrics,
    read_confusions,
    read_run,
    write_confusions,
    write_run,
)
from bench.score import predict, save_outputs, score_outputs
from bench.stages import StageStore, load_weights
from bench.task import Images, to_bytes, to_unit_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from bench.api import Method
    from bench.config import RunConfig
    from bench.context import StageResult
    from bench.data.assemble import LearnsFrom
    from bench.data.domain import Domain
    from bench.records import Record
    from bench.suites import Shift
    from bench.task import Task

KEPT_TARGET_IMAGES = 2000
"""Target training images whose logits each checkpoint keeps, for selection without labels."""

PICTURED = 12
"""Images a translation figure shows in each direction."""


@dataclass(frozen=True, eq=False)
class Material:
    """What trials on one shift share: the task, the test images, and their digests."""

    task: Task
    test: Images
    target: Domain
    root: Path
    task_digest: str
    digest: str


def load_material(
    shift: Shift,
    source: Domain,
    target: Domain,
    root: Path,
    device: torch.device,
    learns_from: LearnsFrom,
) -> Material:
    """Read one shift's data; raise MissingDataError if it is not there or not sound."""
    task = build_task(shift, source, target, root, device, learns_from)
    test = test_images(shift, target, root, device)
    task_digest = task.digest()
    digest = digest_of(task_digest, test.digest())
    return Material(task, test, target, root, task_digest, digest)


@dataclass(frozen=True, eq=False)
class Trial:
    """One method on one shift with one seed, ready to run."""

    config: RunConfig
    method: Method
    shift: Shift


def run_trial(
    trial: Trial,
    material: Material,
    *,
    runs: Path,
    device: torch.device,
    threads: int,
    on_step: Callable[[str, int, int], None] | None = None,
) -> Record:
    """Train, predict, score and record one trial; go on where an earlier attempt was killed.

    A method that raises or diverges is recorded as such and does not raise here.

    Raises:
        BenchError: the runs folder cannot be written.
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
        return _run_alone(trial, material, folder, device, threads, on_step)


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
    on_step: Callable[[str, int, int], None] | None,
) -> Record:
    record = _opened(folder, trial, device, threads)
    threads = record["threads"]
    _configure(threads)
    config, task = trial.config, material.task
    context = Context(
        seed=config.seed,
        device=device,
        network=lambda: backbones.build(
            config.backbone, classes=task.classes, channels=task.channels, size=task.size
        ),
        workspace=folder / "work",
        store=StageStore(folder.parent / "stages"),
        identity=config.stage_identity(material.task_digest, threads),
        budget=config.budget,
        on_step=on_step,
    )
    try:
        with context.fitting():
            network = _fitted(trial.method, task, context)
        _finish(folder, record, context, network, material)
    except KeyboardInterrupt:
        _close(folder, record, context, "interrupted", "stopped by the user")
        raise
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
        "config": asdict(config),
        "departure": None if departure is None else str(departure),
        "stages": [],
        "checkpoints": [],
        "steps": 0,
        "seconds": 0.0,
        "threads": threads,
        "device": _device_name(device),
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
    folder: Path, record: Record, context: Context, network: nn.Module, material: Material
) -> None:
    """Predict with every kept network, score, draw, and record."""
    outputs: dict[str, np.ndarray] = {}
    task, test = material.task, material.test
    kept = Images(task.target.pixels[:KEPT_TARGET_IMAGES], task.target.role)
    for step, weights in _candidates(folder, context, network).items():
        if weights is not None:
            load_weights(network, weights)
        name = f"checkpoint-{step:08d}"
        outputs[f"predictions/{name}"] = _classes(predict(network, test, task.classes))
        outputs[f"target_logits/{name}"] = predict(network, kept, task.classes).numpy()
        last = outputs[f"predictions/{name}"]
        record["checkpoints"].append(step)
    for stage in context.stages:
        if hasattr(stage.module, "classify"):
            logits = predict(stage.module, test, task.classes)
            outputs[f"predictions/stage-{stage.name}"] = _classes(logits)
    save_outputs(folder, outputs)
    scored = score_outputs(folder, material.target, material.root)
    confusions = Confusions(
        {int(n.removeprefix("checkpoint-")): m for n, m in scored.items() if n[0] == "c"},
        {n.removeprefix("stage-"): m for n, m in scored.items() if n[0] == "s"},
    )
    write_confusions(folder, confusions)
    try:
        draw(folder, context.stages, confusions, task)
    except Exception as error:  # noqa: BLE001  a picture must not decide how a trial ended
        sys.stderr.write(f"warning: no pictures for {folder.name}: {_described(error)}\n")
    if task.classes > 1 and len(np.unique(last)) == 1:
        message = f"collapsed: every target image is predicted as class {int(last[0])}"
        raise DivergedError(message)
    _close(folder, record, context, "done", None)


def _candidates(folder: Path, context: Context, network: nn.Module) -> dict[int, Path | None]:
    """Return {step: weights} of the networks to score; None for `network` as it is."""
    final = context.stages[-1] if context.stages else None
    if final is None or final.module is not network:
        return {context.steps_taken: None}
    # Not "*": a kill may have left a hidden temporary file.
    found = {int(p.stem): p for p in (final.folder / "checkpoints").glob("[0-9]*.safetensors")}
    if not found:
        return {final.steps: None}
    copied: dict[int, Path | None] = {}
    for step, path in sorted(found.items()):
        copied[step] = folder / "checkpoints" / path.name
        _link(path, folder / "checkpoints" / path.name)
    return copied


def _link(source: Path, target: Path) -> None:
    """Make `source` available at `target` without a second copy where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _classes(logits: Tensor) -> np.ndarray:
    return logits.argmax(1).to(torch.int16).numpy()


def draw(folder: Path, stages: list[StageResult], confusions: Confusions, task: Task) -> None:
    """Draw the run's pictures: confusion before and after, and any translations."""
    pictures = folder / "figures"
    last = confusions.checkpoints[max(confusions.checkpoints)]
    first = next((s.name for s in stages if s.name in confusions.stages), None)
    before = None if first is None or len(confusions.stages) == 1 else confusions.stages[first]
    figures.confusion_pair(before, last, pictures / "confusion.png")
    for stage in stages:
        if isinstance(stage.module, Translator):
            for name, triple in translations(stage.module, task).items():
                figures.translation_triples(*triple, pictures / f"{name}.png")


@torch.no_grad()
def translations(translator: Any, task: Task) -> dict[str, tuple[Tensor, Tensor, Tensor]]:  # noqa: ANN401
    """Return uint8 (original, translated, reconstructed) of a few images, for both directions."""
    x_s, x_t = (
        to_unit_range(task.source.pixels[:PICTURED]),
        to_unit_range(task.target.pixels[:PICTURED]),
    )
    fake_t, fake_s = translator(x_s), translator.back(x_t)
    source = (x_s, fake_t, translator.back(fake_t))
    target = (x_t, fake_s, translator(fake_s))
    return {
        "source-to-target": tuple(to_bytes(x).cpu() for x in source),  # type: ignore[dict-item]
        "target-to-source": tuple(to_bytes(x).cpu() for x in target),  # type: ignore[dict-item]
    }


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
    if status != "interrupted":
        (folder / "metrics.jsonl").unlink(missing_ok=True)
        for stage in context.stages:
            log = stage.folder / "metrics.jsonl"
            append_metrics(folder, log.read_text(encoding="utf-8").splitlines())
        append_metrics(folder, context.unfinished_log)
        append_metrics(folder, context.unstaged_log)
        shutil.rmtree(folder / "work", ignore_errors=True)
    write_run(folder, record)


def environment() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    packages = ("torch", "torchvision", "numpy", "pillow", "cycada-bench")
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    return {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "processor": platform.machine(),
        "git": _git_commit(),
    }


def _git_commit() -> str:
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        # An environment may lie inside some other repository, whose commit says nothing of us.
        for command in (["ls-files", "--error-unmatch", here.name], ["rev-parse", "HEAD"]):
            out = subprocess.run(  # noqa: S603
                [*git, *command], capture_output=True, text=True, check=True, timeout=5
            )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return out.stdout.strip()


def _described(error: BaseException) -> str:
    """Return one line for a method's exception: what, and where in the method's code."""
    if isinstance(error, BenchError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = frames[-1]
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    return f"{what} ({Path(place.filename).name}, line {place.lineno})"


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
