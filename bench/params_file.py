"""The file that ``bench tune`` writes and ``bench run --params`` takes: settings, and whose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.files import read_object, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEYS: Mapping[str, type] = {"method": str, "preset": str, "settings": dict, "tuned": dict}
_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)
_TUNED: Mapping[str, type] = {"rule": str, "trials": int, "study": str}


@dataclass(frozen=True)
class Params:
    """Hyperparameters that a search found.

    Attributes:
        method: whose they are.
        preset: which preset they change.
        settings: dotted hyperparameters, as in ``--set``.
        tuned: the rule that trials were compared by, their number, and the study's name; part of
            the configuration of every run that uses them.
        about: how the search went; for readers alone.
    """

    method: str
    preset: str
    settings: Mapping[str, Any]
    tuned: Mapping[str, Any]
    about: Mapping[str, Any]


def write_params(path: Path, params: Params) -> None:
    """Write a params file as indented JSON, atomically."""
    write_json(path, vars(params))


def read_params(path: Path) -> Params:
    """Read a params file.

    Raises:
        BenchError: it cannot be read, is no JSON, or lacks something. That its settings suit the
            method is checked where they are used.
    """
    content = read_object(path, "params file", "as bench tune writes it")
    content.setdefault("about", {})
    _check(content, {**_KEYS, "about": dict}, str(path))
    _check(content["tuned"], _TUNED, f"{path}, tuned")
    tuned = content["tuned"]
    if tuned["trials"] < 1 or not all(_NAME.fullmatch(tuned[k]) for k in ("rule", "study")):
        message = f"{path}: expected the names of a rule and a study, and trials, got {tuned!r}"
        raise BenchError(message)
    return Params(**content)


def _check(content: Mapping[str, object], kinds: Mapping[str, type], where: str) -> None:
    if content.keys() != kinds.keys():
        missing, extra = sorted(kinds - content.keys()), sorted(content.keys() - kinds)
        parts = [f"missing {', '.join(missing)}"] * bool(missing)
        parts += [f"unknown {', '.join(extra)}"] * bool(extra)
        message = f"{where}: {'; '.join(parts)}. It is no file that bench tune wrote."
        raise BenchError(message)
    for key, kind in kinds.items():
        if type(content[key]) is not kind:
            message = f"{where}: '{key}' has the wrong type: {content[key]!r}"
            raise BenchError(message)
