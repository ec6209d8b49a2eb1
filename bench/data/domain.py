"""What a domain is: images and class indices of one kind of picture, in two splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

Split = Literal["train", "test"]


@dataclass(frozen=True)
class DataFile:
    """One file that a domain reads from the data folder.

    Attributes:
        path: where it lies, relative to the data folder.
        digests: MD5 of each accepted version (hexadecimal) to what that version is.
        urls: where it can be downloaded, the first one that answers is used. A URL ending in .gz
            is unpacked if `path` does not end so.
        url_digest: MD5 of the download, if it is not the file itself but an archive of it.
    """

    path: str
    digests: dict[str, str]
    urls: tuple[str, ...] = ()
    url_digest: str | None = None


@runtime_checkable
class Domain(Protocol):
    """A source or target of images. Any class with these three members is one.

    A class variable ``files`` (a tuple of `DataFile`) lets ``bench data`` fetch and verify what the
    domain reads; without it the domain is taken to be embedded, and always there.
    """

    classes: ClassVar[int]

    def images(self, root: Path, split: Split) -> Tensor:
        """Return uint8 (n, c, h, w), values 0..255, at the domain's own size.

        Args:
            root: the data folder.
            split: "train" or "test"; the two have no image in common.
        """
        ...

    def labels(self, root: Path, split: Split) -> Tensor:
        """Return int64 (n,), values 0..classes-1, in the order of `images`."""
        ...
