"""The lower bound: train on the source, hope for the target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from cycada.classifier import Classifier, train_classifier
from cycada.presets import SOURCE_ONLY_PRESETS, SOURCE_ONLY_SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from bench.api import Context, Task


@dataclass(frozen=True)
class SourceOnly:
    """Train on the labelled source alone ("Source only" in the paper's tables).

    Attributes:
        source: how f_S is trained (Equation 1).
    """

    source: Classifier = field(default_factory=Classifier)

    presets: ClassVar[Mapping[str, Mapping[str, object]]] = SOURCE_ONLY_PRESETS
    space: ClassVar[Mapping[str, object]] = SOURCE_ONLY_SPACE

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        """Return f_S."""
        return ctx.stage(
            "source",
            params=self.source,
            build=ctx.network,
            train=lambda f_s: train_classifier(f_s, task.source, self.source, ctx),
        )
