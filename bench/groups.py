"""Runs that differ in nothing but the seed, and what each of them scored.

A *group* is what a row of a leaderboard stands for, and what a comparison pairs seed by seed:
runs of one method, settings, preset, shift, protocol, backbone, weights, arithmetic, budget, code
and data.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.config import RunConfig, arithmetic_of
from bench.digest import canonical_json, digest_of
from bench.errors import BenchError
from bench.evidence import scores_by
from bench.measured import measure
from bench.records import BROKEN
from bench.stored import Run, brief_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from bench.measured import Measured
    from bench.select import Rule
    from bench.suites import Entry, Suite

Config = dict[str, Any]

_ABSENT = object()


@dataclass(frozen=True, eq=False)
class Group:
    """The runs of one configuration.

    Attributes:
        label: the name of the suite's row that it is, or ``method [key=value, ...]``.
        config: of its runs; the seed in it is any of theirs.
        runs: by seed, in ascending order, finished or not; never empty.
        broken: the error of each seed whose run cannot be read.
    """

    label: str
    config: Config
    runs: Mapping[int, Run]
    broken: Mapping[int, str]


@dataclass(frozen=True)
class Scores:
    """What one run scored with its chosen checkpoint; None of nothing.

    Attributes:
        step: training step of that checkpoint.
        figures: by metric.
        classes: IoU by class, of segmentation only.
        stages: figure of each stage's own network, in the order of training.
    """

    step: int
    figures: Mapping[str, float | None]
    classes: Mapping[str, float | None]
    stages: Mapping[str, float | None]


def groups(frame: pd.DataFrame, suite: Suite) -> list[Group]:
    """Return the runs of the suite's shifts by configuration.

    Args:
        frame: runs, as `bench.records.load_runs` returns them; those on other shifts are left out.
        suite: decides shifts and labels.

    Raises:
        BenchError: one run stands in the frame twice.
    """
    shifts = {(shift.name, shift.source, shift.target) for shift in suite.shifts}
    found: dict[bytes, dict[int, Run]] = {}
    configs: dict[bytes, Config] = {}
    elsewhere: set[bytes] = set()
    for record, folder in zip(frame["record"], frame["folder"], strict=True):
        if record is None:
            continue
        brief = brief_of(record)
        by_seed = found.get(brief.key)
        if by_seed is None:
            shift = brief.config["shift"]
            if brief.key in elsewhere:
                continue
            if (shift["name"], shift["source"], shift["target"]) not in shifts:
                elsewhere.add(brief.key)
                continue
            by_seed = found[brief.key] = {}
            configs[brief.key] = brief.config | {"seed": brief.seed}
        if brief.seed in by_seed:
            message = f"run {brief.run_id} stands in the frame twice; count it once"
            raise BenchError(message)
        by_seed[brief.seed] = Run(record, folder)
    unreadable = frame.loc[frame["status"] == BROKEN, ["run_id", "error"]].to_numpy().tolist()
    result = []
    for key, runs in sorted(found.items()):
        ordered = {seed: runs[seed] for seed in sorted(runs)}
        label = label_of(configs[key], suite.entries)
        broken = _broken_seeds(unreadable, configs[key])
        result.append(Group(label, configs[key], ordered, broken))
    return result


def distinct_labels(found: Sequence[Group]) -> list[str]:
    """Return the groups' labels; where two of one table have one, each says what differs."""
    namesakes: dict[object, list[Config]] = {}
    for group in found:
        namesakes.setdefault((*_table_of(group.config), group.label), []).append(group.config)
    differing_in = {
        name: [
            key
            for key in ("code", "budget", "data", "shift", "params", "tuned")
            if any(other.get(key) != first.get(key) for other in others)
        ]
        for name, (first, *others) in namesakes.items()
    }
    result = []
    for group in found:
        config = group.config
        differing = [
            f"{key} {config[key] if isinstance(config[key], int) else _short(config[key])}"
            for key in differing_in[*_table_of(config), group.label]
        ]
        result.append(f"{group.label} ({', '.join(differing)})" if differing else group.label)
    return result


def _table_of(config: Config) -> tuple[str, ...]:
    shift = config["shift"]
    conditions = (config[key] for key in ("backbone", "weights", "preset"))
    return (shift["name"], shift["protocol"], *conditions, arithmetic_of(config))


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else digest_of(value)[:8]


