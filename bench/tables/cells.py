"""The headings and cells of a leaderboard's tables, in plain text: per cent, rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.select import ORACLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.tables.row import Row

NAMES = {
    "accuracy": "Accuracy",
    "miou": "mIoU",
    "fwiou": "fwIoU",
    "pixel_accuracy": "Pixel accuracy",
}
"""What readers call a metric."""

OTHERS = {"accuracy": (), "miou": ("fwiou", "pixel_accuracy")}
"""By the metric of a row: which others have a column."""

DASH = "\u2014"

SMOKE = "Preset smoke: a few steps of everything, for tests; its figures mean nothing"

_OTHERWISE = "it was measured under other conditions"

_LONGEST = 200
"""Characters of an error that a note shows."""


def title_of(row: Row) -> str:
    """Return the conditions that all rows of a table share; `row` is any of them."""
    mark = " (uses test labels)" if row.chosen_on_test_labels else ""
    if row.tuned_on_test_labels:
        mark = ", tuned on test labels"
    weights = (
        f"initial weights from {row.weights}"
        if row.weights.startswith("file ")
        else f"{row.weights} initial weights"
    )
    return (
        f"{row.shift}: protocol {row.protocol}, backbone {row.backbone},"
        f" {weights}, preset {row.preset}, rule {row.rule}{mark}"
        + ("" if row.arithmetic == "float32" else f", trained in {row.arithmetic}")
    )


def facts_of(rows: list[Row]) -> list[str]:
    """Return what else was the same, or which kinds there were, over a table of ours."""
    seeds = sorted({s for row in rows for s in (*row.seeds, *(f["seed"] for f in row.failed))})
    threads = sorted({t for row in rows for t in row.threads})
    devices = sorted({d for row in rows for d in row.devices})
    plural = "" if threads == [1] else "s"
    facts = [
        f"Seeds: {_listed(seeds)}",
        f"Trained on: {', '.join(devices)}, {' or '.join(map(str, threads))} thread{plural}",
    ]
    if rows[0].preset == "smoke":
        facts.append(SMOKE)
    if any(row.tuned for row in rows) and not all(row.tuned for row in rows):
        facts.append("Rows differ in how their hyperparameters were searched: see which are tuned")
    unjudged = [row.label for row in rows if not row.picked and row.n]
    if unjudged and len(unjudged) < len(rows):
        facts.append(f"Without scores by selection rules: {', '.join(unjudged)}")
    return facts


def _listed(seeds: list[int]) -> str:
    """Write 0, 1, 2, 3 as "0 to 3", and anything else number by number."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):  # noqa: PLR2004
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def line_of(row: Row, table: Row | None, rank: str, notes: list[str]) -> tuple[str, ...]:
    """Return a row's cells, and add what they refer to to `notes`; `table` is any row of ours."""
    method = method_of(row)
    if row.departure:
        method += marker(notes, f"{row.label}: {row.departure}")
    for warning in _warnings(row):
        method += marker(notes, warning)
    seeds = f"{row.n} of {row.planned}" if row.rule is not None else ""
    for failure in _failures(row):
        seeds += marker(notes, failure)
    others = [row.others.get(other, {}) for other in OTHERS[row.metric]]
    return (
        rank,
        method,
        percent(row.mean, row.std, 2),
        "" if row.ci95 is None else f"{100 * row.ci95[0]:.2f} to {100 * row.ci95[1]:.2f}",
        *(percent(other.get("mean"), other.get("std"), 2) for other in others),
        seeds,
        "" if row.steps is None else f"{row.steps:,.0f}",
        "" if row.seconds is None else duration(row.seconds),
        _published(row, table, notes),
        "" if row.delta is None else f"{100 * row.delta:+.1f}",
    )


def method_of(row: Row) -> str:
    """Return a row's name, marked as a bound or as chosen by test labels where it is."""
    bound = " (upper bound: uses target labels)" if row.learns_from == "target" else ""
    by_rule = row.chosen_on_test_labels and not row.tuned_on_test_labels
    rule = f" ({row.rule})" if by_rule else ""
    return row.label + bound + rule


