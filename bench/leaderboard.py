"""From a frame of runs to a ranked table: Markdown, CSV, LaTeX, JSON.

One row holds the seeds of one configuration. Runs that differ in anything but the seed (method,
settings, preset, protocol, backbone, budget, code, data) never share a row, because a row is
keyed by the whole configuration without its seed. A run that did not finish is counted, with its
reason; it is never dropped.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from bench import published, select
from bench.config import RunConfig
from bench.digest import canonical_json, digest_of
from bench.errors import BenchError
from bench.metrics import accuracy
from bench.records import BROKEN, confusions_of
from bench.tables import Row, render

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from bench.published import Cell
    from bench.select import Rule
    from bench.suites import Entry, Suite

METRIC = "accuracy"
PRESETS = ("paper", "fast", "smoke")

Config = dict[str, Any]

_ABSENT = object()


def rows(
    frame: pd.DataFrame,
    suite: Suite,
    rule: str = select.DEFAULT,
    *,
    seeds: Collection[int] = (),
) -> list[Row]:
    """Return the suite's table, in the order in which it is shown.

    Args:
        frame: runs, as `bench.records.load_runs` returns them; those on other shifts are left out.
        suite: decides shifts, the names of rows and the published figures beside them.
        rule: name of the selection rule.
        seeds: seeds that were planned, whether or not a run of them exists.

    Raises:
        BenchError: the rule is unknown, or one run stands in the frame twice.
    """
    chosen = select.rule(rule)
    all_cells = published.cells(suite.name)
    cells = {(c.method, c.shift): c for c in all_cells if c.metric == METRIC}
    ours = []
    for runs in _groups(frame, suite):
        config = runs[0]["record"]["config"]
        label = label_of(config, suite.entries)
        row = _measured(runs, chosen, seeds, _broken_seeds(frame, config))
        row = dataclasses.replace(row, suite=suite.name, label=label)
        ours.append((_beside(row, cells.get((label, row.shift))), config))
    measured = _told_apart(ours)
    references = _references(measured, suite, cells.values())
    order = {shift.name: place for place, shift in enumerate(suite.shifts)}
    return sorted([*measured, *references], key=lambda row: _place(row, order))


def summary(
    values: Sequence[float],
) -> tuple[float | None, float | None, tuple[float, float] | None]:
    """Return mean, sample standard deviation and 95 % interval of the mean.

    The interval is mean -+ t * std / sqrt(n), where t is the 97.5 % point of Student's
    distribution with n - 1 degrees of freedom. It may leave 0..1. What n is too small for is None.

    >>> mean, std, (low, high) = summary([0.5, 0.7])
    >>> round(mean, 4), round(std, 4), round(low, 4), round(high, 4)
    (0.6, 0.1414, -0.6706, 1.8706)
    """
    n = len(values)
    if n == 0:
        return None, None, None
    mean = float(np.mean(values))
    if n == 1:
        return mean, None, None
    std = float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
    return mean, std, (mean - half, mean + half)


def label_of(config: Config, entries: Iterable[Entry]) -> str:
    """Return the name of the suite's row that a run belongs to, or ``method [key=value, ...]``."""
    for entry in entries:
        if _is_entry(config, entry):
            return entry.label
    shown = ", ".join(f"{key}={_shown(value)}" for key, value in sorted(config["settings"].items()))
    return f"{config['method']} [{shown}]" if shown else str(config["method"])


def _is_entry(config: Config, entry: Entry) -> bool:
    """Say whether a run is what the entry asks for, and nothing else differs from the preset.

    An entry's setting that a preset has anyway is not among the run's settings, so that is
    looked up in the resolved parameters.
    """
    wanted = json.loads(canonical_json(dict(entry.settings)))  # as a record holds it
    extra = any(key not in wanted or wanted[key] != v for key, v in config["settings"].items())
    return (
        config["method"] == entry.method
        and not extra
        and all(_parameter(config["params"], key) == value for key, value in wanted.items())
    )


