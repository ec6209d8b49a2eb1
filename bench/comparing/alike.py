"""Were two methods measured alike? What must not differ between them, and what is worth a note."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.comparing.contenders import CONDITIONS, RULE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from bench.comparing.contenders import Contender
    from bench.groups import Config, Group

Difference = dict[str, str]
"""A "condition" and its values of "a" and "b"."""

_MAIN = ("preset", "protocol", "backbone", "weights")
_MINOR = ("budget", "precision", "compile", "processes")
_PREPROCESSING = ("size", "channels", "interpolation")


def differences(
    a: Contender, b: Contender, shifts: Iterable[str]
) -> tuple[list[Difference], list[Difference]]:
    """Return what differs between two sides and must not, and what differs and is worth a note."""
    unfair: list[Difference] = []
    noted: list[Difference] = []
    _add(unfair, {RULE: (a.rule.name, b.rule.name)})
    for shift in shifts:
        one, other = a.groups[shift], b.groups[shift]
        _add(unfair, _decisive(one.config, other.config))
        _add(noted, _minor(one, other))
    return unfair, noted


def shared(a: Contender, b: Contender, shifts: Collection[str]) -> list[str]:
    """Return the main conditions that both sides have, each with its value or values."""
    found = [f"{RULE} {a.rule.name}"] if a.rule.name == b.rule.name else []
    for key in _MAIN:
        get = CONDITIONS[key]
        values = [tuple(str(get(s.groups[shift].config)) for s in (a, b)) for shift in shifts]
        if all(left == right for left, right in values):
            found.append(f"{key} {' or '.join(sorted({left for left, _ in values}))}")
    return found


def said(difference: Difference) -> str:
    """Return a difference in words.

    >>> said({"condition": "preset", "a": "fast", "b": "smoke"})
    'preset (fast against smoke)'
    """
    return f"{difference['condition']} ({difference['a']} against {difference['b']})"


def _add(found: list[Difference], conditions: Mapping[str, tuple[str, str]]) -> None:
    for name, (left, right) in conditions.items():
        each = {"condition": name, "a": left, "b": right}
        if left != right and each not in found:
            found.append(each)


def _decisive(a: Config, b: Config) -> dict[str, tuple[str, str]]:
    main = {key: CONDITIONS[key] for key in _MAIN}
    both = {key: (str(get(a)), str(get(b))) for key, get in main.items()}
    both["preprocessing"] = _preprocessing(a), _preprocessing(b)
    both["search for settings"] = _search(a), _search(b)
    if a["learns_from"] == b["learns_from"]:  # else their training images must differ
        both["data"] = a["data"][:12], b["data"][:12]
    return both


def _preprocessing(config: Config) -> str:
    shift = config["shift"]
    return ", ".join(f"{key} {shift[key]}" for key in _PREPROCESSING if key in shift)


def _search(config: Config) -> str:
    tuned = config.get("tuned")
    return f"by {tuned['rule']}, {tuned['trials']} trials" if tuned else "none"


def _minor(a: Group, b: Group) -> dict[str, tuple[str, str]]:
    minor = {key: CONDITIONS[key] for key in _MINOR}
    both = {key: (str(get(a.config)), str(get(b.config))) for key, get in minor.items()}
    for key in ("device", "threads"):
        both[key] = _kinds(a, key), _kinds(b, key)
    codes = a.config["code"], b.config["code"]
    if all(code.startswith("builtin-") for code in codes):  # a plug-in has a code of its own
        both["numerics version"] = codes
    return both


def _kinds(group: Group, key: str) -> str:
    return " or ".join(sorted({str(run.record[key]) for run in group.runs.values()}))
