"""The same sets of hyperparameters with and without pruning: steps, and the best that is found.

python tests/benchmarks/pruning.py [--runs DIR] [--suite S] [--method M] [--shift S]... [--trials N]

The first study proposes sets and stops hopeless ones; the second runs the very same sets to their
end. Runs that the first one finished are copied, not repeated: a run with and without the pruner
looking on is the same (tests/test_tune.py). Both studies resume.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.pruners import NopPruner

from bench.records import read_run
from bench.request import Request
from bench.tune import plan, tune
from bench.tuning.plan import Search
from bench.tuning.study import open_study
from bench.tuning.tried import best

if TYPE_CHECKING:
    from bench.tuning.plan import Tuned


def unpruned(request: Request, trials: int, first: Tuned) -> Tuned:
    """Run the sets of `first` again, in their order, to their end."""
    search = Search(trials, study=f"{first.folder.name}-unpruned", prune=False)
    folder = first.folder.with_name(str(search.study))
    folder.mkdir(parents=True, exist_ok=True)
    for path in first.folder.glob("*/run.json"):
        if read_run(path.parent)["status"] == "done" and not (folder / path.parent.name).exists():
            shutil.copytree(path.parent, folder / path.parent.name)
    study = open_study(
        str(search.study),
        f"sqlite:///{folder / 'study.db'}",
        plan(request, search).asked,
        NopPruner(),
    )
    if not study.trials:
        for trial in first.tried:
            study.enqueue_trial(dict(trial.settings))
    return tune(request, search)


def main() -> None:
    """Run both studies and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/pruning"))
    parser.add_argument("--suite", default="mini")
    parser.add_argument("--method", default="adda")
    parser.add_argument("--shift", action="append", default=[])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--trials", type=int, default=20)
    arguments = parser.parse_args()
    request = Request(
        suite=arguments.suite,
        methods=(arguments.method,),
        shifts=tuple(arguments.shift),
        seeds=(1000,),
        preset=arguments.preset,
        rule="infomax",
        threads=1,
        data=Path(os.environ.get("BENCH_DATA", "data")),
        runs=arguments.runs,
        offline=True,
    )
    pruned = tune(request, Search(arguments.trials))
    whole = unpruned(request, arguments.trials, pruned)
    print("study      finished  stopped  failed      steps  chosen  best InfoMax  of the chosen")
    for name, found in (("pruned", pruned), ("unpruned", whole)):
        states = [trial.state for trial in found.tried]
        counts = [states.count(state) for state in ("complete", "pruned", "failed")]
        chosen = best(found.tried)
        top = max((t.value for t in found.tried if t.eligible and t.value is not None), default=0.0)
        steps = sum(trial.steps for trial in found.tried)
        print(
            f"{name:<9} {counts[0]:>9} {counts[1]:>8} {counts[2]:>7} {steps:>10,}"
            f" {chosen.number if chosen else '-':>7} {top:>13.4f}"
            f" {(chosen.value or 0.0) if chosen else 0.0:>14.4f}"
        )
    shares = [sum(t.steps for t in found.tried) for found in (pruned, whole)]
    print(f"steps with pruning: {100 * shares[0] / shares[1]:.1f} % of those without")


if __name__ == "__main__":
    main()
