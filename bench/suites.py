"""Shifts, suites, and the built-in ones. Plain data: importing this loads no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

TaskKind = Literal["classification", "segmentation"]


@dataclass(frozen=True)
class Shift:
    """One source domain, one target domain, and the preprocessing that every method shares.

    Attributes:
        name: as in ``--shift NAME``.
        source: name of the source domain.
        target: name of the target domain.
        size: height and width, in pixels, that images of both domains are resized to: one number
            for squares, else (height, width).
        channels: 1 (grey) or 3 (RGB).
        backbone: the task network if ``--backbone`` does not say otherwise.
        protocol: which images train and which score, and, for segmentation, which classes (see
            `bench.classes`); results of different protocols never mix.
        interpolation: of the resize, always antialiased.
        task: what is predicted: one class an image, or one class a pixel.
    """

    name: str
    source: str
    target: str
    size: int | tuple[int, int] = 28
    channels: int = 1
    backbone: str = "lenet"
    protocol: str = "full"
    interpolation: str = "bilinear"
    task: TaskKind = "classification"

    def described(self) -> dict[str, Any]:
        """Return the fields as a run's configuration holds them.

        What was added after the first records is left out where it has its default, so that the
        names of older runs still hold.
        """
        fields = asdict(self)
        if self.task == "classification":
            del fields["task"]
        return fields


@dataclass(frozen=True)
class Entry:
    """One row of a suite: a method, and what the suite changes in its preset.

    Attributes:
        label: the row's name in tables.
        method: a method's name.
        settings: dotted hyperparameters, as in ``--set``; they count as part of the suite.
    """

    label: str
    method: str
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """A set of shifts and the methods compared on them."""

    name: str
    about: str
    shifts: tuple[Shift, ...]
    entries: tuple[Entry, ...]


MNIST_TO_USPS = Shift("mnist2usps", "mnist", "usps")
USPS_TO_MNIST = Shift("usps2mnist", "usps", "mnist")
SVHN_TO_MNIST = Shift("svhn2mnist", "svhn", "mnist", size=32, channels=3, backbone="dtn")
# 20 pixels: UCI's digits are natively 8x8, and half the arithmetic of 28 keeps `mini` short.
PRINTED_TO_HANDWRITTEN = Shift("printed2handwritten", "printed", "handwritten", size=20)
HANDWRITTEN_TO_PRINTED = Shift("handwritten2printed", "handwritten", "printed", size=20)

GTA5_TO_CITYSCAPES = Shift(
    "gta2cityscapes",
    "gta5",
    "cityscapes",
    size=(512, 1024),
    channels=3,
    backbone="fcn8s",
    protocol="cityscapes-19",
    task="segmentation",
)
# The paper's own 19,998 unlabelled target images.
GTA5_TO_CITYSCAPES_EXTRA = replace(
    GTA5_TO_CITYSCAPES, name="gta2cityscapes-extra", target="cityscapes-extra"
)
SYNTHIA_TO_CITYSCAPES = replace(
    GTA5_TO_CITYSCAPES, name="synthia2cityscapes", source="synthia", protocol="synthia-16"
)
SYNTHIA_13 = replace(SYNTHIA_TO_CITYSCAPES, name="synthia2cityscapes-13", protocol="synthia-13")
SYNTHIA_13_OF_16 = replace(
    SYNTHIA_TO_CITYSCAPES, name="synthia2cityscapes-13-of-16", protocol="synthia-13-of-16"
)
FALL_TO_WINTER = replace(
    GTA5_TO_CITYSCAPES,
    name="synthia-fall2winter",
    source="synthia-fall",
    target="synthia-winter",
    size=(384, 640),
    protocol="synthia-seqs-13",
)
GAME_TO_CAMERA = replace(
    GTA5_TO_CITYSCAPES,
    name="game2camera",
    source="streets-game",
    target="streets-camera",
    size=(96, 192),
    backbone="lean",
)
GAME_TO_CAMVID = replace(
    GAME_TO_CAMERA,
    name="game2camvid",
    target="camvid",
    size=(144, 192),
    protocol="camvid-11",
)

METHODS = (
    Entry("source-only", "source-only"),
    Entry("adda", "adda"),
    Entry("cycada", "cycada"),
    Entry("target-only", "target-only"),
)

MINI = Suite(
    "mini",
    "Embedded: digits rendered from fonts, and UCI handwriting. No download.",
    (PRINTED_TO_HANDWRITTEN, HANDWRITTEN_TO_PRINTED),
    METHODS,
)

DIGITS = Suite(
    "digits",
    "Table 2 of the paper: MNIST, USPS and SVHN; and two methods of its time.",
    (MNIST_TO_USPS, USPS_TO_MNIST, SVHN_TO_MNIST),
    (*METHODS, Entry("dann", "dann"), Entry("deep-coral", "deep-coral")),
)

STREETS_MINI = Suite(
    "streets-mini",
    "Generated street scenes in two renderings, 19 classes. No download.",
    (GAME_TO_CAMERA,),
    METHODS,
)

STREETS_CAMVID = Suite(
    "streets-camvid",
    "Generated street scenes to CamVid's real ones, in the 11 classes that both have.",
    (GAME_TO_CAMVID,),
    METHODS,
)

DRIVING = Suite(
    "driving",
    "Table 4 of the paper, and SYNTHIA: synthetic driving scenes to Cityscapes.",
    (GTA5_TO_CITYSCAPES, SYNTHIA_TO_CITYSCAPES),
    METHODS,
)

DRIVING_PROTOCOLS = Suite(
    "driving-protocols",
    "The same with 19,998 target images, and SYNTHIA's other readings of 13 classes.",
    (GTA5_TO_CITYSCAPES_EXTRA, SYNTHIA_13_OF_16, SYNTHIA_13),
    # The 19,998 images have no fine labels for an upper bound to learn from.
    tuple(entry for entry in METHODS if entry.method != "target-only"),
)

SEASONS = Suite(
    "seasons",
    "The paper's appendix: SYNTHIA's sequences, from fall to winter.",
    (FALL_TO_WINTER,),
    METHODS,
)

DRIVING_ABLATION = Suite(
    "driving-ablation",
    "Table 5 of the paper: what each part of CyCADA contributes to segmentation.",
    (GTA5_TO_CITYSCAPES,),
    (
        Entry("source-only", "source-only"),
        Entry("cycada, no pixel adaptation", "cycada", {"pixel": None}),
        Entry(
            "cycada, no feature adaptation, no cycle consistency",
            "cycada",
            {"feature": None, "pixel.cycle": 0.0},
        ),
        Entry("cycada, no feature adaptation", "cycada", {"feature": None}),
        Entry("cycada", "cycada"),
        Entry("target-only", "target-only"),
    ),
)

DIGITS_ABLATION = Suite(
    "digits-ablation",
    "Table 3 of the paper: what each part of CyCADA contributes.",
    (SVHN_TO_MNIST,),
    (
        Entry("source-only", "source-only"),
        Entry(
            "cycada, no feature adaptation, no semantic loss",
            "cycada",
            {"feature": None, "pixel.semantic": "none"},
        ),
        Entry("cycada, no feature adaptation", "cycada", {"feature": None}),
        Entry("cycada, no cycle consistency", "cycada", {"pixel.cycle": 0.0}),
        Entry("cycada, no pixel adaptation", "cycada", {"pixel": None}),
        Entry("cycada", "cycada"),
        Entry("target-only", "target-only"),
    ),
)