def _parameter(params: Mapping[str, Any], key: str) -> object:
    value: Any = params
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _groups(frame: pd.DataFrame, suite: Suite) -> list[list[dict[str, Any]]]:
    """Return the runs of the suite's shifts by configuration, each group sorted by seed."""
    shifts = {(shift.name, shift.source, shift.target) for shift in suite.shifts}
    groups: dict[str, dict[int, dict[str, Any]]] = {}
    for record, folder in zip(frame["record"], frame["folder"], strict=True):
        if record is None:
            continue
        run = {"record": record, "folder": folder}
        config = record["config"]
        if tuple(config["shift"][key] for key in ("name", "source", "target")) not in shifts:
            continue
        key = canonical_json({k: v for k, v in config.items() if k != "seed"})
        by_seed = groups.setdefault(key, {})
        if config["seed"] in by_seed:
            message = f"run {record['run_id']} stands in the frame twice; count it once"
            raise BenchError(message)
        by_seed[config["seed"]] = run
    return [[group[seed] for seed in sorted(group)] for _, group in sorted(groups.items())]


def _broken_seeds(frame: pd.DataFrame, config: Config) -> dict[int, str]:
    """Return {seed: error} of unreadable runs whose name proves that they belong to the group."""
    found = {}
    for run_id, error in frame.loc[frame["status"] == BROKEN, ["run_id", "error"]].to_numpy():
        parts = re.fullmatch(r".*-(\d{1,18})-[0-9a-f]{12}", run_id)
        if parts is None:
            continue
        seed = int(parts[1])
        if RunConfig(**config | {"seed": seed}).run_id == run_id:
            found[seed] = str(error)
    return found


def _measured(
    runs: list[dict[str, Any]], rule: Rule, planned: Collection[int], broken: Mapping[int, str]
) -> Row:
    """Return the row of one configuration, not yet labelled."""
    values: dict[int, float] = {}
    by_stage: dict[str, list[float]] = {}
    failed = {
        seed: {"seed": seed, "status": BROKEN, "error": error} for seed, error in broken.items()
    }
    records = {run["record"]["config"]["seed"]: run["record"] for run in runs}
    for run, (seed, record) in zip(runs, records.items(), strict=True):
        status, error = record["status"], record["error"]
        if status == "done":
            try:
                values[seed], stages = _scores(run, rule)
                for name, value in stages.items():
                    by_stage.setdefault(name, []).append(value)
                continue
            except BenchError as reason:
                status, error = BROKEN, str(reason)
        failed[seed] = {"seed": seed, "status": status, "error": error}
    mean, std, ci95 = summary(list(values.values()))
    finished = [records[seed] for seed in values]
    config = runs[0]["record"]["config"]
    return Row(
        suite="",
        shift=config["shift"]["name"],
        protocol=config["shift"]["protocol"],
        backbone=config["backbone"],
        method=config["method"],
        preset=config["preset"],
        rule=rule.name,
        metric=METRIC,
        n=len(values),
        planned=len({*records, *broken, *planned}),
        mean=mean,
        std=std,
        ci95=ci95,
        settings=config["settings"],
        weights=config["weights"],
        learns_from=config["learns_from"],
        chosen_on_test_labels=rule.looks_at_target_labels,
        steps=float(np.mean([r["steps"] for r in finished])) if finished else None,
        seconds=float(np.mean([r["seconds"] for r in finished])) if finished else None,
        seeds=tuple(values),
        failed=tuple(failed[seed] for seed in sorted(failed)),
        stages=tuple(_stage(name, values) for name, values in by_stage.items()),
        departure=runs[0]["record"]["departure"],
        devices=tuple(sorted({r["device"] for r in records.values()})),
        threads=tuple(sorted({r["threads"] for r in records.values()})),
    )


