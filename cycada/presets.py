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


# ------------------------------------------------------------------ segmentation

# Hoffman et al. 2018, A.1.2, and its released code; CycleGAN: Zhu et al. 2017.
PAPER_SCENES_CLASSIFIER = {
    "epochs": 100,
    "max_steps": 100_000,
    "batch": 1,
    "lr": 1e-3,
    "optimizer": "sgd",
    "momentum": 0.99,
    "weight_decay": 5e-4,
}

PAPER_SCENES_FEATURE = {
    "epochs": 100,
    "max_steps": 100_000,
    "batch": 1,
    "lr": 1e-5,
    "discriminator_lr": 1e-5,
    "optimizer": "sgd",
    "momentum": 0.99,
    "weight_decay": 5e-4,
    "crop": 768,
    "hidden": 512,
    "gate_window": 100,
    "shared": True,
    "gan": 0.1,
    "supervised": 1.0,
}

PAPER_SCENES_PIXEL = {
    "epochs": 20,
    "batch": 1,
    "size": None,
    "crop": 400,
    "gan_source_to_target": 1.0,
    "cycle": 10.0,
    "semantic": "none",
}

FAST_SCENES_CLASSIFIER = {
    "epochs": 40,
    "max_steps": 1000,
    "batch": 8,
    "lr": 1.6e-2,
    "schedule": "cosine",
}

FAST_SCENES_FEATURE = PAPER_SCENES_FEATURE | {
    "epochs": 5,
    "max_steps": 200,
    "batch": 8,
    "lr": 1e-3,
    "discriminator_lr": 1e-3,
    "optimizer": "adam",
    "weight_decay": 0.0,
    "crop": None,
    "hidden": 64,
    "gate_window": 10,
}

FAST_SCENES_PIXEL = PAPER_SCENES_PIXEL | {
    "epochs": 20,
    "max_steps": 800,
    "batch": 8,
    "lr": 1e-3,
    "generator": "unshuffle",
    "filters": 64,
    "blocks": 2,
    "crop": 64,
    "identity": 5.0,
    "discriminator_filters": 32,
    "discriminator_layers": 2,
    "average": 0.99,
}

SMOKE_SCENES_CLASSIFIER = {"max_steps": 2, "batch": 4, "lr": 2e-3}
SMOKE_SCENES_FEATURE = FAST_SCENES_FEATURE | {"max_steps": 2, "batch": 2, "hidden": 16}
SMOKE_SCENES_PIXEL = FAST_SCENES_PIXEL | {
    "max_steps": 2,
    "batch": 2,
    "crop": 32,
    "filters": 8,
    "blocks": 1,
    "discriminator_filters": 8,
    "pool": 10,
}


def _dotted(**stages: Mapping[str, object]) -> dict[str, object]:
    return {f"{stage}.{key}": value for stage, how in stages.items() for key, value in how.items()}


def _presets(
    *stages: str, of: Mapping[str, Mapping[str, Mapping[str, object]]]
) -> dict[str, dict[str, object]]:
    """Return what each preset changes of a method that consists of `stages`."""
    return {
        name: _dotted(**{stage: changes[stage] for stage in stages}) for name, changes in of.items()
    }


_ALL: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "fast": {"source": FAST_CLASSIFIER, "pixel": FAST_PIXEL, "feature": FAST_FEATURE},
    "smoke": {"source": SMOKE_CLASSIFIER, "pixel": SMOKE_PIXEL, "feature": SMOKE_FEATURE},
    "segmentation/paper": {
        "source": PAPER_SCENES_CLASSIFIER,
        "pixel": PAPER_SCENES_PIXEL,
        "feature": PAPER_SCENES_FEATURE,
    },
    "segmentation/fast": {
        "source": FAST_SCENES_CLASSIFIER,
        "pixel": FAST_SCENES_PIXEL,
        "feature": FAST_SCENES_FEATURE,
    },
    "segmentation/smoke": {
        "source": SMOKE_SCENES_CLASSIFIER,
        "pixel": SMOKE_SCENES_PIXEL,
        "feature": SMOKE_SCENES_FEATURE,
    },
}

CYCADA_PRESETS = _presets("source", "pixel", "feature", of=_ALL)
ADDA_PRESETS = _presets("source", "feature", of=_ALL)
SOURCE_ONLY_PRESETS = _presets("source", of=_ALL)


# ------------------------------------------------------------------ what bench tune searches

# f_S is the same for every method, so that what is compared is adaptation; source-only tunes it.
CLASSIFIER_SPACE = {"lr": ("around", 10), "weight_decay": ("log", 1e-6, 1e-2)}
FEATURE_SPACE = {
    "lr": ("around", 10),
    "discriminator_lr": ("around", 10),
    "gate": ("uniform", 0.5, 0.8),
}
PIXEL_SPACE = {
    "lr": ("around", 4),
    "cycle": ("around", 10),
    "gan_source_to_target": ("around", 4),
}

CYCADA_SPACE = _dotted(pixel=PIXEL_SPACE, feature=FEATURE_SPACE)
ADDA_SPACE = _dotted(feature=FEATURE_SPACE)
SOURCE_ONLY_SPACE = _dotted(source=CLASSIFIER_SPACE)
