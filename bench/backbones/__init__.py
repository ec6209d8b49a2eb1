"""Task networks by name. Importing this loads no torch, nor does listing; building one does."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.backbones import weights as initial
from bench.backbones.weights import describe as describe_weights
from bench.errors import BenchError, unknown

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build", "check", "describe", "describe_weights", "names", "task"]

Kind = Literal["classification", "segmentation"]


@dataclass(frozen=True)
class _Known:
    """A network of ours.

    Attributes:
        path: where its class is.
        parameters: how many it has at its defaults: 10 or 19 classes, the input it was made for.
            Written down so that a list need not import torch; a test holds it to the network.
        task: what it answers for: an image, or each pixel.
        imagenet: the address of its trunk's released weights, if there are any.
    """

    path: str
    parameters: int
    task: Kind = "classification"
    imagenet: str | None = None


_KNOWN = {
    "lenet": _Known("bench.backbones.lenet:LeNet", 431_080),
    "dtn": _Known("bench.backbones.dtn:DTN", 3_133_962),
    # The paper's VGG16 is the original from Caffe, which no hub has; this is torchvision's.
    "fcn8s": _Known(
        "bench.backbones.fcn8s:FCN8s",
        134_353_017,
        "segmentation",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
    ),
    "drn26": _Known(
        "bench.backbones.drn:DRN26",
        20_623_331,
        "segmentation",
        "http://dl.yf.io/drn/drn_c_26-ddedf421.pth",
    ),
    "lean": _Known("bench.backbones.lean:Lean", 1_609_475, "segmentation"),
}

_PATTERNS = ("smp/ARCH/ENCODER", "timm/MODEL")
"""Names with a part of the user's: an architecture and an encoder of segmentation-models-pytorch,
or a model of timm's, which becomes the encoder of a U-Net: timm/X is smp/unet/tu-X."""


def names() -> tuple[str, ...]:
    """Return the whole names that ``--backbone`` takes; `describe` has the patterns, too.

    >>> names()
    ('lenet', 'dtn', 'fcn8s', 'drn26', 'lean')
    """
    return tuple(_KNOWN)


def task(name: str) -> Kind:
    """Return what a backbone is for, without loading torch.

    Raises:
        BenchError: the name is none of `names()` and follows no pattern.

    >>> task("lenet"), task("smp/unet/resnet18")
    ('classification', 'segmentation')
    """
    if name in _KNOWN:
        return _KNOWN[name].task
    _pair(name)
    return "segmentation"


def check(name: str, weights: str = initial.RANDOM) -> None:
    """Raise an error if there is no such backbone, or no such weights for it; build nothing.

    Only names of smp/ and timm/ load a library for it.

    Raises:
        BenchError: a name is unknown, or a network has no pretrained weights.
        MissingDataError: there is no such file of weights.

    >>> check("fcn8s", "imagenet")
    """
    initial.check(weights)
    pretrained = weights == initial.IMAGENET
    if name not in _KNOWN:
        arch, encoder = _pair(name)
        importlib.import_module("bench.backbones.smp").check(arch, encoder, pretrained=pretrained)
    elif pretrained and not _KNOWN[name].imagenet:
        raise BenchError(
            f"There are no ImageNet weights for the backbone '{name}'."
            " Use initial weights 'random', or a path to a file of them."
        )


def build(
    name: str,
    *,
    classes: int,
    channels: int,
    size: int | tuple[int, int],
    weights: str = initial.RANDOM,
) -> nn.Module:
    """Return a new network with `features(x)` and `classify(f)`; ``net(x)`` is both.

    Images are float32 (b, channels, h, w) in -1..1. Logits are float32 (b, classes), or
    (b, classes, h, w) of a network for segmentation, which takes any h and w (`Dense` says how).
    What is random comes from torch's global generator.

    Args:
        name: one of `names()`, ``smp/ARCH/ENCODER`` or ``timm/MODEL``.
        classes: number of classes k.
        channels: channels c of its images.
        size: height and width of its images, in pixels, or both in one number.
        weights: "random"; "imagenet" (the trunk's, from a hub); or a path to a .safetensors or
            .pth file with a state dict of the whole network or its trunk.

    Raises:
        BenchError: there is no such backbone, it cannot take such images, or the weights do not
            fit.
        MissingDataError: the weights are not there, or the hub cannot be reached.

    >>> build("lenet", classes=10, channels=1, size=28).head
    Sequential(
      (0): Dropout(p=0.5, inplace=False)
      (1): Linear(in_features=500, out_features=10, bias=True)
    )
    """
    check(name, weights)
    pretrained = weights == initial.IMAGENET
    network: nn.Module
    if name in _KNOWN:
        known = _KNOWN[name]
        module, _, attribute = known.path.partition(":")
        shape = {"size": _side(name, size)} if known.task == "classification" else {}
        network = getattr(importlib.import_module(module), attribute)(
            classes=classes, channels=channels, **shape
        )
        if pretrained:
            url = str(known.imagenet)
            initial.load(network, initial.fetch(url, f"the backbone '{name}'"), url)
    else:
        arch, encoder = _pair(name)
        smp = importlib.import_module("bench.backbones.smp")
        network = smp.EncoderDecoder(
            arch, encoder, classes=classes, channels=channels, pretrained=pretrained
        )
    if weights not in {initial.RANDOM, initial.IMAGENET}:
        initial.load(network, initial.read(Path(weights)), weights)
    return network


def describe() -> list[dict[str, Any]]:
    """Return name, parameter count and task of each backbone, and of each pattern of names.

    Counts are for 10 classes and the native input, or 19 classes for segmentation; None where the
    name alone does not say.
    """
    rows: list[dict[str, Any]] = [
        {"name": name, "parameters": known.parameters, "task": known.task}
        for name, known in _KNOWN.items()
    ]
    return rows + [{"name": p, "parameters": None, "task": "segmentation"} for p in _PATTERNS]


def _pair(name: str) -> tuple[str, str]:
    """Return the architecture and encoder that a name of either pattern means."""
    match name.split("/"):
        case ["smp", arch, encoder] if arch and encoder:
            return arch, encoder
        case ["timm", model] if model:
            return "unet", f"tu-{model}"
    raise unknown("backbone", name, (*_KNOWN, *_PATTERNS))


def _side(name: str, size: int | tuple[int, int]) -> int:
    if isinstance(size, int):
        return size
    if size[0] != size[1]:
        raise BenchError(
            f"the backbone '{name}' takes square images, got {size[0]} x {size[1]} pixels (height"
            " x width). Choose a shift of square images, or a backbone for segmentation."
        )
    return size[0]
