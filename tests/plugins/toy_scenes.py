"""Two domains of large images in one small file, and the suite that adapts one to the other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.classes import protocol
from bench.data.domain import Scene
from bench.data.store import FileReport
from bench.errors import MissingDataError
from bench.suites import Entry, Shift, Suite

SIZES = {"train": 12, "test": 5}
COLOURS = np.array([(90, 140, 220), (120, 60, 50), (60, 160, 60)], dtype=np.uint8)


class Day:
    """Generated: sky (0) above buildings (1) above road (3), with a strip that is unlabelled."""

    folder = "day"
    darker = 1

    def scenes(self, root: Path, split: str) -> list[Scene]:
        """Return the PNGs below the domain's own folder."""
        images = sorted((root / self.folder / split).glob("*.image.png"))
        if not images:
            raise MissingDataError(f"{root / self.folder / split} has no images.")
        return [Scene(path, Path(str(path).replace(".image.", ".label."))) for path in images]

    def raw_labels(self, path: Path) -> Tensor:
        """Return uint8 (h, w)."""
        with Image.open(path) as image:
            return torch.from_numpy(np.array(image))

    def indices(self, name: str) -> np.ndarray:
        """Return CamVid's own values."""
        return protocol(name).classes.by_id()

    def inspect(self, root: Path, *, thorough: bool) -> Iterator[FileReport]:
        """Report on the folder as a whole."""
        there = (root / self.folder / "test").is_dir()
        yield FileReport(self.folder, str(root / self.folder), "sound" if there else "absent")

    def prepare(self, root: Path) -> None:
        """Write all images and label maps, once."""
        for split, count in SIZES.items():
            place = root / self.folder / split
            if place.exists():
                continue
            place.mkdir(parents=True)
            for number in range(count):
                random = np.random.default_rng((number, count))
                label = np.full((40, 72), 1, dtype=np.uint8)
                label[: random.integers(8, 16)] = 0
                label[random.integers(24, 32) :] = 3
                label[:, :3] = 11
                index = np.searchsorted([0, 1, 3], np.minimum(label, 3))
                noise = random.integers(0, 30, (*label.shape, 3), dtype=np.uint8)
                image = COLOURS[index] // self.darker + noise
                Image.fromarray(image).save(place / f"{number:03d}.image.png")
                Image.fromarray(label).save(place / f"{number:03d}.label.png")


class Night(Day):
    """The same scenes, darker."""

    folder = "night"
    darker = 3


SCENES = Suite(
    "toy-scenes",
    "Sky, buildings and road, by day and by night.",
    (
        Shift(
            "day2night",
            "toy_scenes.py:Day",
            "toy_scenes.py:Night",
            size=(32, 64),
            channels=3,
            backbone="smp/unet/resnet18",
            protocol="camvid-11",
            task="segmentation",
        ),
    ),
    (Entry("source-only", "source-only"), Entry("target-only", "target-only")),
)
