"""Domains of large images: where the files lie, which belong together, and what each must be.

A picture is never decoded before its header has said how large it will be, and never used if a
byte of it is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import os
import struct
import zlib
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, NoReturn, TypeVar

import numpy as np
import torch
from PIL import Image

from bench.classes import UNKNOWN
from bench.data.domain import Scene
from bench.data.store import FileReport
from bench.errors import BenchError, MissingDataError
from bench.label_maps import Header, check_length, image_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from bench.classes import Lut
    from bench.data.domain import Split
    from bench.data.store import State

T = TypeVar("T")

MAX_PIXELS = 2**26
"""More than any image of ours has by far; one that claims more is not decoded."""

MAX_BYTES = 2**29
"""More than `MAX_PIXELS` take even uncompressed; no longer file is read."""

MANY = 300
"""Items from which on a wait is announced also where no progress bar can be drawn."""

NAMED = 3
"""Offending files that an error names; `bench data verify` names them all."""

_SPLITS: tuple[Split, ...] = ("train", "test")
_PNG = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3

# ------------------------------------------------------------------ reading one file


def image_size(path: Path) -> tuple[int, int]:
    """Return (height, width) as a PNG or JPEG file's header claims; nothing is decoded.

    Raises:
        MissingDataError: it cannot be read, is no such file, or claims no or too many pixels.
    """
    try:
        with path.open("rb") as file:
            height, width = _size_in(file)
    except (OSError, ValueError, struct.error) as error:
        _refuse(path, f"cannot be read as a PNG or JPEG image ({_reason(error)})")
    if not 0 < height * width <= MAX_PIXELS:
        _refuse(path, f"claims {width}x{height} pixels; expected 1 to {MAX_PIXELS:,} in all")
    return height, width


def read_colours(path: Path) -> Tensor:
    """Return the colours in a PNG or JPEG file, uint8 (3, h, w); transparency is ignored.

    Raises:
        MissingDataError: it is no 8-bit image, truncated, damaged, or enormous.
    """
    content = _sound(path)
    if content.startswith(_PNG) and content[24] > 8:  # noqa: PLR2004  bits a sample
        _refuse(path, f"has {content[24]} bits a sample; expected an image of 8")
    with _opened(path, content) as image:
        image.info.pop("transparency", None)  # Pillow would warn that it gets lost
        colours = np.array(image.convert("RGB"))
        _check_rows(path, content, np.asarray(image.crop((0, image.height - 1, *image.size))))
        return torch.from_numpy(colours).permute(2, 0, 1)


def read_map(path: Path) -> Tensor:
    """Return the values in a grey or palette PNG, uint8 (h, w); what the palette shows is ignored.

    Raises:
        MissingDataError: it is another kind of file, truncated, damaged, or enormous.
    """
    content = _sound(path)
    bits, kind = _png_kind(path, content)
    if kind != _PALETTE and (kind, bits) != (_GREY, 8):
        _refuse(path, f"has {bits}-bit {_named(kind)} pixels; expected 8-bit grey or a palette")
    with _opened(path, content) as image:
        values = np.array(image)
        _check_rows(path, content, values[-1])
        return torch.from_numpy(values)


def read_wide_map(path: Path) -> Tensor:
    """Return the red channel of a 16-bit RGB PNG, uint8 (h, w); 254 for any value above.

    The other channels are not looked at: SYNTHIA's green one numbers instances.

    Raises:
        MissingDataError: it is another kind of file, truncated, damaged, or enormous.
    """
    content = _sound(path)
    bits, kind = _png_kind(path, content)
    if (kind, bits) != (_RGB, 16):
        _refuse(path, f"has {bits}-bit {_named(kind)} pixels; expected 16-bit RGB")
    # Pillow keeps one byte of each sample: the first (B, for files in big-endian order, as PNG
    # is) or the second (L). The two together are all 16 bits.
    high, low = (_red_byte(path, content, order) for order in ("RGB;16B", "RGB;16L"))
    _check_rows(path, content, low[-1])
    values = np.where(high > 0, UNKNOWN, np.minimum(low, UNKNOWN)).astype(np.uint8)
    return torch.from_numpy(values)


def _red_byte(path: Path, content: bytes, layout: str) -> NDArray[np.uint8]:
    with _opened(path, content) as image:
        image.tile = [(*image.tile[0][:3], layout)]  # type: ignore[attr-defined]
        return np.array(image)[..., 0]


# What Pillow raises is not documented; SyntaxError and IndexError do occur.
_UNDECODED = (
    *(OSError, SyntaxError, ValueError, IndexError, EOFError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)


@contextlib.contextmanager
def _opened(path: Path, content: bytes) -> Iterator[Image.Image]:
    """Open an image with Pillow; what it cannot decode in the block is an error with the path."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if image.size != _size_in(io.BytesIO(content))[::-1]:
                raise ValueError("it claims two sizes")
            yield image
    except _UNDECODED as error:
        _refuse(path, f"cannot be decoded ({_reason(error)})")


