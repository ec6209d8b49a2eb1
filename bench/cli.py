"""The command ``bench``: parse, one call, print.

Nothing heavy is imported at the top, so that ``bench --help`` answers at once.
"""

# ruff: noqa: FBT002, PLR0913, PLR0917, TC003  Typer makes options of arguments, reads annotations

from __future__ import annotations

import atexit
import errno
import gc
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bench import plugins
from bench.commands import compare as compare_commands
from bench.commands import data as data_commands
from bench.commands import evaluate as eval_commands
from bench.commands import report as report_commands
from bench.commands import runs as runs_commands
from bench.commands import tune as tune_commands
from bench.commands.listing import LISTS
from bench.commands.options import (
    AddressOption,
    BackboneOption,
    BudgetOption,
    CacheOption,
    CompileOption,
    DataOption,
    DeviceOption,
    ExecutorOption,
    GpusOption,
    JobsOption,
    JsonOption,
    OfflineOption,
    PrecisionOption,
    PresetOption,
    RecordsOption,
    RunsOption,
    SelectOption,
    SetOption,
    ShiftOption,
    SkipMissingOption,
    SuiteOption,
    ThreadsOption,
    WeightsOption,
    names_of,
)
from bench.console import (
    FAILED,
    INTERRUPTED,
    NEW_LINE,
    USAGE,
    fail,
    only_json,
    print_json,
    show,
    sigterm_as_ctrl_c,
)
from bench.errors import BenchError, unknown
from bench.printable import printable
from bench.request import DEFAULT_RUNS, Request, parse_seeds
from bench.world import quiet_followers

if TYPE_CHECKING:
    from bench.testing import Check


class _Reporting(TyperGroup):
    """Turns what a user can cause into one sentence on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  as in click
        try:
            with sigterm_as_ctrl_c(), quiet_followers():
                return super().invoke(ctx)
        except BenchError as error:
            fail(str(error), USAGE)
        except KeyboardInterrupt:
            fail("interrupted; run the same command to go on", INTERRUPTED)
        except OSError as error:
            if error.filename is None or error.errno == errno.EPIPE:
                raise
            fail(f"cannot use {error.filename}: {error.strerror}", USAGE)


app = typer.Typer(
    name="bench",
    cls=_Reporting,
    help="Compare methods of unsupervised domain adaptation, fairly measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_commands.app, name="data", no_args_is_help=True)
app.add_typer(runs_commands.app, name="runs", no_args_is_help=True)
app.command("compare")(compare_commands.compare)
app.command("eval")(eval_commands.evaluate)
app.command("report")(report_commands.report)
app.command("tune")(tune_commands.tune)


def _version(asked: bool) -> None:  # noqa: FBT001  Typer calls it so
    if asked:
        typer.echo(metadata.version("cycada-bench"))
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit.")
    ] = False,
) -> None:
    pass


# ------------------------------------------------------------------ bench run


@app.command()
def run(
    data: DataOption,
    suite: SuiteOption = "mini",
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=names_of("method"),
            show_default="all of the suite",
            help="A method, or path/to/file.py:Class. Repeatable.",
        ),
    ] = None,
    shift: ShiftOption = None,
    seeds: Annotated[
        str, typer.Option(metavar="N|A,B,...", help="How many seeds (5 means 0..4), or which.")
    ] = "3",
    preset: PresetOption = "fast",
    settings: SetOption = None,
    params: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Hyperparameters that bench tune found. Repeatable."),
    ] = None,
    backbone: BackboneOption = None,
    weights: WeightsOption = "random",
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the shift's",
            help="Take those of the chosen shifts that have it.",
        ),
    ] = None,
    select: SelectOption = "last",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    precision: PrecisionOption = "32",
    compile_: CompileOption = False,
    jobs: JobsOption = 1,
    executor: ExecutorOption = None,
    address: AddressOption = None,
    gpus: GpusOption = None,
    cache: CacheOption = None,
    runs: RunsOption = DEFAULT_RUNS,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="the runs folder", help="For leaderboard.md."),
    ] = None,
    offline: OfflineOption = False,
    skip_missing: SkipMissingOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the trials and stop.")] = False,
    budget: BudgetOption = None,
    log: Annotated[
        str | None,
        typer.Option(metavar="tensorboard", help="Write each trial's numbers for it, too."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run every method on every shift with every seed, and print the leaderboard.

    What is done already is not done again: after a crash, run the same command.
    """
    request = Request(
        suite=suite,
        methods=tuple(method or ()),
        shifts=tuple(shift or ()),
        seeds=parse_seeds(seeds),
        preset=preset,
        settings=tuple(settings or ()),
        params=tuple(params or ()),
        backbone=backbone,
        weights=weights,
        rule=select,
        device=device,
        threads=threads,
        precision=precision,
        compile=compile_,
        jobs=jobs,
        executor=executor,
        address=address,
        gpus=gpus,
        data=data,
        cache=cache,
        runs=runs,
        out=out,
        offline=offline,
        skip_missing=skip_missing,
        budget=budget,
        log=log,
    )
    with only_json(as_json=as_json):
        request = _with_protocol(request, protocol)
        from bench import sweep  # noqa: PLC0415  pandas

        if dry_run:
            trials = sweep.plan(request)
        else:
            report = sweep.sweep(request)
    if dry_run:
        show(trials, ("shift", "seed", "method", "preset", "settings"), as_json=as_json)
        return
    for sentence in report.left_out:
        typer.secho(f"left out: {sentence}", fg=typer.colors.YELLOW, err=True)
    if as_json:
        print_json(report.outcomes)
    else:
        typer.echo(report.text)
        typer.echo(
            f"Written to {report.path}, with stages, selection rules and how to read it", err=True
        )
    if report.failed:
        count = sum(outcome["status"] != "done" for outcome in report.outcomes)
        fail(f"{count} of {len(report.outcomes)} trials did not end well; see above", FAILED)


