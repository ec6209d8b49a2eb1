"""``bench tune``: search hyperparameters without a target label."""

# ruff: noqa: FBT002, PLR0913, PLR0917, TC003  Typer makes options of arguments, reads annotations

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands.options import (
    BackboneOption,
    BudgetOption,
    CacheOption,
    CompileOption,
    DataOption,
    DeviceOption,
    JsonOption,
    OfflineOption,
    PrecisionOption,
    PresetOption,
    RunsOption,
    SetOption,
    ShiftOption,
    SkipMissingOption,
    SuiteOption,
    ThreadsOption,
    WeightsOption,
    names_of,
)
from bench.console import FAILED, fail, only_json, print_json, show
from bench.errors import BenchError
from bench.printable import printable
from bench.request import DEFAULT_RUNS, Request, parse_seeds

if TYPE_CHECKING:
    from bench.tuning.plan import Plan, Tuned
    from bench.tuning.tried import Tried


def tune(
    data: DataOption,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=names_of("method"),
            help="A method, a row of the suite, or path/to/file.py:Class.",
        ),
    ],
    suite: SuiteOption = "mini",
    shift: ShiftOption = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Sets of hyperparameters to try, earlier ones included.")
    ] = 20,
    seeds: Annotated[
        str,
        typer.Option(
            metavar="N|A,B,...", help="Seeds of every trial: others than those of results."
        ),
    ] = "1000,",
    preset: PresetOption = "fast",
    settings: SetOption = None,
    select: Annotated[
        str,
        typer.Option(
            "--select",
            metavar="RULE",
            autocompletion=names_of("rule"),
            help="What judges a trial: a rule, or path/to/file.py:NAME.",
        ),
    ] = "infomax",
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default="the method's", help="Ranges to search, as JSON."
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Stop hopeless trials while they run.")
    ] = True,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="sqlite:///FILE|postgresql://...|journal:FILE",
            show_default="SQLite in the study's folder",
            help="Where Optuna keeps the study.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default="made of what is asked", help="Its name."),
    ] = None,
    backbone: BackboneOption = None,
    weights: WeightsOption = "random",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    precision: PrecisionOption = "32",
    compile_: CompileOption = False,
    cache: CacheOption = None,
    runs: RunsOption = DEFAULT_RUNS,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default="params.json in the study's folder", help="For the result."
        ),
    ] = None,
    offline: OfflineOption = False,
    skip_missing: SkipMissingOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be searched and stop.")
    ] = False,
    budget: BudgetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search a method's hyperparameters, judged without target labels; write a params file.

    An interrupted search goes on with the same command. Then: bench run --params FILE.
    """
    request = Request(
        suite=suite,
        methods=(method,),
        shifts=tuple(shift or ()),
        seeds=parse_seeds(seeds),
        preset=preset,
        settings=tuple(settings or ()),
        backbone=backbone,
        weights=weights,
        rule=select,
        device=device,
        threads=threads,
        precision=precision,
        compile=compile_,
        data=data,
        cache=cache,
        runs=runs,
        offline=offline,
        skip_missing=skip_missing,
        budget=budget,
    )
    with only_json(as_json=as_json):
        from bench import tune as tuning  # noqa: PLC0415  optuna
        from bench.tuning.plan import Search  # noqa: PLC0415

        search = Search(trials, space, storage, study, prune)
        planned = tuning.plan(request, search)
        if planned.rule.looks_at_target_labels:
            _warn("the target's TEST LABELS judge this search; every result of it will be marked")
        if not dry_run:
            if out is not None:
                _check_out(out)
            place = runs / "studies" / planned.name
            on = ", ".join(shift.name for shift in planned.shifts)
            first, *more = request.seeds
            seeds = f"{len(more) + 1} seeds" if more else f"seed {first}"
            line = (
                f"study {planned.name}: up to {trials} trials, each on {on} with {seeds}; {place}"
            )
            typer.echo(printable(line), err=True)
            found = tuning.tune(request, search, _say)
            path = _write(found, planned, out)
    if dry_run:
        show(_ranges(planned), ("hyperparameter", "range", "preset"), as_json=as_json)
        return
    for sentence in found.left_out:
        _warn(f"left out: {sentence}")
    if running := [tried.number for tried in found.tried if tried.state == "running"]:
        listed = ", ".join(map(str, running))
        _warn(f"not all have ended: trial {listed} is running elsewhere; run this again then")
    if as_json:
        params = None if found.params is None else vars(found.params)
        print_json({"trials": [_row(tried) for tried in found.tried], "params": params})
    else:
        show(
            [_row(t) for t in found.tried],
            ("trial", "state", "eligible", "rank", "score", "settings"),
            as_json=False,
        )
    if path is None:
        fail("no trial may be chosen; see the reasons above", FAILED)
    typer.echo(f"Written to {path}; use it with: bench run --params {path}", err=True)


def _check_out(path: Path) -> None:
    """Refuse, before any training, a file for the result that cannot be written."""
    from bench.trials import check_writable  # noqa: PLC0415  with all that trials need

    if path.is_dir():
        message = f"--out {path} is a folder. Say which file to write, such as {path}/params.json."
        raise BenchError(message)
    check_writable(path.parent)


def _warn(message: str) -> None:
    typer.secho(message, fg=typer.colors.YELLOW, err=True)


def _say(tried: Tried) -> None:
    ending = tried.state if tried.value is None else f"{tried.value:.4f}"
    reason = f": {tried.reason}" if tried.reason else ""
    typer.echo(f"trial {tried.number}: {ending}{reason} ({tried.seconds:.0f} s)", err=True)


def _row(tried: Tried) -> dict[str, Any]:
    return {
        "trial": tried.number,
        "state": tried.state,
        "eligible": tried.eligible,
        "rank": tried.rank,
        "score": tried.value,
        "scores": dict(tried.scores),
        "source_accuracy": dict(tried.source_accuracy),
        "settings": dict(tried.settings),
        "steps": tried.steps,
        "seconds": tried.seconds,
        "reason": tried.reason,
    }


def _ranges(planned: Plan) -> list[dict[str, Any]]:
    from bench.tuning.space import described  # noqa: PLC0415  with all that hyperparameters need

    return [
        {"hyperparameter": key, "range": described(made), "preset": planned.start[key]}
        for key, made in planned.space.items()
    ]


def _write(found: Tuned, planned: Plan, out: Path | None) -> Path | None:
    """Write the params file, a report and pictures; return the params file, if there is one."""
    from bench.params_file import write_params  # noqa: PLC0415
    from bench.tuning.report import write_report  # noqa: PLC0415  matplotlib

    write_report(found, planned)
    if found.params is None:
        return None
    path = out or found.folder / "params.json"
    write_params(path, found.params)
    return path
