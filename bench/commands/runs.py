"""``bench runs``: look after the runs folder."""

# ruff: noqa: FBT002, TC001, TC003  Typer makes options of the arguments, and reads annotations

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands import moving as moving_commands
from bench.commands.options import JsonOption, RunsOption
from bench.console import FAILED, fail, print_json, show
from bench.errors import BenchError, unknown
from bench.printable import printable
from bench.request import DEFAULT_RUNS
from bench.runs.moving import existing, run_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.claim import Seen
    from bench.records import Record

__all__ = ["app", "existing"]

app = typer.Typer(help="Look after the runs folder.")
app.command("import")(moving_commands.import_)
app.command("merge")(moving_commands.merge)
app.command("prune")(moving_commands.prune)


@app.command("list")
def list_(runs: RunsOption = DEFAULT_RUNS, as_json: JsonOption = False) -> None:
    """List the runs of a folder, finished or not; of those that somebody is at, how far."""
    from bench.records import load_runs  # noqa: PLC0415  pandas
    from bench.runs.occupied import at_work  # noqa: PLC0415  what takes time to import

    columns = ["run_id", "method", "shift", "seed", "status", "steps", "seconds", "error"]
    busy = at_work(existing(runs))
    frame = load_runs(runs)[columns]
    rows = [_with_progress(row, busy) for row in json.loads(frame.to_json(orient="records"))]
    shown = [*columns[:-1], "progress"] if busy else columns[:-1]
    show(rows, shown, as_json=as_json)
    if not rows:
        message = printable(f"There are no runs in '{runs}'.")
        typer.secho(message, fg=typer.colors.YELLOW, err=True)


def _with_progress(row: dict[str, Any], busy: dict[str, Seen]) -> dict[str, Any]:
    """Say of an unfinished run how far its process is, or that it has none."""
    if row["status"] != "running":
        return row | {"progress": None}
    seen = busy.get(row["run_id"])
    if seen is None:
        return row | {"status": "stopped", "progress": None}
    where = f"{seen.stage} {seen.done}/{seen.total}" if seen.stage else "began"
    return row | {"progress": f"{where}, process {seen.pid} on {seen.host}"}


@app.command("show")
def show_run(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or how it begins.")],
    runs: RunsOption = DEFAULT_RUNS,
    reproduce: Annotated[
        bool, typer.Option("--reproduce", help="Print the command that makes it again, alone.")
    ] = False,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default="the first that has its shift", help="For --reproduce."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show one run: its configuration, how it ended, what made it, and its confusion matrix."""
    from bench.records import export  # noqa: PLC0415

    folder = _find_run(runs, run_id)
    if reproduce:
        _reproduce(folder, suite)
        return
    record = export(folder)
    if as_json:
        print_json(record)
    else:
        _show(record)


def _reproduce(folder: Path, suite: str | None) -> None:
    """Print one command on standard output, and what it leaves open on standard error."""
    from bench.environment import environment  # noqa: PLC0415  torch
    from bench.records import read_run  # noqa: PLC0415
    from bench.runs.reproduce import cautions, changed, command, suite_of  # noqa: PLC0415

    record = read_run(folder)
    name, entries = suite_of(record, suite)
    since = changed(record["environment"], environment())
    for sentence in [*cautions(record, name), *([since] if since else [])]:
        typer.secho(f"note: {printable(sentence)}", fg=typer.colors.YELLOW, err=True)
    typer.echo(command(record, name, entries))


def _scored(record: Record) -> Iterator[tuple[str, list[tuple[str, object]]]]:
    """Yield title and lines of what a finished run scored with its last checkpoint."""
    from bench.groups import scores  # noqa: PLC0415  pandas
    from bench.select import LAST  # noqa: PLC0415
    from bench.stored import Run  # noqa: PLC0415

    if record["status"] != "done":
        return
    title = "On the target's test set"
    try:
        found = scores(Run(record, None), LAST)
    except BenchError as error:
        yield title, [("no figure", str(error))]
        return
    title += f", at step {found.step:,} of the last stage (rule {LAST.name})"
    figures = found.figures.items()
    yield title, [(name, None if v is None else f"{100 * v:.2f} %") for name, v in figures]


def _show(record: Record) -> None:
    from bench.runs.sheet import sheet  # noqa: PLC0415

    for title, lines in (*_scored(record), *sheet(record)):
        typer.secho(title, bold=True)
        for key, value in lines:
            typer.echo(f"  {key:<28} {'-' if value is None else printable(str(value))}")
        typer.echo()
    for step, matrix in record["confusion"]["checkpoints"].items():
        if int(step) == max(record["checkpoints"]):
            typer.secho("Confusion at the end (rows = ground truth)", bold=True)
            for row in matrix:
                typer.echo(" ".join(f"{count:>6}" for count in row))


@app.command("export")
def export_runs(
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

    folders = [_find_run(runs, name) for name in run_ids or ()] or run_folders(existing(runs))
    records, broken = [], 0
    for folder in folders:
        try:
            records.append(export(folder))
        except BenchError as error:
            broken += 1
            typer.secho(f"left out: {error}", fg=typer.colors.YELLOW, err=True)
    if out is None:
        for record in records:
            typer.echo(canonical_json(record))
    else:
        write_records(out, records)
        typer.echo(f"{len(records)} runs written to {out}", err=True)
    if broken:
        fail(f"{broken} of {len(folders)} runs could not be read; see above", FAILED)


def _find_run(runs: Path, name: str) -> Path:
    folders = {folder.name: folder for folder in run_folders(existing(runs))}
    found = [name] if name in folders else [known for known in folders if known.startswith(name)]
    if len(found) > 1:
        message = f"'{name}' could be {len(found)} runs: {', '.join(found)}. Write more of the id."
        raise BenchError(message)
    if not found:
        raise unknown("run", name, folders)
    return folders[found[0]]
