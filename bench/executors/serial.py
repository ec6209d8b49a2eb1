"""One trial after the other, in this process."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.executors.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Generator

    from bench.executors import Outcome
    from bench.executors.order import Order
    from bench.progress import Progress
    from bench.request import Request


def run(request: Request, order: Order, progress: Progress) -> Generator[Outcome]:
    """Run all jobs here. See `bench.executors.Executor`."""
    worker = Worker(request)
    while job := order.take():
        title = f"{job.method} {job.shift} seed {job.seed}"
        outcome = worker.run(
            job,
            on_note=partial(progress.note, job),
            on_step=partial(progress.step, title),
        )
        progress.end(title)
        order.ended(job)
        yield outcome
