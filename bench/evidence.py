"""What a run keeps for rules to judge its checkpoints by, and their judgement.

::

    runs/<run id>/outputs.safetensors   validation_labels                       int64 (m,)
                                        target_logits/checkpoint-<step>         float32 (n, k)
                                        validation_logits/checkpoint-<step>     float32 (m, k)
                                        validation_weights/checkpoint-<step>    float64 (m,)

A run's record holds the scores by every installed rule, so that a table needs no logits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench import plugins
from bench.errors import BenchError
from bench.select import Evidence, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from bench.select import Rule

OUTPUTS = "outputs.safetensors"
CHECKPOINT = "checkpoint-"

Scores = dict[str, dict[str, float | None]]
"""By rule, then by training step as text, as a record holds them."""


def arrays(evidence: Mapping[int, Evidence]) -> dict[str, np.ndarray]:
    """Return what is to be written, by name; `read` reads it back."""
    found: dict[str, np.ndarray] = {}
    for step, seen in evidence.items():
        name = f"{CHECKPOINT}{step:08d}"
        found[f"target_logits/{name}"] = seen.target
        found[f"validation_logits/{name}"] = seen.validation
        found[f"validation_weights/{name}"] = seen.weights
        found["validation_labels"] = seen.labels
    return found


def read(folder: Path) -> dict[int, Evidence]:
    """Return the evidence of a run's checkpoints by training step.

    Raises:
        BenchError: the run kept none, as runs of earlier versions, or it cannot be read.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415  torch is not needed

    path = folder / OUTPUTS
    prefix = f"target_logits/{CHECKPOINT}"
    found = {}
    try:
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118  no mapping
                if not name.startswith(prefix):
                    continue
                checkpoint = name.partition("/")[2]
                found[int(name.removeprefix(prefix))] = Evidence(
                    file.get_tensor(name),
                    file.get_tensor(f"validation_logits/{checkpoint}"),
                    file.get_tensor("validation_labels"),
                    file.get_tensor(f"validation_weights/{checkpoint}"),
                )
    except (OSError, ValueError, SafetensorError) as error:
        raise _kept_nothing(folder, str(error)) from error
    if not found:
        raise _kept_nothing(folder, f"{OUTPUTS} holds no {prefix}...")
    return found


def _kept_nothing(folder: Path, why: str) -> BenchError:
    return BenchError(
        f"run {folder.name} kept nothing that a rule could judge ({why})."
        " Delete its folder and run it again, or take --select last."
    )


def scores(evidence: Mapping[int, Evidence]) -> Scores:
    """Return what every installed rule thinks of each checkpoint.

    A plug-in's rule that fails is left out: it must not decide how a trial ended.
    """
    found: Scores = {}
    for name in plugins.names("rule"):
        try:
            rule = plugins.load_rule(name)
            if rule.score is not None:
                found[name] = {str(step): judge(rule, seen) for step, seen in evidence.items()}
        except BenchError:
            continue
    return found


def scores_by(
    rule: Rule, recorded: Mapping[str, Mapping[str, float | None]], folder: str | Path | None
) -> dict[int, float | None]:
    """Return one rule's scores of a run's checkpoints by training step.

    Args:
        rule: one that has a score.
        recorded: the scores in the run's record.
        folder: the run's, for a rule that was not installed when it ran; None if there is none.

    Raises:
        BenchError: there is neither.
    """
    if rule.name in recorded:
        return {int(step): value for step, value in recorded[rule.name].items()}
    if folder is None:
        message = f"the record has no scores by the rule '{rule.name}', and its run is not here"
        raise BenchError(message)
    return {step: judge(rule, seen) for step, seen in read(Path(folder)).items()}
