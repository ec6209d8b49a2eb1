"""Where trials run: in this process, in several of this machine, or on a Ray cluster.

An executor is one function in a file of its own, named in `EXECUTORS`::

    def run(request: Request, order: Order, progress: Progress) -> Generator[Outcome]

It takes jobs from `order`, has each done by a `bench.executors.worker.Worker` wherever it likes,
tells `order` what has ended, and yields what came of each. Two rules: a mistake of the user's or
missing data (`BenchError`) ends the generator, as does Ctrl-C, and nothing keeps running after it;
a worker that dies costs its own trial only.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import BenchError, unknown
from bench.world import size

if TYPE_CHECKING:
    from collections.abc import Generator

    from bench.executors.order import Order
    from bench.progress import Progress
    from bench.request import Request

Outcome = dict[str, Any]
"""What came of a job: place, run_id, method, settings, shift, seed, status, metrics, error,
seconds, and whether it was "reused": done by an earlier command."""

EXECUTORS = {
    "serial": "bench.executors.serial",
    "processes": "bench.executors.processes",
    "ray": "bench.executors.on_ray",
}
"""The module of each one's function `run`, imported when it is asked for."""


class Executor(Protocol):
    """Has jobs done, and yields what came of each, in the order in which they end."""

    def __call__(self, request: Request, order: Order, progress: Progress) -> Generator[Outcome]:
        """Run all jobs of `order`.

        Raises:
            BenchError: something that every trial would meet.
            MissingDataError: a file that a trial needs is not there.
            KeyboardInterrupt: the user stopped it; no trial runs any more.
        """
        ...


def name_of(request: Request) -> str:
    """Return the executor that a request asks for: several jobs are processes unless it says so.

    Raises:
        BenchError: no such executor, options that do not go together, or a package is missing.
    """
    name = request.executor or ("processes" if request.jobs > 1 else "serial")
    if name not in EXECUTORS:
        raise unknown("executor", name, EXECUTORS)
    if name != "serial" and size() > 1:
        raise BenchError(
            f"{size()} processes were launched for each trial, and --executor {name} or --jobs"
            " would start others. Leave these out."
        )
    if name != "processes" and request.jobs > 1:
        raise BenchError(
            f"--jobs {request.jobs} counts processes of this machine, and --executor {name} has"
            " none. Leave one of the two out; on Ray, --threads and --gpus say how many trials fit."
        )
    if name != "ray" and (request.address is not None or request.gpus is not None):
        raise BenchError(f"--address and --gpus are for --executor ray, not for '{name}'.")
    if (request.gpus or 0) > 1 and request.gpus != int(request.gpus or 0):
        raise BenchError(f"--gpus must be a share below 1 or a whole number, got {request.gpus}.")
    if name == "ray" and importlib.util.find_spec("ray") is None:
        raise BenchError(
            "--executor ray needs the package 'ray', which is not installed."
            " Install it with: pip install 'cycada-bench[ray]'"
        )
    return name


def load(name: str) -> Executor:
    """Return an executor that `name_of` named."""
    executor: Executor = importlib.import_module(EXECUTORS[name]).run
    return executor
