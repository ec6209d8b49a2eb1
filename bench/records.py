"""The run folder, and every run as one pandas frame.

::

    runs/<run id>/run.json        what was run, how it ended, what it took
                  metrics.jsonl   what the method logged
                  confusion.npz   int64 (k, k), rows = ground truth, one per scored network

A *record* is the content of ``run.json`` as a dict. An *exported* record also holds its confusion
matrices, fits on one line of JSON, and is all that a table needs.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import zipfile
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.config import RunConfig
from bench.digest import canonical_json
from bench.errors import BenchError
from bench.files import atomic_path, write_json, write_text
from bench.metrics import Confusion, checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Record = dict[str, Any]

STATUSES = ("running", "done", "diverged", "failed", "interrupted", "pruned")

BROKEN = "broken"
"""Status, in frames only, of a folder whose ``run.json`` cannot be read."""

_NUMBER = (int, float)
_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "run_id": str,
    "status": str,
    "error": (str, type(None)),
    "config": dict,
    "departure": (str, type(None)),
    "stages": list,
    "checkpoints": list,
    "steps": int,
    "seconds": _NUMBER,
    "threads": int,
    "device": str,
    "environment": dict,
    "started": str,
    "finished": (str, type(None)),
}
_LATER_KEYS: Mapping[str, type] = {"scores": dict}
"""What records of earlier versions lack."""
_LATER_CONFIG_KEYS = frozenset({"tuned"})
_CONFIG_KEYS = frozenset(field.name for field in fields_of(RunConfig))
_TUNED_KEYS: Mapping[str, type] = {"rule": str, "trials": int, "study": str}
_SHIFT_COLUMNS = ("source", "target", "protocol")
_CONFIG_COLUMNS = ("method", "preset", "backbone", "weights", "code", "learns_from", "seed")
_RUN_COLUMNS = ("status", "error", "steps", "seconds", "threads", "device", "started")
COLUMNS = (
    *("run_id", "method", "settings", "preset", "shift", "source", "target", "protocol"),
    *("backbone", "weights", "code", "learns_from", "seed", "status", "error", "steps"),
    *("seconds", "threads", "device", "started", "folder", "record"),
)
"""Columns of a frame of runs. `settings` is canonical JSON; `folder` is None for a record that
was read from a file; `record` is the raw dict, None for a broken run."""


@dataclass(frozen=True, eq=False)
class Confusions:
    """The confusion matrices of one run: int64 (k, k), rows = ground truth.

    Attributes:
        checkpoints: by training step of the last stage, ascending; the last is rule `last`.
        stages: by name, for every stage whose result is a task network, in no fixed order.
    """

    checkpoints: dict[int, Confusion] = field(default_factory=dict)
    stages: dict[str, Confusion] = field(default_factory=dict)


# ------------------------------------------------------------------ one run folder


def write_run(folder: Path, record: Record) -> None:
    """Write ``run.json`` atomically: readers see the old record or the new, never a part.

    Raises:
        BenchError: the record has a missing or unknown key, or the folder cannot be written.
    """
    check(record, f"the record for {folder.name}")
    with _writing(folder):
        write_json(folder / "run.json", record)


def read_run(folder: Path) -> Record:
    """Return the record in `folder`. Raises BenchError if it is absent, torn or malformed."""
    return _read(str(folder))


def append_metrics(folder: Path, lines: Iterable[str]) -> None:
    """Append lines of JSON to ``metrics.jsonl``, first cutting off a line that a crash tore."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "metrics.jsonl").open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write("".join(line + "\n" for line in lines).encode())


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``, without a torn last one; [] if there is no file.

    Raises:
        BenchError: a line other than the last is not JSON.
    """
    path = folder / "metrics.jsonl"
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    # What follows the last newline was never finished, even if it happens to parse.
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines[:-1], 1)]


def write_confusions(folder: Path, confusions: Confusions) -> None:
    """Write ``confusion.npz`` atomically."""
    arrays = {f"checkpoint-{step:08d}": m for step, m in confusions.checkpoints.items()}
    arrays |= {f"stage-{name}": m for name, m in confusions.stages.items()}
    arrays = {name: checked(matrix) for name, matrix in arrays.items()}
    with _writing(folder), atomic_path(folder / "confusion.npz") as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def read_confusions(folder: Path) -> Confusions:
    """Return what ``confusion.npz`` holds. Raises BenchError if it is absent or broken."""
    path = folder / "confusion.npz"
    result = Confusions()
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            for name in sorted(file.files):
                kind, _, rest = name.partition("-")
                if kind == "checkpoint":
                    result.checkpoints[int(rest)] = checked(file[name])
                else:
                    result.stages[rest] = checked(file[name])
    except FileNotFoundError:
        message = f"{path} is missing. Run the trial again, or delete its folder."
        raise BenchError(message) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, BenchError) as error:
        message = f"{path} cannot be read ({error}). Delete the run's folder and run it again."
        raise BenchError(message) from error
    return result


# ------------------------------------------------------------------ many runs


def load_runs(runs: Path) -> pd.DataFrame:
    """Return one row per run folder in `runs`, sorted by run id, with the columns `COLUMNS`.

    A folder without ``run.json`` is not a run. A run whose ``run.json`` cannot be read has the
    status `BROKEN` and says why in `error`. Confusion matrices are not read: see `confusions_of`.
    """
    try:
        with os.scandir(runs) as entries:
            paths = sorted(e.path for e in entries if e.is_dir())
    except FileNotFoundError:
        paths = []
    except OSError as error:
        message = f"cannot read the runs folder {runs}: {error.strerror}"
        raise BenchError(message) from error
    with _without_collection():
        return _load_folders(paths)


def _load_folders(paths: Iterable[str]) -> pd.DataFrame:
    records: list[Record | None] = []
    folders: list[str | None] = []
    errors: list[str | None] = []
    for path in paths:
        if not os.path.exists(f"{path}/run.json"):  # noqa: PTH110  twice as fast on 100,000 runs
            continue
        folders.append(path)
        try:
            records.append(_read(path))
            errors.append(None)
        except BenchError as error:
            records.append(None)
            errors.append(str(error))
    return _frame(records, folders, errors)


def load_records(paths: Iterable[Path]) -> pd.DataFrame:
    """Return the exported records in some ``.jsonl`` files as the frame that `load_runs` makes.

    A run that stands in several files counts once.

    Raises:
        BenchError: a file cannot be read; a line is no record, or repeats a run with other
            content. The message names the file and the line.
    """
    with _without_collection():
        return _load_records(paths)


def _load_records(paths: Iterable[Path]) -> pd.DataFrame:
    found: dict[str, tuple[Record, str]] = {}
    for path in paths:
        for where, record in _read_records(path):
            name = record["run_id"]
            if name in found and found[name][0] != record:
                message = f"{where}: run {name} has other content at {found[name][1]}. Keep one."
                raise BenchError(message)
            found.setdefault(name, (record, where))
    records = [found[name][0] for name in sorted(found)]
    return _frame(records, [None] * len(records), [None] * len(records))


def confusions_of(record: Record, folder: str | Path | None) -> Confusions:
    """Return a run's confusion matrices, from its record if exported, else from its folder."""
    if "confusion" not in record:
        if folder is None:
            message = f"run {record['run_id']} has neither confusion matrices nor a folder"
            raise BenchError(message)
        return read_confusions(Path(folder))
    embedded = record["confusion"]
    steps = sorted((int(step), matrix) for step, matrix in embedded["checkpoints"].items())
    return Confusions(
        {step: checked(matrix) for step, matrix in steps},
        {name: checked(matrix) for name, matrix in sorted(embedded["stages"].items())},
    )


