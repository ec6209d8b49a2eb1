"""Trials side by side in processes of this machine, each with threads and a device of its own.

A process gets one job at a time through a pipe, and answers through it. One that is killed, by the
system for lack of memory say, costs the trial that it was at and is replaced. None outlives the
command: a thread in each waits for the end of the process that started it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.executors.lost import lost
from bench.kernels import cores

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnContext
    from multiprocessing.synchronize import Event

    from bench.executors import Outcome
    from bench.executors.order import Job, Order
    from bench.progress import Progress
    from bench.request import Request

GRACE = 60
"""Seconds that an interrupted process has to write how far it came."""

NERVOUS = 1.0
"""Seconds within which a second Ctrl-C is taken for the first: it may reach a group twice."""

BEGUN, NOTED, ENDED, FAILED = "begun", "noted", "ended", "failed"
"""What a process sends: (kind, content)."""


def run(request: Request, order: Order, progress: Progress) -> Generator[Outcome]:
    """Run all jobs in ``request.jobs`` processes. See `bench.executors.Executor`."""
    count = min(request.jobs, len(order))
    request = replace(request, threads=request.threads or threads_each(request.jobs))
    # Not forked: a fork copies the locks of torch's threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    members: list[_Member] = []
    try:
        for number in range(count):
            members.append(_Member(context, request, stop, number))  # noqa: PERF401  all are closed
        with progress.following(request.runs / "locks", request.command):
            while len(order) or any(member.job for member in members):
                _hand_out(members, order)
                for member in _ready(members):
                    outcome = member.answer(progress)
                    if outcome is not None:
                        order.ended(member.free())
                        yield outcome
    except BaseException as error:
        stop.set()
        if isinstance(error, KeyboardInterrupt):
            progress.say("stopping: trials note how far they came; Ctrl-C again kills them")
        for member in members:
            member.interrupt()
        raise
    finally:
        for member in members:
            member.dismiss()
        for member in members:
            member.close()


def threads_each(jobs: int) -> int:
    """Return the CPU threads of one of `jobs` trials: an equal share, if nobody said how many."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return max(1, cores() // jobs)


def _hand_out(members: list[_Member], order: Order) -> None:
    for member in members:
        if member.job is None:
            job = order.take()
            if job is None:
                return
            member.begin(job)


def _ready(members: list[_Member]) -> list[_Member]:
    """Wait until some process has sent something, or died."""
    pipes = {member.pipe: member for member in members if member.job}
    return [pipes[pipe] for pipe in connection.wait(list(pipes)) if pipe in pipes]


class _Member:
    """One process, and what it is at."""

    def __init__(self, context: SpawnContext, request: Request, stop: Event, number: int) -> None:
        self._context, self._request, self._stop, self._number = context, request, stop, number
        self.job: Job | None = None
        self._run_id: str | None = None
        self._start()

    def _start(self) -> None:
        self.pipe, theirs = self._context.Pipe()
        arguments = (theirs, self._request, self._stop, self._number)
        self._process = self._context.Process(target=_serve, args=arguments)
        with _deaf():
            self._process.start()
        theirs.close()  # so that its end closes with the process

    def begin(self, job: Job) -> None:
        """Hand it a job."""
        self.job, self._run_id = job, None
        with contextlib.suppress(OSError):  # died meanwhile; `answer` will notice
            self.pipe.send(job)

    def answer(self, progress: Progress) -> Outcome | None:
        """Return what came of its job, or None if it is still at it; pass on what it says.

        Raises:
            BenchError: what the process ran into would meet every trial.
            RuntimeError: a fault of ours, with the traceback from there.
        """
        try:
            kind, content = self.pipe.recv()
        except (EOFError, OSError):
            return self._died()
        if kind == BEGUN:
            self._run_id = content
            return None
        if kind == NOTED and self.job is not None:
            progress.note(self.job, content)
            return None
        if kind == FAILED:
            raise content
        outcome: Outcome = content
        return outcome

    def free(self) -> Job:
        """Return the job that it has done, and let it have another."""
        job, self.job = self.job, None
        assert job is not None  # noqa: S101  only one that is at a job answers
        return job

    def _died(self) -> Outcome:
        self._process.join()
        assert self.job is not None  # noqa: S101
        outcome = lost(self.job, self._request.runs, self._run_id, _how(self._process.exitcode))
        self.pipe.close()
        self._start()
        return outcome

    def interrupt(self) -> None:
        """Do to it what Ctrl-C does; where that reached it already, it takes no notice."""
        if self._process.is_alive() and self._process.pid is not None:
            with contextlib.suppress(OSError):
                os.kill(self._process.pid, signal.SIGINT)

    def dismiss(self) -> None:
        """Let it end after what it is at."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)

    def close(self) -> None:
        """Wait until it has ended; use force if it takes too long, or the user loses patience."""
        began = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):
            try:
                self._process.join(GRACE)
            except KeyboardInterrupt:
                if time.monotonic() - began > NERVOUS:
                    raise
                self._process.join(GRACE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.pipe.close()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Let a process start deaf to Ctrl-C, until it can answer by more than a traceback.

    What a terminal sends meanwhile is not lost: both hear it afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        _hear()


def _hear() -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _how(code: int | None) -> str:
    """Say how a process ended.

    >>> _how(-11)
    'its process was killed by SIGSEGV. Run the same command to go on'
    """
    again = "Run the same command to go on"
    if code is None or code >= 0:
        return f"its process ended with code {code}. {again}"
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        return f"its process was killed, for lack of memory perhaps. {again}, with fewer --jobs"
    return f"its process was killed by {name}. {again}"


# ------------------------------------------------------------------ in the process


def _serve(pipe: Connection, request: Request, stop: Event, number: int) -> None:
    """Do the jobs that come through a pipe, until None comes, or `stop` is set."""
    _end_with_parent()
    # The command's standard output is for its result; what a method prints is not.
    sys.stdout = sys.stderr
    _on_stop(_interrupted)
    try:
        _hear()
        if request.device in ("auto", "cuda"):
            _take_gpu(number)
        from bench.executors.worker import Worker  # noqa: PLC0415  torch

        worker = Worker(request)
        while (job := pipe.recv()) and not stop.is_set():
            outcome = worker.run(
                job,
                on_begin=lambda run_id: pipe.send((BEGUN, run_id)),
                on_note=lambda note: pipe.send((NOTED, note)),
            )
            pipe.send((ENDED, outcome))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        pass
    except BenchError as error:
        _send_failure(pipe, error)
    except Exception:  # noqa: BLE001  it is raised where a user can see it
        _send_failure(pipe, RuntimeError(traceback.format_exc()))
    finally:
        _on_stop(signal.SIG_IGN)  # it ends anyhow


def _send_failure(pipe: Connection, error: Exception) -> None:
    with contextlib.suppress(OSError):
        pipe.send((FAILED, error))


def _take_gpu(number: int) -> None:
    """Make one of the machine's GPUs, if it has any, the one that "cuda" means here."""
    import torch  # noqa: PLC0415  the process that hands out jobs needs none

    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def _interrupted(*_: Any) -> None:  # noqa: ANN401
    """Stop, once: the terminal and the command may both say so, and the record is being written."""
    _on_stop(signal.SIG_IGN)
    raise KeyboardInterrupt


def _on_stop(handler: Any) -> None:  # noqa: ANN401
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101  this runs in a child only

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)  # whatever the trial is at: its snapshot is what another attempt starts from

    threading.Thread(target=watch, daemon=True).start()
