"""``bench tune``: search a method's hyperparameters without a target label.

Every set of hyperparameters is run on every shift with every seed of the study, and judged by a
label-free rule at the end of training. Which set is *chosen* is decided when all have been tried:

1. A set is eligible if it finished everywhere, and its accuracy on held-out source images stayed
   within `bench.tuning.tried.GUARD` of the best of all sets that finished. This guards against
   what fools label-free rules: classes that are swapped, and collapse.
2. In each shift and seed, eligible sets are ranked by the rule. The smallest mean rank wins: scores
   of different shifts have no common scale.

While it runs, sets are proposed by Optuna's tree-structured Parzen estimator, and a set is stopped
when the best of its scores so far is below the median of the finished ones at the same point. Most
are stopped on the first shift, soon: slow starters lose, and the order of shifts matters.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import optuna

from bench import backbones, hyperparameters, plugins, world
from bench.config import PRECISIONS
from bench.digest import digest_of
from bench.errors import BenchError
from bench.params_file import Params
from bench.trials import (
    BUDGETS,
    Materials,
    available,
    check_writable,
    choose_device,
    resolved,
)
from bench.tuning import space
from bench.tuning.plan import Plan, Search, Tuned
from bench.tuning.study import alone, claim, counted, importance, open_study, storage_errors
from bench.tuning.tried import Tried, best, ranked, tried_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bench.request import Request
    from bench.suites import Shift
    from bench.trials import Row

LONGEST = 100
"""Characters of a study's name, which is a folder's."""

UNDISTURBED = 4
"""Trials that run to their end before any is stopped."""


def plan(request: Request, search: Search) -> Plan:
    """Check what is asked, before any data is read.

    Raises:
        BenchError: not exactly one method, a rule that gives no scores, or a wrong name, value or
            range.
    """
    suite, shifts, rows = resolved(request)
    if len(rows) != 1:
        message = f"bench tune takes one method at a time, got {len(rows)}. Say --method NAME."
        raise BenchError(message)
    row = rows[0]
    rule = plugins.load_rule(request.rule)
    if rule.score is None and not rule.looks_at_target_labels:
        message = f"The rule '{rule.name}' gives no scores to compare trials by. Take infomax."
        raise BenchError(message)
    base, settings = _base(row, request, shifts)
    given = space.read_space(search.space) if search.space else _declared(row, base)
    if not given:
        message = (
            f"Nothing of '{row.loaded.name}' is to be searched. Declare a space in the class (see"
            " CONTRIBUTING.md), or give one with --space FILE."
        )
        raise BenchError(message)
    ranges = space.distributions(row.loaded.cls, given, base)
    start = {key: base[key] for key in ranges}
    asked = {
        "method": row.loaded.name,
        "code": row.loaded.code,
        "settings": settings,
        "preset": request.preset,
        "shifts": [shift.described() for shift in shifts],
        "seeds": request.seeds,
        "rule": rule.name,
        "backbone": request.backbone,
        "weights": backbones.describe_weights(request.weights),
        "budget": request.budget or BUDGETS[request.preset],
        "prune": search.prune,
        "space": {
            key: json.loads(optuna.distributions.distribution_to_json(ranges[key]))
            for key in sorted(ranges)
        },
    }
    # Left out where they are as they always were, so that older studies go on.
    if request.precision != "32" or request.compile:
        asked |= {"precision": PRECISIONS[request.precision], "compile": request.compile}
    digest = digest_of(json.loads(json.dumps(asked)))[:8]
    name = search.study or f"{row.loaded.name}-{suite.name}-{request.preset}-{rule.name}-{digest}"
    legal = all(part.isalnum() or part in "-_." for part in name) and not name.startswith(".")
    if not legal or len(name) > LONGEST:
        message = (
            f"A study's name has letters, digits, '-', '_' and '.' only, and at most {LONGEST},"
            f" got '{name}'."
        )
        raise BenchError(message)
    return Plan(row, shifts, rule, ranges, start, asked, name)


def _base(
    row: Row, request: Request, shifts: Sequence[Shift]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return every hyperparameter as it is without a search, and those that the preset has not."""
    kinds = {shift.task for shift in shifts}
    if len(kinds) > 1:
        message = "Shifts of classification and of segmentation cannot be tuned together."
        raise BenchError(message)
    made: Any = hyperparameters.resolve(row.loaded.cls, request.preset, row.asked, kinds.pop())
    return hyperparameters.flat(made), row.settings(request.preset, shifts[0])


