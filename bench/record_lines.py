"""Lines of a records file, each read in two thirds of the time that all its JSON would take.

A table needs a few numbers of each of 100,000 records, and most of a line is much like the line
before. What stands there as it stood before is not read again: the configuration but for its seed,
the environment, and the form of what holds numbers, that is, all of it but the digits. The numbers
themselves are read as one flat list.

This holds for lines as `bench.records.write_records` writes them. Of any other line the reader says
nothing, and `bench.schema`, which knows every version and what to say of a damaged line, reads it.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
import orjson

from bench.confusions import Packed, as_bytes, counted
from bench.errors import BenchError
from bench.migrate import CURRENT  # noqa: TC001  msgspec reads the annotation
from bench.schema import STATUSES, check_config, check_scores, matrices_of
from bench.stored import Brief, configuration_of, scores_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.stored import Config, Pool

_SEED = re.compile(rb',"seed":(0|[1-9][0-9]{0,17}),')

_MANY = 1_000
"""Forms that are remembered: where nearly every line has another, that saves nothing."""

_NUMBERS, _BRACKETS = b"+-.0123456789Ee", b"[]{}:"

_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Number = _Whole | float


class _Stage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    key: str
    steps: _Whole
    seconds: _Number
    stop: str | None
    cached: bool


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    stage: str
    step: _Whole
    kind: str
    reason: str


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An exported record of the current version; what is `Raw` is text still."""

    schema: Literal[CURRENT]  # type: ignore[valid-type]
    run_id: str
    status: Literal[STATUSES]  # type: ignore[valid-type]
    error: str | None
    config: msgspec.Raw
    departure: str | None
    stages: list[_Stage]
    checkpoints: list[_Whole]
    scores: msgspec.Raw
    events: list[_Event]
    nondeterministic: list[str]
    attempts: _Whole
    steps: _Whole
    seconds: _Number
    threads: _Whole
    device: str
    environment: msgspec.Raw
    started: str
    finished: str | None
    confusion: msgspec.Raw


class Reader:
    """Reads the lines of records files, and remembers what they have in common."""

    def __init__(self, pool: Pool) -> None:
        """Share with others what is in the pool."""
        self._pool = pool
        self._decode = msgspec.json.Decoder(_Line).decode
        self._configurations: dict[tuple[bytes, bytes], tuple[bytes, Config]] = {}
        self._environments: set[bytes] = set()
        self._matrices: dict[bytes, _Matrices] = {}
        self._scores: dict[tuple[bytes, tuple[str, ...]], _Scores] = {}

    def read(self, line: bytes) -> Brief | None:
        """Return what `bench.stored.brief_of` would of a sound record, or None: read it there.

        Args:
            line: of a file, with or without its end of line.
        """
        if not line.isascii():  # msgspec does not look at the bytes of what it leaves alone
            return None
        try:
            record = self._decode(line)
            seed, key, config = self._configuration(bytes(record.config))
            self._see_environment(bytes(record.environment))
            matrices, texts = self._matrices_in(bytes(record.confusion))
            rules, scores = self._scores_in(bytes(record.scores), texts)
        except (BenchError, msgspec.DecodeError, RecursionError, TypeError, ValueError):
            return None
        pooled = self._pool.setdefault
        stages = tuple([stage.name for stage in record.stages])
        return Brief(
            record.run_id,
            record.status,
            record.error,
            pooled(record.departure, record.departure),
            record.steps,
            record.seconds,
            record.threads,
            pooled(record.device, record.device),
            record.started,
            seed,
            config,
            key,
            pooled(stages, stages),
            matrices.steps,
            rules,
            [msgspec.structs.asdict(event) for event in record.events],
            scores,
            matrices,
        )

    def _configuration(self, text: bytes) -> tuple[int, bytes, Config]:
        """Return the seed, the rest as JSON, and the rest."""
        found = _SEED.search(text)
        if found is None or text.count(b'"seed"') > 1 or b"\\" in text:
            raise ValueError("no seed, or several, or one written otherwise")
        around = text[: found.start()], text[found.end() :]
        known = self._configurations.get(around)
        if known is None:
            config = orjson.loads(text)
            if not isinstance(config, dict):
                raise TypeError("no configuration")
            check_config(config, "")  # it has a seed at the top: the only one
            known = self._configurations[around] = configuration_of(config, self._pool)
        return int(found[1]), *known

    def _see_environment(self, text: bytes) -> None:
        if text not in self._environments:
            if not isinstance(orjson.loads(text), dict):
                raise TypeError("no environment")
            self._environments.add(text)

    def _matrices_in(self, text: bytes) -> tuple[Packed, tuple[str, ...]]:
        """Return the matrices, and their checkpoints' steps as text."""
        form, values = _taken_apart(text)
        known = self._matrices.get(form)
        if known is None:
            known = _Matrices(text, self._pool)
            if len(self._matrices) < _MANY:
                self._matrices[form] = known
        return known.filled(values), known.texts

    def _scores_in(self, text: bytes, steps: tuple[str, ...]) -> tuple[tuple[str, ...], bytes]:
        """Return the rules, and their scores of checkpoints at these steps."""
        form, values = _taken_apart(text)
        known = self._scores.get((form, steps))
        if known is None:
            known = _Scores(text, steps, self._pool)
            if len(self._scores) < _MANY:
                self._scores[form, steps] = known
        return known.rules, known.filled(values)


