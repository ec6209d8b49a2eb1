"""What the presets `fast` and `smoke` change; the paper's values are the dataclasses' defaults.

How the values of `fast` were chosen stands in leaderboards/fast_search.py and its records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FAST_CLASSIFIER = {
    "epochs": 20,
    "max_steps": 1500,
    "lr": 2e-3,
    "schedule": "cosine",
}

FAST_FEATURE = {
    "epochs": 15,
    "max_steps": 1000,
    "lr": 3e-4,
    "discriminator_lr": 1e-3,
}

FAST_PIXEL = {
    "epochs": 10,
    "max_steps": 2000,
    "batch": 64,
    "lr": 1e-3,
    "generator": "unshuffle",
    "filters": 64,
    "blocks": 2,
    "size": None,
    "discriminator_filters": 32,
    "discriminator_layers": 2,
    "semantic": "released",
    "classifier_lr": 1e-3,
    "average": 0.99,
}

SMOKE_CLASSIFIER = {"max_steps": 30, "batch": 32, "lr": 2e-3}
SMOKE_FEATURE = {"max_steps": 4, "batch": 16}
SMOKE_PIXEL = FAST_PIXEL | {
    "max_steps": 4,
    "batch": 8,
    "filters": 8,
    "blocks": 1,
    "discriminator_filters": 8,
    "pool": 10,
}


def _dotted(**stages: Mapping[str, object]) -> dict[str, object]:
    return {f"{stage}.{key}": value for stage, how in stages.items() for key, value in how.items()}


FAST = _dotted(source=FAST_CLASSIFIER, pixel=FAST_PIXEL, feature=FAST_FEATURE)
SMOKE = _dotted(source=SMOKE_CLASSIFIER, pixel=SMOKE_PIXEL, feature=SMOKE_FEATURE)
ADDA_FAST = _dotted(source=FAST_CLASSIFIER, feature=FAST_FEATURE)
ADDA_SMOKE = _dotted(source=SMOKE_CLASSIFIER, feature=SMOKE_FEATURE)
SOURCE_FAST = _dotted(source=FAST_CLASSIFIER)
SOURCE_SMOKE = _dotted(source=SMOKE_CLASSIFIER)
