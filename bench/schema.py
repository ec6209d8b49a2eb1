"""What a record must hold, and the sentence for one that does not."""

from __future__ import annotations

from dataclasses import fields as fields_of
from functools import cache
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
    "run_id": str,
    "status": str,
    "error": (str, type(None)),
    "config": dict,
    "departure": (str, type(None)),
    "stages": list,
    "checkpoints": list,
    "steps": int,
    "seconds": _NUMBER,
    "threads": int,
    "device": str,
    "environment": dict,
    "started": str,
    "finished": (str, type(None)),
}
_LATER_KEYS: Mapping[str, type] = {"scores": dict}
"""What records of earlier versions lack."""
_SCORE = {int, float, type(None)}
_LATER_CONFIG_KEYS = frozenset({"tuned"})
_CONFIG_KEYS = frozenset(field.name for field in fields_of(RunConfig))
_SHIFT_KEYS = frozenset({"name", "source", "target", "protocol"})
_TUNED_KEYS: Mapping[str, type] = {"rule": str, "trials": int, "study": str}


def check(record: object, where: str, *, exported: bool = False) -> Packed | None:
    """Raise BenchError unless `record` has exactly the keys of a record, with their types.

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
    if record["status"] not in STATUSES:
        message = f"{where}: unknown status '{record['status']}'; one of {', '.join(STATUSES)}"
        raise BenchError(message)
    config = record["config"]
    if not (_is_config(tuple(config)) and type(config["seed"]) is int):
        _refuse_config(config, where)
    if "tuned" in config:
        _check_tuned(config["tuned"], f"{where}, config.tuned")
    shift = config["shift"]
    if not isinstance(shift, dict) or not shift.keys() >= _SHIFT_KEYS:
        message = f"{where}: config.shift is no shift: {shift!r}"
        raise BenchError(message)
    if not _fit_inside(record):
        message = f"{where}: 'stages' or 'checkpoints' are malformed"
        raise BenchError(message)
    _check_scores(record.get("scores", {}), where)
    return _matrices(record["confusion"], where) if exported else None


@cache
def _fits(keys: tuple[str, ...], kinds: tuple[type, ...], *, exported: bool) -> bool:
    """Say whether keys and types are a record's. Remembered: thousands of records are alike."""
    expected = _expected(exported=exported)
    return {*keys, *_LATER_KEYS} == expected.keys() and all(
        issubclass(kind, expected[key]) for key, kind in zip(keys, kinds, strict=True)
    )


@cache
def _is_config(keys: tuple[str, ...]) -> bool:
    return {*keys, *_LATER_CONFIG_KEYS} == _CONFIG_KEYS


def _expected(*, exported: bool) -> dict[str, type | tuple[type, ...]]:
    return {**_KEYS, **_LATER_KEYS} | ({"confusion": object} if exported else {})


def _refuse(record: Mapping[str, Any], where: str, *, exported: bool) -> None:
    """Raise the BenchError for a record of which `_fits` says no."""
    expected = _expected(exported=exported)
    if {*record, *_LATER_KEYS} != expected.keys():
        _refuse_keys({*record, *_LATER_KEYS}, expected, where)
    for key, kind in expected.items():
        if key in record and not isinstance(record[key], kind):
            message = f"{where}: '{key}' has the wrong type: {record[key]!r}"
            raise BenchError(message)


def _refuse_config(config: Mapping[str, Any], where: str) -> None:
    if not _is_config(tuple(config)):
        _refuse_keys({*config, *_LATER_CONFIG_KEYS}, _CONFIG_KEYS, f"{where}, config")
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
    named = all(
        isinstance(stage, dict) and isinstance(stage.get("name"), str) for stage in record["stages"]
    )
    return named and all(type(step) is int for step in record["checkpoints"])


def _check_scores(scores: Mapping[str, Any], where: str) -> None:
    """Raise BenchError unless these are numbers or None by rule and training step."""
    try:
        steps = {tuple(values) for values in scores.values()}  # mostly the same for all rules
        kinds = {type(value) for values in scores.values() for value in values.values()}
        sound = all(map(_are_steps, steps)) and kinds <= _SCORE
    except (AttributeError, TypeError):
        sound = False
    if not sound:
        message = f"{where}: 'scores' are malformed: {scores!r}"
        raise BenchError(message)


@cache
def _are_steps(texts: tuple[object, ...]) -> bool:
    return all(isinstance(text, str) and text.isdecimal() for text in texts)


def _matrices(embedded: object, where: str) -> Packed:
    if not isinstance(embedded, dict) or embedded.keys() != {"checkpoints", "stages"}:
        message = f"{where}: expected 'confusion' to hold 'checkpoints' and 'stages'"
        raise BenchError(message)
    try:
        return parsed(embedded["checkpoints"], embedded["stages"])
    except (AttributeError, TypeError, ValueError) as error:
        message = f"{where}: 'confusion' is malformed ({error})"
        raise BenchError(message) from error
