"""How the `fast` preset was chosen: the same number of trials a method, ranked without labels.

    python leaderboards/fast_search.py ROUND [--runs DIR] [--data DIR]

Rounds "source", "feature" and "pixel" are eight trials each on `mini`, in the order in which the
stages build on each other; "source-digits", "feature-digits" and "pixel-digits" are two trials each
on the MNIST/USPS shifts. One seed. A trial's objective is InfoMax on the target's *training* images
(`bench.criteria.infomax`), averaged over its two shifts. ``bench tune`` does this for any method
now, and better; this script is kept because it says how the preset came about. No target label is
read for it. The accuracy on the target's test set is printed beside it, so that
a reader can see how far the two agree; nothing is chosen by it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.data.manage import default_root
from bench.headline import quality
from bench.records import read_confusions, read_run
from bench.request import Request
from bench.sweep import sweep

CONSTANT: dict[str, object] = {"source.lr": 1e-3, "source.schedule": "constant"}
"""The first round's source classifier, from which the later stages' trials started."""

SCENES_SOURCE: dict[str, object] = {"source.epochs": 20, "source.max_steps": 1000}
SCENES_LR = 8e-3
SCENES_PIXEL: dict[str, object] = {
    "pixel.epochs": 20,
    "pixel.max_steps": 800,
    "pixel.batch": 8,
    "pixel.crop": 64,
    "pixel.lr": 1e-3,
    "feature": "none",
}
"""What the trials on street scenes share: it follows from the time that a run may take."""

MINI = ("printed2handwritten", "handwritten2printed")
DIGITS = ("mnist2usps", "usps2mnist")
STREETS = ("game2camera",)


@dataclass(frozen=True)
class Round:
    """Trials of one method on two shifts.

    Attributes:
        method: whose hyperparameters are tried.
        suite: where the shifts are.
        shifts: names; a trial's objective is the mean over them.
        trials: what each trial sets.
        base: what all of them set, whatever the preset says by now.
    """

    method: str
    suite: str
    shifts: tuple[str, ...]
    trials: tuple[dict[str, object], ...]
    base: dict[str, object] = field(default_factory=dict)


ROUNDS = {
    "source": Round(
        "source-only",
        "mini",
        MINI,
        (
            {"source.lr": 1e-3, "source.schedule": "cosine"},
            {"source.lr": 5e-4, "source.schedule": "cosine"},
            {"source.lr": 2e-3, "source.schedule": "cosine"},
            {"source.lr": 1e-3, "source.schedule": "constant"},
            {"source.lr": 5e-4, "source.schedule": "constant"},
            {"source.lr": 1e-3, "source.schedule": "cosine", "source.batch": 64},
            {"source.lr": 1e-3, "source.schedule": "cosine", "source.epochs": 10},
            {"source.lr": 1e-3, "source.schedule": "cosine", "source.epochs": 30},
        ),
    ),
    "feature": Round(
        "adda",
        "mini",
        MINI,
        (
            {"feature.lr": 1e-4, "feature.discriminator_lr": 1e-4},
            {"feature.lr": 3e-5, "feature.discriminator_lr": 1e-4},
            {"feature.lr": 3e-5, "feature.discriminator_lr": 3e-4},
            {"feature.lr": 1e-4, "feature.discriminator_lr": 3e-4},
            {"feature.lr": 1e-4, "feature.discriminator_lr": 1e-3},
            {"feature.lr": 3e-4, "feature.discriminator_lr": 1e-3},
            {
                "feature.lr": 1e-4,
                "feature.discriminator_lr": 1e-3,
                "feature.weight_decay": 2.5e-5,
            },
            {"feature.lr": 1e-4, "feature.discriminator_lr": 1e-3, "feature.gate": 0.5},
        ),
        CONSTANT,
    ),
    "pixel": Round(
        "cycada",
        "mini",
        MINI,
        (
            {"pixel.semantic": "released"},
            {"pixel.semantic": "paper"},
            {"pixel.semantic": "cooperative"},
            {"pixel.discriminator_filters": 32},
            {"pixel.lr": 5e-4},
            {"pixel.lr": 2e-3},
            {"pixel.gan_source_to_target": 1.0},
            {"pixel.batch": 32},
        ),
        CONSTANT
        | {
            "pixel.epochs": 12,
            "pixel.semantic": "released",
            "pixel.discriminator_filters": 16,
            "pixel.lr": 1e-3,
            "pixel.gan_source_to_target": 2.0,
            "pixel.batch": 64,
        },
    ),
    "source-digits": Round(
        "source-only",
        "digits",
        DIGITS,
        (CONSTANT, {"source.lr": 2e-3, "source.schedule": "cosine"}),
    ),
    "feature-digits": Round(
        "adda",
        "digits",
        DIGITS,
        (
            {"feature.lr": 3e-4, "feature.discriminator_lr": 1e-3},
            {"feature.lr": 1e-4, "feature.discriminator_lr": 1e-4},
        ),
        CONSTANT,
    ),
    "pixel-digits": Round(
        "cycada",
        "digits",
        DIGITS,
        ({"pixel.semantic": "released"}, {"pixel.semantic": "cooperative"}),
        CONSTANT | {"pixel.max_steps": 2200},
    ),
    "source-streets": Round(
        "source-only",
        "streets-mini",
        STREETS,
        ({"source.lr": 2e-3}, {"source.lr": 4e-3}, {"source.lr": 8e-3}),
        SCENES_SOURCE,
    ),
    "feature-streets": Round(
        "adda",
        "streets-mini",
        STREETS,
        (
            {"feature.lr": 1e-4, "feature.discriminator_lr": 1e-3},
            {"feature.lr": 3e-4, "feature.discriminator_lr": 1e-3},
            {"feature.lr": 1e-3, "feature.discriminator_lr": 1e-3},
        ),
        SCENES_SOURCE | {"source.lr": SCENES_LR},
    ),
    "pixel-streets": Round(
        "cycada",
        "streets-mini",
        STREETS,
        (
            {"pixel.generator": "unshuffle", "pixel.cycle": 10.0},
            {"pixel.generator": "unshuffle", "pixel.cycle": 1.0},
            {"pixel.generator": "resnet", "pixel.filters": 16, "pixel.cycle": 10.0},
        ),
        SCENES_SOURCE | {"source.lr": SCENES_LR} | SCENES_PIXEL,
    ),
    "pixel-streets-3": Round(
        "cycada",
        "streets-mini",
        STREETS,
        ({"pixel.identity": 5.0},),
        SCENES_SOURCE | {"source.lr": SCENES_LR} | SCENES_PIXEL | {"pixel.cycle": 10.0},
    ),
    "source-streets-2": Round(
        "source-only",
        "streets-mini",
        STREETS,
        (
            {"source.lr": 1.6e-2},
            {"source.batch": 16, "source.max_steps": 500},
            {"source.batch": 16, "source.crop": 96},
        ),
        SCENES_SOURCE | {"source.lr": SCENES_LR},
    ),
    "feature-streets-2": Round(
        "adda",
        "streets-mini",
        STREETS,
        ({"feature.gan": 1.0}, {"feature.gate": 0.5}, {"feature.max_steps": 400}),
        SCENES_SOURCE
        | {"source.lr": SCENES_LR, "feature.lr": 1e-3, "feature.discriminator_lr": 1e-3},
    ),
    "pixel-streets-2": Round(
        "cycada",
        "streets-mini",
        STREETS,
        ({"pixel.lr": 3e-4}, {"pixel.cycle": 30.0}, {"pixel.discriminator_layers": 1}),
        SCENES_SOURCE | {"source.lr": SCENES_LR} | SCENES_PIXEL | {"pixel.cycle": 10.0},
    ),
}


def tried(how: Round, trial: dict[str, object], runs: Path, data: Path, threads: int) -> str:
    """Run one trial, as far as it is not done yet, and return its line of the table."""
    report = sweep(
        Request(
            suite=how.suite,
            shifts=how.shifts,
            methods=(how.method,),
            seeds=(0,),
            settings=tuple(f"{key}={value}" for key, value in (how.base | trial).items()),
            runs=runs,
            data=data,
            threads=threads,
        )
    )
    objectives, scores = [], []
    for outcome in report.outcomes:
        folder = runs / outcome["run_id"]
        confusions = read_confusions(folder).checkpoints
        last = max(confusions)
        record = read_run(folder)
        objectives.append(record["scores"]["infomax"][str(last)])
        scores.append(100 * (quality(confusions[last], record["config"]["shift"]) or 0.0))
    settings = ", ".join(f"{key}={value}" for key, value in trial.items())
    shown = ", ".join(f"{score:.1f}" for score in scores)
    return f"| {settings} | {np.mean(objectives):.4f} | {shown} |"


def main() -> None:
    """Run one round's trials and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("round", choices=ROUNDS)
    parser.add_argument("--runs", type=Path, default=Path("runs/fast-search"))
    parser.add_argument("--data", type=Path, default=default_root(), help="for the digits rounds")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    how = ROUNDS[asked.round]
    print("| trial | InfoMax | accuracy or mIoU (not used) |\n| :-- | --: | --: |")
    for trial in how.trials:
        print(tried(how, trial, asked.runs, asked.data, asked.threads), flush=True)


if __name__ == "__main__":
    main()
