"""Names as a page shows them: no character of theirs is unseen, or moves its neighbours."""

from __future__ import annotations

from bench.printable import printable

KEPT = "\n\t"
"""A page shows them as blanks."""


def visible(value: object) -> object:
    r"""Return `value` with what nobody sees in its texts written out; also within lists and dicts.

    Line feeds and tabs stay.

    >>> visible({"a\x00": ["b\u202ec", 1]})
    {'a\\x00': ['b\\u202ec', 1]}
    """
    if isinstance(value, str):
        return printable(value, KEPT)
    if isinstance(value, dict):
        return {str(visible(key)): visible(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [visible(part) for part in value]
    return value
