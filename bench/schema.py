"""What a record must hold, and the sentence for one that does not."""

from __future__ import annotations

from dataclasses import fields as fields_of
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from bench.config import RunConfig
from bench.confusions import parsed
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.confusions import Packed

STATUSES = ("running", "done", "diverged", "failed", "interrupted", "pruned")

_NUMBER = (int, float)
_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "schema": int,
    "run_id": str,
    "status": str,
    "error": (str, type(None)),
    "config": dict,
    "departure": (str, type(None)),
    "stages": list,
    "checkpoints": list,
    "scores": dict,
    "events": list,
    "nondeterministic": list,
    "attempts": int,
    "steps": int,
    "seconds": _NUMBER,
    "threads": int,
    "device": str,
    "environment": dict,
    "started": str,
    "finished": (str, type(None)),
}
"""Those of the current version; `bench.migrate` brings older records up to it."""
_EVENT: Mapping[str, type] = {"stage": str, "step": int, "kind": str, "reason": str}
_SCORE = {int, float, type(None)}
_LATER_CONFIG_KEYS = frozenset({"tuned", "compile", "processes"})
_CONFIG_KEYS = frozenset(field.name for field in fields_of(RunConfig))
_CONFIG_KINDS: Mapping[str, type] = {
    **dict.fromkeys(("method", "preset", "code", "learns_from"), str),
    **dict.fromkeys(("backbone", "weights", "data", "precision"), str),
    "settings": dict,
    "params": dict,
    "budget": int,
}
_SHIFT_KEYS = frozenset({"name", "source", "target", "protocol"})
_TUNED_KEYS: Mapping[str, type] = {"rule": str, "trials": int, "study": str}


def check(record: object, where: str, *, exported: bool = False) -> Packed | None:
    """Raise BenchError unless `record` has exactly the keys of the current version's records.

    Args:
        record: what was read.
        where: file and line, for the message.
        exported: whether its confusion matrices must stand in it, too.

    Returns:
        The matrices of an exported record.
    """
    if not isinstance(record, dict):
        message = f"{where}: expected a record (a JSON object), got {type(record).__name__}"
        raise BenchError(message)
    kinds = tuple(map(type, record.values()))
    if not _fits(tuple(record), kinds, exported=exported):
        _refuse(record, where, exported=exported)
    check_config(record["config"], where)
    _check_rest(record, where)
    return matrices_of(record["confusion"], where) if exported else None


def _check_rest(record: Mapping[str, Any], where: str) -> None:
    """Raise BenchError unless all but configuration and matrices is sound, given keys and types."""
    if record["status"] not in STATUSES:
        message = f"{where}: unknown status '{record['status']}'; one of {', '.join(STATUSES)}"
        raise BenchError(message)
    if not _fit_inside(record):
        message = f"{where}: 'stages' or 'checkpoints' are malformed"
        raise BenchError(message)
    check_scores(record["scores"], where)
    if record["events"] or record["nondeterministic"]:
        _check_notes(record, where)


def check_config(config: Mapping[str, Any], where: str) -> None:
    """Raise BenchError unless a configuration has the keys of one, with their types."""
    kinds = tuple(map(type, config.values()))
    if not (_is_config(tuple(config), kinds) and type(config["seed"]) is int):
        _refuse_config(config, where)
    if not (_is(config.get("compile", True), bool) and _is(config.get("processes", 1), int)):
        message = f"{where}: config.compile or config.processes is malformed"
        raise BenchError(message)
    if "tuned" in config:
        _check_tuned(config["tuned"], f"{where}, config.tuned")
    shift = config["shift"]
    named = isinstance(shift, dict) and shift.keys() >= _SHIFT_KEYS
    if not named or {type(shift[key]) for key in _SHIFT_KEYS} != {str}:
        message = f"{where}: config.shift is no shift: {shift!r}"
        raise BenchError(message)


@cache
def _fits(keys: tuple[str, ...], kinds: tuple[type, ...], *, exported: bool) -> bool:
    """Say whether keys and types are a record's. Remembered: thousands of records are alike."""
    expected = _expected(exported=exported)
    return set(keys) == expected.keys() and all(
        issubclass(kind, expected[key]) for key, kind in zip(keys, kinds, strict=True)
    )


@cache
def _is_config(keys: tuple[str, ...], kinds: tuple[type, ...]) -> bool:
    return {*keys, *_LATER_CONFIG_KEYS} == _CONFIG_KEYS and all(
        issubclass(kind, _CONFIG_KINDS.get(key, object))
        for key, kind in zip(keys, kinds, strict=True)
    )