def label_of(config: Config, entries: Iterable[Entry]) -> str:
    """Return the name of the suite's row that a run belongs to, or ``method [key=value, ...]``.

    Of settings that a search found, say how: ``method (tuned by infomax, 20 trials)``.
    """
    if tuned := config.get("tuned"):
        trials = f"{tuned['trials']} trial{'' if tuned['trials'] == 1 else 's'}"
        return f"{config['method']} (tuned by {tuned['rule']}, {trials})"
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
    settings = config["settings"]
    if config["method"] != entry.method or not settings.keys() <= entry.settings.keys():
        return False
    wanted = json.loads(canonical_json(dict(entry.settings)))  # as a record holds it
    return all(wanted[key] == value for key, value in settings.items()) and all(
        _parameter(config["params"], key) == value for key, value in wanted.items()
    )


def _parameter(params: Mapping[str, Any], key: str) -> object:
    value: Any = params
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _broken_seeds(unreadable: Iterable[Sequence[str]], config: Config) -> dict[int, str]:
    """Return {seed: error} of unreadable runs whose name proves that they belong to the group."""
    found = {}
    for run_id, error in unreadable:
        parts = re.fullmatch(r"(.*)-(\d{1,18})-[0-9a-f]{12}", run_id)
        if parts is None or parts[1] != f"{config['method']}-{config['shift']['name']}":
            continue
        seed = int(parts[2])
        if RunConfig(**config | {"seed": seed}).run_id == run_id:
            found[seed] = str(error)
    return found


def outcomes(group: Group, rule: Rule) -> tuple[dict[int, Scores], dict[int, dict[str, Any]]]:
    """Return what each finished seed scored, and seed, status and error of each other one.

    A finished run whose scores cannot be read, or that the rule has no scores of, is broken.
    """
    done = finished(group)
    measured = measure([group.runs[seed] for seed in done], rule)
    scored = {
        seed: _scores(measured, place)
        for place, seed in enumerate(done)
        if place not in measured.errors
    }
    return scored, unfinished(group, {done[p]: error for p, error in measured.errors.items()})


def finished(group: Group) -> list[int]:
    """Return the seeds that ran to their end, whether or not their scores can be read."""
    return [seed for seed, run in group.runs.items() if brief_of(run.record).status == "done"]


def unfinished(group: Group, errors: Mapping[int, str]) -> dict[int, dict[str, Any]]:
    """Return seed, status and error of each seed without scores, by seed.

    Args:
        group: the group.
        errors: why seeds that finished have no scores after all.
    """
    failed: dict[int, tuple[str, str | None]] = {
        seed: (BROKEN, error) for seed, error in (*group.broken.items(), *errors.items())
    }
    for seed, run in group.runs.items():
        brief = brief_of(run.record)
        if brief.status != "done":
            failed[seed] = brief.status, brief.error
    return {
        seed: {"seed": seed, "status": status, "error": error}
        for seed, (status, error) in sorted(failed.items())
    }


def scores(run: Run, rule: Rule) -> Scores:
    """Return what the checkpoint that a rule chooses, and each stage's own network, scored.

    Raises:
        BenchError: the run's matrices are missing, broken or empty, or the rule has no scores.
    """
    measured = measure([run], rule)
    if measured.errors:
        raise BenchError(measured.errors[0])
    return _scores(measured, 0)


def _scores(measured: Measured, place: int) -> Scores:
    figures, classes, stages = (
        {name: None if np.isnan(column[place]) else float(column[place]) for name, column in part}
        for part in (
            measured.figures.items(),
            measured.classes.items(),
            ((name, measured.stages[name]) for name in measured.stage_names[place]),
        )
    )
    return Scores(int(measured.steps[place]), figures, classes, stages)


def chosen_step(run: Run, rule: Rule, qualities: Mapping[int, float | None]) -> int:
    """Return the step of the checkpoint that a rule chooses.

    Args:
        run: a finished one.
        rule: the rule.
        qualities: figure on the target's test set by step, which only the oracle looks at.

    Raises:
        BenchError: the rule has no scores of this run's checkpoints.
    """
    if rule.score is None:
        return rule.choose(qualities)
    by_step = scores_by(rule, run.record.get("scores", {}), run.folder)
    return rule.choose({step: by_step.get(step) for step in qualities})


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else canonical_json(value)
