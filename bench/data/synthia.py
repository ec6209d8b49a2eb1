"""SYNTHIA: streets of a virtual city, as single images and as videos by season (Ros et al. 2016).

The label maps are PNGs of 16-bit RGB: the class in the red channel, instances in the green one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench.classes import CITYSCAPES, IGNORED, SYNTHIA_SEQS, UNKNOWN, cityscapes_ids
from bench.data.scenes import Part, SceneFolder, Side, read_wide_map
from bench.errors import BenchError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.classes import Lut
    from bench.data.domain import Scene, Split

# The values in label maps, 0..22, as in the README.txt of SYNTHIA-RAND-CITYSCAPES. Names that
# Cityscapes evaluates stand for its class; the others are ignored, as in the literature.
_VALUES = (
    *("void", "sky", "building", "road", "sidewalk", "fence", "vegetation", "pole", "car"),
    *("traffic sign", "person", "bicycle", "motorcycle", "parking slot", "road work"),
    *("traffic light", "terrain", "rider", "truck", "bus", "train", "wall", "lane marking"),
)

_HELD_OUT = 5
"""One frame in this many is tested on, at the end of each sequence."""


class SYNTHIA(SceneFolder):
    """SYNTHIA-RAND-CITYSCAPES: random views of a virtual city, 1280x760, all 9,400 to train on."""

    name: ClassVar[str] = "synthia"
    folder: ClassVar[str] = "RAND_CITYSCAPES"
    origin: ClassVar[str] = (
        "Get SYNTHIA-RAND-CITYSCAPES from https://synthia-dataset.net/downloads/ and unpack it"
        " so that RAND_CITYSCAPES/RGB and RAND_CITYSCAPES/GT/LABELS lie in the data folder."
    )
    size: ClassVar[tuple[int, int]] = (760, 1280)
    count: ClassVar[int] = 9_400
    protocols: ClassVar[tuple[str, ...]] = ("synthia-16", "synthia-13-of-16", "synthia-13")

    def part(self, root: Path, split: Split) -> Part:
        """Return RGB/*.png and GT/LABELS/*.png; raise BenchError for "test"."""
        if split != "train":
            raise BenchError(
                f"Domain '{self.name}' has no test images: it can be a shift's source,"
                " but not its target."
            )
        folder = root / self.folder
        sides = (Side(folder / "RGB", (".png",)), Side(folder / "GT" / "LABELS", (".png",)))
        return Part("train", (sides,), self.count)

    def raw_labels(self, path: Path) -> Tensor:
        """Return the classes in one label map, uint8 (h, w), of 16 bits the known values."""
        return read_wide_map(path)

    def lut(self, protocol: str) -> Lut:
        """Return the table of SYNTHIA's values, by way of the Cityscapes class of that name."""
        ids = {label.name: label.id for label in CITYSCAPES.evaluated}
        indices = cityscapes_ids(protocol)
        table = np.full(256, UNKNOWN, dtype=np.uint8)
        for value, name in enumerate(_VALUES):
            table[value] = indices[ids[name]] if name in ids else IGNORED
        return table


class SYNTHIAFall(SceneFolder):
    """SYNTHIA's video sequences in autumn, 1280x760: the left camera's views in all directions.

    Gathers every folder SYNTHIA-SEQS-*-FALL. The paper counts 10,852 images, but does not say
    which are tested on. Our own choice: the last fifth of each sequence's frames, in all
    directions alike, is for testing, and the rest for training; so its figures are not ours.
    """

    name: ClassVar[str] = "synthia-fall"
    folder: ClassVar[str] = "SYNTHIA"
    season: ClassVar[str] = "FALL"
    origin: ClassVar[str] = (
        "Get the sequences SYNTHIA-SEQS-*-FALL from https://synthia-dataset.net/downloads/ and"
        " unpack them into SYNTHIA/ in the data folder."
    )
    size: ClassVar[tuple[int, int]] = (760, 1280)
    count: ClassVar[int] = 10_852
    protocols: ClassVar[tuple[str, ...]] = ("synthia-seqs-13",)

    def part(self, root: Path, split: Split) -> Part:  # noqa: ARG002  made of the same files
        """Return {RGB,GT/LABELS}/Stereo_Left/Omni_*/*.png of each sequence."""
        folder = root / self.folder
        found = sorted(folder.glob(f"SYNTHIA-SEQS-*-{self.season}"))
        sides = tuple(
            (
                Side(sequence / "RGB" / "Stereo_Left", (".png",)),
                Side(sequence / "GT" / "LABELS" / "Stereo_Left", (".png",)),
            )
            for sequence in found or [folder / f"SYNTHIA-SEQS-01-{self.season}"]
        )
        return Part("all sequences", sides, self.count, exact=False)

    def choose(self, scenes: list[Scene], split: Split) -> list[Scene]:
        """Return the scenes whose frames are in the last fifth of their sequence, or the rest."""
        frames = defaultdict(set)
        for scene in scenes:
            frames[_sequence(scene)].add(scene.image.stem)
        tested = {
            (sequence, frame)
            for sequence, names in frames.items()
            for frame in sorted(names)[len(names) - len(names) // _HELD_OUT :]
        }
        return [
            scene
            for scene in scenes
            if ((_sequence(scene), scene.image.stem) in tested) == (split == "test")
        ]

    def raw_labels(self, path: Path) -> Tensor:
        """Return the classes in one label map, uint8 (h, w), of 16 bits the known values."""
        return read_wide_map(path)

    def lut(self, protocol: str) -> Lut:  # noqa: ARG002  it has only one
        """Return the table of the sequences' own values."""
        return SYNTHIA_SEQS.by_id()


class SYNTHIAWinter(SYNTHIAFall):
    """SYNTHIA's video sequences in winter; otherwise as synthia-fall. The paper counts 7,654."""

    name: ClassVar[str] = "synthia-winter"
    season: ClassVar[str] = "WINTER"
    origin: ClassVar[str] = SYNTHIAFall.origin.replace("FALL", "WINTER")
    count: ClassVar[int] = 7_654


def _sequence(scene: Scene) -> Path:
    """Return the folder .../SYNTHIA-SEQS-01-FALL/ of .../RGB/Stereo_Left/Omni_F/000000.png."""
    return scene.image.parents[3]
