"""Writing street scenes to disk, in the folder layouts of GTA5 and of Cityscapes."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock
from PIL import Image

from bench.classes import CITYSCAPES
from bench.data.scenes import shown
from bench.data.streets.picture import scene
from bench.errors import BenchError
from bench.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.data.streets.picture import Rendering

GENERATOR = 1
"""Raise this when a change makes other scenes; trees of another version are written anew."""

COUNTS: dict[Rendering, dict[str, int]] = {
    "game": {"train": 600},
    "camera": {"train": 600, "val": 150},
}
"""Pictures of each split."""

CITIES = {
    "train": ("altbruck", "feldhain", "kesselau", "rohrwick"),
    "val": ("lindhain", "oststein"),
}
"""What the camera's made-up cities are called."""

MANIFEST = "manifest.json"
"""Which version of the generator wrote a tree, and how many bytes each of its files has."""


@dataclass(frozen=True)
class Item:
    """One picture of a tree: its split and number, and where its two files go."""

    split: str
    number: int
    image: str
    label: str


def items(rendering: Rendering) -> list[Item]:
    """Return all pictures of a tree, named as in GTA5 ("game") or Cityscapes ("camera").

    >>> items("camera")[0].image
    'leftImg8bit/train/altbruck/altbruck_000000_000019_leftImg8bit.png'
    """
    return [
        _named(rendering, split, number, count)
        for split, count in COUNTS[rendering].items()
        for number in range(count)
    ]


def _named(rendering: Rendering, split: str, number: int, count: int) -> Item:
    if rendering == "game":
        name = f"{number + 1:05d}.png"
        return Item(split, number, f"images/{name}", f"labels/{name}")
    each = -(-count // len(CITIES[split]))
    city = CITIES[split][number // each]
    frame = f"{split}/{city}/{city}_{number % each:06d}_000019"
    image, label = f"leftImg8bit/{frame}_leftImg8bit.png", f"gtFine/{frame}_gtFine_labelIds.png"
    return Item(split, number, image, label)


def prepare(folder: Path, rendering: Rendering) -> None:
    """Write a tree into `folder`, unless it is there, complete and of this version.

    Readers see all of a tree or none of it. Only what an earlier version wrote is replaced.

    Raises:
        BenchError: the folder cannot be written to, or holds files that are not ours.
    """
    if _complete(folder):
        return
    with _explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if _complete(folder):  # by another process, while this one waited
                return
            _refuse_strangers(folder)
            # Nobody else writes here while the lock is held: what lies there was interrupted.
            partial = folder.parent / f".{folder.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            try:
                _write(partial, rendering)
                _replace(folder, partial)
            finally:
                shutil.rmtree(partial, ignore_errors=True)


def _write(folder: Path, rendering: Rendering) -> None:
    """Write all pictures, then the manifest."""
    planned = items(rendering)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for known in CITYSCAPES.labels:
        palette[known.id] = known.colour
    for item in planned:
        for name in (item.image, item.label):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, int] = {}
    for item in shown(planned, f"drawing streets ({rendering})", len(planned)):
        image, ids = scene(rendering, item.split, item.number)
        label = Image.fromarray(ids)
        if rendering == "game":  # as in GTA5: values are ids, and the palette shows their colours
            label.putpalette(palette.tobytes())
        for name, picture in ((item.image, image), (item.label, label)):
            picture.save(folder / name, compress_level=2)
            sizes[name] = (folder / name).stat().st_size
    write_json(folder / MANIFEST, {"generator": GENERATOR, "bytes": sizes})


def _replace(folder: Path, made: Path) -> None:
    """Put a finished tree where an old one may be."""
    old = folder.parent / f".{folder.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    made.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _complete(folder: Path) -> bool:
    """Return whether a tree of this version is there with all of its files."""
    version, sizes = _manifest(folder)
    return version == GENERATOR and all(_size(folder / name) == sizes[name] for name in sizes)


def _manifest(folder: Path) -> tuple[int | None, dict[str, int]]:
    """Return a tree's version and the bytes of each file; None if that cannot be known."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return int(content["generator"]), dict(content["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, {}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _refuse_strangers(folder: Path) -> None:
    """Raise BenchError if a folder that is to be replaced holds anything that we did not write."""
    ours = {MANIFEST, *_manifest(folder)[1]}
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and path.relative_to(folder).as_posix() not in ours:
            raise BenchError(
                f"{path} is not a file of the generated street scenes, which are to be written"
                f" anew to {folder}. Move it away, and everything else there that is yours."
            )


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn a refusal of the file system into a sentence."""
    try:
        yield
    except OSError as error:
        raise BenchError(
            f"The street scenes cannot be written to {folder} ({error.strerror or error})."
            " They need 70 MB in a data folder that you may write to: choose one with --data or"
            " BENCH_DATA."
        ) from error
