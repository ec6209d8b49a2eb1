"""``bench runs``: look after the runs folder."""

# ruff: noqa: FBT002, TC001, TC003  Typer makes options of the arguments, and reads annotations

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.console import FAILED, fail, print_json, show
from bench.errors import BenchError, unknown
from bench.options import JsonOption, RunsOption
from bench.request import DEFAULT_RUNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

app = typer.Typer(help="Look after the runs folder.")


@app.command("list")
def list_(runs: RunsOption = DEFAULT_RUNS, as_json: JsonOption = False) -> None:
    """List the runs of a folder, finished or not."""
    from bench.records import load_runs  # noqa: PLC0415  pandas

    columns = ["run_id", "method", "shift", "seed", "status", "steps", "seconds", "error"]
    frame = load_runs(existing(runs))[columns]
    rows = json.loads(frame.to_json(orient="records"))
    show(rows, columns[:-1], as_json=as_json)


@app.command("show")
def show_run(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or how it begins.")],
    runs: RunsOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """Show one run: its configuration, how it ended, and its confusion matrix."""
    from bench.records import export  # noqa: PLC0415

    record = export(_find_run(runs, run_id))
    if as_json:
        print_json(record)
        return
    for key, value in _lines(record):
        typer.echo(f"{key:<24} {value}")
    for step, matrix in record["confusion"]["checkpoints"].items():
        if int(step) == max(record["checkpoints"]):
            typer.echo("\nconfusion at the end (rows = ground truth)")
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

    folders = [_find_run(runs, name) for name in run_ids or ()] or _run_folders(runs)
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


def existing(runs: Path) -> Path:
    """Return `runs`; raise BenchError if there is no such folder."""
    if not runs.is_dir():
        message = f"There is no runs folder '{runs}'. Run 'bench run' first, or say --runs DIR."
        raise BenchError(message)
    return runs


def _run_folders(runs: Path) -> list[Path]:
    return sorted(path.parent for path in existing(runs).glob("*/run.json"))


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