def _failures(row: Row) -> Iterable[str]:
    """Return one sentence for each way in which seeds of a row did not finish."""
    reasons: dict[str, list[int]] = {}
    for failure in row.failed:
        text = " ".join(str(failure["error"] or "").split())
        text = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
        reasons.setdefault(": ".join(filter(None, (failure["status"], text))), []).append(
            failure["seed"]
        )
    for reason, seeds in reasons.items():
        yield f"{row.label}, seed{'s' if len(seeds) > 1 else ''} {_listed(seeds)}: {reason}"
    missing = row.planned - row.n - len(row.failed)
    if missing:
        yield f"{row.label}: {missing} of the planned seeds not run"


def _warnings(row: Row) -> Iterable[str]:
    """Return one sentence for each way in which training went wrong without ending."""
    kinds: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for event in row.events:
        kinds.setdefault(event["kind"], {}).setdefault(event["stage"], []).append(event)
    for kind, stages in kinds.items():
        seeds = {event["seed"] for events in stages.values() for event in events}
        places = [
            f"{stage}, step{'s' if len(events) > 1 else ''}"
            f" {_listed(sorted({event['step'] for event in events}))}"
            for stage, events in stages.items()
        ]
        yield (
            f"{row.label}: {kind} in {len(seeds)} of {row.planned}"
            f" run{'s' if row.planned > 1 else ''} ({'; '.join(places)})"
        )


def _published(row: Row, table: Row | None, notes: list[str]) -> str:
    """Return the published cell, with a note where there is something to know about it."""
    if row.published is None:
        return ""
    note = note_of(row, table)
    text = percent(row.published, row.published_std, 1)
    return text + (marker(notes, note) if note else "")


def later_line_of(row: Row, notes: list[str]) -> tuple[str, ...]:
    """Return the cells of a figure of later work; a note says where it was read."""
    note = "; ".join(filter(None, (row.published_source, row.published_note)))
    by_labels = row.published_rule == ORACLE.name
    return (
        (row.published_label or row.label) + marker(notes, note),
        percent(row.published, row.published_std, 1),
        row.published_protocol or "unstated",
        row.published_backbone or "unstated",
        row.published_weights or "unstated",
        "chosen by test labels" if by_labels else row.published_rule or "unstated",
    )


def note_of(row: Row, table: Row | None) -> str:
    """Say how a published figure was not measured like the `table`, and what else to know."""
    parts = [
        f"{name} {theirs}"
        for name, theirs, ours in (
            ("protocol", row.published_protocol, table and table.protocol),
            ("backbone", row.published_backbone, table and table.backbone),
            ("initial weights", row.published_weights, table and table.weights),
        )
        if theirs and theirs != ours
    ]
    if row.delta is None and row.mean is not None and not row.chosen_on_test_labels:
        why = "ours is of the preset smoke" if row.preset == "smoke" else _OTHERWISE
        parts.insert(0, f"no difference, because {why}")
    if row.published_rule == ORACLE.name:
        parts.append("its checkpoint was chosen by the target's test labels")
    if row.published_note:
        parts.append(row.published_note)
    return f"{row.published_label}: {'; '.join(parts)}" if parts else ""


def marker(notes: list[str], note: str) -> str:
    """Return `` [i]`` for a note, which is added unless it is there already."""
    if note not in notes:
        notes.append(note)
    return f" [{notes.index(note) + 1}]"


def percent(value: float | None, std: float | None, digits: int) -> str:
    """Write fractions in per cent; "" for None.

    >>> percent(0.5, 0.012, 1), percent(0.5, None, 2), percent(None, None, 2)
    ('50.0 \u00b1 1.2', '50.00', '')
    """
    if value is None:
        return ""
    spread = "" if std is None else f" \u00b1 {100 * std:.{digits}f}"
    return f"{100 * value:.{digits}f}{spread}"


def tenths(value: float | None) -> str:
    """Write a fraction in per cent with one digit, as papers do; a dash for None."""
    return percent(value, None, 1) or DASH


def duration(seconds: float) -> str:
    """Write a wall time so that it can be compared at a glance.

    >>> duration(8.25), duration(75), duration(840), duration(9000)
    ('8.2 s', '75 s', '14.0 min', '2.5 h')
    """
    minute, hour = 60.0, 3600.0
    if seconds < 9.95:  # noqa: PLR2004  9.95 would read "10.0 s"
        return f"{seconds:.1f} s"
    if seconds < 2 * minute:
        return f"{seconds:.0f} s"
    return f"{seconds / minute:.1f} min" if seconds < 2 * hour else f"{seconds / hour:.1f} h"
