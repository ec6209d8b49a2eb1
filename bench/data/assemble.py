"""Two domains and a shift become a task. The target's labels stay where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from bench.data.labels import train_labels
from bench.data.order import hidden_order
from bench.data.preprocess import prepare
from bench.errors import BenchError
from bench.task import Images, LabeledImages, Task

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.data.domain import Domain
    from bench.data.order import Role
    from bench.suites import Shift

LearnsFrom = Literal["source", "target"]

VALIDATION_PART = 10
"""One source training image in this many is held out for validation."""


def build_task(
    shift: Shift,
    source: Domain,
    target: Domain,
    root: Path,
    device: torch.device,
    learns_from: LearnsFrom = "source",
) -> Task:
    """Return the task of a shift, on `device`.

    The source's training images come in a fixed random order and with labels; the last tenth of
    them is the validation set. The target's training images come in a fixed random order, alone.
    With ``learns_from="target"`` the target domain plays the source as well: that is how a
    supervised upper bound is trained without any method ever holding a target label.

    Raises:
        BenchError: the domains disagree about the classes, or their data is malformed.
        MissingDataError: a file is absent or broken.
    """
    if source.classes != target.classes:
        raise BenchError(
            f"Shift {shift.name}: source '{shift.source}' has {source.classes} classes and target"
            f" '{shift.target}' {target.classes}. A shift needs the same classes on both sides."
        )
    teacher = target if learns_from == "target" else source
    pixels = _images(shift, teacher, root, "source")
    labels = train_labels(teacher, root)
    if len(labels) != len(pixels):
        raise BenchError(
            f"{type(teacher).__name__} has {len(pixels)} training images and {len(labels)} labels."
            " A domain's images() and labels() must have the same length and order."
        )
    held_out = max(1, len(pixels) // VALIDATION_PART)
    if len(pixels) <= held_out:
        raise BenchError(
            f"{type(teacher).__name__} has {len(pixels)} training images: too few to train on and"
            " hold some out for validation."
        )
    pixels, labels = pixels.to(device), labels.to(device)
    return Task(
        source=LabeledImages(pixels[:-held_out], labels[:-held_out], "source"),
        validation=LabeledImages(pixels[-held_out:], labels[-held_out:], "source"),
        target=Images(_images(shift, target, root, "target").to(device), "target"),
        classes=target.classes,
    )


def test_images(shift: Shift, target: Domain, root: Path, device: torch.device) -> Images:
    """Return the target's test images, in the order that `bench.data.labels.test_labels` has.

    Raises:
        BenchError: the domain's data is malformed.
        MissingDataError: a file is absent or broken.
    """
    return Images(_images(shift, target, root, "test").to(device), "test")


def _images(shift: Shift, domain: Domain, root: Path, role: Role) -> Tensor:
    """Return a domain's images for one role: checked, preprocessed, and in that role's order."""
    split: Literal["train", "test"] = "test" if role == "test" else "train"
    images = domain.images(root, split)
    name = f"{type(domain).__name__}.images(), {split}"
    if not isinstance(images, torch.Tensor):
        raise BenchError(f"{name}: must be a uint8 tensor, got {type(images).__name__}.")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in {1, 3}:  # noqa: PLR2004
        raise BenchError(
            f"{name}: must be uint8 (n, c, h, w) with c 1 or 3,"
            f" got {images.dtype} {tuple(images.shape)}."
        )
    if not len(images):
        raise BenchError(f"{name}: there is no image.")
    ready = prepare(
        images, size=shift.size, channels=shift.channels, interpolation=shift.interpolation
    )
    return ready[hidden_order(len(ready), role)]