def _size_in(file: BinaryIO) -> tuple[int, int]:
    """Return (height, width) from the header of an open PNG or JPEG file."""
    head = file.read(24)
    if head.startswith(_PNG) and head[12:16] == b"IHDR":
        width, height = struct.unpack(">II", head[16:24])
        return height, width
    if not head.startswith(b"\xff\xd8"):
        raise OSError("neither has its first bytes")
    file.seek(2)
    while True:  # segment after segment, up to the one that starts the frame
        marker, kind = struct.unpack(">BB", file.read(2))
        while kind == 0xFF:  # noqa: PLR2004  padding
            (kind,) = file.read(1)
        (length,) = struct.unpack(">H", file.read(2))
        if marker != 0xFF or length < 2:  # noqa: PLR2004
            raise OSError("its segments are broken")
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:  # noqa: PLR2004
            _, height, width = struct.unpack(">BHH", file.read(5))
            return height, width
        file.seek(length - 2, os.SEEK_CUR)


def _sound(path: Path) -> bytes:
    """Return the content of an image file: of a size that may be decoded, and all there."""
    image_size(path)
    try:
        length = path.stat().st_size
        if length > MAX_BYTES:
            _refuse(path, f"has {length:,} bytes; expected at most {MAX_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        _refuse(path, f"cannot be read ({_reason(error)})")
    if content.startswith(_PNG):
        _check_chunks(path, content)
    return content


def _check_chunks(path: Path, content: bytes) -> None:
    """Compare each PNG chunk with its checksum: decoders overlook a missing or altered end."""
    view, position, headers = memoryview(content), len(_PNG), 0
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if end > len(content):
            break
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) != checksum:
            _refuse(path, f"is damaged at byte {position:,} of {len(content):,}")
        headers += kind == b"IHDR"
        if headers != 1 or (kind == b"IHDR" and length != 13):  # noqa: PLR2004
            _refuse(path, "has not one header of 13 bytes")  # decoders believe the last one
        if kind == b"IEND":
            return
        position = end
    _refuse(path, f"is truncated: it ends after {len(content):,} bytes, without its last chunk")


def _check_rows(path: Path, content: bytes, last: NDArray[np.uint8]) -> None:
    """Refuse a PNG that lacks rows, which Pillow leaves zero, if its last row is."""
    if not content.startswith(_PNG):
        return
    header = Header(*struct.unpack(">IIBBBBB", content[16:29]))
    if last.any() and not header.interlaced:
        return
    try:
        check_length(image_data(content), header)
    except (ValueError, zlib.error) as error:
        _refuse(path, f"is truncated ({error})")


def _png_kind(path: Path, content: bytes) -> tuple[int, int]:
    if not content.startswith(_PNG):
        _refuse(path, "is no PNG file, as label maps are")
    return content[24], content[25]


def _named(kind: int) -> str:
    return {_GREY: "grey", _RGB: "RGB", _PALETTE: "palette"}.get(kind, "transparent")


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _refuse(path: Path, wrong: str) -> NoReturn:
    raise MissingDataError(f"{path} {wrong}. Get the original file.")


# ------------------------------------------------------------------ finding and pairing files


