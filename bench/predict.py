"""What a trained network says of images. It leaves no trace on the network or on random state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from bench.errors import BenchError, DivergedError
from bench.modes import evaluating
from bench.seeding import generator_from

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from bench.task import Images

BATCH = 500
"""Images a batch, at most."""

BATCH_PIXELS = 2**18
"""Pixels a batch of score maps has in all, at most; or else one image."""

SAMPLED = 512
"""Positions of each score map that are kept for selection without labels."""


def predict(net: nn.Module, images: Images, classes: int, *, dense: bool = False) -> Tensor:
    """Return logits float32 (n, k), or (n, k, h, w) if `dense`, on the CPU.

    They are computed in evaluation mode. The modes of all the network's parts and all random
    state are as before.

    Raises:
        BenchError: the network's output has another shape.
        DivergedError: an output is NaN or infinite.
    """
    return torch.cat(
        [logits.to("cpu", torch.float32) for logits in _batches(net, images, classes, dense)]
    )


def predict_maps(
    net: nn.Module, images: Images, classes: int, sizes: Sequence[tuple[int, int]]
) -> Iterator[Tensor]:
    """Yield the class of every pixel, uint8 (h, w) on the CPU, one image at a time.

    Args:
        net: images (b, c, h, w) to logits (b, k, h, w).
        images: n images.
        classes: the number of classes k.
        sizes: height and width of each image's label map, to which its logits are resized
            bilinearly before the largest is taken.

    Raises:
        BenchError: the network's output has another shape.
        DivergedError: an output is NaN or infinite.
    """
    done = 0
    for batch in _batches(net, images, classes, dense=True):
        for logits in batch.float():
            size = sizes[done]
            if tuple(logits.shape[-2:]) != tuple(size):
                logits = F.interpolate(logits[None], size=size, mode="bilinear")[0]  # noqa: PLW2901
            yield logits.argmax(0).to("cpu", torch.uint8)
            done += 1


def sample_scores(net: nn.Module, images: Images, classes: int, positions: int = SAMPLED) -> Tensor:
    """Return logits float32 (m, k) of score maps at the `sample_positions` of each image.

    Raises:
        BenchError: the network's output has another shape.
        DivergedError: an output is NaN or infinite.
    """
    where = sample_positions(images, positions)
    parts, done = [], 0
    for batch in _batches(net, images, classes, dense=True):
        for logits in batch.float().flatten(2).cpu():
            parts.append(logits[:, where[done]].T)
            done += 1
    return torch.cat(parts)


def sample_positions(images: Images, count: int = SAMPLED) -> Tensor:
    """Return `count` random pixels of each image, int64 (n, count), counted row by row.

    They depend on the number of images and their size alone, so that every checkpoint of every
    run is judged at the same ones.
    """
    height, width = images.pixels.shape[-2:]
    random = generator_from("sampled positions", len(images), height, width)
    parts = [torch.randint(height * width, (count,), generator=random) for _ in range(len(images))]
    return torch.stack(parts)


def _batches(net: nn.Module, images: Images, classes: int, dense: bool) -> Iterator[Tensor]:  # noqa: FBT001
    """Yield checked logits, batch by batch, in the order of the images."""
    height, width = images.pixels.shape[-2:]
    size = max(1, min(BATCH, BATCH_PIXELS // (height * width))) if dense else BATCH
    expected = (classes, height, width) if dense else (classes,)
    device = next((w.device for w in net.parameters()), images.pixels.device)
    for first in range(0, len(images), size):
        index = torch.arange(first, min(first + size, len(images)), device=images.pixels.device)
        images.prefetch(torch.arange(len(images))[first + size : first + 2 * size])
        with evaluating(net), torch.no_grad(), torch.random.fork_rng(enabled=True):
            logits = net(images[index].to(device))
        _check(logits, expected)
        yield logits


def _check(logits: object, expected: tuple[int, ...]) -> None:
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape[1:]) != expected:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        shape = ", ".join(map(str, expected))
        raise BenchError(
            f"the method's network must map images (b, c, h, w) to logits (b, {shape}),"
            f" got {got}. Return a network whose output has one column a class."
        )
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError("the network's logits hold NaN or infinity")
