"""The two domains of generated street scenes, read as GTA5 and Cityscapes are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.data.cityscapes import Cityscapes
from bench.data.gta5 import GTA5
from bench.data.streets import write
from bench.data.streets.picture import SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class StreetsGame(GTA5):
    """600 street scenes as a game shows them, 256x128, to train on; in GTA5's folder layout.

    Drawn on first use: each is a function of its number alone. All 19 classes occur, and some
    labels that are not evaluated.
    """

    name: ClassVar[str] = "streets-game"
    folder: ClassVar[str] = "streets/game"
    origin: ClassVar[str] = "Run `bench data fetch streets-game`, which draws them."
    size: ClassVar[tuple[int, int]] = SIZE
    sizes_vary: ClassVar[bool] = False
    count: ClassVar[int] = write.COUNTS["game"]["train"]

    def prepare(self, root: Path) -> None:
        """Draw the scenes, unless they are there.

        Raises:
            BenchError: the data folder cannot be written to.
        """
        write.prepare(root / self.folder, "game")


class StreetsCamera(Cityscapes):
    """Other street scenes, as a cheap camera shows them, 256x128, in Cityscapes' folder layout.

    600 to train on, 150 ("val") to test. Streets are narrower and fuller, surfaces and light are
    others, and there is weather: no change of colours turns the one rendering into the other.
    """

    name: ClassVar[str] = "streets-camera"
    folder: ClassVar[str] = "streets/camera"
    origin: ClassVar[str] = "Run `bench data fetch streets-camera`, which draws them."
    size: ClassVar[tuple[int, int]] = SIZE
    counts: ClassVar[Mapping[str, int]] = write.COUNTS["camera"]

    def prepare(self, root: Path) -> None:
        """Draw the scenes, unless they are there.

        Raises:
            BenchError: the data folder cannot be written to.
        """
        write.prepare(root / self.folder, "camera")
