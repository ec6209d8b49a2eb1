"""Names as a page shows them: no character of theirs is unseen, or moves its neighbours."""

from __future__ import annotations

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of control and format characters, and of separators of lines."""


def visible(value: object) -> object:
    r"""Return `value` with what nobody sees in its texts written out; also within lists and dicts.

    Line feeds and tabs stay: a page shows them as blanks.

    >>> visible({"a\x00": ["b\u202ec", 1]})
    {'a\\x00': ['b\\u202ec', 1]}
    """
    if isinstance(value, str):
        return value if value.isprintable() else "".join(map(_written, value))
    if isinstance(value, dict):
        return {str(visible(key)): visible(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [visible(part) for part in value]
    return value


def _written(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