def export(folder: Path) -> Record:
    """Return the run in `folder` as one self-contained record, confusion matrices included.

    A run that did not finish has none; its record still counts it.
    """
    record = read_run(folder)
    scored = record["status"] == "done" or (folder / "confusion.npz").exists()
    confusions = read_confusions(folder) if scored else Confusions()
    embedded = {
        "checkpoints": {str(step): m.tolist() for step, m in confusions.checkpoints.items()},
        "stages": {name: m.tolist() for name, m in confusions.stages.items()},
    }
    return record | {"confusion": embedded}


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write exported records to a ``.jsonl`` file, atomically: equal records, equal bytes.

    Lines are sorted by run id, which begins with method, shift and seed.

    Raises:
        BenchError: a record is malformed, two of one run differ, or the file cannot be written.
    """
    lines: dict[str, str] = {}
    for record in records:
        check(record, f"the record for {path.name}", exported=True)
        line = canonical_json(record)
        if lines.setdefault(record["run_id"], line) != line:
            message = f"run {record['run_id']} comes twice with different content. Keep one."
            raise BenchError(message)
    with _writing(path):
        write_text(path, "".join(lines[name] + "\n" for name in sorted(lines)))


# ------------------------------------------------------------------ what a record must hold


def check(record: object, where: str, *, exported: bool = False) -> None:
    """Raise BenchError unless `record` has exactly the keys of a record, with their types."""
    if not isinstance(record, dict):
        message = f"{where}: expected a record (a JSON object), got {type(record).__name__}"
        raise BenchError(message)
    expected = {*_KEYS, *_LATER_KEYS} | ({"confusion"} if exported else set())
    _check_keys({*record, *_LATER_KEYS}, expected, where)
    for key, kind in (*_KEYS.items(), *_LATER_KEYS.items()):
        if key in record and not isinstance(record[key], kind):
            message = f"{where}: '{key}' has the wrong type: {record[key]!r}"
            raise BenchError(message)
    if record["status"] not in STATUSES:
        message = f"{where}: unknown status '{record['status']}'; one of {', '.join(STATUSES)}"
        raise BenchError(message)
    config = record["config"]
    _check_keys(config.keys() | _LATER_CONFIG_KEYS, _CONFIG_KEYS, f"{where}, config")
    if "tuned" in config:
        _check_tuned(config["tuned"], f"{where}, config.tuned")
    shift = config["shift"]
    if not isinstance(shift, dict) or not {"name", *_SHIFT_COLUMNS} <= shift.keys():
        message = f"{where}: config.shift is no shift: {shift!r}"
        raise BenchError(message)
    _check_scores(record.get("scores", {}), where)
    if exported:
        _check_confusion(record["confusion"], where)


def _check_keys(got: Iterable[str], expected: Iterable[str], where: str) -> None:
    got, expected = set(got), set(expected)
    if got == expected:
        return
    parts = [
        f"{what} {', '.join(repr(key) for key in sorted(keys))}"
        for what, keys in (("missing", expected - got), ("unknown", got - expected))
        if keys
    ]
    message = f"{where}: {'; '.join(parts)}. It was written by another version, or edited by hand."
    raise BenchError(message)


def _check_tuned(tuned: object, where: str) -> None:
    """Raise BenchError unless this says how settings were found."""
    if not isinstance(tuned, dict) or {k: type(v) for k, v in tuned.items()} != _TUNED_KEYS:
        message = f"{where}: expected a rule's name, the number of trials and a study: {tuned!r}"
        raise BenchError(message)


def _check_scores(scores: Mapping[str, object], where: str) -> None:
    """Raise BenchError unless these are numbers or None by rule and training step."""
    for rule, values in scores.items():
        if not isinstance(values, dict) or not all(
            step.isdigit() and (value is None or type(value) in _NUMBER)
            for step, value in values.items()
        ):
            message = f"{where}: the scores by '{rule}' are malformed: {values!r}"
            raise BenchError(message)


def _check_confusion(embedded: object, where: str) -> None:
    if not isinstance(embedded, dict) or embedded.keys() != {"checkpoints", "stages"}:
        message = f"{where}: expected 'confusion' to hold 'checkpoints' and 'stages'"
        raise BenchError(message)
    try:
        steps = [int(step) for step in embedded["checkpoints"]]
        matrices = [*embedded["checkpoints"].values(), *embedded["stages"].values()]
        counts = np.asarray(matrices) if matrices else np.zeros((0, 1, 1), dtype=np.int64)
        square = counts.ndim == 3 and counts.shape[1] == counts.shape[2]  # noqa: PLR2004
        if (
            not square
            or counts.dtype.kind != "i"
            or bool((counts < 0).any())
            or min(steps, default=0) < 0
        ):
            raise ValueError("not square matrices of counts")  # noqa: TRY301
    except (AttributeError, TypeError, ValueError) as error:
        message = f"{where}: 'confusion' is malformed ({error})"
        raise BenchError(message) from error


# ------------------------------------------------------------------ helpers


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an operating-system error into a sentence that names the path and a way out."""
    try:
        yield
    except OSError as error:
        message = (
            f"cannot write {path}: {error.strerror or error}."
            " Choose a folder that you may write to, with free space (--runs, --out)."
        )
        raise BenchError(message) from error


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Pause the garbage collector: 100,000 records hold no cycles, only much to look through."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read(folder: str) -> Record:
    path = f"{folder}/run.json"
    try:
        with open(path, "rb") as file:  # noqa: PTH123  100,000 Path objects cost a second
            content = file.read()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise BenchError(message) from error
    record: Record = _parse(content, path)
    check(record, path)
    return record


