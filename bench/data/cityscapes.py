"""Cityscapes: streets of 50 cities, seen from a car (Cordts et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.classes import cityscapes_ids
from bench.data.scenes import Part, SceneFolder, Side, read_map

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from bench.classes import Lut
    from bench.data.domain import Split


class Cityscapes(SceneFolder):
    """Streets of European cities, 2048x1024: 2,975 to train on, 500 ("val") to test.

    The official test split has no public labels; the official validation split takes its place,
    as in every paper on adaptation.
    """

    name: ClassVar[str] = "cityscapes"
    folder: ClassVar[str] = "cityscapes"
    origin: ClassVar[str] = (
        "Get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from"
        " https://www.cityscapes-dataset.com/downloads/ (free after registration) and unpack both"
        " into cityscapes/ in the data folder."
    )
    size: ClassVar[tuple[int, int]] = (1024, 2048)
    counts: ClassVar[Mapping[str, int]] = {"train": 2_975, "val": 500}
    protocols: ClassVar[tuple[str, ...]] = (
        "cityscapes-19",
        "synthia-16",
        "synthia-13-of-16",
        "synthia-13",
        "camvid-11",
    )

    def part(self, root: Path, split: Split) -> Part:
        """Return leftImg8bit/{train,val} and gtFine/{train,val}, city by city."""
        return self._official(root, "train" if split == "train" else "val", "gtFine")

    def raw_labels(self, path: Path) -> Tensor:
        """Return the label ids in one file of ``labelIds``, uint8 (h, w)."""
        return read_map(path)

    def lut(self, protocol: str) -> Lut:
        """Return the table of label ids."""
        return cityscapes_ids(protocol)

    def _official(self, root: Path, name: str, truth: str, *, labelled: bool = True) -> Part:
        folder = root / self.folder
        images = Side(folder / "leftImg8bit" / name, ("_leftImg8bit.png",))
        labels = Side(folder / truth / name, (f"_{truth}_labelIds.png",))
        return Part(name, ((images, labels),), self.counts[name], labelled=labelled)


class CityscapesExtra(Cityscapes):
    """Cityscapes with its 19,998 images of "train_extra" to train on, as in the paper.

    They have coarse labels only, which nobody needs: a target's training labels are never read.
    So the label maps of `scenes` for "train" need not exist, and are not verified. The 500 images
    to test are those of `Cityscapes`.
    """

    name: ClassVar[str] = "cityscapes-extra"
    origin: ClassVar[str] = (
        "Get leftImg8bit_trainextra.zip, leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip"
        " from https://www.cityscapes-dataset.com/downloads/ (free after registration) and unpack"
        " all into cityscapes/ in the data folder."
    )
    counts: ClassVar[Mapping[str, int]] = {"train_extra": 19_998, "val": 500}

    def part(self, root: Path, split: Split) -> Part:
        """Return leftImg8bit/train_extra, or the validation split."""
        if split == "train":
            return self._official(root, "train_extra", "gtCoarse", labelled=False)
        return self._official(root, "val", "gtFine")
