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
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from bench import confusion_file
from bench.confusions import Confusions, parsed, unpacked
from bench.digest import canonical_json
from bench.errors import BenchError
from bench.files import atomic_path, write_json, write_text
from bench.metrics import checked
from bench.migrate import migrate
from bench.record_parts import lines_of
from bench.schema import check
from bench.stored import Brief, Place, Stored, brief_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from bench.stored import Pool

Record = dict[str, Any]

BROKEN = "broken"
"""Status, in frames only, of a folder whose ``run.json`` cannot be read."""

_SHIFT_COLUMNS = ("source", "target", "protocol")
_CONFIG_COLUMNS = ("method", "preset", "backbone", "weights", "code", "learns_from")
_BRIEF_COLUMNS = (
    *("run_id", "seed", "status", "error", "steps", "seconds", "threads", "device", "started"),
)
COLUMNS = (
    *("run_id", "method", "settings", "preset", "shift", "source", "target", "protocol"),
    *("backbone", "weights", "code", "learns_from", "seed", "status", "error", "steps"),
    *("seconds", "threads", "device", "started", "folder", "record"),
)
"""Columns of a frame of runs. `settings` is canonical JSON; `folder` is None for a record that
was read from a file; `record` is its `Stored` record, None for a broken run."""


# ------------------------------------------------------------------ one run folder


def write_run(folder: Path, record: Record) -> None:
    """Write ``run.json`` atomically: readers see the old record or the new, never a part.

    A record of an earlier version is written as one of the current version.

    Raises:
        BenchError: the record has a missing or unknown key, or the folder cannot be written.
    """
    record = migrate(record, f"the record for {folder.name}")
    check(record, f"the record for {folder.name}")
    with _writing(folder):
        write_json(folder / "run.json", record, durable=record["status"] != "running")


def read_run(folder: Path) -> Record:
    """Return the record in `folder`, as the current version has it.

    Raises:
        BenchError: it is absent, torn, malformed, or a newer version wrote it.
    """
    return _read(str(folder))[1]


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
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise BenchError(message) from error
    # What follows the last newline was never finished, even if it happens to parse.
    found = [
        _parse(line, f"{path}, line {number}", "the line")
        for number, line in enumerate(lines[:-1], 1)
    ]
    if not all(isinstance(line, dict) for line in found):
        message = f"{path} holds other things than JSON objects. Delete it and run the trial again."
        raise BenchError(message)
    return found


def write_confusions(folder: Path, confusions: Confusions) -> None:
    """Write ``confusion.npz`` atomically."""
    arrays = {f"checkpoint-{step:08d}": m for step, m in confusions.checkpoints.items()}
    arrays |= {f"stage-{name}": m for name, m in confusions.stages.items()}
    arrays = {name: checked(matrix) for name, matrix in arrays.items()}
    with _writing(folder), atomic_path(folder / "confusion.npz", durable=True) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def read_confusions(folder: Path) -> Confusions:
    """Return what ``confusion.npz`` holds. Raises BenchError if it is absent or broken."""
    path = folder / "confusion.npz"
    try:
        return confusion_file.read(path)
    except FileNotFoundError:
        message = f"{path} is missing. Run the trial again, or delete its folder."
        raise BenchError(message) from None
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read ({error}). Delete the run's folder and run it again."
        raise BenchError(message) from error


# ------------------------------------------------------------------ many runs


def load_runs(runs: Path) -> pd.DataFrame:
    """Return one row per run folder in `runs`, sorted by run id, with the columns `COLUMNS`.

    A folder without ``run.json`` is not a run. A run whose ``run.json`` cannot be read has the
    status `BROKEN` and says why in `error`. Confusion matrices are not read: see `confusions_of`.
    """
    try:
        with os.scandir(runs) as entries:
            # One with a dot is on its way in or out: see `bench.runs.moving`.
            paths = sorted(e.path for e in entries if e.is_dir() and e.name[0] != ".")
    except FileNotFoundError:
        paths = []
    except OSError as error:
        message = f"cannot read the runs folder {runs}: {error.strerror}"
        raise BenchError(message) from error
    with without_collection():
        return _load_folders(paths)


def _load_folders(paths: Iterable[str]) -> pd.DataFrame:
    records: list[Stored | None] = []
    folders: list[str | None] = []
    errors: list[str | None] = []
    pool: Pool = {}
    for path in paths:
        if not os.path.exists(f"{path}/run.json"):  # noqa: PTH110  twice as fast on 100,000 runs
            continue
        folders.append(path)
        try:
            text, record = _read(path)
            records.append(Stored(text, brief_of(record, None, pool)))
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
    with without_collection():
        return _load_records(paths)


def _load_records(paths: Iterable[Path]) -> pd.DataFrame:
    found: dict[str, tuple[Stored, Path, int]] = {}
    pool: Pool = {}
    for path in paths:
        for number, record in _read_records(path, pool):
            name = record.brief.run_id
            earlier, *place = found.setdefault(name, (record, path, number))
            if earlier is not record and earlier != record:
                message = (
                    f"{path}, line {number}: run {name} has other content at"
                    f" {place[0]}, line {place[1]}. Keep one."
                )
                raise BenchError(message)
    records = [found[name][0] for name in sorted(found)]
    return _frame(records, [None] * len(records), [None] * len(records))


