"""Lines of records: the quick reader says what the general one says, or nothing."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from near_misses import TRIED, bent, fuzzed, spoiled
from test_records_files import CONFIG, CONFUSION, EXPORTED

from bench import records
from bench.digest import canonical_json
from bench.migrate import migrate
from bench.record_lines import Reader
from bench.schema import check
from bench.stored import Brief, brief_of

STAGE = {"name": "source", "key": "k", "steps": 10, "seconds": 1.5, "stop": None, "cached": False}
CURRENT = migrate(EXPORTED | {"stages": [STAGE]}, "") | {
    "environment": {"python": "3.12", "processor": "x86_64"},
    "confusion": CONFUSION | {"checkpoints": {"5": [[3, 1], [2, 4]], "500": [[4, 0], [0, 70_000]]}},
}


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader({})


def general(line: bytes) -> Brief:
    """Return what the slow way reads. Raises BenchError or ValueError."""
    record = migrate(orjson.loads(line), "")
    return brief_of(record, check(record, "", exported=True))


def plain(brief: Brief) -> dict[str, Any]:
    """Return a brief in what can be compared: each value's type, too."""
    fields = brief._asdict()
    found = {name: repr(value) for name, value in fields.items() if name != "events"}
    found["config"] = canonical_json(brief.config)  # of equal ones, the first is everybody's
    found["events"] = list(fields["events"])
    return found


def texts(document: Any) -> st.SearchStrategy[bytes]:
    """Return bent documents as lines without blanks; some with sorted keys, some spoiled."""
    lines = st.tuples(bent(document), st.booleans()).map(
        lambda made: json.dumps(made[0], separators=(",", ":"), sort_keys=made[1]).encode() + b"\n"
    )
    return st.integers(0, 4).flatmap(lambda die: spoiled(lines) if die == 0 else lines)


def changed(**fields: Any) -> bytes:
    return canonical_json(CURRENT | fields).encode() + b"\n"


def configured(**fields: Any) -> bytes:
    return changed(config=CONFIG | fields)


def confused(checkpoints: str, stages: str = "") -> bytes:
    """Return a line with this text of matrices."""
    text = b'"confusion":{"checkpoints":{%b},"stages":{%b}}' % (
        checkpoints.encode(),
        stages.encode(),
    )
    return changed(confusion=0).replace(b'"confusion":0', text)


def nested(depth: int) -> bytes:
    return changed(environment=0).replace(
        b'"environment":0', b'"environment":{"a":' + b"[" * depth + b"]" * depth + b"}"
    )


TWICE = changed().replace(b'"seed":0', b'"seed":0,"seed":1')


@fuzzed
@given(line=texts(CURRENT))
@example(line=changed())
@example(line=changed(steps=2**63 - 1))
@example(line=changed(steps=2**63))
@example(line=changed(steps=True))
@example(line=changed(steps=1.0))
@example(line=changed(seconds=5))
@example(line=changed(seconds=2**70))
@example(line=changed().replace(b'"seconds":1.5', b'"seconds":1e999'))
@example(line=changed(device="\u00e4\x1b\ud800"))
@example(line=changed(device="ä").replace(b"\\u00e4", b"\xe4"))
@example(line=changed(error='","confusion":{"checkpoints":{}'))
@example(line=changed(events=[{"stage": "s", "step": 1, "kind": "k", "reason": "r"}]))
@example(line=changed(status="finished"))
@example(line=changed(environment=[]))
@example(line=changed(environment={"python": 1}).replace(b":1}", b":1e999}"))
@example(line=changed(scores={"infomax": {"500": 1, "5": None}}))
@example(line=changed(scores={"infomax": {" 5": 1}}))
@example(line=changed(scores={"infomax": {}, "dev": {"5": 2**70}}))
@example(line=configured(params={"seed": 5, "zeta": 1}))
@example(line=configured(params={"a": 1, "seed": 0, "zeta": 1}, seed=3))
@example(line=configured(params={"a": 1, "seed": 5, "zeta": 1}, seed=123_456_789_012_345_678))
@example(line=configured(seed=-1))
@example(line=changed(config=[{"a": 1, "seed": 5, "b": 2}]))
@example(line=nested(1_000))
@example(line=nested(2_000))
@example(line=nested(100_000))
@example(line=changed(events=[{"stage": "s", "step": True, "kind": "k", "reason": "r"}]))
@example(line=changed(nondeterministic=[1]))
@example(line=configured(seed=10**19))
@example(line=configured(settings={"a": ',"seed":5,'}))
@example(line=configured(method=5))
@example(line=TWICE)
@example(
    line=configured(seed=3, params={"seed": 5, "z": 1}).replace(b'"seed":3', b'"s\\u0065ed":3')
)
@example(line=confused(""))
@example(line=confused('"5":[[1]]', '"5":[[2]]'))
@example(line=confused('"5":[[1]],"5":[[2]]'))
@example(line=confused('"5":[[1]],"05":[[2]]'))
@example(line=confused('"-5":[[1]]'))
@example(line=confused('"5":[[-1]]'))
@example(line=confused('"5":[[1.0]]'))
@example(line=confused('"5":[[01]]'))
@example(line=confused('"5":[[999999999999999999]]'))
@example(line=confused('"5":[[9223372036854775808]]'))
@example(line=confused('"5":[[4294967296]]'))
@example(line=confused('"5":[[1,2],[3,4]]', '"\\u00e4":[[1,2],[3,4]]'))
@example(line=confused('"5":[[1,2],[3]]'))
@example(line=confused('"5":[[1,2]]'))
@example(line=confused('"5":[[1],[2]]'))
@example(line=confused('"5":[]'))
@example(line=confused('"5":[[]]'))
@example(line=confused('"5":[[1]]', '"source":[[1,2],[3,4]]'))
@example(line=confused('"5":[[1,2],[3,4]]', '"a{":[[1,2],[3,4]],"[1":[[1,2],[3,4]]'))
@example(line=confused('"5":[[1,2],[3,4]]', '"a[":[[1,2],[3,4]],"]":[[1,2],[3,4]]'))
@example(line=confused('"5":[[1],[]]'))
@example(line=confused('"5":[[1e2]]'))
@example(line=confused('"5":[[-0]]'))
@example(line=confused('"5":[[null]]'))
@example(line=confused('"5":[["1"]]'))
@example(line=confused('"5":[[true]]'))
@example(line=confused('"5":1'))
@example(line=confused("", '"},\\"stages\\":{":[[1]]'))
def test_a_line(line: bytes, reader: Reader) -> None:
    """Twice: what the reader remembers of the first must not change what it says of the second."""
    TRIED["lines of records"] += 1
    for _ in range(2):
        agree(reader, line)


