"""Numbers that may not move unnoticed.

`bench.config.NUMERICS` is part of every run's id and every stage's key, in the place of the code's
own text, so that fixing a comment throws no day's work away. Whoever changes what is computed has
to raise it by hand; this test says when.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from bench.config import NUMERICS
from bench.request import Request
from bench.sweep import sweep

TOY = f"{Path(__file__).parent / 'plugins' / 'toy_suite.py'}:TOY"

HOW: dict[str, Any] = {
    "source.epochs": 100,
    "source.max_steps": 51,
    "source.batch": 32,
    "source.lr": 2e-3,
    "source.schedule": "cosine",
    "pixel.epochs": 100,
    "pixel.max_steps": 51,
    "pixel.batch": 8,
    "pixel.lr": 1e-3,
    "pixel.beta1": 0.5,
    "pixel.generator": "unshuffle",
    "pixel.filters": 8,
    "pixel.blocks": 1,
    "pixel.size": None,
    "pixel.discriminator_filters": 8,
    "pixel.discriminator_layers": 2,
    "pixel.gan_source_to_target": 2.0,
    "pixel.gan_target_to_source": 1.0,
    "pixel.cycle": 1.0,
    "pixel.semantic": "released",
    "pixel.semantic_weight": 1.0,
    "pixel.classifier_lr": 1e-3,
    "pixel.pool": 10,
    "pixel.average": 0.99,
    "feature.epochs": 200,
    "feature.max_steps": 10,
    "feature.batch": 16,
    "feature.lr": 1e-4,
    "feature.discriminator_lr": 1e-3,
    "feature.beta1": 0.5,
    "feature.weight_decay": 0.0,
    "feature.hidden": 500,
    "feature.gate": 0.3,
}
"""Every hyperparameter, so that a preset may change without a word here: it is in the run's id.

Losses are logged at every fiftieth step: at the first, which tells of seeds, initial weights,
batches and the losses' weights, and at the last, which tells of learning rates and schedules.
"""

TOLERANCE = 1e-3
"""Relative. Another CPU adds up in another order, which moved none of these values by more than a
tenth of this."""

GOLDEN: dict[str, float] = {}

ADVICE = f"""

The numbers of a trial have moved. If you did not mean to change what is computed, you did. If you
did, raise bench.config.NUMERICS (now {NUMERICS}), so that no result of before is mixed with one of
after, and write these values into tests/test_golden.py:

"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Return what one trial of CyCADA on the toy suite logged, and how far its weights moved."""
    runs = tmp_path_factory.mktemp("golden") / "runs"
    request = Request(
        suite=TOY,
        methods=("cycada",),
        seeds=(0,),
        preset="smoke",
        settings=tuple(f"{key}={value}" for key, value in HOW.items()),
        threads=1,
        device="cpu",
        runs=runs,
    )
    (outcome,) = sweep(request).outcomes
    folder = runs / outcome["run_id"]
    record = json.loads((folder / "run.json").read_text())
    assert flat(record["config"]["params"]) == HOW, "say above what a new hyperparameter is"
    values = logged(folder / "metrics.jsonl")
    weights = {
        stage["name"]: load_file(runs / "stages" / stage["key"] / "weights.safetensors")
        for stage in record["stages"]
    }
    for stage, tensors in weights.items():
        values[f"{stage}: size of weights"] = distance(tensors, None)
    # The feature stage logs accuracies only: on so small a batch, steps of 1/32.
    values["feature: way of weights"] = distance(weights["feature"], weights["adapted"])
    return values


def flat(params: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{stage}.{key}": v for stage, how in params.items() for key, v in how.items()}


def logged(path: Path) -> dict[str, float]:
    """Return the losses of a log by "stage, step: name"."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        f"{line['stage']}, {line['step']}: {name}": value
        for line in lines
        for name, value in line.items()
        if name not in {"stage", "step", "loop"} and line["stage"] != "feature"
    }


def distance(a: dict[str, Any], b: dict[str, Any] | None) -> float:
    """Return the Euclidean distance of two networks' weights; of one from zero."""
    squares = [
        float((tensor - (0 if b is None else b[name])).double().square().sum())
        for name, tensor in a.items()
    ]
    return math.sqrt(sum(squares))


def test_the_numbers_have_not_moved(found: dict[str, float]) -> None:
    written = "".join(f'    "{name}": {value:.6g},\n' for name, value in found.items())
    assert found == pytest.approx(GOLDEN, rel=TOLERANCE), f"{ADVICE}GOLDEN = {{\n{written}}}"