def confusions_of(record: Mapping[str, Any], folder: str | Path | None) -> Confusions:
    """Return a run's confusion matrices, from its record if exported, else from its folder."""
    if isinstance(record, Stored) and record.brief.matrices is not None:
        return unpacked(record.brief.matrices)
    if "confusion" in record:
        return unpacked(parsed(**record["confusion"]))
    if folder is None:
        message = f"run {record['run_id']} has neither confusion matrices nor a folder"
        raise BenchError(message)
    return read_confusions(Path(folder))


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

    Lines are sorted by run id, which begins with method, shift and seed. All are of the current
    version.

    Raises:
        BenchError: a record is malformed, two of one run differ, or the file cannot be written.
    """
    lines: dict[str, str] = {}
    for record in records:
        current = migrate(record, f"the record for {path.name}")
        check(current, f"the record for {path.name}", exported=True)
        line = canonical_json(current)
        if lines.setdefault(current["run_id"], line) != line:
            message = f"run {current['run_id']} comes twice with different content. Keep one."
            raise BenchError(message)
    with _writing(path):
        write_text(path, "".join(lines[name] + "\n" for name in sorted(lines)), durable=True)


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
def without_collection() -> Iterator[None]:
    """Pause the garbage collector: 100,000 records hold no cycles, only much to look through."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read(folder: str) -> tuple[bytes, Record]:
    """Return the text of ``run.json``, and the record."""
    path = f"{folder}/run.json"
    try:
        with open(path, "rb") as file:  # noqa: PTH123  100,000 Path objects cost a second
            content = file.read()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise BenchError(message) from error
    record: Record = migrate(_parse(content, path), path)
    check(record, path)
    return content, record


def _read_records(path: Path, pool: Pool) -> Iterator[tuple[int, Stored]]:
    """Yield the number of each line that holds a record, and the record."""
    try:
        for number, (offset, known, text) in enumerate(lines_of(path, pool, _load_libraries), 1):
            if known is None and text.isspace():
                continue
            brief = known or _brief_in(text, f"{path}, line {number}", pool)
            yield number, Stored(Place(path, offset), brief)
    except OSError as error:
        message = f"cannot read the records file {path}: {error.strerror}"
        raise BenchError(message) from error


def _load_libraries() -> None:
    """Load what a table of many runs needs next: a third of a second."""
    import pandas  # noqa: F401, ICN001, PLC0415
    import scipy.special  # noqa: F401, PLC0415


def _brief_in(line: bytes, where: str, pool: Pool) -> Brief:
    """Read any line of records. Raises BenchError if it holds none."""
    record = migrate(_parse(line, where, "the line"), where)
    return brief_of(record, check(record, where, exported=True), pool)


def _parse(text: bytes, where: str, what: str = "it") -> Any:  # noqa: ANN401  whatever the JSON holds
    try:
        return orjson.loads(text)
    except ValueError as error:
        message = f"{where} is not JSON ({error}). Delete {what}, or restore it from a copy."
        raise BenchError(message) from error


_UNREADABLE = Brief._make([None] * len(Brief._fields))._replace(key=b"", config={"shift": {}})
"""In place of the brief of a run whose record cannot be read."""


def _frame(
    records: Sequence[Stored | None],
    folders: Sequence[str | None],
    errors: Sequence[str | None],
) -> pd.DataFrame:
    """Build the frame column by column, which is far faster than row by row."""
    import pandas as pd  # noqa: PLC0415  loaded while others read: see `_load_libraries`

    briefs = [_UNREADABLE if record is None else record.brief for record in records]
    of = dict(zip(Brief._fields, zip(*briefs, strict=True), strict=False))
    keys, configs = of.get("key", ()), of.get("config", ())
    settings = {
        key: canonical_json(config["settings"]) if key else None
        for key, config in dict(zip(keys, configs, strict=True)).items()
    }
    shifts = [config["shift"] for config in configs]
    columns: dict[str, Sequence[Any]] = {
        **{key: of.get(key, ()) for key in _BRIEF_COLUMNS},
        **{key: [config.get(key) for config in configs] for key in _CONFIG_COLUMNS},
        **{key: [shift.get(key) for shift in shifts] for key in _SHIFT_COLUMNS},
        "shift": [shift.get("name") for shift in shifts],
        "settings": [settings[key] for key in keys],
        "folder": folders,
        "record": records,
    }
    frame = pd.DataFrame({key: pd.Series(columns[key], dtype=object) for key in COLUMNS})
    broken = [place for place, record in enumerate(records) if record is None]
    if not broken:
        return frame
    frame.loc[broken, "run_id"] = [
        os.path.basename(folders[place] or "")  # noqa: PTH119
        for place in broken
    ]
    frame.loc[broken, "status"] = BROKEN
    frame.loc[broken, "error"] = [errors[place] for place in broken]
    return frame


__all__ = [
    "BROKEN",
    "COLUMNS",
    "Confusions",
    "append_metrics",
    "check",
    "confusions_of",
    "export",
    "load_records",
    "load_runs",
    "read_confusions",
    "read_metrics",
    "read_run",
    "without_collection",
    "write_confusions",
    "write_records",
    "write_run",
]
