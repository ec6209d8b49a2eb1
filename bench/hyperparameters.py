"""A method's hyperparameters: the fields of its frozen dataclass, set by dotted keys.

A key such as ``pixel.lr`` reaches into a nested dataclass. A part whose type allows None is
switched off by ``pixel=none``.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from bench.digest import canonical_json
from bench.errors import BenchError, unknown

T = TypeVar("T")

PRESETS = ("paper", "fast", "smoke")
"""What ``--preset`` knows. A method that does not define one of them uses its defaults there."""

SEGMENTATION = "segmentation"
"""``presets["segmentation/fast"]`` takes the place of ``presets["fast"]`` where there is one class
a pixel."""

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_LARGEST = 2**63
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def parse(text: str) -> tuple[str, str]:
    """Split one ``--set`` argument into key and value; `resolve` reads the value by its type.

    >>> parse("pixel.lr=1e-4")
    ('pixel.lr', '1e-4')

    Raises:
        BenchError: there is no ``=``, or nothing before it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        message = f"Expected --set key=value, such as --set lr=1e-4, but got '{text}'."
        raise BenchError(message)
    return key.strip(), value.strip()


def resolve(
    cls: type[T], preset: str, settings: Mapping[str, object], task: str = "classification"
) -> T:
    """Return the method with its defaults, changed by the preset, changed by `settings`.

    Args:
        cls: a frozen dataclass; ``cls.presets`` is optional.
        preset: "paper", "fast" or "smoke".
        settings: dotted keys to values. Text is read by the field's type: ``"1e-4"`` is as good
            as ``1e-4`` for a float, ``"none"`` as good as None where None is allowed.
        task: "classification" or "segmentation", which may have presets of its own.

    Raises:
        BenchError: an unknown preset or key, a value of the wrong type, a key into a part that is
            switched off, or values that the dataclass itself refuses; a class whose presets or
            defaults make no sense.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Mine:
    ...     lr: float = 1e-3
    ...     steps: int = 100
    ...     presets: typing.ClassVar = {"smoke": {"steps": 2}}
    >>> resolve(Mine, "smoke", {"lr": "1e-4"})
    Mine(lr=0.0001, steps=2)
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    known = keys(cls)
    try:
        ours = _typed(cls, known, _preset(cls, preset, task))
    except BenchError as error:
        message = f"The preset '{preset}' of {cls.__name__} is wrong: {error}"
        raise BenchError(message) from error
    chosen = _typed(cls, known, settings)
    kept = {k: v for k, v in ours.items() if not any(k.startswith(f"{c}.") for c in chosen)}
    made: T = _build(cls, kept | chosen)
    _check_writable(made)
    return made


def differing(
    cls: type, preset: str, settings: Mapping[str, object], task: str = "classification"
) -> dict[str, object]:
    """Return `settings` typed, without those that equal what the preset has anyway.

    Two commands that mean the same give the same result, so it can name a run.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Mine:
    ...     lr: float = 1e-3
    ...     steps: int = 100
    >>> differing(Mine, "paper", {"lr": "0.001", "steps": "50"})
    {'steps': 50}
    """
    chosen = flat(resolve(cls, preset, settings, task))
    try:
        base = flat(resolve(cls, preset, {}, task))
    except BenchError:  # a field without a default: everything that is set makes a difference
        base = {}
        chosen = {k: v for k, v in chosen.items() if k in settings}
    absent = object()
    return {k: v for k, v in chosen.items() if not _same(base.get(k, absent), v)}


def as_dict(instance: Any) -> dict[str, Any]:  # noqa: ANN401  any dataclass
    """Return every hyperparameter of a resolved method, nested as its dataclasses are."""
    return dataclasses.asdict(instance)


def flat(instance: Any, prefix: str = "") -> dict[str, object]:  # noqa: ANN401  any dataclass
    """Return every hyperparameter of a resolved method by its dotted key."""
    values: dict[str, object] = {}
    for field in dataclasses.fields(instance):
        value, key = getattr(instance, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            values |= flat(value, f"{key}.")
        else:
            values[key] = value
    return values


def keys(cls: type, prefix: str = "") -> dict[str, Any]:
    """Return every dotted key that can be set, with its type, in the order of the fields.

    A part that can be switched off has a key of its own beside those of its fields.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Mine:
    ...     lr: float = 1e-3
    >>> keys(Mine)
    {'lr': <class 'float'>}
    """
    found: dict[str, Any] = {}
    for name, kind in _field_types(cls).items():
        group = _group(kind)
        if group is None or type(None) in typing.get_args(kind):
            found[prefix + name] = kind
        if group is not None:
            found |= keys(group, f"{prefix}{name}.")
    return found


def _preset(cls: type, name: str, task: str) -> Mapping[str, object]:
    """Return what the class says about a preset, once all that it says makes sense."""
    presets = getattr(cls, "presets", {})
    if not isinstance(presets, Mapping) or not all(
        isinstance(changes, Mapping) for changes in presets.values()
    ):
        message = 'presets must look like {"smoke": {"steps": 2}}.'
        raise BenchError(message)
    known = (*PRESETS, *(f"{SEGMENTATION}/{preset}" for preset in PRESETS))
    for given in presets:
        if given not in known:  # a misspelt preset would pass for one that changes nothing
            raise unknown("preset", str(given), known)
    own: Mapping[str, object] | None = presets.get(f"{task}/{name}")
    return presets.get(name, {}) if own is None else own


def _check_writable(instance: Any) -> None:  # noqa: ANN401  any dataclass
    """Refuse a value that no run's record could hold, or that would not come back from it."""
    import orjson  # noqa: PLC0415  which reads records, and takes no half of a pair of surrogates

    for key, value in flat(instance).items():
        try:
            orjson.loads(canonical_json(value))
        except (TypeError, ValueError) as error:
            message = (
                f"'{key}' of {type(instance).__name__} is {value!r}, which a run cannot record."
                " Hyperparameters are finite numbers, text, true or false, none, and tuples of"
                " these; name other things by text."
            )
            raise BenchError(message) from error


