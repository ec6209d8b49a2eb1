"""Names from anywhere, as a terminal or a page may show them."""

from __future__ import annotations

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of control and format characters, and of separators of lines."""


def printable(text: str, keep: str = "") -> str:
    r"""Write out characters that nobody sees, or that a terminal would obey.

    Args:
        text: any.
        keep: those that may stay, such as line feeds.

    >>> printable("mine \x1b[31m\u202e")
    'mine \\x1b[31m\\u202e'
    """
    written = {
        char: char.encode("unicode_escape").decode("ascii")
        for char in {*text}.difference(keep)
        if unicodedata.category(char) in _UNSEEN
    }
    return text.translate(str.maketrans(written)) if written else text