def _read_records(path: Path) -> Iterator[tuple[str, Record]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read the records file {path}: {error.strerror}"
        raise BenchError(message) from error
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            where = f"{path}, line {number}"
            record = _parse(line, where)
            check(record, where, exported=True)
            yield where, record


def _parse(text: bytes, where: str) -> Any:  # noqa: ANN401  whatever the JSON holds
    try:
        return json.loads(text)
    except ValueError as error:
        message = f"{where} is not JSON ({error}). Delete it, or restore it from a copy."
        raise BenchError(message) from error


def _frame(
    records: Sequence[Record | None],
    folders: Sequence[str | None],
    errors: Sequence[str | None],
) -> pd.DataFrame:
    """Build the frame column by column, which is far faster than row by row."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    columns["folder"] = list(folders)
    columns["record"] = list(records)
    for record, folder, error in zip(records, folders, errors, strict=True):
        if record is None:
            name = os.path.basename(folder or "")  # noqa: PTH119
            row = dict.fromkeys(COLUMNS) | {"run_id": name, "status": BROKEN, "error": error}
        else:
            row = _row(record)
        for key, values in columns.items():
            if key not in ("folder", "record"):
                values.append(row[key])
    return pd.DataFrame({key: pd.Series(v, dtype=object) for key, v in columns.items()})


def _row(record: Record) -> dict[str, Any]:
    config = record["config"]
    shift = config["shift"]
    row = {key: config[key] for key in _CONFIG_COLUMNS}
    row |= {key: shift[key] for key in _SHIFT_COLUMNS}
    row |= {key: record[key] for key in _RUN_COLUMNS}
    return row | {
        "run_id": record["run_id"],
        "shift": shift["name"],
        "settings": canonical_json(config["settings"]),
    }
