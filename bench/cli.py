"""The command ``bench``: parse, one call, print.

Nothing heavy is imported at the top, so that ``bench --help`` answers at once.
"""

# ruff: noqa: FBT002, PLR0913, PLR0917  a command's options are its arguments, as Typer has it

from __future__ import annotations

import contextlib
import errno
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from bench import plugins
from bench.errors import BenchError, unknown
from bench.hyperparameters import PRESETS
from bench.request import DEFAULT_RUNS, Request, parse_seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.data.domain import Domain
    from bench.data.store import FileReport

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class _Reporting(TyperGroup):
    """Turns what a user can cause into one sentence on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  as in click
        try:
            return super().invoke(ctx)
        except BenchError as error:
            _fail(str(error), USAGE)
        except KeyboardInterrupt:
            _fail("interrupted; run the same command to go on", INTERRUPTED)
        except OSError as error:
            if error.filename is None or error.errno == errno.EPIPE:
                raise
            _fail(f"cannot use {error.filename}: {error.strerror}", USAGE)


def _fail(message: str, code: int) -> NoReturn:
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    raise typer.Exit(code)


app = typer.Typer(
    name="bench",
    cls=_Reporting,
    help="Compare methods of unsupervised domain adaptation, fairly measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Where data is, what is missing, what to do about it.")
runs_app = typer.Typer(help="Look after the runs folder.")
app.add_typer(data_app, name="data", no_args_is_help=True)
app.add_typer(runs_app, name="runs", no_args_is_help=True)


# ------------------------------------------------------------------ options


def _default_data() -> Path:
    from bench.data.manage import default_root  # noqa: PLC0415

    return default_root()


def _of(kind: plugins.Kind) -> Callable[[], list[str]]:
    return lambda: plugins.names(kind)


def _shift_names() -> list[str]:
    return [shift.name for shift in plugins.all_shifts()]


RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder with results.")]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="BENCH_DATA",
        default_factory=_default_data,
        show_default="a per-user cache folder",
        help="Folder with the domains' files.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]
SuiteOption = Annotated[
    str,
    typer.Option(
        "--suite",
        metavar="NAME",
        autocompletion=_of("suite"),
        help="A suite, or path/to/file.py:NAME.",
    ),
]
SelectOption = Annotated[
    str, typer.Option("--select", metavar="RULE", help="Which checkpoint the table reports.")
]
Domains = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DOMAIN]...", autocompletion=_of("domain"), show_default="all"),
]


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
            autocompletion=_of("method"),
            show_default="all of the suite",
            help="A method, or path/to/file.py:Class. Repeatable.",
        ),
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=_shift_names,
            show_default="all of the suite",
            help="A shift, also of another suite. Repeatable.",
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(metavar="N|A,B,...", help="How many seeds (5 means 0..4), or which.")
    ] = "3",
    preset: Annotated[str, typer.Option(metavar="|".join(PRESETS), help="How much work.")] = "fast",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a hyperparameter. Repeatable."),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default="the shift's", help="The task network."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default="the shift's", help="The protocol that shifts must have."
        ),
    ] = None,
    select: SelectOption = "last",
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, show_default="all cores", help="CPU threads of a trial.")
    ] = None,
    runs: RunsOption = DEFAULT_RUNS,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="the runs folder", help="For leaderboard.md."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Fetch nothing.")] = False,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Run what there is data for.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the trials and stop.")] = False,
    budget: Annotated[
        int | None,
        typer.Option(min=1, show_default="the preset's", help="Training steps a trial may take."),
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
        backbone=backbone,
        rule=select,
        device=device,
        threads=threads,
        data=data,
        runs=runs,
        out=out,
        offline=offline,
        skip_missing=skip_missing,
        budget=budget,
    )
    _check_protocol(request, protocol)
    with _only_json(as_json):
        from bench import sweep  # noqa: PLC0415  pandas

        if dry_run:
            trials = sweep.plan(request)
        else:
            report = sweep.sweep(request)
    if dry_run:
        _show(trials, ("shift", "seed", "method", "preset", "settings"), as_json=as_json)
        return
    for sentence in report.left_out:
        typer.secho(f"left out: {sentence}", fg=typer.colors.YELLOW, err=True)
    if as_json:
        _print_json(report.outcomes)
    else:
        typer.echo(report.markdown)
        typer.echo(f"Written to {report.path}", err=True)
    if report.failed:
        count = sum(outcome["status"] != "done" for outcome in report.outcomes)
        _fail(f"{count} of {len(report.outcomes)} trials did not end well; see above", FAILED)


def _check_protocol(request: Request, protocol: str | None) -> None:
    """Refuse a protocol that a chosen shift does not have: results of two never mix."""
    if protocol is None:
        return
    suite = plugins.load_suite(request.suite)
    chosen = [plugins.find_shift(name, suite) for name in request.shifts] or suite.shifts
    for shift in chosen:
        if shift.protocol != protocol:
            message = (
                f"The shift '{shift.name}' has the protocol '{shift.protocol}', not '{protocol}'."
                " Leave --protocol out, or choose other shifts."
            )
            raise BenchError(message)


# ------------------------------------------------------------------ bench list


def _list_suites() -> list[dict[str, Any]]:
    rows = []
    for known in plugins.describe("suite"):
        suite = plugins.load_suite(known.name)
        shifts, methods = suite.shifts, suite.entries
        rows.append(
            {
                "name": known.name,
                "about": known.about,
                "shifts": [shift.name for shift in shifts],
                "methods": [entry.label for entry in methods],
                "origin": known.origin,
            }
        )
    return rows


def _list_shifts() -> list[dict[str, Any]]:
    return [vars(shift) for shift in plugins.all_shifts()]


def _list_backbones() -> list[dict[str, Any]]:
    from bench import backbones  # noqa: PLC0415

    return backbones.describe()


def _list_selectors() -> list[dict[str, Any]]:
    from bench.select import RULES  # noqa: PLC0415

    parts = ("name", "looks_at_target_labels", "about")
    return [{part: getattr(rule, part) for part in parts} for rule in RULES.values()]


_LISTS: dict[str, tuple[Callable[[], list[dict[str, Any]]], tuple[str, ...]]] = {
    "suites": (_list_suites, ("name", "shifts", "about")),
    "shifts": (_list_shifts, ("name", "source", "target", "backbone", "protocol")),
    "methods": (lambda: [vars(d) for d in plugins.describe("method")], ("name", "about")),
    "domains": (lambda: [vars(d) for d in plugins.describe("domain")], ("name", "about")),
    "backbones": (_list_backbones, ("name", "parameters", "task")),
    "selectors": (_list_selectors, ("name", "about")),
}


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(metavar="|".join(_LISTS), autocompletion=lambda: list(_LISTS))
    ],
    as_json: JsonOption = False,
) -> None:
    """List what there is to choose from."""
    if what not in _LISTS:
        raise unknown("list", what, _LISTS)
    make, columns = _LISTS[what]
    with _only_json(as_json):
        rows = make()
    _show(rows, columns, as_json=as_json)


# ------------------------------------------------------------------ bench leaderboard


@app.command()
def leaderboard(
    suite: SuiteOption = "mini",
    style: Annotated[str, typer.Option("--format", metavar="md|csv|latex|json")] = "md",
    runs: RunsOption = DEFAULT_RUNS,
    records: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Exported records, not a runs folder. Repeatable."),
    ] = None,
    select: SelectOption = "last",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there.")] = None,
) -> None:
    """Tabulate finished runs: mean, spread and interval over seeds, beside published figures."""
    from bench import leaderboard as tables  # noqa: PLC0415  pandas
    from bench.files import write_text  # noqa: PLC0415
    from bench.records import load_records, load_runs  # noqa: PLC0415

    frame = load_records(records) if records else load_runs(_existing(runs))
    text = tables.render(tables.rows(frame, plugins.load_suite(suite), select), style)
    if out is None:
        typer.echo(text.rstrip("\n"))
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
    loaded = plugins.load_method(method)
    rows = []
    with _only_json(as_json):
        from bench.testing import check_method  # noqa: PLC0415  torch

        for done in check_method(loaded.cls):
            rows.append({"check": done.name, "ok": done.ok, "detail": done.detail})
            if not as_json:
                _show_check(done.name, done.detail, ok=done.ok)
    if as_json:
        _print_json(rows)
    broken = [row["check"] for row in rows if not row["ok"]]
    if broken:
        _fail(f"{loaded.name} breaks {len(broken)} of {len(rows)} checks", FAILED)


def _show_check(name: str, detail: str, *, ok: bool) -> None:
    mark = typer.style("ok    ", fg=typer.colors.GREEN) if ok else typer.style("BROKEN", fg="red")
    typer.echo(f"{mark} {name}" + (f": {detail}" if detail else ""))


# ------------------------------------------------------------------ bench data


@data_app.command("status")
def data_status(data: DataOption, domains: Domains = None, as_json: JsonOption = False) -> None:
    """Say which files are there, without reading them."""
    from bench.data import manage  # noqa: PLC0415

    _show_files(manage.status(_loaded(domains), data), as_json=as_json)


@data_app.command("fetch")
def data_fetch(data: DataOption, domains: Domains = None, as_json: JsonOption = False) -> None:
    """Download what is missing or broken, and verify it before it counts."""
    from bench.data import manage  # noqa: PLC0415

    with _only_json(as_json):
        files = manage.fetch(_loaded(domains), data)
    _show_files(files, as_json=as_json)


@data_app.command("verify")
def data_verify(data: DataOption, domains: Domains = None, as_json: JsonOption = False) -> None:
    """Compare every file with its checksum."""
    from bench.data import manage  # noqa: PLC0415

    files = manage.verify(_loaded(domains), data)
    _show_files(files, as_json=as_json)
    wrong = [file for file in files if not file.usable]
    if wrong:
        _fail(f"{len(wrong)} of {len(files)} files are missing or broken", USAGE)


def _loaded(names: Sequence[str] | None) -> dict[str, Domain]:
    return {name: plugins.load_domain(name) for name in names or plugins.names("domain")}


def _show_files(files: Sequence[FileReport], *, as_json: bool) -> None:
    _show([vars(file) for file in files], ("domain", "state", "path", "detail"), as_json=as_json)


# ------------------------------------------------------------------ bench runs


@runs_app.command("list")
def runs_list(runs: RunsOption = DEFAULT_RUNS, as_json: JsonOption = False) -> None:
    """List the runs of a folder, finished or not."""
    from bench.records import load_runs  # noqa: PLC0415  pandas

    columns = ["run_id", "method", "shift", "seed", "status", "steps", "seconds", "error"]
    frame = load_runs(_existing(runs))[columns]
    rows = json.loads(frame.to_json(orient="records"))
    _show(rows, columns[:-1], as_json=as_json)


@runs_app.command("show")
def runs_show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or how it begins.")],
    runs: RunsOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """Show one run: its configuration, how it ended, and its confusion matrix."""
    from bench.records import export  # noqa: PLC0415

    record = export(_find_run(runs, run_id))
    if as_json:
        _print_json(record)
        return
    for key, value in _lines(record):
        typer.echo(f"{key:<24} {value}")
    for step, matrix in record["confusion"]["checkpoints"].items():
        if int(step) == max(record["checkpoints"]):
            typer.echo("\nconfusion at the end (rows = ground truth)")
            for row in matrix:
                typer.echo(" ".join(f"{count:>6}" for count in row))


@runs_app.command("export")
def runs_export(
    run_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", show_default="all")
    ] = None,
    runs: RunsOption = DEFAULT_RUNS,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default="standard output")
    ] = None,
) -> None:
    """Export runs as one line of JSON each: configuration, versions and confusion matrices."""
    from bench.digest import canonical_json  # noqa: PLC0415
    from bench.records import export, write_records  # noqa: PLC0415

    folders = [_find_run(runs, name) for name in run_ids or ()] or _run_folders(runs)
    records = [export(folder) for folder in folders]
    if out is None:
        for record in records:
            typer.echo(canonical_json(record))
    else:
        write_records(out, records)
        typer.echo(f"{len(records)} runs written to {out}", err=True)


def _existing(runs: Path) -> Path:
    if not runs.is_dir():
        message = f"There is no runs folder '{runs}'. Run 'bench run' first, or say --runs DIR."
        raise BenchError(message)
    return runs


def _run_folders(runs: Path) -> list[Path]:
    return sorted(path.parent for path in _existing(runs).glob("*/run.json"))


def _find_run(runs: Path, name: str) -> Path:
    folders = {folder.name: folder for folder in _run_folders(runs)}
    found = [name] if name in folders else [known for known in folders if known.startswith(name)]
    if len(found) > 1:
        message = f"'{name}' could be {len(found)} runs: {', '.join(found)}. Write more of the id."
        raise BenchError(message)
    if not found:
        raise unknown("run", name, folders)
    return folders[found[0]]


def _lines(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if key == "confusion":
            continue
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{key}.")
        else:
            yield prefix + key, "-" if value is None else value


# ------------------------------------------------------------------ printing


@contextlib.contextmanager
def _only_json(as_json: bool) -> Iterator[None]:  # noqa: FBT001
    """Keep standard output for the JSON document: what plug-ins print goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def _show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as JSON with all their keys, or as a table of `columns`."""
    if as_json:
        _print_json(rows)
        return
    table = [list(columns), *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_cell(part)}" for key, part in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value)) or "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return "-" if value is None else str(value)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