def _taken_apart(text: bytes) -> tuple[bytes, list[Any]]:
    """Return the form of a JSON object without escapes, and the numbers in it.

    Where one object of a form has a number wherever it may have one, another of that form with
    equally many has them at the same places.

    >>> _taken_apart(b'{"5":[[3,1],[2,4]],"a":null}')
    (b'5"a{"":[[,],[,]],"a":null}', [3, 1, 2, 4, None])
    """
    if b"\\" in text:
        raise ValueError("an escape")
    pieces = text.split(b'"')
    # A digit of a name belongs to the form.
    form = b'"'.join(pieces[1::2]) + text.translate(None, _NUMBERS)
    values = b"".join(pieces[::2]).translate(None, _BRACKETS).strip(b",")
    return form, orjson.loads(b"[%b]" % values)


def _loaded(text: bytes) -> dict[str, Any]:
    """Return a JSON object of objects. Raises ValueError if a key comes twice, or it has texts."""
    whole: dict[str, Any] = orjson.loads(text)
    if text.count(b'"') != 2 * (len(whole) + sum(map(len, whole.values()))):
        raise ValueError("a key comes twice, or a value is text")
    return whole


def _numbered(node: Any, count: Iterator[int]) -> Any:  # noqa: ANN401  whatever the JSON holds
    """Return JSON in which each number is its place among all of them."""
    if isinstance(node, dict):
        return {key: _numbered(value, count) for key, value in node.items()}
    if isinstance(node, list):
        return [_numbered(value, count) for value in node]
    return next(count)


class _Matrices:
    """Where the counts of confusion matrices stand in texts of one form."""

    def __init__(self, text: bytes, pool: Pool) -> None:
        """Take the form of this text. Raises BenchError unless it holds matrices."""
        whole = _loaded(text)
        matrices_of(whole, "")
        found = matrices_of(_numbered(whole, itertools.count()), "")
        places = found.counts.ravel().tolist()
        self._size, self._classes = len(places), found.size
        self._order = None if places == sorted(places) else found.counts.ravel()
        self._stages = found.stages
        self._steps, self.texts = steps_of(found.steps, pool)

    def filled(self, values: list[Any]) -> Packed:
        """Return the matrices that hold these numbers."""
        if len(values) != self._size:
            raise ValueError("a number is missing")
        kind, data = as_bytes(values)
        if self._order is not None:
            data = counted([data], kind, 1)[self._order].tobytes()
        return Packed(self._steps, self._stages, self._classes, kind, data)


class _Scores:
    """Where the scores of checkpoints stand in texts of one form."""

    def __init__(self, text: bytes, steps: tuple[str, ...], pool: Pool) -> None:
        """Take the form of this text. Raises BenchError unless it holds scores."""
        whole = _loaded(text)
        check_scores(whole, "")
        rules = tuple(whole)
        self.rules = pool.setdefault(rules, rules)
        count = itertools.count()
        places = scores_of(_numbered(whole, count), steps)
        self._size = next(count)
        absent = np.isnan(places)
        self._order = np.where(absent, self._size, places).ravel().astype(np.intp)

    def filled(self, values: list[Any]) -> bytes:
        """Return the scores, (rules, steps)."""
        if len(values) != self._size:
            raise ValueError("a number is missing")
        return np.array([*values, None], np.float64)[self._order].tobytes()
