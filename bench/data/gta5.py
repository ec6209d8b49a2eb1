"""GTA5: 24,966 frames of a computer game, labelled as Cityscapes is (Richter et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.classes import IGNORED, cityscapes_ids
from bench.data.scenes import Part, SceneFolder, Side, read_map
from bench.errors import BenchError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.classes import Lut
    from bench.data.domain import Split

PLATE = 34
"""Value of licence plates, which Cityscapes knows as -1."""


class GTA5(SceneFolder):
    """Frames of a computer game, 1914x1052, all 24,966 to train on, with Cityscapes' label ids.

    Label maps are palette PNGs whose values are the ids. The paper trains on all of them, so the
    official split is not used, and there is none to test on. A few label maps have another size
    than their image. Those of the same shape serve as they are, because both are resized; the
    other pairs are left out, and `bench data verify` names them.
    """

    name: ClassVar[str] = "gta5"
    folder: ClassVar[str] = "GTA5"
    origin: ClassVar[str] = (
        "Get GTA5's ten parts from https://download.visinf.tu-darmstadt.de/data/from_games/ and"
        " put all of their images/ and labels/ into GTA5/ in the data folder."
    )
    size: ClassVar[tuple[int, int]] = (1052, 1914)
    sizes_vary: ClassVar[bool] = True
    count: ClassVar[int] = 24_966
    protocols: ClassVar[tuple[str, ...]] = (
        "cityscapes-19",
        "synthia-16",
        "synthia-13-of-16",
        "synthia-13",
        "camvid-11",
    )

    def part(self, root: Path, split: Split) -> Part:
        """Return images/00001.png ... and labels/00001.png ...; raise BenchError for "test"."""
        if split != "train":
            raise BenchError(
                f"Domain '{self.name}' has no test images: it can be a shift's source,"
                " but not its target."
            )
        folder = root / self.folder
        sides = (Side(folder / "images", (".png",)), Side(folder / "labels", (".png",)))
        return Part("train", (sides,), self.count)

    def raw_labels(self, path: Path) -> Tensor:
        """Return the label ids in one label map, uint8 (h, w)."""
        return read_map(path)

    def lut(self, protocol: str) -> Lut:
        """Return Cityscapes' table, in which a licence plate is ignored."""
        table = cityscapes_ids(protocol)
        table[PLATE] = IGNORED
        return table
