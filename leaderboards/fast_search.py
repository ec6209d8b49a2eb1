"""How the `fast` preset was chosen: eight trials a method on `mini`, ranked without labels.

    python leaderboards/fast_search.py STAGE [--runs DIR]

The stages are settled in the order in which they build on each other: "source" with source-only,
"feature" with ADDA, "pixel" with CyCADA. Each gets the same number of trials, one seed, both
shifts of `mini`. A trial's objective is InfoMax on the target's *training* images (Krause et al.
2010), averaged over the two shifts:

    H(mean_i p_i) - mean_i H(p_i),    p_i = softmax(logits of image i), natural logarithms.

No target label is read for it. The accuracy on the target's test set is printed beside it, so that
a reader can see how far the two agree; nothing is chosen by it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from bench.metrics import accuracy
from bench.records import read_confusions
from bench.request import Request
from bench.sweep import sweep

METHODS = {"source": "source-only", "feature": "adda", "pixel": "cycada"}

TRIALS: dict[str, tuple[dict[str, object], ...]] = {
    "source": (
        {"source.lr": 1e-3, "source.schedule": "cosine"},
        {"source.lr": 5e-4, "source.schedule": "cosine"},
        {"source.lr": 2e-3, "source.schedule": "cosine"},
        {"source.lr": 1e-3, "source.schedule": "constant"},
        {"source.lr": 5e-4, "source.schedule": "constant"},
        {"source.lr": 1e-3, "source.schedule": "cosine", "source.batch": 64},
        {"source.lr": 1e-3, "source.schedule": "cosine", "source.epochs": 10},
        {"source.lr": 1e-3, "source.schedule": "cosine", "source.epochs": 30},
    ),
    "feature": (
        {"feature.lr": 1e-4, "feature.discriminator_lr": 1e-4},
        {"feature.lr": 3e-5, "feature.discriminator_lr": 1e-4},
        {"feature.lr": 3e-5, "feature.discriminator_lr": 3e-4},
        {"feature.lr": 1e-4, "feature.discriminator_lr": 3e-4},
        {"feature.lr": 1e-4, "feature.discriminator_lr": 1e-3},
        {"feature.lr": 3e-4, "feature.discriminator_lr": 1e-3},
        {"feature.lr": 1e-4, "feature.discriminator_lr": 1e-3, "feature.weight_decay": 2.5e-5},
        {"feature.lr": 1e-4, "feature.discriminator_lr": 1e-3, "feature.gate": 0.5},
    ),
    "pixel": (
        {"pixel.semantic": "released"},
        {"pixel.semantic": "paper"},
        {"pixel.semantic": "cooperative"},
        {"pixel.discriminator_filters": 32},
        {"pixel.lr": 5e-4},
        {"pixel.lr": 2e-3},
        {"pixel.gan_source_to_target": 1.0},
        {"pixel.batch": 32},
    ),
}

BASE: dict[str, dict[str, object]] = {
    "source": {},
    "feature": {},
    "pixel": {
        "pixel.epochs": 12,
        "pixel.semantic": "released",
        "pixel.discriminator_filters": 16,
        "pixel.lr": 1e-3,
        "pixel.gan_source_to_target": 2.0,
        "pixel.batch": 64,
    },
}
"""Where a stage's trials started from, for whatever the preset says by now."""


def infomax(logits: np.ndarray) -> float:
    """Return the mutual information, in nats, of image and prediction; logits float (n, k)."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    p = np.exp(log_p)
    mean = p.mean(0)
    return float(-(mean * np.log(mean + 1e-300)).sum() + (p * log_p).sum(1).mean())


def main() -> None:
    """Run one stage's trials, as far as they are not done yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=METHODS)
    parser.add_argument("--runs", type=Path, default=Path("runs/fast-search"))
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    print("| settings | InfoMax | accuracy (not used) | seconds |\n| :-- | --: | --: | --: |")
    for trial in TRIALS[asked.stage]:
        report = sweep(
            Request(
                methods=(METHODS[asked.stage],),
                seeds=(0,),
                settings=tuple(f"{k}={v}" for k, v in (BASE[asked.stage] | trial).items()),
                runs=asked.runs,
                threads=asked.threads,
            )
        )
        folders = [asked.runs / outcome["run_id"] for outcome in report.outcomes]
        objectives, scores = [], []
        for folder in folders:
            last = max(read_confusions(folder).checkpoints)
            outputs = load_file(folder / "outputs.safetensors")
            objectives.append(infomax(outputs[f"target_logits/checkpoint-{last:08d}"]))
            scores.append(accuracy(read_confusions(folder).checkpoints[last]) or 0.0)
        shown = ", ".join(f"{key}={value}" for key, value in trial.items())
        seconds = sum(outcome["seconds"] for outcome in report.outcomes)
        accuracies = " ".join(f"{100 * score:.1f}" for score in scores)
        print(f"| {shown} | {np.mean(objectives):.4f} | {accuracies} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
