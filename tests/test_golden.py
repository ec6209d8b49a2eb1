"""Numbers that may not move unnoticed.

`bench.config.NUMERICS` is part of every run's id and every stage's key, in the place of the code's
own text, so that fixing a comment throws no day's work away. Whoever changes what is computed has
to raise it by hand; this test says when.
"""

from __future__ import annotations

import json
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
    "source.optimizer": "adam",
    "source.momentum": 0.99,
    "source.weight_decay": 0.0,
    "source.crop": None,
    "pixel.epochs": 100,
    "pixel.max_steps": 51,
    "pixel.batch": 8,
    "pixel.lr": 1e-4,
    "pixel.beta1": 0.5,
    "pixel.generator": "unshuffle",
    "pixel.filters": 8,
    "pixel.blocks": 1,
    "pixel.size": None,
    "pixel.crop": None,
    "pixel.discriminator_filters": 8,
    "pixel.discriminator_layers": 2,
    "pixel.gan_source_to_target": 2.0,
    "pixel.gan_target_to_source": 1.0,
    "pixel.cycle": 1.0,
    "pixel.identity": 0.0,
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
    "feature.optimizer": "adam",
    "feature.beta1": 0.5,
    "feature.momentum": 0.99,
    "feature.weight_decay": 0.0,
    "feature.crop": None,
    "feature.hidden": 500,
    "feature.gate": 0.3,
    "feature.gate_window": 1,
    "feature.shared": False,
    "feature.gan": 1.0,
    "feature.supervised": 0.0,
}
"""Every hyperparameter, so that a preset may change without a word here: it is in the run's id.

Losses are logged at every fiftieth step: at the first, which tells of seeds, initial weights,
batches and the losses' weights, and at the last, which tells of learning rates and schedules.
The pixel stage's learning rate is low, because at ten times that the adversaries blow a rounding
error up to a hundredth within these steps.
"""

TOLERANCE = 1e-3
"""Relative. Other vector instructions, and other kernels for convolutions, moved no value by more
than a fiftieth of this; a single learning rate that is a hundredth off moves one beyond it."""

GOLDEN = {
    "source, 0: loss": 1.09901,
    "source, 50: loss": 0.142011,
    "translator, 0: classifier": 1.08501,
    "translator, 0: cycle_s": 0.785523,
    "translator, 0: cycle_t": 0.762901,
    "translator, 0: discriminators": 1.21994,
    "translator, 0: gan_st": 1.74871,
    "translator, 0: gan_ts": 1.12109,
    "translator, 50: classifier": 0.436421,
    "translator, 50: cycle_s": 0.779497,
    "translator, 50: cycle_t": 0.769953,
    "translator, 50: discriminators": 0.159351,
    "translator, 50: gan_st": 1.47043,
    "translator, 50: gan_ts": 0.656981,
    "translator, 50: semantic_s": 1.12722,
    "translator, 50: semantic_t": 0.708631,
    "adapted, 0: loss": 1.11323,
    "translator: size of source_to_target.leave.bias": 0.238155,
    "translator: size of target_to_source.leave.bias": 0.286192,
    "feature: way of trunk.0.weight": 0.0222531,
    "feature: way of head.1.weight": 0.0358874,
}

ADVICE = f"""

The numbers of a trial have moved. If you did not mean to change what is computed, you did. If you
did, raise bench.config.NUMERICS (now {NUMERICS}), so that no result of before is mixed with one of
after, and write these values into tests/test_golden.py:

"""


def trained(runs: Path, method: str, how: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Run one trial on the toy suite; return its folder and its record."""
    request = Request(
        suite=TOY,
        methods=(method,),
        seeds=(0,),
        preset="smoke",
        settings=tuple(f"{key}={value}" for key, value in how.items()),
        threads=1,
        device="cpu",
        runs=runs,
    )
    (outcome,) = sweep(request).outcomes
    record = json.loads((runs / outcome["run_id"] / "run.json").read_text())
    assert flat(record["config"]["params"]) == how, "say above what a new hyperparameter is"
    return runs / outcome["run_id"], record


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Return the losses of CyCADA, and how far ADDA's feature stage moved the weights.

    That stage logs accuracies only. It is ADDA's, because on translated images, which are noise
    after so few steps, a classifier blows up rounding errors too: only its first loss counts.
    """
    runs = tmp_path_factory.mktemp("golden") / "runs"
    folder, record = trained(runs, "cycada", HOW)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    values = {
        f"{line['stage']}, {line['step']}: {name}": value
        for line in lines
        for name, value in line.items()
        if name not in {"stage", "step", "loop"}
        and line["stage"] != "feature"
        and (line["stage"], line["step"]) != ("adapted", 50)
    }
    # The losses are those of the generators that train; what translates is their average.
    key = next(stage["key"] for stage in record["stages"] if stage["name"] == "translator")
    average = load_file(runs / "stages" / key / "weights.safetensors")
    for name in ("source_to_target.leave.bias", "target_to_source.leave.bias"):
        values[f"translator: size of {name}"] = float(average[name].norm())
    _, record = trained(runs, "adda", {k: v for k, v in HOW.items() if not k.startswith("pixel")})
    before, after = (
        load_file(runs / "stages" / stage["key"] / "weights.safetensors")
        for stage in record["stages"]
    )
    for name in ("trunk.0.weight", "head.1.weight"):
        values[f"feature: way of {name}"] = float((after[name] - before[name]).norm())
    return values


def flat(params: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{stage}.{key}": v for stage, how in params.items() for key, v in how.items()}


def test_the_numbers_have_not_moved(found: dict[str, float]) -> None:
    written = "".join(f'    "{name}": {value:.6g},\n' for name, value in found.items())
    assert found == pytest.approx(GOLDEN, rel=TOLERANCE), f"{ADVICE}GOLDEN = {{\n{written}}}"
