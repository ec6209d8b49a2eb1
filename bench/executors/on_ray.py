"""Trials on a Ray cluster whose machines share the runs folder, the data folder and this code.

Each trial is one Ray task that asks for ``--threads`` CPUs and ``--gpus`` GPUs. Ray starts it where
these are free, and again elsewhere if its machine dies: the trial then goes on from its snapshot.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from bench.errors import BenchError
from bench.executors.lost import lost

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from bench.executors import Outcome
    from bench.executors.order import Job, Order
    from bench.executors.worker import Worker
    from bench.progress import Progress
    from bench.request import Request

ANSWER = 10
"""Seconds in which a cluster must answer."""

RETRIES = 5
"""How often Ray starts a trial again whose machine or process died."""


def run(request: Request, order: Order, progress: Progress) -> Generator[Outcome]:
    """Run all jobs on the cluster at ``request.address``. See `bench.executors.Executor`."""
    with _cluster(request.address):
        request = _for_elsewhere(request)
        _check_fit(request)
        task = ray.remote(_work).options(
            num_cpus=request.threads,
            num_gpus=request.gpus,
            max_retries=RETRIES,
            # A mistake of the user's is no reason to try again.
            retry_exceptions=False,
        )
        running: dict[ray.ObjectRef[Any], Job] = {}
        try:
            with progress.following(request.runs / "locks", request.command):
                while len(order) or running:
                    while job := order.take():
                        running[task.remote(request, job, Path.cwd())] = job
                    (reference,), _ = ray.wait(list(running), num_returns=1)
                    job = running.pop(reference)
                    outcome = _outcome(reference, job, request, progress)
                    order.ended(job)
                    yield outcome
        except BaseException:
            for reference in running:
                ray.cancel(reference, recursive=True)  # as Ctrl-C: the trial notes how far it came
            ray.wait(list(running), num_returns=len(running), timeout=60) if running else None
            raise


def _outcome(
    reference: ray.ObjectRef[Any], job: Job, request: Request, progress: Progress
) -> Outcome:
    try:
        outcome, notes = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0]
        return lost(job, request.runs, None, f"{type(error).__name__}: {reason}")
    for note in notes:
        progress.note(job, note)
    return outcome


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Connect to a cluster, or start one of this machine alone; let go of it at the end."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _knock(address)
        # Trials print little; and what a method prints is for its author, on the machine.
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BenchError(
            f"No Ray cluster answers at {address or 'this machine'} ({reason}). Start one with"
            " 'ray start --head', and say its address: --address HOST:6379."
        ) from error
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, handler)  # Ray's own ends the process at once
    try:
        yield
    finally:
        ray.shutdown()


def _check_fit(request: Request) -> None:
    """Raise BenchError if no machine is large enough for a trial: Ray would wait for one."""
    asked = {"CPU": request.threads or 1, "GPU": request.gpus or 0}
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(there.get(k, 0) >= n for k, n in asked.items()) for there in machines):
        had = "; ".join(f"{m.get('CPU', 0):g} CPUs and {m.get('GPU', 0):g} GPUs" for m in machines)
        raise BenchError(
            f"No machine of the Ray cluster has the {asked['CPU']} CPUs and {asked['GPU']:g} GPUs"
            f" that a trial asks for. They have: {had}. Change --threads or --gpus."
        )


def _knock(address: str | None) -> None:
    """Raise OSError or ValueError where nobody listens: Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=ANSWER).close()


def _for_elsewhere(request: Request) -> Request:
    """Return the request as another machine reads it: whole paths, resources in numbers."""
    there = ray.cluster_resources().get("GPU", 0)
    gpus = request.gpus
    if gpus is None:
        gpus = 1 if there and request.device in ("auto", "cuda") else 0
    return replace(
        request,
        threads=request.threads or 1,
        gpus=gpus,
        data=request.data.absolute(),
        runs=request.runs.absolute(),
        cache=None if request.cache is None else request.cache.absolute(),
        params=tuple(path.absolute() for path in request.params),
    )


def _work(request: Request, job: Job, folder: Path) -> tuple[Outcome, list[str]]:
    """Do a job in a process of Ray's; `folder` is where relative names of files begin."""
    with contextlib.suppress(OSError):  # a machine that has no such folder may need none
        os.chdir(folder)
    notes: list[str] = []
    return _worker(request).run(job, on_note=notes.append), notes


@cache
def _worker(request: Request) -> Worker:
    from bench.executors.worker import Worker  # noqa: PLC0415  torch, where the work is

    return Worker(request)
