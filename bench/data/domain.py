"""What a domain is: images and class indices of one kind of picture, in two splits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

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
