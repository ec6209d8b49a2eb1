"""ADDA on scores: adversarial discriminative domain adaptation (Tzeng et al., CVPR 2017)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from cycada.classifier import Classifier, train_classifier
from cycada.feature_stage import Feature, adapt_features
from cycada.presets import ADDA_PRESETS, ADDA_SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from bench.api import Context, Task


@dataclass(frozen=True)
class ADDA:
    """Train on the source, then align the target's scores with the source's, adversarially.

    Attributes:
        source: how f_S is trained.
        feature: how the target network is aligned with it.

    This is CyCADA without its pixel stage, as the paper's own code runs it: the discriminator sees
    the scores, where ADDA's paper shows it the features.
    """

    source: Classifier = field(default_factory=Classifier)
    feature: Feature = field(default_factory=Feature)

    presets: ClassVar[Mapping[str, Mapping[str, object]]] = ADDA_PRESETS
    space: ClassVar[Mapping[str, object]] = ADDA_SPACE

    def fit(self, task: Task, ctx: Context) -> nn.Module:
        """Return f_T."""
        f_s = ctx.stage(
            "source",
            params=self.source,
            build=ctx.network,
            train=lambda net: train_classifier(net, task.source, self.source, ctx),
        )
        return ctx.stage(
            "feature",
            params=self.feature,
            build=lambda: copy.deepcopy(f_s),
            train=lambda f_t: adapt_features(f_t, f_s, task.source, task.target, self.feature, ctx),
        )
