"""Lines that are taken apart say what whole lines say, or are left to whoever reads whole lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import lines, records
from bench.digest import canonical_json
from bench.errors import BenchError
from bench.migrate import migrate

COMMITTED = Path(__file__).parent.parent / "leaderboards" / "records"


def renewed(line: bytes) -> bytes:
    """Return a line as the current version writes it."""
    return canonical_json(migrate(json.loads(line), "here")).encode()


OLD = (COMMITTED / "digits.jsonl").read_bytes().splitlines()[::9]
OLD += (COMMITTED / "tune-adda.jsonl").read_bytes().splitlines()[::9]
LINES = [*OLD, *map(renewed, OLD[::2])]


def whole(line: bytes) -> Any:
    """Return what a line says, read as any JSON is, or the error."""
    try:
        return records._brief(line, "here", {})
    except BenchError as error:
        return str(error)


def apart(batch: list[bytes]) -> list[Any]:
    """Return what lines say that were taken apart; None for one that is to be read as a whole."""
    pool: dict[Any, Any] = {}
    found = []
    for line, parts in lines.parts_of(batch, pool):
        try:
            found.append(records._brief_of_parts(parts, "here", pool) if parts else None)
        except BenchError as error:
            found.append(str(error))
        assert line == batch[len(found) - 1]
    return found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    for field, a, b in zip(one._fields, one, other, strict=True):
        if field == "matrices":
            assert (a.steps, a.stages) == (b.steps, b.stages)
            assert a.counts.shape == b.counts.shape
            assert np.array_equal(a.counts, b.counts)
        elif field == "scores":
            assert (a is None) == (b is None)
            assert a is None or np.array_equal(a, b, equal_nan=True)
        else:
            assert a == b, field
    return True


def test_all_committed_records_are_taken_apart() -> None:
    everything = [
        line for path in COMMITTED.glob("*.jsonl") for line in path.read_bytes().splitlines()
    ]
    everything += list(map(renewed, everything))
    found = apart(everything)
    assert None not in found
    for line, brief in zip(everything, found, strict=True):
        assert same(brief, whole(line))


@given(st.sampled_from(LINES), st.data())
@settings(max_examples=300)
def test_a_damaged_line_is_never_read_otherwise(line: bytes, data: Any) -> None:
    """Whatever byte changes, comes or goes: the same figures as of the whole line, or its error."""
    spoiled = bytearray(line)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(spoiled) - 1))
        match data.draw(st.sampled_from(("change", "insert", "drop", "swap", "repeat"))):
            case "change":
                spoiled[place] = data.draw(st.sampled_from(b'0123456789[]{},:"-.e \n'))
            case "insert":
                spoiled.insert(place, data.draw(st.sampled_from(b'0123456789[]{},:"-. ')))
            case "drop":
                del spoiled[place]
            case "swap":
                other = data.draw(st.integers(0, len(spoiled) - 1))
                spoiled[place], spoiled[other] = spoiled[other], spoiled[place]
            case "repeat":
                end = data.draw(st.integers(place, min(place + 300, len(spoiled))))
                spoiled[place:place] = spoiled[place:end]
    text = bytes(spoiled).replace(b"\n", b" ")
    # Among sound ones: what is wrong with one must not spoil its neighbours.
    found = apart([LINES[0], text, LINES[1]])
    assert same(found[0] or whole(LINES[0]), whole(LINES[0]))
    assert same(found[2] or whole(LINES[1]), whole(LINES[1]))
    assert found[1] is None or same(found[1], whole(text))


NESTED = {
    "config": {"x": 1},
    "confusion": {"checkpoints": {"5": [[1]]}},
    "departure": None,
    "seed": 3,
}


@given(
    st.sampled_from(LINES),
    st.dictionaries(
        st.sampled_from(("seed", "settings", "confusion", "checkpoints", "departure", "x")),
        st.sampled_from((1, 2, {}, [], NESTED, [NESTED], '],"config":{', '"seed":4,')),
    ),
    st.integers(0, 10**6),
)
def test_hyperparameters_may_have_any_name(line: bytes, params: dict[str, Any], seed: int) -> None:
    """Also that of a key of the record, with content that looks like one."""
    record = json.loads(line)
    record["config"]["params"] = params
    record["config"]["seed"] = seed
    text = canonical_json(record).encode()
    (first, second) = apart([line, text])
    assert same(first, whole(line))
    assert second is None or same(second, whole(text))


@pytest.mark.parametrize(
    "values", [[0, 9], [65535, 1], [65536, 3], [2**40, 0], [10**18 - 1, 10**18]]
)
def test_counts_of_any_size(values: list[int]) -> None:
    record = json.loads(LINES[0])
    for matrices in record["confusion"].values():
        for matrix in matrices.values():
            matrix[0][:2] = values
    text = canonical_json(record).encode()
    found = apart([text])[0] or whole(text)
    assert found.matrices.counts[:, 0, :2].tolist() == [values] * len(found.matrices.counts)


@pytest.mark.parametrize(
    ("sound", "odd"),
    [
        (b'"seed":', b'"seed":0'),
        (b'"seed":', b'"seed":99999999999999999999'),
        (b'":[[', b'":-[['),
        (b'":[[', b'":0.[['),
        (b'":[[', b'":[[]],"7":[['),
        (b'":[[', b'":1[['),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_what_only_a_parser_refuses(sound: bytes, odd: bytes, place: int) -> None:
    for line in (OLD[0], renewed(OLD[0])):
        before, _, after = line.partition(sound)
        if place and sound in after:
            more, _, after = after.partition(sound)
            before += sound + more
        spoiled = before + odd + after
        found = apart([line, spoiled, line])
        assert same(found[0], found[2])
        assert found[1] is None or same(found[1], whole(spoiled))


def test_steps_are_numbers_and_not_text() -> None:
    """As text, 1000 comes before 500; the checkpoints of a record are ascending."""
    record = json.loads(LINES[0])
    size = len(next(iter(record["confusion"]["checkpoints"].values())))
    steps = {500: 1, 1000: 2, 99: 3}
    record["confusion"]["checkpoints"] = {
        str(step): (np.eye(size, dtype=int) * count).tolist() for step, count in steps.items()
    }
    (found,) = apart([canonical_json(record).encode()])
    assert found is not None
    assert found.matrices.steps == (99, 500, 1000)
    assert found.matrices.counts[:3, 0, 0].tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("sound", "stray"), [("]", "]7"), ("[", "7["), ("],[", "]7,["), ("],[", "],7["), ('":', '7":')]
)
def test_a_stray_digit_is_no_part_of_a_number(sound: str, stray: str) -> None:
    """Without its brackets a matrix would look sound."""
    head, _, matrices = LINES[0].decode().partition('"confusion":')
    for place in range(3):
        parts = matrices.split(sound)
        text = sound.join(parts[: place + 1]) + stray + sound.join(parts[place + 1 :])
        line = f'{head}"confusion":{text}'.encode()
        (found,) = apart([line])
        assert found is None or same(found, whole(line))


@pytest.mark.parametrize("bad", ["", "1,,2", ",1", "1,", "01", "1,007", "1" * 19])
def test_what_is_no_list_of_counts(bad: str) -> None:
    assert (lines._integers(bad.encode()) is None) == bool(bad)
