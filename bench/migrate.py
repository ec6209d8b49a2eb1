"""Records of earlier versions of the harness, brought up to date as they are read.

A record says by the whole number "schema" which version's keys it has:

1. has no such key. "scores" came with it late, and may be missing.
2. adds "schema"; "events" that a method or the harness noticed while training; "nondeterministic",
   why the same training may give other numbers; "attempts", how often the run was begun.

To change what a record holds, raise `CURRENT` and write one more function into `_STEPS`. Files are
never rewritten: what is old stays as it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CURRENT = 2
"""The version that this harness writes."""


def migrate(record: Any, where: str) -> Any:  # noqa: ANN401  whatever the JSON holds
    """Return a record as the current version would have written it.

    Args:
        record: of any version so far; what is no record at all comes back as it is, and so does
            one of the current version. Neither is changed.
        where: file and line, for the message.

    Raises:
        BenchError: a newer harness wrote it, or its "schema" is no version.

    >>> migrate({"run_id": "a-b-0-c"}, "here")["schema"]
    2
    """
    if not isinstance(record, dict):
        return record
    version = record.get("schema", 1)
    if type(version) is not int or version < 1:
        message = f"{where}: 'schema' must be the version of the record, 1 to {CURRENT}, but it is"
        raise BenchError(f"{message} {version!r}. The record was edited by hand, or is damaged.")
    if version > CURRENT:
        message = (
            f"{where} was written by a newer bench: it is a record of version {version}, and this"
            f" bench knows those up to {CURRENT}. Upgrade: pip install --upgrade cycada-bench"
        )
        raise BenchError(message)
    while version < CURRENT:
        record = _STEPS[version](record)
        version += 1
    return record


def _to_2(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add what version 1 did not note; 0 attempts says that nobody counted."""
    empty = {"scores": {}, "events": [], "nondeterministic": [], "attempts": 0}
    return {**empty, **record, "schema": 2}


_STEPS: Mapping[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _to_2}
"""By version, what makes a record of it one of the next."""
