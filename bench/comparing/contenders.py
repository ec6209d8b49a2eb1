"""The two sides of a comparison: from what a user writes to configurations, one a shift."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import plugins
from bench.errors import BenchError, unknown
from bench.groups import distinct_labels, groups
from bench.stored import brief_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from bench.groups import Config, Group
    from bench.select import Rule
    from bench.suites import Suite

CONDITIONS: Mapping[str, Callable[[Config], object]] = {
    "preset": lambda config: config["preset"],
    "backbone": lambda config: config["backbone"],
    "weights": lambda config: config["weights"],
    "protocol": lambda config: config["shift"]["protocol"],
    "budget": lambda config: config["budget"],
    "precision": lambda config: config["precision"],
    "compile": lambda config: config.get("compile", False),
    "processes": lambda config: config.get("processes", 1),
    "code": lambda config: config["code"],
    "data": lambda config: config["data"],
}
"""By which configurations of one name are singled out, beside "rule"."""

RULE = "rule"

_SUFFIX = re.compile(r"\w+=[^,]*(,\w+=[^,]*)*")


@dataclass(frozen=True, eq=False)
class Contender:
    """One side of a comparison.

    Attributes:
        name: the label of its rows, with the conditions that singled it out.
        rule: which checkpoints represent it.
        groups: its runs by shift, in the suite's order.
    """

    name: str
    rule: Rule
    groups: Mapping[str, Group]


def contenders(
    frame: pd.DataFrame, suite: Suite, texts: Sequence[str], rule: str
) -> list[Contender]:
    """Return a side for each text, ``NAME[:key=value,...]``.

    NAME is a row's label, as in the suite's table, or a method's name; a label wins over a method,
    and over reading a part of it as conditions. Keys are those of `CONDITIONS`, and "rule".

    Raises:
        BenchError: there are no runs; a name, key, value or rule is unknown; or a text stands for
            several configurations on one shift.
    """
    found = groups(frame, suite)
    if not found:
        message = (
            f"There is no run on a shift of '{suite.name}'. Try `bench run --suite {suite.name}`."
        )
        raise BenchError(message)
    labelled = list(zip(distinct_labels(found), found, strict=True))
    order = {shift.name: place for place, shift in enumerate(suite.shifts)}
    labelled.sort(key=lambda pair: order[pair[1].config["shift"]["name"]])
    return [_contender(text, labelled, rule) for text in texts]


def _contender(text: str, labelled: Sequence[tuple[str, Group]], rule: str) -> Contender:
    names = {name for label, g in labelled for name in (label, g.label, g.config["method"])}
    name, conditions = _parsed(text, names)
    if name not in names:
        raise unknown("method or row", name, names)
    chosen = [(label, group) for label, group in labelled if name in {label, group.label}]
    chosen = chosen or [(lb, group) for lb, group in labelled if name == group.config["method"]]
    for key, value in conditions.items():
        if key == RULE:
            rule = value
        else:
            chosen = _with(key, value, chosen, name)
    found: dict[str, Group] = {}
    for _, group in chosen:
        shift = group.config["shift"]["name"]
        if shift in found:
            same = [pair for pair in chosen if pair[1].config["shift"]["name"] == shift]
            raise _several(text, name, shift, same)
        found[shift] = group
    labels = {group.label for group in found.values()}
    shown = labels.pop() if len(labels) == 1 else name
    suffix = ",".join(f"{key}={value}" for key, value in conditions.items())
    return Contender(f"{shown}:{suffix}" if suffix else shown, plugins.load_rule(rule), found)


def _parsed(text: str, names: set[str]) -> tuple[str, dict[str, str]]:
    """Split a text at the last colon that conditions follow; a value may hold colons, too."""
    head, tail = text, ""
    while head not in names and (colon := text.rfind(":", 0, len(head))) >= 0:
        head, tail = text[:colon], text[colon + 1 :]
        if _SUFFIX.fullmatch(tail):
            break
    if not _SUFFIX.fullmatch(tail):
        return text, {}
    conditions = dict(part.split("=", 1) for part in tail.split(","))
    for key in conditions:
        if key not in {*CONDITIONS, RULE}:
            raise unknown("condition", key, [*CONDITIONS, RULE])
    return head, conditions


def _value(key: str, config: Config) -> str:
    value = str(CONDITIONS[key](config))
    return value[:12] if key == "data" else value


def _with(
    key: str, value: str, chosen: Sequence[tuple[str, Group]], name: str
) -> list[tuple[str, Group]]:
    fitting = [pair for pair in chosen if _value(key, pair[1].config) == value]
    if not fitting:
        there = {_value(key, group.config) for _, group in chosen}
        raise unknown(f"{key} of '{name}'", value, there)
    return fitting


def _several(text: str, name: str, shift: str, same: Sequence[tuple[str, Group]]) -> BenchError:
    """Return the error for a text that stands for several configurations on a shift."""
    values = {key: sorted({_value(key, g.config) for _, g in same}) for key in CONDITIONS}
    differing = {key: found for key, found in values.items() if len(found) > 1}
    if len({group.label for _, group in same}) > 1 or not differing:
        ways = {label: [g for lb, g in same if lb == label] for label, _ in same}
        what = "which are other rows of the table"
    else:
        key, found = next(iter(differing.items()))
        start = text + ("," if text != name else ":") + key
        ways = {f"{start}={v}": [g for _, g in same if _value(key, g.config) == v] for v in found}
        what = "which differ in " + " and ".join(
            f"{key} ({', '.join(found)})" for key, found in differing.items()
        )
    listed = " or ".join(f"'{way}'" for way in sorted(ways))
    return BenchError(
        f"'{text}' stands for {len(same)} configurations on {shift}, {what}. Write {listed}."
        + _newest({way: _begun(of) for way, of in ways.items()})
    )


def _begun(found: Iterable[Group]) -> str:
    """Return when the last of some runs began, as its record says."""
    return max(brief_of(run.record).started for group in found for run in group.runs.values())


def _newest(begun: Mapping[str, str]) -> str:
    """Name what was run last: who edits a method means that, most of the time."""
    newest = max(begun, key=lambda way: begun[way])
    if len({*begun.values()}) < len(begun):
        return ""
    return f" The newest is '{newest}', of {begun[newest][:16].replace('T', ' ')}."
