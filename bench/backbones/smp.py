"""Encoder-decoders of segmentation-models-pytorch by name, with its encoders and timm's.

Importing this imports both libraries, so only `check` and `build` do, and for their names alone.
"""

from __future__ import annotations

import difflib
import warnings
from typing import TYPE_CHECKING, Any

import segmentation_models_pytorch as library
import timm
from torch import nn

from bench.backbones.dense import IMAGENET, Dense
from bench.backbones.weights import unreachable
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

_CLASSIFIERS = ("fc.", "classifier.", "head.", "last_linear.", "linear.")
"""How the layers that an encoder leaves out are called in files of whole classifiers."""


class EncoderDecoder(Dense):
    """A network of segmentation-models-pytorch: features come out of its decoder.

    What `features` gives is at the decoder's resolution, `classify` is the segmentation head and
    its upsampling. Images are normalised by ImageNet's mean and deviation, unless timm knows or the
    hub says otherwise of an encoder.
    """

    optional = ("net.decoder.", "head.")

    def __init__(
        self, arch: str, encoder: str, *, classes: int, channels: int, pretrained: bool = False
    ) -> None:
        """Build the network, with random weights or an encoder pretrained on ImageNet.

        Raises:
            BenchError: the two do not go together, or channels are not 3.
            MissingDataError: the pretrained weights cannot be had.
        """
        super().__init__(channels, *_normalisation(encoder, pretrained=pretrained))
        net = _created(arch, encoder, classes, pretrained=pretrained)
        self.head: nn.Module = net.segmentation_head
        net.segmentation_head = nn.Identity()  # so that the net ends with its decoder
        self.net = net
        self.stride = net.encoder.output_stride

    def features(self, x: Tensor) -> Tensor:
        """Images (b, 3, h, w) in -1..1 to the decoder's output (b, d, h', w')."""
        features: Tensor = self.net(self.prepared(x))
        return features

    def classify(self, f: Tensor) -> Tensor:
        """The decoder's output to logits (b, k, H, W)."""
        logits: Tensor = self.head(f)
        return logits

    def adopted(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return a whole network's weights in the library's names, or an encoder's, under ours."""
        if any(key.startswith("net.") for key in state):
            return state
        if any(key.startswith("segmentation_head.") for key in state):
            return {
                key.replace("segmentation_head.", "head.", 1)
                if key.startswith("segmentation_head.")
                else f"net.{key}": value
                for key, value in state.items()
            }
        # timm's networks sit one level deeper, under the library's own encoder.
        inner = "model." if hasattr(self.net.encoder, "model") else ""
        inner = "" if any(key.startswith("model.") for key in state) else inner
        return {
            f"net.encoder.{inner}{key}": value
            for key, value in state.items()
            if not key.startswith(_CLASSIFIERS)
        }


def check(arch: str, encoder: str, *, pretrained: bool) -> None:
    """Raise BenchError unless both names exist, and pretrained weights too if they are asked for.

    >>> check("unet", "resnet18", pretrained=True)
    """
    architectures = library.MODEL_ARCHITECTURES_MAPPING
    if arch not in architectures:
        raise _unknown("architecture of segmentation-models-pytorch", arch, architectures)
    if encoder.startswith("tu-"):
        model = encoder.removeprefix("tu-")
        if not timm.is_model(model):
            raise _unknown("model of timm", model, timm.list_models())
        known = timm.models.is_model_pretrained(model)
    else:
        encoders = library.encoders.encoders
        if encoder not in encoders:
            raise _unknown("encoder of segmentation-models-pytorch", encoder, encoders)
        known = "imagenet" in encoders[encoder]["pretrained_settings"]
    if pretrained and not known:
        raise BenchError(
            f"There are no ImageNet weights for the encoder '{encoder}'."
            " Use initial weights 'random', or a path to a file of them."
        )


def _created(arch: str, encoder: str, classes: int, *, pretrained: bool) -> Any:  # noqa: ANN401  untyped there
    options: dict[str, Any] = {"dynamic_img_size": True} if arch == "dpt" else {}
    weights = {True: True, False: None} if encoder.startswith("tu-") else {True: "imagenet"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of either library, about its own names
            return library.create_model(
                arch, encoder, weights.get(pretrained), in_channels=3, classes=classes, **options
            )
    except Exception as error:
        # What either library raises is its own affair: any class, for any reason.
        if pretrained and _from_network(error):
            raise unreachable(f"the encoder '{encoder}'", "huggingface.co", error) from error
        raise BenchError(
            f"segmentation-models-pytorch cannot build '{arch}' on the encoder '{encoder}':"
            f" {str(error).strip() or type(error).__name__}."
            " Choose another pair, e.g. smp/unet/resnet18."
        ) from error


def _normalisation(
    encoder: str, *, pretrained: bool
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation in 0..1: timm's list knows its own, the hub has others."""
    if encoder.startswith("tu-"):
        if not timm.models.is_model_pretrained(encoder.removeprefix("tu-")):
            return IMAGENET
    elif not pretrained:
        return IMAGENET
    try:
        found = library.encoders.get_preprocessing_params(encoder)
    except Exception as error:
        raise unreachable(f"the encoder '{encoder}'", "huggingface.co", error) from error
    if found["input_space"] != "RGB":
        raise BenchError(
            f"The encoder '{encoder}' wants its channels as {found['input_space']}, ours are RGB."
            " Choose another encoder."
        )
    top = found["input_range"][1]
    return tuple(m / top for m in found["mean"]), tuple(s / top for s in found["std"])


def _from_network(error: BaseException) -> bool:
    """Whether an error, or what caused it, is about a connection or a file that did not come."""
    return isinstance(error, OSError) or any(
        _from_network(cause) for cause in (error.__cause__, error.__context__) if cause
    )


def _unknown(kind: str, got: str, available: Iterable[str]) -> BenchError:
    """Return the error with the nearest names only: there are a thousand of them."""
    names = sorted(available)
    near = difflib.get_close_matches(got, names, n=5, cutoff=0.4) or names[:5]
    listed = ", ".join(near)
    return BenchError(f"Unknown {kind} '{got}'. The nearest of {len(names)}: {listed}.")
