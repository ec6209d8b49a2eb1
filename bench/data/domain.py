"""What a domain is: one kind of picture with its labels, in two splits.

A `Domain` has small images with one class each, and hands over all of them at once. A `Scenes`
domain has large images with one class a pixel, and says where the files are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from bench.classes import Lut
    from bench.data.store import FileReport

Split = Literal["train", "test"]


@dataclass(frozen=True)
class DataFile:
    """One file that a domain reads from the data folder.

    Attributes:
        path: where it lies, relative to the data folder.
        md5: checksum of the official file, hexadecimal.
        size: bytes of the official file, if known.
        urls: where it can be downloaded; they are tried in turn.
        packed_md5: checksum of the download, if that is a gzip archive of the file. The archive
            itself, with ".gz" added to `path`, then serves as well as the file.
        also: MD5 of other versions whose content is the same, and what to call each.
    """

    path: str
    md5: str
    size: int | None = None
    urls: tuple[str, ...] = ()
    packed_md5: str | None = None
    also: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Domain(Protocol):
    """A source or target of images. Any class with these three members is one.

    A class variable ``files`` (a tuple of `DataFile`) lets ``bench data`` fetch and verify what the
    domain reads; without it the domain is taken to be embedded, and always there.
    """

    classes: ClassVar[int]

    def images(self, root: Path, split: Split) -> Tensor:
        """Return uint8 (n, c, h, w), values 0..255, at the domain's own size, c 1 or 3.

        Args:
            root: the data folder.
            split: "train" or "test"; the two have no image in common.
        """
        ...

    def labels(self, root: Path, split: Split) -> Tensor:
        """Return int64 (n,), values 0..classes-1, in the order of `images`."""
        ...


@dataclass(frozen=True)
class Scene:
    """One image file and the file of its label map."""

    image: Path
    label: Path


@runtime_checkable
class Scenes(Protocol):
    """A source or target of large images, with one class a pixel, in files."""

    def scenes(self, root: Path, split: Split) -> list[Scene]:
        """Return where the images and label maps are, sorted.

        Every image has a label map and every label map an image; all files exist.

        Raises:
            MissingDataError: the folder is absent or empty, or a file has no partner; the message
                names the path and what was expected there.
        """
        ...

    def raw_labels(self, path: Path) -> Tensor:
        """Return the values in one label map, uint8 (h, w), as this domain's files have them.

        Raises:
            MissingDataError: the file cannot be read, or is not what such a file is.
        """
        ...

    def indices(self, protocol: str) -> Lut:
        """Return uint8 (256,): value in a label map to class index of `protocol`.

        255 where such pixels are ignored, 254 for a value that no label map may hold (see
        `bench.classes`).

        Raises:
            BenchError: this domain cannot play that protocol.
        """
        ...

    def inspect(self, root: Path, *, thorough: bool) -> Iterator[FileReport]:
        """Yield one report for the data set, and one for each offending file.

        At a glance, only whether files are there in the right number and pairs; when thorough,
        also whether each can be read, has the right size, and holds known values only.
        """
        ...

    def prepare(self, root: Path) -> None:
        """Write the files if this domain can make them itself, else do nothing.

        What is there already and sound is left as it is.
        """
        ...
