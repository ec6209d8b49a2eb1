"""What is asked of a checkpoint so that rules can judge it without a target label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.importance import density_ratio
from bench.modes import evaluating
from bench.predict import BATCH, predict, sample_positions, sample_scores
from bench.select import Evidence
from bench.task import Images

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from bench.task import LabeledImages, Task

TARGET_IMAGES = 2000
"""Target training images whose logits are kept."""

VALIDATION_IMAGES = 1000
"""The same of held-out source images."""

FEATURE_IMAGES = 500
"""Images of each domain whose features say what the density ratio is."""

TARGET_SCENES, SCENES, POSITIONS = 64, 32, 64
"""The same where there is one class a pixel: target images; images for everything else; and
pixels of each of these."""


def gather(net: nn.Module, task: Task) -> Evidence:
    """Ask a network for all that rules judge it by; it and random state are left as they were.

    Raises:
        BenchError: the network's output has another shape.
        DivergedError: an output is NaN or infinite.
    """
    if task.dense:
        return _gather_dense(net, task)
    validation = _first(task.validation, VALIDATION_IMAGES)
    labels = task.validation.labels.index_select(0, _few(task.validation, VALIDATION_IMAGES))
    parts = [
        _features(net, images)
        for images in (
            _first(task.source, FEATURE_IMAGES),
            _first(task.target, FEATURE_IMAGES),
            validation,
        )
    ]
    return Evidence(
        predict(net, _first(task.target, TARGET_IMAGES), task.classes).numpy(),
        predict(net, validation, task.classes).numpy(),
        labels.long().cpu().numpy(),
        density_ratio(*parts),
    )


def _gather_dense(net: nn.Module, task: Task) -> Evidence:
    validation = _first(task.validation, SCENES)
    maps = task.validation.labels.index_select(0, _few(task.validation, SCENES))
    positions = sample_positions(validation, POSITIONS)
    labels = maps.flatten(1).cpu().long().gather(1, positions).flatten()
    labelled = (labels < task.classes).numpy()
    domains = (_first(task.source, SCENES), _first(task.target, SCENES), validation)
    parts = [_features(net, images, sample_positions(images, POSITIONS)) for images in domains]
    logits = sample_scores(net, validation, task.classes, POSITIONS).numpy()
    return Evidence(
        sample_scores(net, _first(task.target, TARGET_SCENES), task.classes).numpy(),
        logits[labelled],
        labels.numpy()[labelled],
        density_ratio(parts[0], parts[1], parts[2][labelled]),
    )


def _few(images: Images | LabeledImages, count: int) -> Tensor:
    return torch.arange(min(count, len(images)), device=images.pixels.device)


def _first(images: Images | LabeledImages, count: int) -> Images:
    """Return the first `count` of the images, in memory. Their order is random, and fixed."""
    return Images(images.pixels.index_select(0, _few(images, count)), images.role)


@torch.no_grad()
def _features(net: nn.Module, images: Images, positions: Tensor | None = None) -> np.ndarray:
    """Return features float32 (n, f), of scenes at `positions` (n, p) only: (n p, f).

    A network without features is judged by its logits instead.
    """
    features = getattr(net, "features", None)
    look = features if callable(features) else net
    height, width = images.pixels.shape[-2:]
    device = next((w.device for w in net.parameters()), images.pixels.device)
    size = BATCH if positions is None else 1
    parts = []
    for first in range(0, len(images), size):
        last = min(first + size, len(images))
        index = torch.arange(first, last, device=images.pixels.device)
        with evaluating(net), torch.random.fork_rng(enabled=True):
            found = look(images[index].to(device)).float()
        if positions is None:
            parts.append(found.flatten(1).cpu())
            continue
        rows, columns = positions[first] // width, positions[first] % width
        tall, wide = found.shape[-2:]
        parts.append(found[0, :, rows * tall // height, columns * wide // width].T.cpu())
    return torch.cat(parts).numpy()
