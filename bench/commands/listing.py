"""What ``bench list`` shows: one function a list, each returning plain rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import plugins
from bench.select import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.select import Rule

    Rows = list[dict[str, Any]]


def _suites() -> Rows:
    rows = []
    for known in plugins.describe("suite"):
        suite = plugins.load_suite(known.name)
        shifts, methods = suite.shifts, suite.entries
        rows.append(
            {
                "name": known.name,
                "about": known.about,
                "shifts": [shift.name for shift in shifts],
                "methods": [entry.label for entry in methods],
                "origin": known.origin,
            }
        )
    return rows


def _shifts() -> Rows:
    return [vars(shift) for shift in plugins.all_shifts()]


def _backbones() -> Rows:
    from bench import backbones  # noqa: PLC0415

    return backbones.describe()


def _selectors() -> Rows:
    rules = sorted(map(plugins.load_rule, plugins.names("rule")), key=_place)
    parts = ("name", "looks_at_target_labels", "about", "source", "fooled")
    return [{part: getattr(rule, part) for part in parts} for rule in rules]


def _place(rule: Rule) -> tuple[bool, bool, str]:
    """Sort the default first, and the one that is no fair rule last."""
    return rule.looks_at_target_labels, rule.name != DEFAULT, rule.name


LISTS: dict[str, tuple[Callable[[], Rows], tuple[str, ...]]] = {
    "suites": (_suites, ("name", "shifts", "about")),
    "shifts": (_shifts, ("name", "source", "target", "backbone", "protocol")),
    "methods": (lambda: [vars(d) for d in plugins.describe("method")], ("name", "about")),
    "domains": (lambda: [vars(d) for d in plugins.describe("domain")], ("name", "about")),
    "backbones": (_backbones, ("name", "parameters", "task")),
    "selectors": (_selectors, ("name", "about", "fooled")),
}
"""By name: what makes the rows, and the columns that a table shows of them."""
