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
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from bench import published, select
from bench.beside import references, with_published
from bench.config import RunConfig
from bench.digest import canonical_json, digest_of
from bench.errors import BenchError
from bench.headline import class_ious, figures_of, quality, ranked_by
from bench.records import BROKEN, confusions_of
from bench.row import Row
from bench.tables import render

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from bench.select import Rule
    from bench.suites import Entry, Suite

PRESETS = ("paper", "fast", "smoke")

Config = dict[str, Any]

_ABSENT = object()


@dataclass(frozen=True)
class _Scores:
    """What one run scored, by metric, by class, and, in order, by stage; None of nothing."""

    figures: dict[str, float | None]
    classes: dict[str, float | None]
    stages: dict[str, float | None]


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
    cells = published.cells(suite.name)
    ours = []
    for runs in _groups(frame, suite):
        config = runs[0]["record"]["config"]
        label = label_of(config, suite.entries)
        row = _measured(runs, chosen, seeds, _broken_seeds(frame, config))
        row = dataclasses.replace(row, suite=suite.name, label=label)
        ours.append((with_published(row, cells), config))
    measured = _told_apart(ours)
    order = {shift.name: place for place, shift in enumerate(suite.shifts)}
    return sorted(
        [*measured, *references(measured, suite, cells)], key=lambda row: _place(row, order)
    )


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
    scores: dict[int, _Scores] = {}
    failed = {
        seed: {"seed": seed, "status": BROKEN, "error": error} for seed, error in broken.items()
    }
    records = {run["record"]["config"]["seed"]: run["record"] for run in runs}
    for run, (seed, record) in zip(runs, records.items(), strict=True):
        status, error = record["status"], record["error"]
        if status == "done":
            try:
                scores[seed] = _scores(run, rule)
                continue
            except BenchError as reason:
                status, error = BROKEN, str(reason)
        failed[seed] = {"seed": seed, "status": status, "error": error}
    config = runs[0]["record"]["config"]
    metric = ranked_by(config["shift"])
    figures = _collected(score.figures for score in scores.values())
    mean, std, ci95 = summary(figures.pop(metric, []))
    classes = _collected(score.classes for score in scores.values())
    stages = _collected(score.stages for score in scores.values())
    finished = [records[seed] for seed in scores]
    return Row(
        suite="",
        shift=config["shift"]["name"],
        protocol=config["shift"]["protocol"],
        backbone=config["backbone"],
        method=config["method"],
        preset=config["preset"],
        rule=rule.name,
        metric=metric,
        n=len(scores),
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
        seeds=tuple(scores),
        failed=tuple(failed[seed] for seed in sorted(failed)),
        stages=tuple(
            {"stage": name, "n": len(values), **_spread(values)} for name, values in stages.items()
        ),
        departure=runs[0]["record"]["departure"],
        devices=tuple(sorted({r["device"] for r in records.values()})),
        threads=tuple(sorted({r["threads"] for r in records.values()})),
        others={name: _spread(values) for name, values in figures.items()},
        classes={name: _spread(values) for name, values in classes.items()},
    )


def _scores(run: Mapping[str, Any], rule: Rule) -> _Scores:
    """Return what the chosen checkpoint and each stage's own network of one run scored."""
    shift = run["record"]["config"]["shift"]
    confusions = confusions_of(run["record"], run["folder"])
    if not confusions.checkpoints:
        message = "no checkpoint was scored"
        raise BenchError(message)
    good = partial(quality, shift=shift)
    chosen = confusions.checkpoints[rule.choose(confusions.checkpoints, good)]
    scores = _Scores(
        figures_of(chosen, shift),
        class_ious(chosen, shift),
        {
            stage["name"]: good(confusions.stages[stage["name"]])
            for stage in run["record"]["stages"]
            if stage["name"] in confusions.stages
        },
    )
    if None in (*scores.figures.values(), *scores.stages.values()):
        message = "a confusion matrix is empty"
        raise BenchError(message)
    return scores


def _collected(by_seed: Iterable[Mapping[str, float | None]]) -> dict[str, list[float]]:
    """Return the values of all seeds by name; a name without any has an empty list."""
    found: dict[str, list[float]] = {}
    for values in by_seed:
        for name, value in values.items():
            found.setdefault(name, []).extend([] if value is None else [value])
    return found


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    mean, std, _ = summary(values)
    return {"mean": mean, "std": std}


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


__all__ = ["Row", "label_of", "render", "rows", "summary"]
