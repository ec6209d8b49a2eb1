"""Lines of a records file, each read in a third of the time that all its JSON would take.

A table needs a few numbers of each of 100,000 records. What many runs share, the configuration but
for its seed and the environment, is read where its text comes for the first time; the counts of
confusion matrices go from text into an array and are never Python's numbers. This holds for lines
as `bench.records.write_records` writes them. Of any other line the reader says nothing, and
`bench.schema`, which knows every version and what to say of a damaged line, has to read it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
import orjson

from bench.confusions import Packed, kind_of, parsed
from bench.errors import BenchError
from bench.migrate import CURRENT  # noqa: TC001  msgspec reads the annotation
from bench.schema import STATUSES, are_steps, check_config
from bench.stored import Brief, configuration_of, scores_of, steps_of

if TYPE_CHECKING:
    from bench.matrix_text import Scan
    from bench.stored import Config, Pool

_SEED = re.compile(rb',"seed":(0|[1-9][0-9]{0,17}),')
_MARK = 123_456_789_012_345_678
"""A seed in whose place another number would be noticed."""

_CHECKPOINTS, _STAGES, _END = b'{"checkpoints":{', b'},"stages":{', b"}}"

_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Number = _Whole | float


class _Stage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    key: str
    steps: _Whole
    seconds: _Number
    stop: str | None
    cached: bool


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
    scores: dict[str, dict[str, float | None]]
    events: tuple[()]
    nondeterministic: tuple[()]
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

    def __init__(self, scan: Scan, pool: Pool) -> None:
        """Read with `bench.matrix_text.compiled_scan`; share what is in the pool."""
        self._scan, self._pool = scan, pool
        self._decode = msgspec.json.Decoder(_Line).decode
        self._configurations: dict[tuple[bytes, bytes], tuple[bytes, Config]] = {}
        self._environments: set[bytes] = set()
        self._shapes: dict[tuple[bytes, int], _Shape] = {}
        self._counts = np.empty(0, np.int64)
        self._names = np.empty(0, np.uint8)

    def read(self, line: bytes) -> Brief | None:
        """Return what `bench.stored.brief_of` would of a sound record, or None: read it there.

        Args:
            line: of a file, with its end of line.
        """
        if not line.isascii():  # msgspec does not look at the bytes of what it leaves alone
            return None
        try:
            record = self._decode(line)
            seed, key, config = self._configuration(bytes(record.config))
            self._see_environment(bytes(record.environment))
            matrices, texts = self._matrices(bytes(record.confusion))
            scores = scores_of(record.scores, texts) if record.scores else None
            if not all(map(are_steps, {*map(tuple, record.scores.values())})):
                return None
        except (BenchError, msgspec.DecodeError, LookupError, TypeError, ValueError):
            return None
        pooled = self._pool.setdefault
        rules = tuple(record.scores)
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
            pooled(rules, rules),
            (),
            scores,
            matrices,
        )

    def _configuration(self, text: bytes) -> tuple[int, bytes, Config]:
        """Return the seed, the rest as JSON, and the rest."""
        found = _SEED.search(text)
        if found is None:
            raise ValueError("no seed")
        around = text[: found.start()], text[found.end() :]
        known = self._configurations.get(around)
        if known is None:
            marked = orjson.loads(b'%b,"seed":%d,%b' % (around[0], _MARK, around[1]))
            check_config(marked, "")
            if marked["seed"] != _MARK:  # another part of the configuration has a seed, too
                raise ValueError("not the run's seed")
            known = self._configurations[around] = configuration_of(marked, self._pool)
        return int(found[1]), *known

    def _see_environment(self, text: bytes) -> None:
        if text not in self._environments:
            if not isinstance(orjson.loads(text), dict):
                raise TypeError("no environment")
            self._environments.add(text)

    def _matrices(self, text: bytes) -> tuple[Packed, tuple[str, ...]]:
        """Return the matrices, and their checkpoints' steps as text."""
        if not (text.startswith(_CHECKPOINTS) and text.endswith(_END)):
            raise ValueError("other keys")
        checkpoints, middle, stages = text[len(_CHECKPOINTS) : -len(_END)].partition(_STAGES)
        if not middle:
            raise ValueError("other keys")
        both = b",".join(filter(None, (checkpoints, stages))) + b"\0"
        if len(both) > len(self._counts):
            self._counts = np.empty(2 * len(both), np.int64)
            self._names = np.empty(2 * len(both), np.uint8)
        n, split, k, top, length = self._scan(
            np.frombuffer(both, np.uint8), len(checkpoints), self._counts, self._names
        )
        if n < 0:
            raise ValueError("other than matrices")
        names = self._names[:length].tobytes()
        shape = self._shapes.get((names, split))
        if shape is None:
            shape = self._shapes[names, split] = _Shape(names, split, self._pool)
        kept = self._counts[: n * k * k].astype(kind_of(top)).reshape(n, k or 1, k or 1)
        counts = kept if shape.order is None else kept[shape.order]
        return Packed(shape.steps, shape.stages, counts), shape.texts


class _Shape:
    """Which matrices stand in a line, and in which order a table has them."""

    def __init__(self, text: bytes, split: int, pool: Pool) -> None:
        """Take the names in the order of the line, those of `split` checkpoints first."""
        if b"\\" in text:  # it stands for another
            raise ValueError("an escape in a name")
        names = text.decode().split('"')[:-1]
        # In the place of each matrix its number, to see where the general way puts it.
        numbered = {name: [[place]] for place, name in enumerate(names[:split])}
        stages = {name: [[place]] for place, name in enumerate(names[split:], split)}
        if len(numbered) + len(stages) < len(names):
            raise ValueError("a name stands there twice")
        found = parsed(numbered, stages)
        order = found.counts.ravel().tolist()
        self.order = None if order == sorted(order) else order
        self.steps, self.texts = steps_of(found.steps, pool)
        self.stages = found.stages