def _with_protocol(request: Request, protocol: str | None) -> Request:
    """Return the request for the shifts that have a protocol: results of two never mix.

    A shift that was asked for by name must have it; of a suite's, those that do are taken.
    """
    if protocol is None:
        return request
    suite = plugins.load_suite(request.suite)
    named = [plugins.find_shift(name, suite) for name in request.shifts]
    fitting = [shift for shift in named or suite.shifts if shift.protocol == protocol]
    unfit = [shift for shift in named if shift not in fitting] or list(suite.shifts)
    if not fitting or len(fitting) < len(named):
        message = (
            f"The shift '{unfit[0].name}' has the protocol '{unfit[0].protocol}', not '{protocol}'."
            f" Shifts that have it: {', '.join(_having(protocol)) or 'none'}."
            " Leave --protocol out, or choose one of them by --shift."
        )
        raise BenchError(message)
    return replace(request, shifts=tuple(shift.name for shift in fitting))


def _having(protocol: str) -> list[str]:
    return [shift.name for shift in plugins.all_shifts() if shift.protocol == protocol]


# ------------------------------------------------------------------ bench list


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(metavar="|".join(LISTS), autocompletion=lambda: list(LISTS))
    ],
    as_json: JsonOption = False,
) -> None:
    """List what there is to choose from."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    make, columns = LISTS[what]
    with only_json(as_json=as_json):
        rows = make()
    show(rows, columns, as_json=as_json)


# ------------------------------------------------------------------ bench leaderboard


@app.command()
def leaderboard(
    suite: SuiteOption = "mini",
    style: Annotated[str, typer.Option("--format", metavar="md|text|csv|latex|json")] = "md",
    runs: RunsOption = DEFAULT_RUNS,
    records: RecordsOption = None,
    select: SelectOption = "last",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there.")] = None,
) -> None:
    """Tabulate finished runs: mean, spread and interval over seeds, beside published figures."""
    from bench.files import write_text  # noqa: PLC0415
    from bench.records import load_records, load_runs, without_collection  # noqa: PLC0415

    with without_collection():
        frame = load_records(records) if records else load_runs(runs_commands.existing(runs))
        from bench import leaderboard as tables  # noqa: PLC0415  loads what `load_records` did meanwhile

        chosen = plugins.load_suite(suite)
        text = tables.render(tables.rows(frame, chosen, select), style)
        elsewhere = set(frame["shift"].dropna()) - {shift.name for shift in chosen.shifts}
        nothing = frame.empty
        del frame  # or the collector, when it goes on, looks through all of it
    if nothing:
        where = "these records" if records else f"'{runs}'"
        typer.secho(printable(f"There are no runs in {where}."), fg=typer.colors.YELLOW, err=True)
    if elsewhere:
        listed = ", ".join(sorted(elsewhere))
        message = f"runs on {listed} are not in the table of '{suite}': take another --suite"
        typer.secho(printable(message), fg=typer.colors.YELLOW, err=True)
    if out is None:
        typer.echo(printable(text.rstrip("\n"), NEW_LINE))
    else:
        write_text(out, text)


# ------------------------------------------------------------------ bench check


@app.command()
def check(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="A name, or path/to/file.py:Class.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Check whether a method keeps the contract that every method here keeps."""
    rows = []
    with only_json(as_json=as_json):
        loaded = plugins.load_method(method)
        from bench.testing import check_method  # noqa: PLC0415  torch

        for done in check_method(loaded.cls):
            rows.append(
                {
                    "check": done.name,
                    "ok": done.ok,
                    "detail": done.detail,
                    "skipped": done.skipped,
                }
            )
            if not as_json:
                _show_check(done)
    if as_json:
        print_json(rows)
    broken = [row["check"] for row in rows if not row["ok"]]
    if not broken and not as_json:
        typer.echo(f"{loaded.name} keeps the contract")
    if broken:
        fail(f"{loaded.name} breaks {len(broken)} of {len(rows)} checks", FAILED)


def _show_check(check: Check) -> None:
    mark = typer.style("ok    ", fg=typer.colors.GREEN)
    if check.skipped:
        mark = "no    "
    elif not check.ok:
        mark = typer.style("BROKEN", fg=typer.colors.RED)
    typer.echo(f"{mark} {check.name}" + (f": {check.detail}" if check.detail else ""))


def main() -> None:
    """Run the command line."""
    # On its way out, Python would look for cycles in all that was loaded: a fifth of a second.
    atexit.register(gc.freeze)
    app()


if __name__ == "__main__":
    main()