@dataclass(frozen=True)
class Side:
    """Files below one folder; a file's key is its path there without one of the suffixes."""

    folder: Path
    suffixes: tuple[str, ...]

    def place(self, key: str) -> Path:
        """Return where the file of a key belongs."""
        return self.folder / f"{key}{self.suffixes[0]}"

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield (key, path) of each file. Hidden ones and other suffixes are none of ours.

        Raises:
            MissingDataError: a folder cannot be listed.
        """
        visited = set()
        for folder, folders, names in os.walk(self.folder, onerror=_unlisted, followlinks=True):
            real = os.path.realpath(folder)
            if real in visited:  # a link to a folder that it lies in
                folders.clear()
                continue
            visited.add(real)
            within = Path(folder).relative_to(self.folder).as_posix()
            for name in names:
                suffix = next((each for each in self.suffixes if name.endswith(each)), None)
                if suffix and not name.startswith("."):
                    key = name.removesuffix(suffix)
                    yield key if within == "." else f"{within}/{key}", Path(folder, name)


def _unlisted(error: OSError) -> NoReturn:
    raise MissingDataError(f"{error.filename} cannot be listed ({_reason(error)}).") from error


@dataclass(frozen=True)
class Part:
    """The files of a split, or what several splits are made of.

    Attributes:
        name: as in messages.
        sides: images and label maps, folder by folder; equal keys belong together.
        count: how many pairs the official data set has.
        labelled: whether every image must have its label map.
        exact: whether another number of pairs is an error; else it is only said.
    """

    name: str
    sides: tuple[tuple[Side, Side], ...]
    count: int
    labelled: bool = True
    exact: bool = True


@dataclass(frozen=True)
class Offence:
    """A file with something wrong or odd about it.

    Attributes:
        path: the file.
        sentence: what is wrong, with paths.
        state: what this leaves the file in.
        left_out: whether `SceneFolder.scenes` leaves its pair out.
    """

    path: Path
    sentence: str
    state: State
    left_out: bool = False

    @property
    def broken(self) -> bool:
        """Whether the data set cannot be used as it is; else this is only worth knowing."""
        return self.state in {"absent", "damaged"}


def pair(part: Part) -> tuple[list[Scene], list[Offence]]:
    """Return the pairs of a part, sorted by path, and what is not there or has no partner."""
    scenes, offences = [], []
    for image_side, label_side in part.sides:
        images, twice = _by_key(image_side)
        labels, again = _by_key(label_side) if part.labelled else ({}, [])
        offences += twice + again
        if not images and not labels:
            what = "holds no image" if image_side.folder.is_dir() else "is not there"
            sentence = f"{image_side.folder} {what}: expected files {image_side.place('*')}."
            offences.append(Offence(image_side.folder, sentence, "absent"))
        for key, image in images.items():
            label = labels.pop(key, None)
            if label is None and part.labelled:
                label = label_side.place(key)
                sentence = f"{image} has no label map: expected {label}."
                offences.append(Offence(image, sentence, "damaged"))
            else:
                scenes.append(Scene(image, label or label_side.place(key)))
        for key, label in labels.items():
            sentence = f"{label} has no image: expected {image_side.place(key)}."
            offences.append(Offence(label, sentence, "damaged"))
    scenes.sort(key=lambda scene: scene.image)
    return scenes, sorted(offences, key=lambda offence: offence.path)


def _by_key(side: Side) -> tuple[dict[str, Path], list[Offence]]:
    files: dict[str, Path] = {}
    twice = []
    if side.folder.is_dir():
        for key, path in side.files():
            if key in files:
                sentence = f"{path} and {files[key]} have the same name: expected one of them."
                twice.append(Offence(path, sentence, "damaged"))
            else:
                files[key] = path
    return files, twice


# ------------------------------------------------------------------ the domains' common ground


class SceneFolder(ABC):
    """What our domains of large images share; a subclass says where its files are.

    Attributes:
        name: as on the command line.
        folder: where the data set lies, below the data folder.
        origin: sentence on how a user gets it.
        size: height and width of the official images.
        sizes_vary: whether a few official files have another size. Then a pair is used if its
            image and label map have the same aspect ratio, and left out if not. Elsewhere a
            label map of another size than its image is an error.
        protocols: the segmentation protocols that it can play.
    """

    name: ClassVar[str]
    folder: ClassVar[str]
    origin: ClassVar[str]
    size: ClassVar[tuple[int, int]]
    sizes_vary: ClassVar[bool] = False
    protocols: ClassVar[tuple[str, ...]]

    @abstractmethod
    def part(self, root: Path, split: Split) -> Part:
        """Return where the files of a split are; raise BenchError if there is no such split."""

    @abstractmethod
    def raw_labels(self, path: Path) -> Tensor:
        """Return the values in one label map, uint8 (h, w)."""

    @abstractmethod
    def lut(self, protocol: str) -> Lut:
        """Return what `indices` does, for a protocol that is one of ours."""

    def choose(self, scenes: list[Scene], split: Split) -> list[Scene]:  # noqa: ARG002
        """Return those scenes of a split's part that are in the split: here, all."""
        return scenes

    def indices(self, protocol: str) -> Lut:
        """Return uint8 (256,): value in a label map to class index, 255 ignored, 254 unknown.

        Raises:
            BenchError: this domain cannot play that protocol.
        """
        if protocol not in self.protocols:
            raise BenchError(
                f"Domain '{self.name}' cannot play the protocol '{protocol}': its label maps lack"
                f" classes of it. Available: {', '.join(self.protocols)}."
            )
        return self.lut(protocol)

    def prepare(self, root: Path) -> None:  # noqa: B027  a step that most have no need of
        """Do nothing: a user places these files."""

    def scenes(self, root: Path, split: Split) -> list[Scene]:
        """Return where the images and label maps are, sorted; reads every header.

        Raises:
            MissingDataError: the folder is absent or empty, a file has no partner, or a label map
                has another size than its image (but see `sizes_vary`).
            BenchError: there is no such split.
        """
        fits, unfit = self._sorted_out(root, split)
        if unfit and not self.sizes_vary:
            raise MissingDataError(self._told(unfit))
        return fits

    def left_out(self, root: Path, split: Split) -> list[str]:
        """Return a sentence for each pair that `scenes` leaves out because of its sizes."""
        return self._sorted_out(root, split)[1]

    def inspect(self, root: Path, *, thorough: bool) -> Iterator[FileReport]:
        """Yield one report for each offending file, and at last one for the data set.

        At a glance, only whether files are there in the right number and pairs; when thorough,
        also whether each can be read, has the right size, and holds known values only.
        """
        if not (root / self.folder).is_dir():
            sentence = f"{root / self.folder} is not there. {self.origin}"
            yield FileReport(self.name, str(root / self.folder), "absent", sentence)
            return
        wrong: list[str] = []
        notes: list[str] = []
        broken = left_out = odd = 0
        for part in self._parts(root):
            scenes, offences = pair(part)
            if scenes and len(scenes) != part.count:
                count = f"{part.name}: {len(scenes):,} pairs, expected {part.count:,}."
                (wrong if part.exact else notes).append(count)
            found = self._examined(part, scenes) if thorough else ()
            for offence in itertools.chain(offences, found):
                broken += offence.broken
                left_out += offence.left_out
                odd += not offence.broken and not offence.left_out
                yield FileReport(self.name, str(offence.path), offence.state, offence.sentence)
        if broken:
            wrong.append(f"{broken:,} of its files are missing or broken, each named by itself.")
        if left_out:
            notes.append(f"Left out because sizes differ, each named: {left_out:,} pairs.")
        if odd:
            notes.append(f"Of another size than the rest, each named: {odd:,} images.")
        state: State = "damaged" if wrong else "sound" if thorough else "present"
        about = " ".join([*wrong, *notes, *([self.origin] if wrong else [])])
        yield FileReport(self.name, str(root / self.folder), state, about)

    def _parts(self, root: Path) -> list[Part]:
        """Return what the splits that there are consist of, each once."""
        parts = []
        for split in _SPLITS:
            with contextlib.suppress(BenchError):  # a domain that only plays the source
                parts.append(self.part(root, split))
        return list(dict.fromkeys(parts))

    def _sorted_out(self, root: Path, split: Split) -> tuple[list[Scene], list[str]]:
        """Return the scenes of a split whose sizes fit, and a sentence for each other one."""
        part = self.part(root, split)
        scenes, offences = pair(part)
        if offences:
            told = self._told([offence.sentence for offence in offences])
            raise MissingDataError(f"{told} {self.origin}")
        fits, unfit = [], []
        for scene in self.choose(scenes, split):
            wrong = self._unfit(scene) if part.labelled else ""
            if wrong:
                unfit.append(wrong)
            else:
                fits.append(scene)
        return fits, unfit

    def _unfit(self, scene: Scene) -> str:
        """Return what is wrong with the size of a label map, or nothing."""
        image, label = image_size(scene.image), image_size(scene.label)
        alike = image[0] * label[1] == image[1] * label[0] if self.sizes_vary else image == label
        if alike:
            return ""
        wrong = f"{scene.label} is {_wide(label)}, its image {scene.image} {_wide(image)}"
        return f"{wrong}: this pair is left out." if self.sizes_vary else f"{wrong}."

    def _examined(self, part: Part, scenes: list[Scene]) -> Iterator[Offence]:
        """Read every file of a part, on all cores, and yield what is wrong with it."""
        known = self.indices(self.protocols[0]) != UNKNOWN
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            looks = pool.map(lambda scene: self._examine(scene, part, known), scenes)
            for offences in shown(looks, f"{self.name} {part.name}", len(scenes)):
                yield from offences
        finally:
            pool.shutdown(cancel_futures=True)

    def _examine(self, scene: Scene, part: Part, known: NDArray[np.bool_]) -> list[Offence]:
        offences = []
        odd: State = "sound" if self.sizes_vary else "damaged"
        try:
            size = tuple(read_colours(scene.image).shape[1:])
            if size != self.size:
                sentence = f"{scene.image} is {_wide(size)}, expected {_wide(self.size)}."
                offences.append(Offence(scene.image, sentence, odd))
        except MissingDataError as error:
            offences.append(Offence(scene.image, str(error), "damaged"))
            part = dataclasses.replace(part, labelled=part.labelled and scene.label.exists())
        if not part.labelled:
            return offences
        try:
            values = np.unique(self.raw_labels(scene.label).numpy())
            if not known[values].all():
                sentence = unknown_value(scene.label, values[~known[values]], known)
                offences.append(Offence(scene.label, sentence, "damaged"))
            wrong = self._unfit(scene) if not any(each.broken for each in offences) else ""
            if wrong:
                offences.append(Offence(scene.label, wrong, odd, left_out=self.sizes_vary))
        except MissingDataError as error:
            offences.append(Offence(scene.label, str(error), "damaged"))
        return offences

    def _told(self, sentences: list[str]) -> str:
        """Return the first sentences, and how to see the rest."""
        more = len(sentences) - NAMED
        rest = (
            f" And {more:,} more: `bench data verify {self.name}` names them." if more > 0 else ""
        )
        return " ".join(sentences[:NAMED]) + rest


def unknown_value(path: Path, values: NDArray[np.uint8], known: NDArray[np.bool_]) -> str:
    """Return the sentence on values in a label map that no label has."""
    return (
        f"{path} holds the value {', '.join(map(str, values.tolist()))},"
        f" expected {_ranges(np.flatnonzero(known))}. Get the original file."
    )


def _ranges(values: NDArray[np.intp]) -> str:
    """Return sorted integers, runs of them as first..last."""
    runs = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def _wide(size: tuple[int, ...]) -> str:
    """Return (height, width) as people write it: width x height."""
    return f"{size[1]}x{size[0]}"


def shown(items: Iterable[T], what: str, total: int) -> Iterable[T]:
    """Return `items`, with a progress bar on standard error if that is a terminal.

    Elsewhere one line says what takes so long, if it is more than a few hundred items.
    """
    from rich.console import Console  # noqa: PLC0415  only here
    from rich.progress import track  # noqa: PLC0415

    console = Console(stderr=True)
    hidden = not console.is_terminal
    if hidden and total >= MANY:
        console.print(f"{what}: {total:,}", markup=False, highlight=False)
    return track(items, what, total, console=console, transient=True, disable=hidden)
