"""What differs between two nested mappings, and how to say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.digest import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ABSENT = "absent"
"""Stands for a value that one of the two does not have."""

_SHOWN = 4
"""Differences that are spelt out; of more, only the number is said."""

_LONG = 30
"""Characters of a value that is spelt out; a digest is cut."""

_DIGITS = frozenset("0123456789abcdef")


class Difference(NamedTuple):
    """A value, by its dotted key, that two mappings do not have in common."""

    key: str
    before: object
    now: object


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = ""
) -> Iterator[Difference]:
    """Yield what differs, in the order of `now`: plain values, and parts that one side lacks.

    >>> list(differences({"pixel": {"lr": 0.1}, "seed": 0}, {"pixel": {"lr": 0.2}, "seed": 0}))
    [Difference(key='pixel.lr', before=0.1, now=0.2)]
    """
    for key in dict.fromkeys([*now, *before]):
        old, new = before.get(key, ABSENT), now.get(key, ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{key}.")
        elif canonical_json(old) != canonical_json(new):  # 1 is not 1.0, but (1,) is [1]
            yield Difference(prefix + key, old, new)


def spoken(found: Iterable[Difference]) -> str:
    """Return differences as the rest of a sentence.

    >>> spoken([Difference("lr", 0.1, 0.2), Difference("data", "0123456789abcdef" * 4, "f" * 64)])
    'lr was 0.1 and is 0.2; data was 0123456789ab... and is ffffffffffff...'
    >>> spoken([Difference("pixel", None, {"lr": 0.1})])
    'pixel was none and is given'
    """
    listed = list(found)
    parts = [_clause(*each) for each in listed[:_SHOWN]]
    if len(listed) > _SHOWN:
        parts.append(f"{len(listed) - _SHOWN} more")
    return "; ".join(parts)


def _clause(key: str, before: object, now: object) -> str:
    old, new = _short(before), _short(now)
    return f"{key} differs" if old == new else f"{key} was {old} and is {new}"


def _short(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "given"
    text = value if isinstance(value, str) else canonical_json(value)
    if len(text) > _LONG and set(text) <= _DIGITS:
        return f"{text[:12]}..."
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."