def _is(value: object, kind: type) -> bool:
    return type(value) is kind


def _expected(*, exported: bool) -> dict[str, type | tuple[type, ...]]:
    return dict(_KEYS) | ({"confusion": object} if exported else {})


def _refuse(record: Mapping[str, Any], where: str, *, exported: bool) -> None:
    """Raise the BenchError for a record of which `_fits` says no."""
    expected = _expected(exported=exported)
    if record.keys() != expected.keys():
        _refuse_keys(record, expected, where)
    for key, kind in expected.items():
        if not isinstance(record[key], kind):
            message = f"{where}: '{key}' has the wrong type: {record[key]!r}"
            raise BenchError(message)


def _refuse_config(config: Mapping[str, Any], where: str) -> None:
    if {*config, *_LATER_CONFIG_KEYS} != _CONFIG_KEYS:
        _refuse_keys({*config, *_LATER_CONFIG_KEYS}, _CONFIG_KEYS, f"{where}, config")
    for key, kind in _CONFIG_KINDS.items():
        if not isinstance(config[key], kind):
            message = f"{where}: config.{key} has the wrong type: {config[key]!r}"
            raise BenchError(message)
    message = f"{where}: config.seed is no whole number: {config['seed']!r}"
    raise BenchError(message)


def _refuse_keys(got: Iterable[str], expected: Iterable[str], where: str) -> None:
    got, expected = set(got), set(expected)
    parts = [
        f"{what} {', '.join(repr(key) for key in sorted(keys))}"
        for what, keys in (("missing", expected - got), ("unknown", got - expected))
        if keys
    ]
    message = f"{where}: {'; '.join(parts)}. It was written by another version, or edited by hand."
    raise BenchError(message)


def _check_tuned(tuned: object, where: str) -> None:
    """Raise BenchError unless this says how settings were found."""
    if not isinstance(tuned, dict) or {k: type(v) for k, v in tuned.items()} != _TUNED_KEYS:
        message = f"{where}: expected a rule's name, the number of trials and a study: {tuned!r}"
        raise BenchError(message)


def _fit_inside(record: Mapping[str, Any]) -> bool:
    """Say whether each stage has a name, and each checkpoint is a training step."""
    try:
        names = {type(stage["name"]) for stage in record["stages"]}
    except (KeyError, TypeError):
        return False
    return names <= {str} and set(map(type, record["checkpoints"])) <= {int}


def _check_notes(record: Mapping[str, Any], where: str) -> None:
    """Raise BenchError unless what was noticed while training has the form of an event."""
    for event in record["events"]:
        if not isinstance(event, dict) or {k: type(v) for k, v in event.items()} != _EVENT:
            message = f"{where}: an event must have {', '.join(_EVENT)}, but one is {event!r}"
            raise BenchError(message)
    if not all(isinstance(reason, str) for reason in record["nondeterministic"]):
        message = f"{where}: 'nondeterministic' must hold sentences: {record['nondeterministic']!r}"
        raise BenchError(message)


def check_scores(scores: Mapping[str, Any], where: str) -> None:
    """Raise BenchError unless these are numbers or None by rule and training step."""
    try:
        by_rule = scores.values()
        steps = set(map(tuple, by_rule))  # mostly the same for all rules
        kinds = set(map(type, chain.from_iterable([values.values() for values in by_rule])))
        sound = all(map(_are_steps, steps)) and kinds <= _SCORE
    except (AttributeError, TypeError):
        sound = False
    if not sound:
        message = f"{where}: 'scores' are malformed: {scores!r}"
        raise BenchError(message)


@cache
def _are_steps(texts: tuple[object, ...]) -> bool:
    return all(isinstance(text, str) and text.isdecimal() for text in texts)


def matrices_of(embedded: object, where: str) -> Packed:
    """Return the confusion matrices of an exported record; raise BenchError if it has none."""
    if not isinstance(embedded, dict) or embedded.keys() != {"checkpoints", "stages"}:
        message = f"{where}: expected 'confusion' to hold 'checkpoints' and 'stages'"
        raise BenchError(message)
    try:
        return parsed(embedded["checkpoints"], embedded["stages"])
    except (AttributeError, TypeError, ValueError) as error:
        message = f"{where}: 'confusion' is malformed ({error})"
        raise BenchError(message) from error
