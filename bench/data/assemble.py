"""Two domains and a shift become a task. The target's labels stay where they are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import torch

from bench.classes import protocol
from bench.data.domain import Scenes
from bench.data.frames import Frames, cached, gather, image_size, read_image
from bench.data.labels import train_labels, train_maps
from bench.data.order import hidden_order
from bench.data.preprocess import prepare
from bench.errors import BenchError
from bench.task import Images, LabeledImages, Task

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.data.domain import Domain, Split
    from bench.data.order import Role
    from bench.suites import Shift
    from bench.task import Pixels

LearnsFrom = Literal["source", "target"]

VALIDATION_PART = 10
"""One source training image in this many is held out for validation."""


def build_task(
    shift: Shift,
    source: Domain | Scenes,
    target: Domain | Scenes,
    root: Path,
    device: torch.device,
    learns_from: LearnsFrom = "source",
    cache: Path | None = None,
) -> Task:
    """Return the task of a shift, on `device`.

    The source's training images come in a fixed random order and with labels; the last tenth of
    them is the validation set. The target's training images come in a fixed random order, alone.
    With ``learns_from="target"`` the target domain plays the source as well: that is how a
    supervised upper bound is trained without any method ever holding a target label.

    Small images, and large ones that fit into two gibibytes, are held in memory; others are
    streamed from their files, or from `cache`, a folder where they are kept decoded.

    Raises:
        BenchError: the domains disagree about the classes, or their data is malformed.
        MissingDataError: a file is absent or broken.
    """
    classes = _classes(shift, source, target)
    teacher = target if learns_from == "target" else source
    if isinstance(teacher, Scenes):
        train, held_out = _labelled_scenes(shift, teacher, root, device, cache)
    else:
        train, held_out = _labelled(shift, teacher, root, device)
    if isinstance(target, Scenes):
        unlabelled = _opened(_scene_images(shift, target, root, "target"), device, cache)
    else:
        unlabelled = _images(shift, target, root, "target").to(device)
    return Task(
        source=train,
        validation=held_out,
        target=Images(unlabelled, "target"),
        classes=classes,
    )


def test_images(
    shift: Shift,
    target: Domain | Scenes,
    root: Path,
    device: torch.device,
    cache: Path | None = None,  # noqa: PT028  it is no test
) -> Images:
    """Return the target's test images, in the order that `bench.data.labels` has.

    Raises:
        BenchError: the domain's data is malformed.
        MissingDataError: a file is absent or broken.
    """
    if isinstance(target, Scenes):
        return Images(_opened(_scene_images(shift, target, root, "test"), device, cache), "test")
    return Images(_images(shift, target, root, "test").to(device), "test")


def test_sizes(target: Domain | Scenes, root: Path) -> list[tuple[int, int]] | None:
    """Return height and width of each test image as it is in its file, in the hidden order.

    A label map has the size of its image, and predictions are scored at that size. None where
    there is one class an image.
    """
    if not isinstance(target, Scenes):
        return None
    scenes = target.scenes(root, "test")
    return [image_size(scenes[i].image) for i in hidden_order(len(scenes), "test").tolist()]


def test_reading(target: Domain | Scenes, protocol_name: str) -> list[int] | None:
    """Return what decides, beside the files, how test label maps are read; None for digits."""
    return target.indices(protocol_name).tolist() if isinstance(target, Scenes) else None


def _classes(shift: Shift, source: Domain | Scenes, target: Domain | Scenes) -> int:
    """Return the number of classes; raise unless both domains can play the shift."""
    dense = shift.task == "segmentation"
    for name, domain in ((shift.source, source), (shift.target, target)):
        if isinstance(domain, Scenes) != dense:
            kind = "one class a pixel" if isinstance(domain, Scenes) else "one class an image"
            raise BenchError(
                f"Shift {shift.name} has the task {shift.task}, but the domain '{name}' has {kind}."
                " Give the shift the domains' own task."
            )
    if isinstance(source, Scenes) and isinstance(target, Scenes):
        for domain in (source, target):
            domain.indices(shift.protocol)
        return len(protocol(shift.protocol).classes)
    if source.classes != target.classes:  # type: ignore[union-attr]
        raise BenchError(
            f"Shift {shift.name}: source '{shift.source}' has {source.classes} classes and target"  # type: ignore[union-attr]
            f" '{shift.target}' {target.classes}. A shift needs the same classes on both sides."  # type: ignore[union-attr]
        )
    return target.classes  # type: ignore[union-attr]


def _labelled(
    shift: Shift, teacher: Domain, root: Path, device: torch.device
) -> tuple[LabeledImages, LabeledImages]:
    """Return training and validation images of a domain that plays the source."""
    pixels = _images(shift, teacher, root, "source")
    labels = train_labels(teacher, root)
    if len(labels) != len(pixels):
        raise BenchError(
            f"{type(teacher).__name__} has {len(pixels)} training images and {len(labels)} labels."
            " A domain's images() and labels() must have the same length and order."
        )
    split = _split(teacher, len(pixels))
    pixels, labels = pixels.to(device), labels.to(device)
    return (
        LabeledImages(pixels[:split], labels[:split], "source"),
        LabeledImages(pixels[split:], labels[split:], "source"),
    )


def _labelled_scenes(
    shift: Shift, teacher: Scenes, root: Path, device: torch.device, cache: Path | None
) -> tuple[LabeledImages, LabeledImages]:
    """Return the same for large images with one class a pixel."""
    split = _split(teacher, len(teacher.scenes(root, "train")))
    size = _height_and_width(shift)

    def labelled(part: slice) -> tuple[Frames, Frames]:
        images = _scene_images(shift, teacher, root, "source", part)
        return images, train_maps(teacher, root, shift.protocol, size, part)

    images, maps = labelled(slice(split))
    train = LabeledImages(_opened(images, device, cache), _opened(maps, device, cache), "source")
    # Nothing trains on what is held out, so it need not be at hand.
    return train, LabeledImages(*labelled(slice(split, None)), "source")


def _split(teacher: Domain | Scenes, images: int) -> int:
    """Return how many images train; the rest are held out for validation."""
    held_out = max(1, images // VALIDATION_PART)
    if images <= held_out:
        raise BenchError(
            f"{type(teacher).__name__} has {images} training images: too few to train on and"
            " hold some out for validation."
        )
    return images - held_out


def _scene_images(
    shift: Shift, scenes: Scenes, root: Path, role: Role, part: slice = slice(None)
) -> Frames:
    """Return a domain's large images for one role, in that role's order, not yet read."""
    paths = [scene.image for scene in scenes.scenes(root, _split_of(role))]
    order = hidden_order(len(paths), role)[part].tolist()
    size = _height_and_width(shift)
    read = partial(
        read_image, size=size, channels=shift.channels, interpolation=shift.interpolation
    )
    return Frames([paths[i] for i in order], read, (shift.channels, *size))


def _opened(frames: Frames, device: torch.device, cache: Path | None) -> Pixels:
    """Return frames in memory if they fit, else from the cache, else as they are."""
    pixels = gather(frames)
    if isinstance(pixels, torch.Tensor):
        return pixels.to(device)
    return pixels if cache is None else cached(frames, cache)


def _height_and_width(shift: Shift) -> tuple[int, int]:
    return (shift.size, shift.size) if isinstance(shift.size, int) else shift.size


def _split_of(role: Role) -> Split:
    return "test" if role == "test" else "train"


def _images(shift: Shift, domain: Domain, root: Path, role: Role) -> Tensor:
    """Return a domain's small images for one role: checked, preprocessed, in that role's order."""
    split = _split_of(role)
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
    if not isinstance(shift.size, int):
        raise BenchError(
            f"Shift {shift.name}: small images are made square; give it one number as size,"
            f" not {shift.size}."
        )
    ready = prepare(
        images, size=shift.size, channels=shift.channels, interpolation=shift.interpolation
    )
    return ready[hidden_order(len(ready), role)]