def agree(reader: Reader, line: bytes) -> bool:
    """Say whether the reader read it, which is then what the general way reads."""
    found = reader.read(line)
    if found is not None:
        assert plain(found) == plain(general(line))
    return found is not None


@fuzzed
@given(lines=st.lists(texts(CURRENT), min_size=2, max_size=3))
@example(lines=[confused('"5":[[]],"5":[[1]]'), confused('"5":[[1]],"5":[[]]')])
@example(lines=[confused('"1000":[[1]],"500":[[2]]'), confused('"1000":[[1]],"500":[[]]')])
@example(lines=[changed(scores={"dev": {"5": None}}), changed(scores={"dev": {"5": 1}})])
@example(lines=[configured(seed=5), configured(seed=6), configured(seed=6, budget=2)])
def test_lines_one_after_another(lines: list[bytes]) -> None:
    """What is remembered of one must not change what is said of another of the same form."""
    TRIED["lines of records"] += len(lines)
    reader = Reader({})
    for line in lines:
        agree(reader, line)


def test_more_forms_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.record_lines._MANY", 2)
    reader = Reader({})
    for step in [*range(5), *range(5)]:
        assert agree(reader, confused(f'"{step}":[[{step}]]'))
    assert len(reader._matrices) == len(reader._scores) == 2


@pytest.mark.parametrize(
    "line",
    [
        *(changed(), changed(seconds=5), changed(error="two\nlines, ä"), changed(scores={})),
        changed(events=[{"stage": "pixel", "step": 5, "kind": "collapsed", "reason": "r"}]),
        changed(nondeterministic=["bf16"]),
        *(changed(status="failed", error="e", confusion={"checkpoints": {}, "stages": {}}),),
        *(configured(seed=10**17), confused('"1000":[[1]],"500":[[2]]', '"source":[[3]]')),
    ],
)
def test_what_we_write_is_read_quickly(line: bytes, reader: Reader) -> None:
    found = reader.read(line)
    assert found is not None
    assert plain(found) == plain(general(line))


@pytest.mark.parametrize(
    "line",
    [
        canonical_json(EXPORTED).encode() + b"\n",  # of version 1
        json.dumps(CURRENT).encode() + b"\n",  # with blanks
        *(changed(steps="10"), configured(seed="3"), configured(budget="x"), TWICE, b"\n", b"{}\n"),
        *(changed(status="finished"), changed(schema=3), changed(surprise=1), changed()[:-30]),
    ],
)
def test_of_what_others_wrote_nothing_is_said(line: bytes, reader: Reader) -> None:
    assert reader.read(line) is None


@settings(deadline=None)  # the first frame loads pandas
@given(st.data())
def test_a_file_is_the_same_frame_either_way(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = [
        configured(seed=seed) if current else json.dumps(EXPORTED | {"config": CONFIG}).encode()
        for seed, current in enumerate(data.draw(st.lists(st.booleans(), max_size=4)))
    ]
    lines = [
        line.replace(b"-0-0123456789ab", b"-%d-0123456789ab" % i) for i, line in enumerate(lines)
    ]
    path = tmp_path_factory.mktemp("lines") / "r.jsonl"
    path.write_bytes(b"\n".join(line.rstrip() for line in lines))
    frames = []
    for read in (Reader.read, lambda *_: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Reader, "read", read)
            frames.append(records.load_records([path]))
    quick, slow = frames
    assert quick.drop(columns="record").equals(slow.drop(columns="record"))
    for one, other in zip(quick["record"], slow["record"], strict=True):
        assert dict(one) == dict(other)
        assert plain(one.brief) == plain(other.brief)
