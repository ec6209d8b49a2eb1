"""Task networks by name. Importing this loads no torch; building a network does."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bench.errors import unknown

if TYPE_CHECKING:
    from torch import nn

_CLASSES = {
    "lenet": "bench.backbones.lenet:LeNet",
    "dtn": "bench.backbones.dtn:DTN",
}

_NATIVE = {"lenet": (1, 28), "dtn": (3, 32)}
"""Channels and size that a network was made for; its parameters are counted there."""


def names() -> tuple[str, ...]:
    """Return the names that ``--backbone`` takes."""
    return tuple(_CLASSES)


def build(name: str, *, classes: int, channels: int, size: int) -> nn.Module:
    """Return a new network with `features(x)` and `classify(f)`; ``net(x)`` is both.

    Args:
        name: one of `names()`.
        classes: number of classes k.
        channels: channels c of its images.
        size: height and width of its images, in pixels.

    Raises:
        BenchError: there is no such backbone.
    """
    if name not in _CLASSES:
        raise unknown("backbone", name, _CLASSES)
    module, _, attribute = _CLASSES[name].partition(":")
    network: nn.Module = getattr(importlib.import_module(module), attribute)(
        classes=classes, channels=channels, size=size
    )
    return network


def describe() -> list[dict[str, Any]]:
    """Return name, parameter count (10 classes, native input) and task of each backbone."""
    rows = []
    for name, (channels, size) in _NATIVE.items():
        network = build(name, classes=10, channels=channels, size=size)
        parameters = sum(p.numel() for p in network.parameters())
        rows.append({"name": name, "parameters": parameters, "task": "classification"})
    return rows