def _declared(row: Row, base: Mapping[str, Any]) -> dict[str, object]:
    """Return the method's space without what the user has set, and parts that are off."""
    declared = space.declared(row.loaded.cls)
    known = hyperparameters.keys(row.loaded.cls)
    return {
        k: v for k, v in declared.items() if k not in row.asked and (k in base or k not in known)
    }


def tune(
    request: Request, search: Search, on_trial: Callable[[Tried], None] = lambda _: None
) -> Tuned:
    """Try sets of hyperparameters until there are enough, and choose one.

    An interrupted study goes on where it was; several processes may work on one.

    Raises:
        BenchError: as `plan` and `bench.tuning.study.open_study`.
        MissingDataError: data is missing, before any training; unless `skip_missing`.
    """
    if world.size() > 1:
        raise BenchError("bench tune runs each trial in one process. Start it without torchrun.")
    planned = plan(request, search)
    folder = request.runs / "studies" / planned.name
    check_writable(folder)
    shifts, left_out = available(planned.shifts, request)
    planned.asked["shifts"] = [shift.described() for shift in shifts]
    storage = search.storage or _sqlite(folder / "study.db")
    materials = Materials(request, choose_device(request.device))
    from bench.tuning.trial import Worker  # noqa: PLC0415  torch, after mistakes have been answered

    cells = list(itertools.product(shifts, request.seeds))
    worker = Worker(planned.row, planned.rule, cells, materials, folder)
    locks, seed = folder / "locks", int(digest_of(planned.name)[:8], 16)
    with storage_errors(storage):
        with alone(locks):
            study = open_study(planned.name, storage, planned.asked, _pruner(search))
            if not study.get_trials(deepcopy=False):
                study.enqueue_trial(space.start(planned.space, planned.start))
        while claimed := claim(study, planned.space, search.trials, locks, seed):
            trial, lock = claimed
            try:
                worker.run(study, trial)
            finally:
                lock.release()
            on_trial(tried_of(study.trials[trial.number]))
        tried = ranked([tried_of(trial) for trial in counted(study)])
        shares = importance(study)
    params = _params(planned, request, tried)
    return Tuned(tried, params, folder, [shift.name for shift in shifts], left_out, shares)


def _sqlite(path: Path) -> str:
    """Return the URL of an SQLite file, whatever characters its path has."""
    from sqlalchemy import URL  # noqa: PLC0415

    return URL.create("sqlite", database=str(path)).render_as_string()


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    if not search.prune:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=UNDISTURBED)


def _params(planned: Plan, request: Request, tried: Sequence[Tried]) -> Params | None:
    """Return the chosen hyperparameters; of equal ranks the first tried."""
    chosen = best(tried)
    if chosen is None:
        return None
    settings = {**planned.asked["settings"], **chosen.settings}
    about = {
        "trial": chosen.number,
        "mean_rank": chosen.rank,
        "scores": chosen.scores,
        "source_accuracy": chosen.source_accuracy,
        "looks_at_target_labels": planned.rule.looks_at_target_labels,
        "shifts": [shift["name"] for shift in planned.asked["shifts"]],
        "seeds": list(request.seeds),
        "space": planned.asked["space"],
        "pruned": sum(trial.state == "pruned" for trial in tried),
        "failed": sum(trial.state == "failed" for trial in tried),
        "steps": sum(trial.steps for trial in tried),
        "seconds": round(sum(trial.seconds for trial in tried), 1),
    }
    ended = sum(trial.state != "running" for trial in tried)  # others may be at some still
    tuned = {"rule": planned.rule.name, "trials": ended, "study": planned.name}
    return Params(planned.row.loaded.name, request.preset, settings, tuned, about)