def _typed(
    cls: type, known: Mapping[str, Any], settings: Mapping[str, object]
) -> dict[str, object]:
    """Check every key and convert every value to its field's type."""
    for key in settings:
        if key not in known:
            raise _unknown_key(cls, key, list(known))
    return {key: convert(value, known[key], key) for key, value in settings.items()}


def _unknown_key(cls: type, key: str, known: list[str]) -> BenchError:
    inside = [k for k in known if k.startswith(f"{key}.")]
    if inside:
        message = f"'{key}' of {cls.__name__} is a group; set a part of it: {', '.join(inside)}."
        return BenchError(message)
    same_end = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    if same_end and not difflib.get_close_matches(key, known, n=1):
        near, listed = " or ".join(f"'{k}'" for k in same_end), ", ".join(known)
        return BenchError(
            f"Unknown {cls.__name__} hyperparameter '{key}'. Did you mean {near}?"
            f" Available: {listed}."
        )
    return unknown(f"{cls.__name__} hyperparameter", key, known)


def _build(cls: type, typed: Mapping[str, object], start: object = None, prefix: str = "") -> Any:  # noqa: ANN401
    """Construct `cls` once, from `start` (or its defaults) and all of `typed` together."""
    values: dict[str, object] = {}
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        key = prefix + field.name
        value = typed.get(key, _default(field) if start is None else getattr(start, field.name))
        inside = [k for k in typed if k.startswith(f"{key}.")]
        if inside and value is None:
            message = f"'{inside[0]}' cannot be set, because '{key}' is switched off."
            raise BenchError(message)
        if inside and value is dataclasses.MISSING:
            value = _build(_group(_field_types(cls)[field.name]), typed, None, f"{key}.")  # type: ignore[arg-type]
        elif inside:
            value = _build(type(value), typed, value, f"{key}.")
        if value is dataclasses.MISSING:
            message = f"{cls.__name__} has no default for '{key}'; give one: --set {key}=..."
            raise BenchError(message)
        values[field.name] = value
    try:
        return cls(**values)
    except Exception as error:
        message = f"{cls.__name__} refuses these hyperparameters: {_said(error)}"
        raise BenchError(message) from error


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is dataclasses.MISSING:
        return field.default
    try:
        return field.default_factory()
    except Exception as error:
        message = f"The default of '{field.name}' cannot be made: {_said(error)}"
        raise BenchError(message) from error


