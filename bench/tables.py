"""The rows of a leaderboard, and how they are written: Markdown, LaTeX, CSV, JSON.

Markdown and LaTeX are for reading: per cent, rounded, one table a shift and its conditions.
JSON and CSV are for programs: fractions in 0..1, unrounded. Equal rows give equal text.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Row:
    """One row of a leaderboard; its fields are the keys of ``--format json``.

    A row with `rule` None stands for a published figure that no run of ours stands beside.

    Attributes:
        suite: the suite's name.
        shift: the shift's name.
        protocol: which images trained and scored; of a published row, the publication's.
        backbone: the task network.
        method: a method's name.
        preset: "paper", "fast", "smoke", or None.
        rule: which checkpoint was scored, or None.
        metric: what `mean` is the mean of.
        n: seeds that finished, which `mean`, `std` and `ci95` are taken over.
        planned: seeds that were attempted or planned.
        mean: fraction in 0..1, or None without a finished seed.
        std: sample standard deviation (ddof 1), or None with fewer than two seeds.
        ci95: ends of the 95 % interval of the mean by Student's t, or None likewise.
        published: the published fraction, or None.
        delta: `mean` minus `published` if both were measured alike, else None.
        label: the row's name in tables.
        settings: dotted hyperparameters that differ from the preset.
        weights: the network's initial weights.
        learns_from: "source", or "target" for a supervised upper bound.
        chosen_on_test_labels: whether `rule` looked at them.
        steps: mean training steps of a finished seed.
        seconds: mean training wall time of a finished seed; shared stages count in full.
        seeds: the seeds that finished.
        failed: seed, status and error of each seed that did not finish.
        devices: where the runs trained.
        threads: with how many threads.
        stages: stage, n, mean and std of each stage's own network, in the order of training.
        published_std: a fraction, or None.
        published_label: the published row's name as printed.
        published_protocol: the publication's protocol.
        published_backbone: its network, "" if it does not say.
        published_weights: that network's initial weights, "" if it does not say.
        published_source: paper and table.
        published_note: what a reader must know about the published figure.
        departure: how the run departs from its method's paper, in a sentence, or None.
    """

    suite: str
    shift: str
    protocol: str
    backbone: str
    method: str
    preset: str | None
    rule: str | None
    metric: str
    n: int = 0
    planned: int = 0
    mean: float | None = None
    std: float | None = None
    ci95: tuple[float, float] | None = None
    published: float | None = None
    delta: float | None = None
    label: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: str = ""
    learns_from: str = "source"
    chosen_on_test_labels: bool = False
    steps: float | None = None
    seconds: float | None = None
    seeds: tuple[int, ...] = ()
    failed: tuple[Mapping[str, Any], ...] = ()
    devices: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    stages: tuple[Mapping[str, Any], ...] = ()
    published_std: float | None = None
    published_label: str | None = None
    published_protocol: str | None = None
    published_backbone: str | None = None
    published_weights: str | None = None
    published_source: str | None = None
    published_note: str | None = None
    departure: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every seed finished. Without the seeds that failed, a mean flatters."""
        return self.mean is not None and self.n == self.planned

    @property
    def section(self) -> tuple[str, ...]:
        """What the rows of one table have in common."""
        return (
            *(self.shift, self.protocol, self.backbone, self.weights),
            *(self.preset or "", self.rule or ""),
        )


@dataclass(frozen=True)
class _Table:
    """One table in plain text, before a format escapes it."""

    title: str
    facts: list[str]
    warning: str | None
    columns: tuple[str, ...]
    lines: list[tuple[str, ...]]
    notes: list[str]
    stages: list[tuple[str, ...]]


def render(rows: Sequence[Row], fmt: str = "md", *, command: str | None = None) -> str:
    """Return the leaderboard as text that ends with a newline.

    Args:
        rows: what `bench.leaderboard.rows` returned, in its order.
        fmt: "md", "csv", "latex" or "json".
        command: what made it, for the comment at the top of Markdown and LaTeX.

    Raises:
        BenchError: the format is unknown.
    """
    if fmt not in FORMATS:
        raise unknown("format", fmt, FORMATS)
    suite = rows[0].suite if rows else None
    made_by = command or "bench leaderboard" + (f" --suite {suite}" if suite else "")
    return FORMATS[fmt](rows, f"Generated by `{made_by}` from the records of runs; do not edit.")


# ------------------------------------------------------------------ for programs


def _json(rows: Sequence[Row], _comment: str) -> str:
    return json.dumps([dataclasses.asdict(r) for r in rows], indent=2, allow_nan=False) + "\n"


