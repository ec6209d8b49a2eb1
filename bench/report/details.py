"""What the page says of one run once its reader opens it, in three parts.

*Core* is small, and stands in the page for every run: command, stages, scores, the last confusion
matrix, configuration. *Log* is what was logged, and the other matrices. *Pictures* are the files
in ``figures/``. The parts are apart because a page of many runs has no room for all.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.classes import PROTOCOLS
from bench.confusions import Confusions, unpacked
from bench.errors import BenchError
from bench.groups import chosen_step
from bench.headline import figures_of, quality
from bench.records import confusions_of, read_metrics
from bench.report.curves import CURVES, curves
from bench.report.pictures import picture
from bench.runs.reproduce import cautions, command, typed
from bench.stored import brief_of
from bench.tables.cells import NAMES, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.metrics import Confusion
    from bench.records import Record
    from bench.select import Rule
    from bench.stored import Run
    from bench.suites import Suite

Part = dict[str, Any]

MATRIX = "confusion.png"
"""A picture that the page leaves out, because it draws the matrices themselves."""


def core(run: Run, suite: str | None, entries: Suite | None, rules: Sequence[Rule]) -> Part:
    """Return what the page holds of every run.

    Args:
        run: finished or not.
        suite: as in ``--suite``, for the command; None if none that is known has the run's shift.
        entries: that suite.
        rules: whose choices are marked among the checkpoints.
    """
    record = dict(run.record)
    confusions, unreadable = _confusions(run)
    return {
        "folder": run.folder is not None,
        "more": shlex.join(["bench", "report", record["run_id"]]),
        "command": command(record, suite, entries.entries if entries else ()),
        "cautions": cautions(record, suite),
        "facts": _facts(record),
        "stages": _stages(record, confusions),
        "scores": _scores(run, confusions, rules),
        "unreadable": unreadable,
        "matrices": _matrices(confusions, record["config"]["shift"])[:1],
        "config": [[key, typed(value)] for key, value in _flat(record["config"])],
        "environment": [[key, typed(value)] for key, value in _flat(record["environment"])],
    }


def log(run: Run) -> Part:
    """Return curves and all matrices; "note" says what is missing of the curves, or is None."""
    confusions, _ = _confusions(run)
    part: Part = {
        "curves": [],
        "note": None,
        "matrices": _matrices(confusions, _shift(run)),
    }
    if run.folder is None:
        part["note"] = "This run was read from a records file, which has no logs and no pictures."
        return part
    try:
        found = curves(read_metrics(Path(run.folder)))
    except BenchError as error:
        return part | {"note": str(error)}
    if not found:
        part["note"] = "Nothing was logged."
    if len(found) > CURVES:
        part["note"] = f"The first {CURVES} of {len(found)} curves."
    return part | {"curves": found[:CURVES]}


def pictures(run: Run) -> list[Part]:
    """Return the run's pictures; one that cannot be read has "error" instead of "src"."""
    if run.folder is None:
        return []
    found = []
    for path in sorted(Path(run.folder, "figures").glob("*.png")):
        if path.name == MATRIX:
            continue
        try:
            found.append(picture(path))
        except BenchError as error:
            found.append({"name": path.stem, "error": str(error)})
    return found


def figure(run: Run, rule: Rule) -> str:
    """Return what the run scored with the checkpoint that a rule chooses, in per cent; or ""."""
    if brief_of(run.record).status != "done":
        return ""
    confusions, _ = _confusions(run)
    shift = _shift(run)
    qualities = {step: quality(m, shift) for step, m in confusions.checkpoints.items()}
    try:
        return percent(qualities[chosen_step(run, rule, qualities)], None, 2) if qualities else ""
    except BenchError:
        return ""


# ------------------------------------------------------------------ parts of a part


def _shift(run: Run) -> Mapping[str, Any]:
    shift: Mapping[str, Any] = brief_of(run.record).config["shift"]
    return shift


