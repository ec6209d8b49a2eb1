"""CyCADA: cycle-consistent adversarial domain adaptation (Hoffman et al., ICML 2018)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from cycada.classifier import Classifier, train_classifier
from cycada.feature_stage import Feature, adapt_features
from cycada.pixel_stage import Pixel, train_translator
from cycada.presets import CYCADA_PRESETS, CYCADA_SPACE
from cycada.translator import ImageTranslator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from bench.api import Context, Task


@dataclass(frozen=True)
class CyCADA:
    """Adapt images, then features: Equation 6 of the paper, in its four stages.

    Attributes:
        source: how f_S, and later f_T on translated images, are trained (Equation 1).
        pixel: how images are translated (Equations 2 to 4); None leaves the stage out.
        feature: how features are aligned (Equation 5); None leaves the stage out.

    The rows of the paper's Table 3 are this class with parts switched off. Without the pixel
    stage it is ADDA on scores.
    """

    source: Classifier = field(default_factory=Classifier)
    pixel: Pixel | None = field(default_factory=Pixel)
    feature: Feature | None = field(default_factory=Feature)

    presets: ClassVar[Mapping[str, Mapping[str, object]]] = CYCADA_PRESETS
    space: ClassVar[Mapping[str, object]] = CYCADA_SPACE

    @property
    def departure(self) -> str | None:
        """How these hyperparameters leave the paper, in a sentence for tables to show."""
        ways = []
        if self.pixel and self.pixel.semantic == "cooperative":
            ways.append(
                "its semantic loss departs from Equation 4: a classifier trained along, on true"
                " source labels, takes the place of the frozen source network's argmax"
            )
        if self.pixel and self.pixel.identity:
            ways.append("its pixel stage has CycleGAN's identity loss, which Equation 6 lacks")
        return "; ".join(ways) or None

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        """Return f_T."""
        net = ctx.stage(
            "source",
            params=self.source,
            build=ctx.network,
            train=lambda f_s: train_classifier(f_s, task.source, self.source, ctx),
        )
        images = task.source
        if self.pixel:
            f_s, pixel = net, self.pixel
            translator = ctx.stage(
                "translator",
                params=pixel,
                build=lambda: ImageTranslator(pixel, task.channels),
                train=lambda g: train_translator(g, f_s, task, pixel, ctx),
            )
            images = translated = task.source.translated(translator)
            net = ctx.stage(
                "adapted",
                params=self.source,
                build=ctx.network,
                train=lambda f_t: train_classifier(f_t, translated, self.source, ctx),
            )
        if self.feature:
            reference, feature = net, self.feature
            net = ctx.stage(
                "feature",
                params=feature,
                build=lambda: copy.deepcopy(reference),
                train=lambda f_t: adapt_features(f_t, reference, images, task.target, feature, ctx),
            )
        return net
