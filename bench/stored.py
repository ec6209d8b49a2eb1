"""In brief what a table needs of a record, and where the rest is: small enough to hold 100,000."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from bench.errors import BenchError
from bench.migrate import migrate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.confusions import Packed

Config = dict[str, Any]
Pool = dict[Any, Any]
"""What records have in common, by content: in memory once."""

_IN_BRIEF = frozenset(
    {
        *("run_id", "status", "error", "departure", "steps", "seconds", "threads", "device"),
        "started",
    }
)
"""What a brief holds as the record does."""


class Brief(NamedTuple):
    """What a table needs of a run's record.

    Attributes:
        run_id, status, error, departure, steps, seconds, threads, device, started: as there.
        seed: of its configuration.
        config: the rest of its configuration. Many runs share it: do not change it.
        key: JSON of `config`, equal for runs that differ in nothing but the seed.
        stages: names of its stages, in the order of training.
        checkpoints: training steps, ascending.
        rules: that scored its checkpoints.
        events: as there.
        scores: doubles (rules, checkpoints), NaN for none.
        matrices: None if they stand in the run's folder.
    """

    run_id: str
    status: str
    error: str | None
    departure: str | None
    steps: int
    seconds: float
    threads: int
    device: str
    started: str
    seed: int
    config: Config
    key: bytes
    stages: tuple[str, ...]
    checkpoints: tuple[int, ...]
    rules: tuple[str, ...]
    events: Sequence[Mapping[str, Any]]
    scores: bytes
    matrices: Packed | None


class Place(NamedTuple):
    """Where a record stands: the file, and the offset of its line in bytes."""

    path: Path
    offset: int

    def line(self) -> bytes:
        """Return the line. Raises OSError if the file cannot be read."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.readline()


class Stored(Mapping[str, Any]):
    """A record that was read: what is not in `brief` is read again when asked for.

    Raises BenchError when asked for what has since been changed or deleted.
    """

    __slots__ = ("_text", "brief")

    def __init__(self, text: bytes | Place, brief: Brief) -> None:
        """Keep where the record is, which was checked, and what `brief_of` returned of it."""
        self._text, self.brief = text, brief

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401  whatever the JSON holds
        """Return one part of the record."""
        return getattr(self.brief, key) if key in _IN_BRIEF else self._read()[key]

    def __iter__(self) -> Iterator[str]:
        """Return the record's keys."""
        return iter(self._read())

    def __len__(self) -> int:
        """Return the number of its keys."""
        return len(self._read())

    def _read(self) -> dict[str, Any]:
        text = self._text if isinstance(self._text, bytes) else _again(self._text)
        try:
            record: dict[str, Any] = migrate(orjson.loads(text), self.brief.run_id)
            if record["run_id"] == self.brief.run_id:
                return record
        except (ValueError, KeyError, TypeError):
            pass
        message = f"the record of {self.brief.run_id} was changed meanwhile. Try it again."
        raise BenchError(message)


def _again(place: Place) -> bytes:
    try:
        return place.line()
    except OSError as error:
        message = f"cannot read the records file {place.path} again: {error.strerror}"
        raise BenchError(message) from error


def brief_of(
    record: Mapping[str, Any], matrices: Packed | None = None, pool: Pool | None = None
) -> Brief:
    """Return what a table needs of a record.

    Args:
        record: a sound one, see `bench.schema.check`.
        matrices: those in an exported record.
        pool: of the records among which this one is read.
    """
    if isinstance(record, Stored):
        return record.brief
    pool = {} if pool is None else pool
    seed = record["config"]["seed"]
    key, config = configuration_of(record["config"], pool)
    checkpoints = matrices.steps if matrices else tuple(sorted(record["checkpoints"]))
    checkpoints, texts = steps_of(checkpoints, pool)
    recorded = record.get("scores", {})
    rules = tuple(recorded)
    stages = tuple([stage["name"] for stage in record["stages"]])
    device, departure = record["device"], record["departure"]
    return Brief(
        record["run_id"],
        record["status"],
        record["error"],
        pool.setdefault(departure, departure),
        record["steps"],
        record["seconds"],
        record["threads"],
        pool.setdefault(device, device),
        record["started"],
        seed,
        config,
        key,
        pool.setdefault(stages, stages),
        checkpoints,
        pool.setdefault(rules, rules),
        record.get("events", ()),
        scores_of(recorded, texts).tobytes(),
        matrices,
    )


def configuration_of(config: Config, pool: Pool) -> tuple[bytes, Config]:
    """Return a configuration but for its seed, as JSON and as it is."""
    rest = {key: value for key, value in config.items() if key != "seed"}
    text = orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)
    known: tuple[bytes, Config] = pool.setdefault(text, (text, rest))
    return known


def steps_of(steps: tuple[int, ...], pool: Pool) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return training steps, and as text, as scores have them."""
    known = pool.get(("steps", steps))
    if known is None:
        known = pool["steps", steps] = (steps, tuple(map(str, steps)))
    return known


def scores_of(recorded: Mapping[str, Any], texts: tuple[str, ...]) -> NDArray[np.float64]:
    """Return scores of checkpoints by rule, (rules, checkpoints), NaN where there is none."""
    if {*map(tuple, recorded.values())} == {texts}:  # nearly always
        rows = [list(by_step.values()) for by_step in recorded.values()]
    else:
        rows = [[by_step.get(text) for text in texts] for by_step in recorded.values()]
    return np.array(rows, np.float64).reshape(len(recorded), len(texts))


class Run(NamedTuple):
    """A run's record, or the `Stored` one, and its folder if it was not read from a file."""

    record: dict[str, Any]
    folder: Path | None