def _confusions(run: Run) -> tuple[Confusions, str | None]:
    """Return a run's matrices, and why there are none if a finished run has none to score."""
    brief = brief_of(run.record)
    try:
        known = brief.matrices
        found = unpacked(known) if known else confusions_of(run.record, run.folder)
        for matrix in (*found.checkpoints.values(), *found.stages.values()):
            quality(matrix, _shift(run))
    except BenchError as error:
        return Confusions(), str(error) if brief.status == "done" else None
    return found, None


def _facts(record: Record) -> list[list[str]]:
    threads = f"{record['threads']} thread{'' if record['threads'] == 1 else 's'}"
    shown = [
        ("status", record["status"]),
        ("reason", record["error"]),
        ("departs from its paper", record["departure"]),
        *(
            ("warning", f"{e['kind']} ({e['stage']}, step {e['step']}): {e['reason']}")
            for e in record["events"]
        ),
        *(("not deterministic", reason) for reason in record["nondeterministic"]),
        ("training", f"{record['steps']:,} steps in {duration(record['seconds'])}"),
        ("device", f"{record['device']}, {threads}"),
        ("started", record["started"]),
        ("finished", record["finished"]),
    ]
    return [[name, str(value)] for name, value in shown if value]


def _stages(record: Record, confusions: Confusions) -> list[list[str]]:
    """Return a line a stage: name, steps, wall time, why it ended, its own network's figure."""
    shift = record["config"]["shift"]
    return [
        [
            str(stage["name"]),
            f"{stage['steps']:,}",
            duration(stage["seconds"]) + (" (from the cache)" if stage["cached"] else ""),
            str(stage["stop"] or "all steps"),
            percent(quality(confusions.stages[stage["name"]], shift), None, 2)
            if stage["name"] in confusions.stages
            else "",
        ]
        for stage in record["stages"]
    ]


def _scores(run: Run, confusions: Confusions, rules: Sequence[Rule]) -> Part:
    """Return a table of every checkpoint's figures, and which rule chose it."""
    shift = _shift(run)
    by_step = {step: figures_of(m, shift) for step, m in confusions.checkpoints.items()}
    metrics = list(next(iter(by_step.values()), {}))
    qualities = {step: values[metrics[0]] for step, values in by_step.items()}
    chosen: dict[int, list[str]] = {}
    for rule in rules if qualities else ():
        try:
            chosen.setdefault(chosen_step(run, rule, qualities), []).append(rule.name)
        except BenchError:
            continue
    return {
        "head": ["Step", *(NAMES[name] for name in metrics), "Chosen by"],
        "lines": [
            [
                f"{step:,}",
                *(percent(values[name], None, 2) for name in metrics),
                ", ".join(chosen.get(step, [])),
            ]
            for step, values in by_step.items()
        ],
    }


def _matrices(confusions: Confusions, shift: Mapping[str, Any]) -> list[Part]:
    """Return every confusion matrix with a title and the names of its classes; the last first."""
    last_first = sorted(confusions.checkpoints.items(), reverse=True)
    titled = [(f"checkpoint at step {step:,}", matrix) for step, matrix in last_first]
    titled += [(f"stage {name}", matrix) for name, matrix in confusions.stages.items()]
    return [
        {"title": title, "classes": _classes(matrix, shift), "counts": matrix.tolist()}
        for title, matrix in titled
    ]


def _classes(matrix: Confusion, shift: Mapping[str, Any]) -> list[str]:
    played = PROTOCOLS.get(shift["protocol"])
    if played is not None and len(played.classes) == len(matrix):
        return list(played.classes.names)
    return [str(index) for index in range(len(matrix))]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested mappings as dotted keys and plain values.

    >>> list(_flat({"lr": 1.0, "pixel": {"cycle": 2.0}, "feature": {}}))
    [('lr', 1.0), ('pixel.cycle', 2.0), ('feature', 'none')]
    """
    for key, part in value.items():
        if isinstance(part, dict) and part:
            yield from _flat(part, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "none" if part == {} else part