def _scores(run: Mapping[str, Any], rule: Rule) -> tuple[float, dict[str, float]]:
    """Return the accuracy of the chosen checkpoint, and that of each stage's network, in order."""
    confusions = confusions_of(run["record"], run["folder"])
    if not confusions.checkpoints:
        message = "no checkpoint was scored"
        raise BenchError(message)
    value = accuracy(confusions.checkpoints[rule.choose(confusions.checkpoints)])
    order = [
        stage["name"] for stage in run["record"]["stages"] if stage["name"] in confusions.stages
    ]
    stages = {name: accuracy(confusions.stages[name]) for name in order}
    if value is None or None in stages.values():
        message = "a confusion matrix is empty"
        raise BenchError(message)
    return value, {name: score for name, score in stages.items() if score is not None}


def _stage(name: str, values: Sequence[float]) -> dict[str, Any]:
    mean, std, _ = summary(values)
    return {"stage": name, "n": len(values), "mean": mean, "std": std}


def _beside(row: Row, cell: Cell | None) -> Row:
    """Return `row` with a published figure beside it, and the difference if that has a meaning.

    A figure chosen on test labels is compared with none.
    """
    if cell is None:
        return row
    alike = cell.matches(
        metric=row.metric, protocol=row.protocol, backbone=row.backbone, weights=row.weights
    )
    comparable = alike and row.mean is not None and not row.chosen_on_test_labels
    return dataclasses.replace(
        row,
        published=cell.value,
        delta=row.mean - cell.value if comparable and row.mean is not None else None,
        published_std=cell.std,
        published_label=cell.label,
        published_protocol=cell.protocol,
        published_backbone=cell.backbone,
        published_weights=cell.weights,
        published_source=cell.source,
        published_note=cell.note,
    )


def _told_apart(measured: list[tuple[Row, Config]]) -> list[Row]:
    """Return the rows; where two of one table have one name, say what differs between them."""
    namesakes: dict[object, list[Config]] = {}
    for row, config in measured:
        namesakes.setdefault((row.section, row.label), []).append(config)
    result = []
    for row, config in measured:
        others = namesakes[row.section, row.label]
        differing = [
            f"{key} {config[key] if isinstance(config[key], int) else _short(config[key])}"
            for key in ("code", "budget", "precision", "data", "shift", "params")
            if any(other[key] != config[key] for other in others)
        ]
        label = f"{row.label} ({', '.join(differing)})" if differing else row.label
        result.append(dataclasses.replace(row, label=label))
    return result


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else digest_of(value)[:8]


def _references(measured: list[Row], suite: Suite, cells: Iterable[Cell]) -> list[Row]:
    """Return a row for each published figure that some table of its shift lacks."""
    names = {entry.label: entry.method for entry in suite.entries}
    shifts = {shift.name for shift in suite.shifts}
    result = []
    for cell in cells:
        tables = {row.section for row in measured if row.shift == cell.shift}
        having = {row.section for row in measured if row.published_label == cell.label}
        if cell.shift not in shifts or (tables and tables <= having):
            continue
        empty = Row(
            suite=suite.name,
            shift=cell.shift,
            protocol=cell.protocol,
            backbone=cell.backbone,
            method=names.get(cell.method, cell.method),
            preset=None,
            rule=None,
            metric=cell.metric,
            label=cell.method,
            weights=cell.weights,
            learns_from="target" if cell.method == "target-only" else "source",
        )
        result.append(_beside(empty, cell))
    return result


def _place(row: Row, order: Mapping[str, int]) -> tuple[Any, ...]:
    """Sort key: by table; then ranked methods, best first; incomplete ones; bounds; published."""
    preset = PRESETS.index(row.preset) if row.preset in PRESETS else len(PRESETS)
    kind = 3 if row.rule is None else 2 if row.learns_from == "target" else int(not row.complete)
    value = row.published if row.rule is None else row.mean
    return (
        order[row.shift],
        row.rule is None,
        preset,
        row.section[1:] if row.rule is not None else (),
        kind,
        math.inf if value is None else -value,
        row.label,
    )


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else canonical_json(value)


__all__ = ["METRIC", "Row", "label_of", "render", "rows", "summary"]
