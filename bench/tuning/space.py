"""What ``bench tune`` may try: a range for some of a method's hyperparameters.

A method declares its own beside its fields, as the class attribute ``space``; a JSON file of the
same form takes its place::

    space = {
        "lr": ("around", 10),            # up to ten times less or more than the preset's value
        "weight": ("log", 1e-3, 10),     # evenly by ratio
        "gate": ("uniform", 0.5, 0.9),   # evenly
        "batch": ("choice", 64, 128),    # one of these
    }

Whole-numbered fields get whole numbers. `around` fits every preset, which may be far apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bench import hyperparameters
from bench.errors import BenchError, unknown
from bench.files import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optuna.distributions import BaseDistribution

KINDS = ("around", "log", "uniform", "choice")
"""The first word of a range."""

_HUGE = 1e15
"""Below it, whole numbers and their ratios are exact enough to be searched."""

_FORM = 'such as ["log", 1e-5, 1e-2], ["uniform", 0.5, 0.9], ["around", 10] or ["choice", 64, 128]'


def declared(cls: type) -> dict[str, object]:
    """Return the space that a method declares, as it stands there; empty if it declares none."""
    space = getattr(cls, "space", {})
    if not isinstance(space, dict):
        message = f"{cls.__name__}.space must be a dict of ranges, {_FORM}."
        raise BenchError(message)
    return dict(space)


def read_space(path: Path) -> dict[str, object]:
    """Return the space in a JSON file.

    Raises:
        BenchError: it cannot be read, or is no JSON object.
    """
    return read_object(path, "search space", f"of ranges, {_FORM}")


def distributions(
    cls: type, space: Mapping[str, object], base: Mapping[str, object]
) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution for each hyperparameter in a space.

    Args:
        cls: the method.
        space: ranges by dotted key.
        base: every hyperparameter of the preset, with what the user has set.

    Raises:
        BenchError: an unknown key, one inside a part that is switched off, or a range that makes
            no sense.
    """
    known = hyperparameters.keys(cls)
    made = {}
    for key, given in space.items():
        if key not in known:
            raise unknown(f"{cls.__name__} hyperparameter", key, known)
        if key not in base:
            message = f"'{key}' cannot be searched, because a part that it belongs to is off."
            raise BenchError(message)
        made[key] = _distribution(key, given, known[key], base[key])
    return made


def contains(distribution: BaseDistribution, value: object) -> bool:
    """Say whether a search may try a value.

    >>> from optuna.distributions import CategoricalDistribution, FloatDistribution
    >>> contains(FloatDistribution(0.5, 1.0), 2.0), contains(CategoricalDistribution([2, 4]), 4)
    (False, True)
    """
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return value in choices
    return type(value) in (int, float) and distribution.low <= value <= distribution.high  # type: ignore[attr-defined]


def start(ranges: Mapping[str, BaseDistribution], base: Mapping[str, object]) -> dict[str, object]:
    """Return what a search tries first: a preset's own values, or the nearest in their range.

    A choice that is not offered has no nearest, and is left to the sampler.

    >>> from optuna.distributions import CategoricalDistribution, FloatDistribution
    >>> start({"decay": FloatDistribution(1e-6, 1e-2, log=True)}, {"decay": 0.0})
    {'decay': 1e-06}
    """
    first = {}
    for key, distribution in ranges.items():
        value: Any = base[key]
        if contains(distribution, value):
            first[key] = value
        elif type(value) in (int, float) and hasattr(distribution, "low"):
            ends: Any = distribution
            first[key] = min(max(value, ends.low), ends.high)
    return first


def described(distribution: BaseDistribution) -> str:
    """Return a range in words.

    >>> from optuna.distributions import IntDistribution
    >>> described(IntDistribution(16, 256, log=True))
    '16 to 256, by ratio'
    """
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return " or ".join(map(str, choices))
    numbers: Any = distribution
    return f"{numbers.low:g} to {numbers.high:g}" + ", by ratio" * numbers.log


def _distribution(key: str, given: object, kind: Any, base: object) -> BaseDistribution:  # noqa: ANN401
    from optuna.distributions import (  # noqa: PLC0415  optuna takes a second to import
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    word, values = _parts(key, given)
    if word == "choice":
        return CategoricalDistribution([_choice(key, value, kind) for value in values])
    hyperparameters.convert(1, kind, key)  # a field that takes numbers
    log = word != "uniform"
    numbers = [float(value) for value in values]
    low, high = _around(key, numbers, base) if word == "around" else _ends(key, numbers)
    if log and low <= 0:
        message = f"The range of '{key}' must lie above 0 to be searched by ratio, got {given!r}."
        raise BenchError(message)
    if hyperparameters.accepts(0.5, kind):
        return FloatDistribution(low, high, log=log)
    if math.ceil(low) > math.floor(high):
        message = f"'{key}' takes whole numbers, and its range {given!r} has none."
        raise BenchError(message)
    return IntDistribution(math.ceil(low), math.floor(high), log=log)


def _choice(key: str, value: object, kind: Any) -> bool | int | float | str | None:  # noqa: ANN401
    """Return one of several values as the field's type, if a study can store it."""
    typed = hyperparameters.convert(value, kind, key)
    if typed is None or isinstance(typed, (bool, int, float, str)):
        return typed
    if isinstance(value, str):  # such as "64,32" for a tuple: the field's type reads it
        return value
    message = f"A study cannot store {value!r} for '{key}'; write it as text, as for --set."
    raise BenchError(message)


def _parts(key: str, given: object) -> tuple[str, list[Any]]:
    """Return the first word of a range and its values, checked."""
    if not isinstance(given, (list, tuple)) or not given or given[0] not in KINDS:
        message = f"The range of '{key}' must be a list, {_FORM}, got {given!r}."
        raise BenchError(message)
    word, values = str(given[0]), list(given[1:])
    wanted = {"around": 1, "log": 2, "uniform": 2}.get(word)
    numeric = all(type(v) in (int, float) and abs(v) < _HUGE for v in values)
    if (wanted is None and not values) or (wanted is not None and len(values) != wanted):
        message = f"The range of '{key}' has too few or too many values: {given!r}; {_FORM}."
        raise BenchError(message)
    if wanted is not None and not numeric:
        message = f"The range of '{key}' must have finite numbers below 1e15, got {given!r}."
        raise BenchError(message)
    return word, values


def _around(key: str, values: list[float], base: object) -> tuple[float, float]:
    (factor,) = values
    if type(base) not in (int, float) or not isinstance(base, (int, float)) or base <= 0:
        message = f"'{key}' is {base!r}, and nothing can be searched around that; give it a range."
        raise BenchError(message)
    if factor <= 1:
        message = f"The factor around '{key}' must be above 1, got {factor}."
        raise BenchError(message)
    if base * factor >= _HUGE:
        message = f"The range around '{key}' must end below 1e15, got {base} times {factor}."
        raise BenchError(message)
    return base / factor, base * factor


def _ends(key: str, values: list[float]) -> tuple[float, float]:
    low, high = values
    if low >= high:
        message = f"The range of '{key}' must begin below its end, got {low} to {high}."
        raise BenchError(message)
    return low, high
