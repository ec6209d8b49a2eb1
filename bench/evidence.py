"""What a run keeps for rules to judge its checkpoints by, and their judgement.

::

    runs/<run id>/outputs.safetensors   validation_labels                       int64 (m,)
                                        target_logits/checkpoint-<step>         float32 (n, k)
                                        validation_logits/checkpoint-<step>     float32 (m, k)
                                        validation_weights/checkpoint-<step>    float64 (m,)

A run's record holds the scores by every installed rule, so that a table needs no logits.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import plugins
from bench.digest import canonical_json
from bench.errors import BenchError
from bench.select import Evidence, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from bench.select import Rule

OUTPUTS = "outputs.safetensors"
CHECKPOINT = "checkpoint-"
_KINDS = ("float32", "float32", "int64", "float64")

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


def digests(outputs: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return what stands in the file beside its arrays, so that `read` notices a damaged one."""
    found = {name: _digest(array) for name, array in outputs.items()}
    return {"digests": canonical_json(found)}


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


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
            expected = json.loads((file.metadata() or {}).get("digests", "{}"))
            for name in file.keys():  # noqa: SIM118  no mapping
                if not name.startswith(prefix):
                    continue
                checkpoint = name.partition("/")[2]
                seen = Evidence(
                    _sound(file, name, expected),
                    _sound(file, f"validation_logits/{checkpoint}", expected),
                    _sound(file, "validation_labels", expected),
                    _sound(file, f"validation_weights/{checkpoint}", expected),
                )
                found[_step(checkpoint)] = _checked(seen, name)
    # The last ones are about types of numbers that NumPy does not have.
    except (OSError, ValueError, SafetensorError, TypeError, AttributeError, KeyError) as error:
        raise _kept_nothing(folder, str(error)) from error
    if not found:
        raise _kept_nothing(folder, f"{OUTPUTS} holds no {prefix}...")
    return found


def _sound(file: Any, name: str, expected: Mapping[str, str]) -> np.ndarray:  # noqa: ANN401
    """Return an array of the file; raise ValueError if it is not what was written."""
    array: np.ndarray = file.get_tensor(name)
    # Earlier versions wrote no digests.
    if name in expected and _digest(array) != expected[name]:
        raise ValueError(f"{name} is damaged")
    return array


def _step(checkpoint: str) -> int:
    step = int(checkpoint.removeprefix(CHECKPOINT))
    if checkpoint != f"{CHECKPOINT}{step:08d}" or step < 0:
        raise ValueError(f"{checkpoint!r} names no training step")
    return step


def _checked(seen: Evidence, name: str) -> Evidence:
    """Return what was read if its parts fit together; raise ValueError if not."""
    parts = (seen.target, seen.validation, seen.labels, seen.weights)
    kinds = tuple(part.dtype.name for part in parts)
    n, k = len(seen.labels), seen.target.shape[-1]
    shapes = (seen.target.shape[1:], seen.validation.shape, seen.labels.shape, seen.weights.shape)
    if kinds != _KINDS or shapes != ((k,), (n, k), (n,), (n,)):
        raise ValueError(f"the parts of {name} do not fit each other")
    if n and not 0 <= int(seen.labels.min()) <= int(seen.labels.max()) < k:
        raise ValueError(f"the labels beside {name} are none of its {k} classes")
    return seen


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
