"""The processes that train one trial together, each on its share of every batch.

``torchrun --nproc-per-node N -m bench.cli run ...`` starts them, or on GPUs ``accelerate launch``;
without a launcher there is one.
"""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from torch import Tensor

T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""How long a process waits for the others: one of them downloads, or scores a trial, alone."""


class World(Protocol):
    """The processes of one trial. Whatever one of them asks, all must ask, in the same order.

    Attributes:
        rank: this process' number, 0..size-1. Only 0 writes and prints.
        size: how many there are.
    """

    rank: int
    size: int

    def mean(self, numbers: Tensor, where: str) -> Tensor:
        """Return the mean over processes of float tensors of one shape.

        `where` says at what place of the trial this is. Where two processes are not at the same
        place, each raises a BenchError, where it would wait for the other for ever.
        """
        ...

    def broadcast(self, value: T, where: str) -> T:
        """Return what process 0 gave; plain data only."""
        ...

    def gather(self, value: T, where: str) -> list[T]:
        """Return what each process gave, by rank; plain data only."""
        ...

    def device(self, name: str) -> torch.device:
        """Return where this process computes if the user asks for `name`."""
        ...


class Alone:
    """One process; each answer is the question."""

    rank, size = 0, 1

    def mean(self, numbers: Tensor, where: str) -> Tensor:  # noqa: ARG002
        """Return `numbers`."""
        return numbers

    def broadcast(self, value: T, where: str) -> T:  # noqa: ARG002
        """Return `value`."""
        return value

    def gather(self, value: T, where: str) -> list[T]:  # noqa: ARG002
        """Return `value` alone."""
        return [value]

    def device(self, name: str) -> torch.device:
        """Return the device of this name."""
        import torch  # noqa: PLC0415  importing it takes seconds

        return torch.device(name)


class Launched:
    """Processes that a launcher started, and that Accelerate connects."""

    def __init__(self) -> None:
        """Meet the others. Raises BenchError if they cannot meet here."""
        import torch  # noqa: PLC0415  importing it takes seconds

        accelerate = _accelerate()
        self._utils = accelerate.utils
        asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
        cpu = asked or not torch.cuda.is_available()
        try:
            self._state = accelerate.PartialState(cpu=cpu, timeout=PATIENCE)
        except (ValueError, RuntimeError) as error:
            raise BenchError(
                f"The environment says that {size()} processes share a trial (WORLD_SIZE), but they"
                f" cannot meet: {str(error).splitlines()[0]} Start them by torchrun"
                " --nproc-per-node N -m bench.cli run ..., or unset WORLD_SIZE."
            ) from error
        self.rank = int(self._state.process_index)
        self.size = int(self._state.num_processes)
        if self.size != size():
            raise BenchError(
                f"{size()} processes were started, and {self.size} met. Start them by torchrun"
                " --nproc-per-node N -m bench.cli run ..., or by accelerate launch."
            )

    def device(self, name: str) -> torch.device:
        """Return where this process computes, as the launcher chose.

        Raises:
            BenchError: `name`, "auto" or a kind of device, is of another kind.
        """
        chosen: torch.device = self._state.device
        if name not in ("auto", chosen.type):
            raise BenchError(
                f"The launcher chose '{chosen.type}' for its processes, and --device asks for"
                f" '{name}'. Leave --device out; ACCELERATE_USE_CPU=1 in the environment makes"
                " it choose the CPU."
            )
        return chosen

    def mean(self, numbers: Tensor, where: str) -> Tensor:
        """See `World`."""
        self._check(where)
        result: Tensor = self._utils.reduce(numbers, reduction="mean")
        return result

    def broadcast(self, value: T, where: str) -> T:
        """See `World`."""
        self._check(where)
        box = [value]
        self._utils.broadcast_object_list(box, from_process=0)
        return box[0]

    def gather(self, value: T, where: str) -> list[T]:
        """See `World`."""
        self._check(where)
        return list(self._utils.gather_object([value]))

    def _check(self, where: str) -> None:
        """Raise BenchError unless all processes are at one place: the check all begin with."""
        import torch  # noqa: PLC0415  loaded by now, if this is ever called

        from bench.seeding import seed_from  # noqa: PLC0415

        mine = torch.tensor([seed_from(where)], device=self._state.device)
        if len(set(self._utils.gather(mine).tolist())) == 1:
            return
        places = self._utils.gather_object([where])
        listed = "; ".join(f"process {rank} is at {place}" for rank, place in enumerate(places))
        raise BenchError(
            f"The processes of this trial went separate ways: {listed}. What steers a method must"
            " be the same in all of them: take ctx.mean(...) of numbers that each batch decides."
        )


def size() -> int:
    """Return how many processes the launcher started; 1 without it. Loads nothing."""
    text = os.environ.get("WORLD_SIZE", "1")
    return int(text) if text.isdigit() else 1


def rank() -> int:
    """Return this process' number among them. Loads nothing."""
    text = os.environ.get("RANK", "0")
    return int(text) if size() > 1 and text.isdigit() else 0


@cache
def world() -> World:
    """Return the processes of this command; they meet at the first call.

    Raises:
        BenchError: there are several, and Accelerate is not installed.
    """
    return Launched() if size() > 1 else Alone()


def first_alone(work: Callable[[], T], what: str) -> T:
    """Return work(), which process 0 does first, so that the others find it done: a download."""
    if rank() == 0:
        result = work()
        world().gather(None, what)
        return result
    world().gather(None, what)
    return work()


@contextlib.contextmanager
def quiet_followers() -> Iterator[None]:
    """Let only process 0 print; what ends another one is printed after this block."""
    if rank() == 0:
        yield
        return
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def _accelerate() -> Any:  # noqa: ANN401  an optional library
    try:
        import accelerate  # noqa: PLC0415  optional, and slow to load
    except ImportError as error:
        raise BenchError(
            f"This command runs in {size()} processes, for which it needs Accelerate."
            " Install it by: pip install 'cycada-bench[accelerate]'"
        ) from error
    return accelerate
