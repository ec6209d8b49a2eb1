"""Task networks by name. Importing this loads no torch, nor does listing; building one does."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bench.errors import unknown

if TYPE_CHECKING:
    from torch import nn

_KNOWN = {
    "lenet": ("bench.backbones.lenet:LeNet", 431_080),
    "dtn": ("bench.backbones.dtn:DTN", 3_133_962),
}
"""Where each class is, and its parameters at its defaults: 10 classes, the input it was made for.

The counts are written down so that a list need not import torch; a test holds them to the networks.
"""


def names() -> tuple[str, ...]:
    """Return the names that ``--backbone`` takes.

    >>> names()
    ('lenet', 'dtn')
    """
    return tuple(_KNOWN)


def build(name: str, *, classes: int, channels: int, size: int) -> nn.Module:
    """Return a new network with `features(x)` and `classify(f)`; ``net(x)`` is both.

    Images are float32 (b, channels, size, size) in -1..1, logits float32 (b, classes).

    Args:
        name: one of `names()`.
        classes: number of classes k.
        channels: channels c of its images.
        size: height and width of its images, in pixels.

    Raises:
        BenchError: there is no such backbone, or it cannot take images of that size.

    >>> build("lenet", classes=10, channels=1, size=28).head
    Sequential(
      (0): Dropout(p=0.5, inplace=False)
      (1): Linear(in_features=500, out_features=10, bias=True)
    )
    """
    if name not in _KNOWN:
        raise unknown("backbone", name, _KNOWN)
    path, _ = _KNOWN[name]
    module, _, attribute = path.partition(":")
    network: nn.Module = getattr(importlib.import_module(module), attribute)(
        classes=classes, channels=channels, size=size
    )
    return network


def describe() -> list[dict[str, Any]]:
    """Return name, parameter count (10 classes, native input) and task of each backbone."""
    return [
        {"name": name, "parameters": parameters, "task": "classification"}
        for name, (_, parameters) in _KNOWN.items()
    ]
