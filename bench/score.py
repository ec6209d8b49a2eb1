"""From saved predictions and the target's sealed labels to confusion matrices.

This is a step of its own, after training, and reads what training wrote::

    runs/<run id>/outputs.safetensors            predictions and logits by name
                  predictions/<name>/00000.png   for segmentation: one class index a pixel, an image
                                                 a file, in the hidden order of the test images
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from bench.classes import protocol
from bench.data.labels import test_labels, test_maps
from bench.evidence import OUTPUTS, digests
from bench.files import atomic_path
from bench.metrics import Counts, confusion_matrix, count

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

    from bench.classes import ClassList
    from bench.data.domain import Domain, Scenes

MAPS = "predictions"


def save_outputs(folder: Path, outputs: dict[str, np.ndarray]) -> None:
    """Write arrays by name to the run folder, atomically."""
    with atomic_path(folder / OUTPUTS, durable=True) as temporary:
        save_file(outputs, temporary, digests(outputs))


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


def save_maps(folder: Path, name: str, maps: Iterable[Tensor], classes: ClassList) -> None:
    """Write predictions uint8 (h, w) of one network as PNGs in the colours of their classes.

    The pixel values are class indices; a viewer shows the colours.
    """
    place = folder / MAPS / name
    place.mkdir(parents=True, exist_ok=True)
    palette = [part for colour in classes.colours for part in colour]
    for number, indices in enumerate(maps):
        image = Image.fromarray(indices.numpy())
        image.putpalette(palette)  # turns the grey values into places in the palette
        with atomic_path(place / f"{number:05d}.png") as temporary:
            image.save(temporary, format="PNG", compress_level=1)


def read_map(folder: Path, name: str, number: int) -> np.ndarray:
    """Return a prediction that `save_maps` wrote, uint8 (h, w)."""
    with Image.open(folder / MAPS / name / f"{number:05d}.png", formats=("PNG",)) as image:
        return np.asarray(image)


def score_maps(
    folder: Path, names: Iterable[str], target: Scenes, root: Path, protocol_name: str, keep: int
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Compare a run's saved label maps with the target's sealed ones, at their own resolution.

    Args:
        folder: the run's.
        names: of the networks whose maps were saved.
        target: the target domain.
        root: the data folder.
        protocol_name: decides the classes.
        keep: how many ground truths to return, for pictures.

    Returns:
        A confusion matrix, int64 (k, k) with rows = ground truth, for each name; and the first
        `keep` ground truths, uint8 (h, w).
    """
    classes = len(protocol(protocol_name).classes)
    empty = Counts(np.zeros((classes, classes), np.int64), np.zeros(classes, np.int64))
    totals = dict.fromkeys(names, empty)
    kept = []
    for number, truth in enumerate(test_maps(target, root, protocol_name)):
        for name in totals:
            totals[name] += count(truth, read_map(folder, name, number), classes)
        if number < keep:
            kept.append(truth)
    # A network has a column for each class and no other, so it predicts nothing void.
    return {name: counts.matrix for name, counts in totals.items()}, kept
