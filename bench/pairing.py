"""Which prediction file belongs to which ground-truth file.

Only PNG files count, in all sub-folders. If a ground-truth folder has files named as those of
Cityscapes, ``CITY_SEQUENCE_FRAME_gtFine_labelIds.png``, these are the ground truth, and the
prediction of each is the one file ``CITY_SEQUENCE_FRAME*.png`` (as in Cityscapes' own script).
Otherwise files pair by stem; or, where two ground-truth files have the same stem, by path.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bench.errors import MissingDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CITYSCAPES_SUFFIX = {"labelIds": "labelIds", "trainIds": "labelTrainIds", "color": "color"}
"""How the names of Cityscapes' ground-truth files end, by encoding."""

TRUTH = re.compile(r"([^_]+_\d+_\d+)_gtFine_(labelIds|labelTrainIds|color)\.png")
PREDICTION = re.compile(r"([^_]+_\d+_\d+).*\.png", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """One ground-truth file and the prediction for it."""

    truth: Path
    prediction: Path


def pair(predictions: Path, truths: Path, encoding: str = "labelIds") -> list[Pair]:
    """Return the files of two folders in pairs, sorted by the ground truth's path.

    Args:
        predictions: folder with one PNG for each ground-truth file, and no other PNG.
        truths: folder with the ground truth.
        encoding: the ground truth's: "labelIds", "trainIds" or "color". It chooses among the files
            of Cityscapes, which have all three side by side.

    Raises:
        MissingDataError: a folder is absent or has no such file, or the files do not pair one to
            one; the message lists every file without a partner, or with two.
    """
    truth_files = _files(truths, "ground truth")
    official = [(found, file) for file in truth_files if (found := TRUTH.fullmatch(file.name))]
    if official:
        suffix = CITYSCAPES_SUFFIX[encoding]
        truth_files = [file for found, file in official if found[2] == suffix]
        if not truth_files:
            raise MissingDataError(
                f"Expected files *_gtFine_{suffix}.png in {truths}, found only others such as"
                f" {official[0][1]}. --gt-encoding says which to read."
            )
        return _joined(_files(predictions, "predictions"), truth_files, _frame, "city_seq_frame")
    stems = {file.stem for file in truth_files}
    prediction_files = _files(predictions, "predictions")
    if len(stems) == len(truth_files):
        return _joined(prediction_files, truth_files, lambda file: file.stem, "stem")
    roots = {**dict.fromkeys(truth_files, truths), **dict.fromkeys(prediction_files, predictions)}

    def relative(file: Path) -> str:
        return file.relative_to(roots[file]).with_suffix("").as_posix()

    return _joined(prediction_files, truth_files, relative, "relative path")


def _files(folder: Path, what: str) -> list[Path]:
    """Return all PNG files below a folder, sorted."""
    if not folder.is_dir():
        raise MissingDataError(f"{folder} is no folder. Expected one with PNG files of {what}.")
    files = sorted(_walk(folder))
    pictures = [file for file in files if file.suffix.lower() == ".png"]
    if not pictures:
        others = f"found {len(files)} other files such as {files[0]}" if files else "it is empty"
        raise MissingDataError(f"Expected PNG files of {what} in {folder}; {others}.")
    return pictures


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; follow links to folders, into each folder once."""

    def refuse(error: OSError) -> NoReturn:
        raise error

    visited = set()
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        yield from (Path(parent, name) for name in names)


def _frame(file: Path) -> str | None:
    found = PREDICTION.fullmatch(file.name)
    return found[1] if found else None


def _joined(
    predictions: Iterable[Path],
    truths: Iterable[Path],
    key: Callable[[Path], str | None],
    by: str,
) -> list[Pair]:
    """Pair files whose keys are equal, or raise an error that lists all that are left."""
    found = _by_key(predictions, key)
    wanted = _by_key(truths, key)
    pairs, problems = [], []
    for name, files in wanted.items():
        matches = found.pop(name, [])
        if len(files) == len(matches) == 1:
            pairs.append(Pair(files[0], matches[0]))
            continue
        for kind, several in (("ground truths", files), ("predictions", matches)):
            if len(several) > 1:
                listed = ", ".join(map(str, several))
                problems.append(f"{name}: expected one file, got {len(several)} {kind}: {listed}")
        if not matches:
            problems.append(f"no prediction for {files[0]}")
    problems.extend(f"no ground truth for {file}" for files in found.values() for file in files)
    if not pairs and len(wanted) > 1 and all(len(files) == 1 for files in wanted.values()):
        first, other = next(iter(wanted.values()))[0], next(iter(found.values()))[0]
        raise MissingDataError(
            f"None of {len(wanted)} ground truths has a prediction, paired by {by}: expected names"
            f" alike, got such as {first} and {other}. Name predictions as their ground truth."
        )
    if problems:
        raise MissingDataError(
            f"Expected one prediction for each ground truth, paired by {by}; {len(pairs)} pair and"
            f" {len(problems)} do not:\n" + "\n".join(f"  {problem}" for problem in problems)
        )
    return pairs


def _by_key(
    files: Iterable[Path], key: Callable[[Path], str | None]
) -> dict[str | None, list[Path]]:
    groups: dict[str | None, list[Path]] = {}
    for file in files:
        groups.setdefault(key(file), []).append(file)
    return groups