def _csv(rows: Sequence[Row], _comment: str) -> str:
    """One line a row; `ci95` becomes two columns, and lists become JSON."""
    names = [field.name for field in dataclasses.fields(Row)]
    place = names.index("ci95")
    names[place : place + 1] = ["ci95_low", "ci95_high"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = dataclasses.asdict(row)
        values["ci95_low"], values["ci95_high"] = values.pop("ci95") or (None, None)
        writer.writerow(
            {k: json.dumps(v) if isinstance(v, (dict, tuple)) else v for k, v in values.items()}
        )
    return text.getvalue()


# ------------------------------------------------------------------ for readers

_COLUMNS = (
    *("#", "Method", "Accuracy", "95 % interval", "Seeds", "Steps", "Wall time", "Published"),
    "Difference",
)

_LEGEND = (
    "Accuracy on the target's test set in per cent: mean \u00b1 sample standard deviation over the"
    " seeds that finished, and the 95 % interval of the mean (Student's t): how far another set of"
    " seeds might lie, not another set of test images. Seeds: finished of attempted; a row with"
    " seeds that did not finish has no rank. A rank is no test. Every method trains on nine tenths"
    " of the source's training images; the last tenth is held out for validation. Wall time:"
    " training, a seed; a stage that several methods share counts in full for each. Difference:"
    " ours minus published, in percentage points, only where protocol, backbone and initial weights"
    " match."
)

_STAGES = (
    "Accuracy of each stage's own network on the same test images: a diagnosis of where a gain"
    " comes from. Nothing was chosen by it."
)


def _markdown(rows: Sequence[Row], comment: str) -> str:
    if not rows:
        return f"<!-- {comment} -->\n\nNo runs yet.\n"
    blocks = [f"<!-- {comment} -->", f"# Leaderboard: {_md(rows[0].suite)}", _LEGEND]
    for table in _tables(rows):
        blocks.append(f"## {_md(table.title)}")
        if table.warning:
            blocks.append(f"> **{_md(table.warning)}**")
        if table.facts:
            blocks.append("\n".join(f"- {_md(fact)}" for fact in table.facts))
        blocks.append(_grid([table.columns, *table.lines], _RULERS))
        if table.notes:
            notes = enumerate(table.notes, 1)
            blocks.append("\n".join(f"- [{i}] {_md(note)}" for i, note in notes))
        if table.stages:
            rulers = (":--", *["--:"] * (len(table.stages[0]) - 1))
            blocks += ["### Stage by stage", _STAGES, _grid(table.stages, rulers)]
    return "\n\n".join(blocks) + "\n"


def _grid(lines: Sequence[Sequence[str]], rulers: Sequence[str]) -> str:
    """Return a Markdown table; the first line is its head."""
    cells = [[_md(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [cells[0], rulers, *cells[1:]])


_RULERS = ("--:", ":--", "--:", ":-:", "--:", "--:", "--:", "--:", "--:")


def _latex(rows: Sequence[Row], comment: str) -> str:
    """Tables for the package booktabs."""
    blocks = [f"% {comment}", f"% {_LEGEND.replace(chr(0xB1), '+-')}"]
    for table in _tables(rows):
        caption = ". ".join(part for part in (table.title, table.warning, *table.facts) if part)
        notes = [rf"\par\footnotesize [{i}] {_tex(n)}" for i, n in enumerate(table.notes, 1)]
        blocks.append(_tex_table(caption, "rlrcrrrrr", [table.columns, *table.lines], notes))
        if table.stages:
            columns = "l" + "r" * (len(table.stages[0]) - 1)
            caption = f"{table.title}, stage by stage. {_STAGES}"
            blocks.append(_tex_table(caption, columns, table.stages, []))
    return "\n\n".join(blocks) + "\n"


def _tex_table(
    caption: str, columns: str, lines: Sequence[Sequence[str]], notes: Sequence[str]
) -> str:
    """Return a floating table; the first line is its head. `notes` are escaped already."""
    head, *body = [" & ".join(_tex(cell) for cell in line) + r" \\" for line in lines]
    parts = (
        *(r"\begin{table}", r"\centering", rf"\caption{{{_tex(caption)}}}"),
        *(rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body),
        *(r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}"),
    )
    return "\n".join(parts)


FORMATS: dict[str, Callable[[Sequence[Row], str], str]] = {
    "md": _markdown,
    "csv": _csv,
    "latex": _latex,
    "json": _json,
}


def _tables(rows: Sequence[Row]) -> list[_Table]:
    """Group rows into tables; published rows join every table of their shift that lacks them."""
    ours: dict[tuple[str, ...], list[Row]] = {}
    published: dict[str, list[Row]] = {}
    for row in rows:
        if row.rule is None:
            published.setdefault(row.shift, []).append(row)
        else:
            ours.setdefault(row.section, []).append(row)
    tables = []
    for shift in dict.fromkeys(row.shift for row in rows):
        sections = [part for key, part in ours.items() if key[0] == shift]
        for part in sections or [[]]:
            beside = {row.published_label for row in part}
            others = [r for r in published.get(shift, ()) if r.published_label not in beside]
            tables.append(_table(shift, part, others))
    return tables


def _table(shift: str, ours: list[Row], others: list[Row]) -> _Table:
    notes: list[str] = []
    lines, rank = [], 0
    for row in ours:
        ranked = row.learns_from != "target" and row.complete
        rank += ranked
        lines.append(_line(row, ours[0], str(rank) if ranked else "", notes))
    lines += [_line(row, ours[0] if ours else None, "", notes) for row in others]
    title, facts, warning = f"{shift}: published figures only", [], None
    if ours:
        title, facts = _title(ours[0]), _facts(ours)
        if ours[0].chosen_on_test_labels:
            warning = (
                f"Not a fair result: the rule '{ours[0].rule}' chose every checkpoint by the"
                " target's test labels. An upper bound, compared with no published figure."
            )
    sources = dict.fromkeys(r.published_source for r in (*ours, *others) if r.published_source)
    facts += [f"Published: {'; '.join(sources)}"] if sources else []
    return _Table(title, facts, warning, _COLUMNS, lines, notes, _stages(ours))


def _stages(rows: list[Row]) -> list[tuple[str, ...]]:
    """Return a head and a line for each method of which more than one stage was scored."""
    several = [row for row in rows if len(row.stages) > 1]
    names = list(dict.fromkeys(stage["stage"] for row in several for stage in row.stages))
    lines = []
    for row in several:
        cells = {s["stage"]: _percent(s["mean"], s["std"], 2) for s in row.stages}
        reported = _percent(row.mean, row.std, 2)
        lines.append((row.label, *(cells.get(name, "") for name in names), reported))
    return [("Method", *names, f"reported ({several[0].rule})"), *lines] if several else []


def _title(row: Row) -> str:
    mark = " (uses test labels)" if row.chosen_on_test_labels else ""
    return (
        f"{row.shift}: protocol {row.protocol}, backbone {row.backbone},"
        f" {row.weights} initial weights, preset {row.preset}, rule {row.rule}{mark}"
    )


def _facts(rows: list[Row]) -> list[str]:
    seeds = sorted({s for row in rows for s in (*row.seeds, *(f["seed"] for f in row.failed))})
    threads = sorted({t for row in rows for t in row.threads})
    devices = sorted({d for row in rows for d in row.devices})
    plural = "" if threads == [1] else "s"
    return [
        f"Seeds: {_listed(seeds)}",
        f"Trained on: {', '.join(devices)}, {' or '.join(map(str, threads))} thread{plural}",
    ]


def _listed(seeds: list[int]) -> str:
    """Write 0, 1, 2, 3 as "0 to 3", and anything else number by number."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):  # noqa: PLR2004
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _line(row: Row, table: Row | None, rank: str, notes: list[str]) -> tuple[str, ...]:
    """Return a row's cells, and add what they refer to to `notes`; `table` is any row of ours."""
    method = row.label
    if row.learns_from == "target":
        method += " (upper bound: uses target labels)"
    if row.chosen_on_test_labels:
        method += f" ({row.rule})"
    if row.departure:
        method += _marker(notes, f"{row.label}: {row.departure}")
    seeds = f"{row.n} of {row.planned}" if row.rule is not None else ""
    for failure in _failures(row):
        seeds += _marker(notes, failure)
    measured = row.mean is not None
    return (
        rank,
        method,
        _percent(row.mean, row.std, 2) if measured else "",
        "" if row.ci95 is None else f"{100 * row.ci95[0]:.2f} to {100 * row.ci95[1]:.2f}",
        seeds,
        "" if row.steps is None else f"{row.steps:,.0f}",
        "" if row.seconds is None else duration(row.seconds),
        _published(row, table, notes),
        "" if row.delta is None else f"{100 * row.delta:+.1f}",
    )


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


_LONGEST = 200


def _published(row: Row, table: Row | None, notes: list[str]) -> str:
    """Return the published cell, with a note where it was not measured like the `table`."""
    if row.published is None:
        return ""
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
        parts.insert(0, "no difference, because it was measured under other conditions")
    if row.published_note:
        parts.append(row.published_note)
    text = _percent(row.published, row.published_std, 1)
    return text + (_marker(notes, f"{row.published_label}: {'; '.join(parts)}") if parts else "")


def _marker(notes: list[str], note: str) -> str:
    """Return `` [i]`` for a note, which is added unless it is there already."""
    if note not in notes:
        notes.append(note)
    return f" [{notes.index(note) + 1}]"


def _percent(value: float | None, std: float | None, digits: int) -> str:
    if value is None:
        return ""
    spread = "" if std is None else f" \u00b1 {100 * std:.{digits}f}"
    return f"{100 * value:.{digits}f}{spread}"


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


_MD = re.compile(r"([\\`*|<>])|((?<![^\W_])_|_(?![^\W_]))")


def _md(text: str) -> str:
    """Escape what Markdown would take for markup; an underscore inside a word is none."""
    return _MD.sub(lambda found: "\\" + found[0], text)


_TEX = {
    **{char: "\\" + char for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\u00b1": r"$\pm$",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(char, char) for char in text)


__all__ = ["FORMATS", "Row", "duration", "render"]
