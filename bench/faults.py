"""Whose fault an exception is: a trial's own, or the machine's."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Fault:
    """What gave out.

    Attributes:
        status: how the trial ended: "interrupted" if nothing is known against it, else "failed".
        reason: a sentence or two: what happened, and what to do.
        stops: whether the trials after it would meet the same.
    """

    status: str
    reason: str
    stops: bool


def fault_of(error: BaseException, *folders: Path) -> Fault | None:
    """Return what is wrong with the machine if that is what raised `error`, else None.

    Args:
        error: what a trial raised; what it was raised from is looked at, too.
        folders: where the trial writes. To be refused a file elsewhere is the method's mistake.

    Example::

        >>> fault_of(OSError(errno.ENOSPC, "No space left on device")).status
        'interrupted'
        >>> fault_of(MemoryError()).status
        'failed'
        >>> fault_of(ValueError("a bug")) is None
        True
    """
    for cause in _causes(error):
        fault = (
            _of_memory(cause)
            or _of_disk(cause, folders)
            or _of_accelerator(cause)
            or _of_database(cause)
        )
        if fault is not None:
            return fault
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


# ------------------------------------------------------------------ memory

_NO_MEMORY = (
    "can't allocate memory",  # torch on Linux and macOS
    "not enough memory",  # torch on Windows
    "out of memory",  # CUDA, MPS
    "STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN
)


def _of_memory(error: BaseException) -> Fault | None:
    short = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
    short |= isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
    short |= isinstance(error, OSError) and error.errno == errno.ENOMEM
    if not short:
        return None
    return Fault(
        "failed",
        f"out of memory{_said(error)}. Lower the batch size or the number of trials at once"
        " (--jobs), or free some memory; the same command then goes on from the last snapshot.",
        stops=False,
    )


# ------------------------------------------------------------------ disk

_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk failed",
    errno.ESTALE: "the network's disk went away",
}
_REFUSED = (errno.EACCES, errno.EPERM)
_TORCH_SAVE = ("inline_container.cc", "PytorchStreamWriter", "iostream error")
"""What torch.save says, without a number, of a file that it cannot write."""
_RUST = re.compile(r"\(os error (\d+)\)")


def _of_disk(error: BaseException, folders: tuple[Path, ...]) -> Fault | None:
    if isinstance(error, RuntimeError) and any(text in str(error) for text in _TORCH_SAVE):
        what = "a snapshot could not be written, probably because the disk is full"
    elif _number(error) in _DISK:
        what = _DISK[_number(error)]
    elif _number(error) in _REFUSED and _is_inside(getattr(error, "filename", None), folders):
        what = "a file may not be written"
    else:
        return None
    return Fault(
        "interrupted",
        f"{what}{_said(error)}. Put that right, or choose another folder with --runs; the same"
        " command then goes on.",
        stops=True,
    )


def _number(error: BaseException) -> int:
    """Return the system's error number, which safetensors puts into its text; 0 if none."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = _RUST.search(str(error))
    return int(found[1]) if found else 0


def _is_inside(name: object, folders: tuple[Path, ...]) -> bool:
    path = Path(name).resolve() if isinstance(name, str | Path) else None
    return path is not None and any(path.is_relative_to(folder.resolve()) for folder in folders)


# ------------------------------------------------------------------ accelerator

_LOST = ("CUDA error", "CUDA driver", "NCCL", "HIP error")
_OWN = ("device-side assert", "illegal memory access", "misaligned address")
"""What a method's own operations can bring about, such as an index out of range."""


def _of_accelerator(error: BaseException) -> Fault | None:
    known = isinstance(error, getattr(torch, "AcceleratorError", ()))
    known |= isinstance(error, RuntimeError) and any(text in str(error) for text in _LOST)
    if not known:
        return None
    own = any(text in str(error) for text in _OWN)
    what = "an operation failed on the GPU" if own else "the GPU was lost"
    return Fault(
        "failed" if own else "interrupted",
        f"{what}{_said(error)}. This process can use it no more; the same command goes on in a"
        " new one.",
        stops=True,
    )


# ------------------------------------------------------------------ a study's database


def _of_database(error: BaseException) -> Fault | None:
    """A trial of a study tells its storage how it goes while it trains."""
    package = type(error).__module__.partition(".")[0]
    if package != "sqlalchemy" and type(error).__name__ != "StorageInternalError":
        return None
    return Fault(
        "interrupted",
        f"the study's database cannot be used{_said(error)}. The same command goes on once it can.",
        stops=True,
    )


def _said(error: BaseException) -> str:
    """Return the first line of an error's own text in brackets, if it has any."""
    lines = str(error).strip().splitlines()
    return f" ({lines[0].rstrip('.')})" if lines else ""
