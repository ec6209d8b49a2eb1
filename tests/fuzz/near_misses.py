"""Inputs that are nearly right, and what is asked of whoever reads them.

A reader answers, or it refuses with a sentence that says of which file it speaks. It raises
nothing else, warns of nothing, and takes no memory out of proportion. Each test says by itself what
the right answer is, from a slow reader of its own.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import string
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

MEBIBYTE = 2**20

_COMMON: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
settings.register_profile("fuzz-ci", max_examples=30, derandomize=True, **_COMMON)
settings.register_profile("fuzz-soak", max_examples=1_000, derandomize=False, **_COMMON)

fuzzed = settings(settings.get_profile(f"fuzz-{os.environ.get('FUZZ', 'ci')}"))
"""How often a test tries: 30 inputs, the same each time; with the environment variable FUZZ=soak
a thousand, each time others."""

TRIED: Counter[str] = Counter()
"""How many inputs were tried of each subject; printed at the end of a session."""

REFUSED: Any = object()
"""What `outcome` returns when the reader refused."""


def outcome(
    subject: str, read: Callable[[], T], naming: object = "", *, memory: int = 256 * MEBIBYTE
) -> T:
    """Return what a reader answers, or `REFUSED`.

    Args:
        subject: what counts the input.
        read: calls the reader.
        naming: what a refusal must speak of.
        memory: bytes by which this process may grow meanwhile.
    """
    TRIED[subject] += 1
    try:
        with _at_most(memory):
            return read()
    except BenchError as error:
        said = str(error)
        assert said.strip()
        assert str(naming) in said
        return REFUSED


@contextlib.contextmanager
def _at_most(growth: int) -> Iterator[None]:
    """Let this process's address space grow by so many bytes and no more, where Linux can."""
    try:
        import resource
        from pathlib import Path

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + growth, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# ------------------------------------------------------------------ bytes

_EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    2**40,
    2**63,
    2**64 - 1,
)
_STRANGE = (
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b"\n",
    b"\x1b[31m",
    b"{",
    b"]",
    b'"',
    b"NaN",
)


@st.composite
def spoiled(draw: st.DrawFn, sound: bytes | st.SearchStrategy[bytes]) -> bytes:
    """Return a sound file with one to three things changed, or now and then bytes of no kind."""
    content = bytearray(sound if isinstance(sound, bytes) else draw(sound))
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(1, 3))):
        _spoil(content, draw)
    return bytes(content)


def _spoil(content: bytearray, draw: st.DrawFn) -> None:
    # Headers and trailers stand near the ends, where a mistake matters most.
    near, last = st.integers(0, min(64, len(content))), len(content)
    place = draw(st.integers(0, last) | near | near.map(lambda back: last - back))
    match draw(st.sampled_from(("flip", "number", "cut", "grow", "insert", "remove", "repeat"))):
        case "flip" if place < last:
            content[place] ^= 1 << draw(st.integers(0, 7))
        case "number":
            size, order = (
                draw(st.sampled_from((1, 2, 4, 8))),
                draw(st.sampled_from(("big", "little"))),
            )
            value = draw(st.sampled_from(_EXTREMES)) % 256**size
            content[place : place + size] = value.to_bytes(size, order)  # type: ignore[arg-type]
        case "cut":
            del content[place:]
        case "grow":
            content += draw(st.binary(max_size=20)) or bytes(draw(st.integers(1, 1000)))
        case "insert":
            content[place:place] = draw(st.sampled_from(_STRANGE))
        case "remove":
            del content[place : place + draw(st.integers(1, 16))]
        case "repeat":
            content[place:place] = content[place : place + draw(st.integers(1, 64))]


# ------------------------------------------------------------------ JSON

_DEEP: Any = []
for _ in range(200):
    _DEEP = [_DEEP]

ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        (
            *(None, True, False, 0, -1, 1, 3, 10**6, 2**31, 2**63, 2**64, 10**30, 10**400),
            *(0.0, -0.0, 0.5, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
            *(
                "",
                " ",
                "\0",
                "\x1b[2J",
                "\ud800",
                "\u202e",
                "1",
                "1e-3",
                "none",
                "../..",
                "x" * 5000,
            ),
            *([], {}, [[]], [None], {"": None}, {"a": {"a": {}}}, _DEEP),
        )
    ),
    st.text(max_size=5),
    st.integers(),
    st.floats(),
)
"""Values that a field of a JSON document should not have, or only just."""


@st.composite
def bent(draw: st.DrawFn, sound: Any) -> Any:
    """Return a copy of a JSON document in which up to two values are others, absent or too many."""
    document = json.loads(json.dumps(sound))
    for _ in range(draw(st.integers(0, 2))):
        document = _bend(document, draw)
    return document


def _bend(document: Any, draw: st.DrawFn) -> Any:
    places = list(_places(document))
    path = draw(st.sampled_from(places))
    if not path:
        return copy.deepcopy(draw(ODD)) if draw(st.integers(0, 5)) == 0 else document
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    match draw(st.sampled_from(("replace", "replace", "replace", "remove", "add"))):
        case "replace":
            holder[path[-1]] = copy.deepcopy(draw(ODD))
        case "remove":
            del holder[path[-1]]
        case "add" if isinstance(holder, dict):
            name = st.text(string.printable, max_size=5)
            holder[
                draw(st.sampled_from((str(path[-1]) + " ", "0" + str(path[-1]), "", "-1")) | name)
            ] = holder[path[-1]] if draw(st.booleans()) else copy.deepcopy(draw(ODD))
        case "add":
            holder.append(copy.deepcopy(draw(ODD)))
    return document


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if len(path) < 12:
        keys: Sequence[Any] = (
            [*node] if isinstance(node, dict) else range(len(node) if isinstance(node, list) else 0)
        )
        for key in keys:
            yield from _places(node[key], (*path, key))


def documents(sound: Any) -> st.SearchStrategy[bytes]:
    """Return JSON texts of bent documents, a tenth of them spoiled byte by byte as well."""
    texts = bent(sound).map(lambda document: json.dumps(document).encode("utf-8"))
    return st.integers(0, 9).flatmap(lambda die: spoiled(texts) if die == 0 else texts)


def same(one: object, other: object) -> bool:
    """Compare as JSON does: 1, 1.0 and true are three values, and NaN is itself."""
    return repr(one) == repr(other)


def strict_json(text: bytes) -> Any:
    """Return the JSON value of a text as RFC 8259 has it, in 64 bits; `REFUSED` if it is none."""

    def refuse(name: str) -> Any:
        raise ValueError(name)

    def whole(digits: str) -> int | float:
        number = int(digits)
        return number if -(2**63) <= number < 2**64 else float(digits)

    try:
        return json.loads(text.decode("utf-8"), parse_constant=refuse, parse_int=whole)
    except (ValueError, RecursionError):
        return REFUSED
