"""All that the author of a method imports: ``from bench.api import Context, Task``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from torch import nn

from bench.context import Context, Stateful, Step
from bench.modes import evaluating, in_float32
from bench.task import Images, LabeledImages, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@runtime_checkable
class Method(Protocol):
    """A method of unsupervised domain adaptation: a frozen dataclass with one method, `fit`.

    Its fields are its hyperparameters and their defaults, so that ``--set lr=1e-4`` can check
    names and types. Inheriting from this class is not needed. Three more members are optional:

    * ``presets``: what ``--preset NAME`` changes, as ``{"smoke": {"steps": 2}}``; keys may be
      dotted into nested dataclasses (``"pixel.steps"``). For segmentation,
      ``"segmentation/smoke"`` takes the place of ``"smoke"`` where it is given.
    * ``learns_from``: "source" (the default), or "target" for a supervised upper bound, whose
      task the harness builds with the *target* domain as source. Tables mark such a method.
    * ``departure``: a sentence on how these hyperparameters leave the method's paper, or None.
      Tables print it beside the result.
    """

    presets: ClassVar[Mapping[str, Mapping[str, object]]]
    learns_from: ClassVar[Literal["source", "target"]]

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        """Return a network.

        It maps images float32 (b, c, h, w) in -1..1 to logits (b, k), or (b, k, h, w) if
        ``task.dense``.
        """
        ...


class Translator(nn.Module):
    """A pair of generators. The harness draws what a trial's `Translator` stage produces."""

    def forward(self, source: Tensor) -> Tensor:
        """Translate source images to the target domain: (b, c, h, w) in -1..1, same out."""
        raise NotImplementedError

    def back(self, target: Tensor) -> Tensor:
        """Translate target images to the source domain: (b, c, h, w) in -1..1, same out."""
        raise NotImplementedError


__all__ = [
    "Context",
    "Images",
    "LabeledImages",
    "Method",
    "Stateful",
    "Step",
    "Task",
    "Translator",
    "evaluating",
    "in_float32",
]
