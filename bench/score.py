"""From a network to predictions and, as a separate step, from those to a confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.numpy import load_file, save_file

from bench.data.labels import test_labels
from bench.errors import BenchError, DivergedError
from bench.files import atomic_path
from bench.metrics import confusion_matrix
from bench.modes import evaluating

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import Tensor, nn

    from bench.data.domain import Domain
    from bench.task import Images

OUTPUTS = "outputs.safetensors"
BATCH = 500


def predict(net: nn.Module, images: Images, classes: int) -> Tensor:
    """Return logits float32 (n, k) on the CPU, computed in evaluation mode.

    The modes of all its parts and all random state are as before.

    Raises:
        BenchError: the network's output has another shape.
        DivergedError: an output is NaN or infinite.
    """
    with evaluating(net), torch.no_grad(), torch.random.fork_rng(enabled=True):
        parts = [
            net(images[torch.arange(i, min(i + BATCH, len(images)), device=images.pixels.device)])
            for i in range(0, len(images), BATCH)
        ]
    for part in parts:
        if not isinstance(part, torch.Tensor) or part.shape[1:] != (classes,):
            got = tuple(part.shape) if isinstance(part, torch.Tensor) else type(part).__name__
            raise BenchError(
                f"the method's network must map images (b, c, h, w) to logits (b, {classes}),"
                f" got {got}. Return a network whose output has one column a class."
            )
    logits = torch.cat(parts).to("cpu", torch.float32)
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError("the network's logits hold NaN or infinity")
    return logits


def save_outputs(folder: Path, outputs: dict[str, np.ndarray]) -> None:
    """Write arrays by name to the run folder, atomically."""
    with atomic_path(folder / OUTPUTS) as temporary:
        save_file(outputs, temporary)


def score_outputs(folder: Path, target: Domain, root: Path) -> dict[str, np.ndarray]:
    """Compare a run's saved test predictions with the target's sealed labels.

    Returns:
        A confusion matrix, int64 (k, k) with rows = ground truth, for each name "predictions/NAME"
        in the run's outputs.
    """
    labels = test_labels(target, root).numpy()
    prefix = "predictions/"
    return {
        name.removeprefix(prefix): confusion_matrix(labels, predictions, target.classes)
        for name, predictions in load_file(folder / OUTPUTS).items()
        if name.startswith(prefix)
    }
