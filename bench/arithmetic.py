"""In which arithmetic a trial is computed: device, precision, compiled kernels, and how exactly.

Batch norm's statistics, weights and optimisers' state are float32 always, and so is all scoring.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from bench.errors import BenchError
from bench.modes import in_float32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

M = TypeVar("M", bound=nn.Module)

_METHODS = ("forward", "back", "features", "classify")
"""What is called of a network: `bench.api` says where."""

_UNDETERMINED = re.compile(r"(\S+) does not have a deterministic implementation")
"""What torch says once it was asked for deterministic algorithms, and has none for an operation."""


@dataclass(frozen=True)
class Arithmetic:
    """How a trial's networks compute while they train.

    Attributes:
        device: where.
        precision: "float32", or "bf16": matrix products and convolutions in bfloat16, which has
            float32's range and 8 bits of precision (Kalamkar et al. 2019).
        compiled: whether networks run as kernels that torch.compile makes of them.
    """

    device: torch.device
    precision: str = "float32"
    compiled: bool = False

    def placed(self, module: M) -> M:
        """Return `module` itself, on the device, laid out for it, and compiled if that was asked.

        Parameters, buffers and the keys of its state stay what they are; a deep copy of it
        computes as it does.
        """
        # Channels last is faster for convolutions on CPU and GPU alike, and changes no shape.
        # Two calls, because the types that torch
        # ships know either argument, not both.
        module = module.to(self.device).to(memory_format=torch.channels_last)
        if self.compiled:
            for part in _entered(module):
                part.__class__ = _compiled(type(part))
        return module

    def training(self) -> contextlib.AbstractContextManager[Any]:
        """Surround what trains: products in the trial's precision."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        # Without the cache: it would hold the weights as they were before the optimiser's step.
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

    @contextlib.contextmanager
    def exact(self, module: nn.Module) -> Iterator[None]:
        """Surround what looks at a network: in float32, by torch's own kernels."""
        compiled = [(part, type(part)) for part in module.modules() if _is_compiled(type(part))]
        for part, cls in compiled:
            part.__class__ = _original(cls)
        try:
            with in_float32(self.device):
                yield
        finally:
            for part, cls in compiled:
                part.__class__ = cls

    @property
    def reservations(self) -> list[str]:
        """What keeps other machines from repeating the numbers, before anything ran."""
        found = []
        if self.precision == "bf16":
            found.append("bf16: rounds to 8 bits, so that another kernel's order of sums shows")
        if self.compiled:
            found.append("compiled kernels: torch may choose others on another machine or version")
        return found


def plain(module: M) -> M:
    """Return `module` itself, no longer compiled."""
    for part in module.modules():
        if _is_compiled(type(part)):
            part.__class__ = _original(type(part))
    return module


def _entered(module: nn.Module) -> list[nn.Module]:
    """Return the parts of a module that a method calls: itself, and the networks it is made of.

    The parts of a task network are its own affair; a pair of generators, or a list of
    discriminators, is called one by one.
    """
    if hasattr(module, "classify"):
        return [module]
    networks = [part for part in module.children() if not type(part).__module__.startswith("torch")]
    return [*networks, *([] if isinstance(module, nn.ModuleList | nn.ModuleDict) else [module])]


_SUBCLASSES: dict[type, type] = {}


def _compiled(cls: type) -> type:
    """Return a subclass that differs in nothing but that its methods are compiled.

    A compiled method takes the module as an argument. On the instance it would be bound to that
    one, and a deep copy would go on computing with the original's weights.
    """
    if _is_compiled(cls):
        return cls
    if cls not in _SUBCLASSES:
        methods = {
            name: torch.compile(getattr(cls, name)) for name in _METHODS if hasattr(cls, name)
        }
        names = {key: getattr(cls, key) for key in ("__module__", "__qualname__", "__doc__")}
        _SUBCLASSES[cls] = type(cls.__name__, (cls,), {**methods, **names})
    return _SUBCLASSES[cls]


def _is_compiled(cls: type) -> bool:
    return cls in _SUBCLASSES.values()


def _original(cls: type) -> type:
    return cls.__mro__[1]


@cache
def check_compiler(device: torch.device) -> None:
    """Raise BenchError unless torch.compile works here; the first call takes seconds."""

    def tiny(x: torch.Tensor) -> torch.Tensor:
        return (x * 2 + 1).sin()

    try:
        torch.compile(tiny)(torch.zeros(3, device=device))
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise BenchError(
            f"--compile does not work on this machine ({reason[0] if reason else error!r})."
            " torch.compile needs a C++ compiler (on a GPU: Triton). Leave --compile out."
        ) from error


@contextlib.contextmanager
def noting(note: Callable[[str], None]) -> Iterator[None]:
    """Call `note` with each operation that is not deterministic, instead of warning of it.

    torch must have been asked for deterministic algorithms, and to warn only. Each operation is
    noted at least once.
    """
    with warnings.catch_warnings():
        # "default": once for each line of code. Where warnings are errors, this one is none.
        warnings.filterwarnings("default", message=f".*{_UNDETERMINED.pattern}")
        show = warnings.showwarning

        def caught(message: Warning | str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            found = _UNDETERMINED.search(str(message))
            if found:
                note(f"{found[1]}: torch has no deterministic implementation of it")
            else:
                show(message, *args, **kwargs)

        warnings.showwarning = caught
        yield
