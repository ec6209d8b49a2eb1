"""Large images and label maps, read when they are asked for, or decoded once and kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
import zlib
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torchvision.transforms.v2 import functional as transforms

from bench.classes import UNKNOWN
from bench.data.preprocess import _MODES, _grey
from bench.data.scenes import image_size, read_colours, shown, unknown_value
from bench.digest import digest_of
from bench.errors import BenchError, MissingDataError, unknown
from bench.files import atomic_path, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray
    from torch import Tensor

    from bench.data.domain import Scenes

__all__ = ["Cached", "Frames", "cached", "gather", "image_size", "read_image", "read_indices"]

READING = 1
"""Number of the way in which files become tensors: to be raised when those tensors change."""

IN_MEMORY = 2**31
"""Bytes up to which `gather` holds all images in memory."""

AHEAD = 2**28
"""Bytes of images that `Frames.prefetch` reads ahead at most, but always one."""

# ------------------------------------------------------------------ one file


def read_image(
    path: Path, size: tuple[int, int], channels: int, interpolation: str = "bilinear"
) -> Tensor:
    """Return an image at a shift's size and channels, as `bench.data.preprocess.prepare` would.

    Args:
        path: a PNG or JPEG file.
        size: height and width to return, in pixels.
        channels: 1 (luma) or 3 (RGB).
        interpolation: "bilinear" (antialiased) or "nearest".

    Returns:
        uint8 (channels, h, w).

    Raises:
        MissingDataError: the file cannot be read, is truncated, damaged, or enormous.
        BenchError: an unknown interpolation.
    """
    if interpolation not in _MODES:
        raise unknown("interpolation", interpolation, _MODES)
    image = read_colours(path)
    if channels == 1:
        image = _grey(image[None])[0]
    if tuple(image.shape[1:]) != tuple(size):
        image = transforms.resize(
            image, list(size), interpolation=_MODES[interpolation], antialias=True
        )
    return image


def read_indices(path: Path, scenes: Scenes, protocol: str, size: tuple[int, int] | None) -> Tensor:
    """Return the class indices in a label map: 0..k-1, or 255 where a pixel is ignored.

    Args:
        path: a label map of `scenes`.
        scenes: the domain, which says what its values mean.
        protocol: whose classes the indices are.
        size: height and width to return, by the nearest pixel; None for the file's own.

    Returns:
        uint8 (h, w).

    Raises:
        MissingDataError: the file is broken, or holds a value that no label has.
        BenchError: the domain cannot play that protocol.
    """
    table = scenes.indices(protocol)
    try:
        values = scenes.raw_labels(path).numpy()
    except (OSError, ValueError) as error:  # a domain of somebody's own
        raise MissingDataError(f"{path} cannot be read as a label map ({error}).") from error
    indices = np.take(table, values)
    strange = indices == UNKNOWN
    if strange.any():
        wrong = unknown_value(path, np.unique(values[strange]), table != UNKNOWN)
        raise MissingDataError(wrong)
    if size is not None and indices.shape != tuple(size):
        rows, columns = (_nearest(n, length) for n, length in zip(size, indices.shape, strict=True))
        indices = indices[rows][:, columns]
    return torch.from_numpy(indices)


def _nearest(n: int, length: int) -> NDArray[np.intp]:
    """Return which of `length` pixels lies at the centre of each of `n`.

    What torch calls "nearest-exact", but in integers: torch rounds in float32, and misses by a
    pixel where a centre falls on an edge.

    >>> _nearest(4, 2).tolist(), _nearest(2, 4).tolist()
    ([0, 0, 1, 1], [1, 3])
    """
    return (2 * np.arange(n) + 1) * length // (2 * n)


# ------------------------------------------------------------------ many files


class Frames:
    """Images or label maps of one size in files, as if they were one uint8 tensor on the CPU.

    A few threads read, as many as torch has but at most four. One thread at a time may ask.
    """

    dtype: ClassVar[torch.dtype] = torch.uint8
    device: ClassVar[torch.device] = torch.device("cpu")

    def __init__(
        self, paths: Sequence[Path], read: Callable[[Path], Tensor], shape: tuple[int, ...]
    ) -> None:
        """Read nothing yet.

        Args:
            paths: the files, in order.
            read: returns what is in one, uint8 of `shape`: a `functools.partial`, by keywords, of
                `read_image` or `read_indices`, so that the digest knows what decides the result.
            shape: (c, h, w), or (h, w) for label maps.
        """
        self._paths = tuple(paths)
        self._read = read
        self._one = torch.Size(shape)
        self._pending: OrderedDict[int, Future[Tensor]] = OrderedDict()

    @property
    def shape(self) -> torch.Size:
        """(n, c, h, w), or (n, h, w) for label maps."""
        return torch.Size((len(self._paths), *self._one))

    def __len__(self) -> int:
        """Return the number of files n."""
        return len(self._paths)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the frames at `index` (int64, (b,)), uint8 (b, ...), on the index's device.

        Raises:
            MissingDataError: a file cannot be read; the message names it.
        """
        places = _places(dim, index, len(self))
        coming = {}
        for place in dict.fromkeys(places):
            waiting = place in self._pending
            coming[place] = self._pending.pop(place) if waiting else self._submit(place)
        out = torch.empty((len(places), *self._one), dtype=torch.uint8)
        for row, place in enumerate(places):
            out[row] = coming[place].result()
        return out.to(index.device)

    def prefetch(self, index: Tensor) -> None:
        """Begin to read the frames at `index`; what has waited longest makes room for them."""
        limit = max(1, AHEAD // max(1, prod(self._one)))
        for place in _places(0, index, len(self))[:limit]:
            if place not in self._pending:
                while len(self._pending) >= limit:
                    self._pending.popitem(last=False)[1].cancel()
                self._pending[place] = self._submit(place)

    def digest(self) -> str:
        """Return a SHA-256 of the files' content, in order, and of how they are read.

        It depends on no path and no date. A file's own SHA-256 is remembered, for this user, as
        long as its path, size and time of change stay the same.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return digest_of(READING, _parameters(self._read), list(self._one), _contents(self._paths))

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(min(4, torch.get_num_threads()), "frames")

    def _submit(self, place: int) -> Future[Tensor]:
        return self._pool.submit(self.read_one, place)

    def read_one(self, place: int) -> Tensor:
        """Return the frame at one place, uint8 (c, h, w) or (h, w), read in this thread.

        Raises:
            MissingDataError: the file cannot be read; the message names it.
        """
        path = self._paths[place]
        try:
            found = self._read(path)
        except (OSError, ValueError) as error:
            raise MissingDataError(f"{path} cannot be read ({error}).") from error
        if found.dtype != torch.uint8 or found.shape != self._one:
            raise MissingDataError(
                f"{path} became {found.dtype} {tuple(found.shape)},"
                f" expected torch.uint8 {tuple(self._one)}."
            )
        return found


def gather(frames: Frames, limit_bytes: int = IN_MEMORY) -> Tensor | Frames:
    """Return all frames as one uint8 tensor if that has at most `limit_bytes`, else as they are.

    Raises:
        MissingDataError: a file cannot be read; the message names it.
    """
    if prod(frames.shape) > limit_bytes:
        return frames
    out = torch.empty(frames.shape, dtype=torch.uint8)
    for place, frame in enumerate(shown(_in_turn(frames), "reading images", len(frames))):
        out[place] = frame
    return out


def _in_turn(frames: Frames) -> Iterator[Tensor]:
    """Yield every frame in order; the next ones are read meanwhile."""
    ahead = max(1, min(16, AHEAD // max(1, prod(frames.shape[1:]))))
    for place in range(len(frames)):
        frames.prefetch(torch.arange(place, min(place + ahead, len(frames))))
        yield frames.index_select(0, torch.tensor([place]))[0]


def _places(dim: int, index: Tensor, count: int) -> list[int]:
    places: list[int] = index.tolist()
    if dim != 0:
        raise IndexError(f"frames are selected along dimension 0, not {dim}")
    if places and not 0 <= min(places) <= max(places) < count:
        raise IndexError(f"index {min(places)}..{max(places)} is out of range 0..{count - 1}")
    return places


def _parameters(read: Callable[[Path], Tensor]) -> dict[str, object]:
    """Return what decides the result of a reader, but for the file: its name and keywords."""
    if not isinstance(read, partial) or read.args:
        name = getattr(read, "__name__", type(read).__name__)
        raise BenchError(f"Frames need a functools.partial by keywords to digest, got {name}.")
    keywords = dict(read.keywords)
    scenes: Scenes | None = keywords.pop("scenes", None)
    if scenes is not None:  # of a domain and a protocol, only what they make of each value counts
        keywords["table"] = scenes.indices(keywords.pop("protocol")).tolist()
    return {"read": read.func.__name__, **keywords}


# ------------------------------------------------------------------ what is in the files


def _contents(paths: Sequence[Path]) -> list[str]:
    """Return the SHA-256 of each file; read only those that are not known."""
    stamps = [_stamp(path) for path in paths]
    pool = ThreadPoolExecutor(min(4, torch.get_num_threads()))
    try:
        with contextlib.closing(_Known()) as known:
            found = {stamp: known.get(stamp) for stamp in stamps}
            new = [stamp for stamp, digest in found.items() if digest is None]
            read = pool.map(_sha256, (Path(path) for path, _, _ in new))
            digests = shown(read, "reading files", len(new)) if new else ()
            for stamp, digest in zip(new, digests, strict=True):
                found[stamp] = digest
                if _stamp(Path(stamp[0])) == stamp:
                    known.put(stamp, digest)
        return [found[stamp] or "" for stamp in stamps]
    finally:
        pool.shutdown(cancel_futures=True)


Stamp = tuple[str, int, int]
"""Absolute path, bytes, and time of change in nanoseconds."""


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        raise MissingDataError(f"{path} cannot be read ({error.strerror}).") from error
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MissingDataError(f"{path} cannot be read ({error.strerror}).") from error


class _Known:
    """The SHA-256 of files seen before, in a database that this user's processes share.

    It saves time only: where it cannot be read or written, files are read again.
    """

    _TABLE = (
        "CREATE TABLE IF NOT EXISTS files"
        " (path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, sha256 TEXT)"
    )
    _BATCH = 64

    def __init__(self) -> None:
        import platformdirs  # noqa: PLC0415

        folder = platformdirs.user_cache_path("cycada-bench", appauthor=False)
        self._rows: list[tuple[str, int, int, str]] = []
        self._database = self._opened(folder / "digests.sqlite3")

    def get(self, stamp: Stamp) -> str | None:
        """Return the digest of a file that has not changed since it was put here."""
        question = "SELECT sha256 FROM files WHERE path = ? AND size = ? AND changed = ?"
        with contextlib.suppress(sqlite3.Error):
            row = self._database.execute(question, stamp).fetchone()
            return str(row[0]) if row else None
        return None

    def put(self, stamp: Stamp, digest: str) -> None:
        """Remember the digest of a file."""
        self._rows.append((*stamp, digest))
        if len(self._rows) >= self._BATCH:
            self._write()

    def close(self) -> None:
        """Write what is not yet written."""
        self._write()
        self._database.close()

    def _write(self) -> None:
        with contextlib.suppress(sqlite3.Error), self._database:
            insert = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)"
            self._database.executemany(insert, self._rows)
        self._rows = []

    def _opened(self, path: Path) -> sqlite3.Connection:
        with contextlib.suppress(OSError, sqlite3.Error):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._with_table(path)
            except sqlite3.OperationalError:  # busy, or not to be written
                raise
            except sqlite3.DatabaseError:  # no database, or a broken one
                path.unlink()
                return self._with_table(path)
        return self._with_table(":memory:")

    def _with_table(self, path: Path | str) -> sqlite3.Connection:
        database = sqlite3.connect(path, timeout=60)
        try:
            with database:
                database.execute(self._TABLE)
        except sqlite3.Error:
            database.close()
            raise
        return database


# ------------------------------------------------------------------ the decoded cache


class Cached:
    """Frames that are kept decoded in one file, mapped into memory; else like `Frames`.

    The first time in a process that a frame is asked for, it is compared with its checksum; one
    that does not fit is read from its own file, and the cache is made anew at the next opening.
    """

    dtype: ClassVar[torch.dtype] = torch.uint8
    device: ClassVar[torch.device] = torch.device("cpu")

    def __init__(self, frames: Frames, path: Path, checksums: list[int]) -> None:
        """Map `path`, an .npy file with a sound header, whose frames have these CRC-32."""
        self._frames = frames
        self._path = path
        self._checksums = checksums
        # Read-only: a private copy of more than the memory there is would be refused.
        self._array = np.load(path, mmap_mode="r", allow_pickle=False)
        self._unseen = np.ones(len(frames), dtype=bool)
        self._damaged: set[int] = set()

    @property
    def shape(self) -> torch.Size:
        """(n, c, h, w), or (n, h, w) for label maps."""
        return self._frames.shape

    def __len__(self) -> int:
        """Return the number of frames n."""
        return len(self._frames)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the frames at `index` (int64, (b,)), uint8 (b, ...), on the index's device."""
        places = _places(dim, index, len(self))
        for place in places:
            if self._unseen[place]:
                self._compare(place)
        out = torch.from_numpy(self._array[places])
        for row, place in enumerate(places):
            if place in self._damaged:
                out[row] = self._frames.read_one(place)
        return out.to(index.device)

    def prefetch(self, index: Tensor) -> None:
        """Do nothing: what a mapped file has in memory is the operating system's business."""

    def digest(self) -> str:
        """Return the digest of the original frames."""
        return self._frames.digest()

    def _compare(self, place: int) -> None:
        if zlib.crc32(self._array[place]) != self._checksums[place]:
            _sidecar(self._path).unlink(missing_ok=True)
            self._damaged.add(place)
        self._unseen[place] = False


def cached(frames: Frames, folder: Path) -> Cached:
    """Return frames that are decoded once and then kept in `folder`, in a file named by content.

    A file that is torn or of something else is written anew. Each frame is compared with its
    checksum when it is first used.

    Raises:
        MissingDataError: an image cannot be read.
        BenchError: the folder cannot be written, or the disk is too full.
    """
    import filelock  # noqa: PLC0415  only here

    path = folder / f"{frames.digest()}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_suffix(".lock")):
            checksums = _checksums(frames, path)
            if checksums is None:
                checksums = _write(frames, path)
        return Cached(frames, path, checksums)
    except OSError as error:
        need = prod(frames.shape) / 2**30
        raise BenchError(
            f"The decoded images ({need:,.1f} GiB) cannot be kept in {folder}"
            f" ({error.strerror or error}). Make room, choose another folder, or go without."
        ) from error


def _checksums(frames: Frames, path: Path) -> list[int] | None:
    """Return the frames' CRC-32 if a cache file is whole and theirs, at a glance; else None."""
    try:
        about = json.loads(_sidecar(path).read_text(encoding="utf-8"))
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # noqa: BLE001  of any class: NumPy's reader promises none
        return None
    plain = isinstance(array, np.ndarray)  # NumPy would read an archive, too
    whole = plain and array.dtype == np.uint8 and array.shape == tuple(frames.shape)
    if not whole or not isinstance(about, dict) or about.get("digest") != frames.digest():
        return None
    checksums = about.get("crc32")
    return checksums if isinstance(checksums, list) and len(checksums) == len(frames) else None


def _write(frames: Frames, path: Path) -> list[int]:
    """Write a cache file and its sidecar, and return the frames' CRC-32."""
    for left in path.parent.glob(
        f".{path.name}.*"
    ):  # by a process that was killed: we hold the lock
        left.unlink(missing_ok=True)
    _sidecar(path).unlink(missing_ok=True)
    if shutil.disk_usage(path.parent).free < prod(frames.shape):
        raise OSError("too little space is left on the disk")
    checksums = []
    # Written, not mapped: a full disk is an error here, and would be a crash there.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": tuple(frames.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for frame in shown(_in_turn(frames), "decoding images", len(frames)):
            content = frame.numpy().tobytes()
            checksums.append(zlib.crc32(content))
            file.write(content)
    write_text(_sidecar(path), json.dumps({"digest": frames.digest(), "crc32": checksums}))
    return checksums


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")