def _said(error: Exception) -> str:
    """Return the words of an exception; a ValueError's are meant for the user as they are."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def convert(value: object, kind: Any, key: str) -> object:  # noqa: ANN401  any annotation
    """Return `value` as the type `kind`, or say what was expected.

    Args:
        value: a Python value, or text as typed on a command line.
        kind: int, float, bool, str, a Literal, a tuple of these, a dataclass, or a union with any
            of these or None.
        key: the hyperparameter's name, for the error.

    >>> convert("1e-4", float | None, "lr"), convert("none", float | None, "lr")
    (0.0001, None)

    Raises:
        BenchError: the value is none that the type allows.
    """
    for reading in _readings(kind):
        converted = reading(value)
        if converted is not _NO:
            return converted
    shown = f"'{value}'" if isinstance(value, str) else repr(value)
    message = f"'{key}' must be {_expected(kind)}, but got {shown}."
    raise BenchError(message)


def accepts(value: object, kind: Any) -> bool:  # noqa: ANN401  any annotation
    """Say whether `convert` would take the value.

    >>> accepts(0.5, float | None), accepts(0.5, int)
    (True, False)
    """
    return any(reading(value) is not _NO for reading in _readings(kind))


_NO: Any = object()


def _readings(kind: Any) -> list[Any]:  # noqa: ANN401
    """Return the ways to read a value as `kind`, the strictest first."""
    if typing.get_origin(kind) in (Union, types.UnionType):
        # Literals first, so that one named "none" wins over None; text last, since it takes all.
        order = (Literal, type(None), bool, int, float, tuple)
        members = sorted(typing.get_args(kind), key=lambda m: _rank(m, order))
        return [reading for member in members for reading in _readings(member)]
    return [lambda value: _read(value, kind)]


def _rank(kind: Any, order: tuple[Any, ...]) -> int:  # noqa: ANN401
    base = typing.get_origin(kind) or kind
    return order.index(base) if base in order else len(order) + (base is str)


def _read(value: object, kind: Any) -> object:  # noqa: ANN401, PLR0911  one line a type
    text = value.strip() if isinstance(value, str) else None
    if kind in (None, type(None)):
        return None if value is None or (text is not None and text.lower() == "none") else _NO
    if typing.get_origin(kind) is Literal:
        same = [a for a in typing.get_args(kind) if _same(a, value) or str(a) == text]
        return same[0] if same else _NO
    if typing.get_origin(kind) is tuple:
        return _read_tuple(value, typing.get_args(kind))
    if kind is bool:
        return _BOOLEANS.get(text.lower(), _NO) if text else value if type(value) is bool else _NO
    if kind is int or kind is float:
        return _read_number(value, kind)
    if kind in (Any, object):
        return value
    return value if inspect.isclass(kind) and isinstance(value, kind) else _NO


def _read_number(value: object, kind: type[int | float]) -> object:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return _NO
    if kind is int and isinstance(value, float):
        return _NO
    try:
        number = kind(value)
    except (ValueError, OverflowError):
        return _NO
    if isinstance(number, int):  # JSON's readers make a float of anything larger
        return number if abs(number) < _LARGEST else _NO
    return number if math.isfinite(number) else _NO


def _read_tuple(value: object, members: tuple[Any, ...]) -> object:
    if isinstance(value, str):
        value = [part for part in value.strip().strip("()[]").split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        return _NO
    kinds = [members[0]] * len(value) if members[-1:] == (...,) else list(members)
    if len(kinds) != len(value):
        return _NO
    read = []
    for part, kind in zip(value, kinds, strict=True):
        found = [r for reading in _readings(kind) if (r := reading(part)) is not _NO]
        if not found:
            return _NO
        read.append(found[0])
    return tuple(read)


def _expected(kind: Any) -> str:  # noqa: ANN401
    """Describe a type to a user."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_expected(a) for a in arguments)
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(str(a) for a in arguments)}"
    if typing.get_origin(kind) is tuple:
        if arguments[-1:] == (...,):
            return f"a list such as 1,2,3 of which each is {_expected(arguments[0])}"
        return f"{len(arguments)} values separated by commas"
    if kind in (None, type(None)):
        return "none"
    return _NAMES.get(kind, f"a {getattr(kind, '__name__', kind)}")


def _same(a: object, b: object) -> bool:
    """Compare like JSON does: 1, 1.0 and True are three values."""
    return type(a) is type(b) and a == b


def _group(kind: Any) -> type | None:  # noqa: ANN401
    """Return the dataclass in an annotation such as `Pixel` or `Pixel | None`, if any."""
    for member in (kind, *typing.get_args(kind)):
        if inspect.isclass(member) and dataclasses.is_dataclass(member):
            return member
    return None


def _field_types(cls: type) -> dict[str, Any]:
    """Return the evaluated type of every field that can be set."""
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    return {name: _field_type(cls, name) for name in names}


def _field_type(cls: type, name: str) -> Any:  # noqa: ANN401
    # Only fields are evaluated: a ClassVar may well name what is imported for type checkers only.
    owner = next(c for c in cls.__mro__ if name in inspect.get_annotations(c))
    # A dataclass' __init__ lives in its module's globals, also if the module has left sys.modules.
    init = vars(owner).get("__init__")
    scope = getattr(init, "__globals__", None) or vars(sys.modules[owner.__module__])
    alone = type("Alone", (), {"__annotations__": {name: inspect.get_annotations(owner)[name]}})
    try:
        return typing.get_type_hints(alone, scope, dict(vars(owner)))[name]
    except NameError as error:
        message = (
            f"The type of '{name}' in {cls.__name__} cannot be read: {error}."
            " Import what it names outside of 'if TYPE_CHECKING:'."
        )
        raise BenchError(message) from error
