"""``bench report``: a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import runs as runs_commands
from bench.commands.options import RecordsOption, RunsOption, names_of
from bench.request import DEFAULT_RUNS
from bench.select import DEFAULT


def report(
    run_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", show_default="all", help="Ids of runs, or how they begin."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=names_of("suite"),
            show_default="all that have runs",
            help="A suite, or path/to/file.py:NAME.",
        ),
    ] = None,
    runs: RunsOption = DEFAULT_RUNS,
    records: RecordsOption = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            autocompletion=names_of("rule"),
            show_default=DEFAULT,
            help="Which checkpoint is reported. Repeatable: each has leaderboards of its own.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default="report.html in the runs folder; of --records, here"
        ),
    ] = None,
) -> None:
    """Write one HTML page: leaderboards, comparisons, and each run's curves and pictures.

    It needs no server and no network. With RUNs, only these are in its list of runs.
    """
    from rich.console import Console  # noqa: PLC0415

    from bench.files import write_text  # noqa: PLC0415
    from bench.records import load_records, load_runs  # noqa: PLC0415  pandas
    from bench.report.content import content  # noqa: PLC0415
    from bench.report.page import render  # noqa: PLC0415  jinja2

    rules = tuple(dict.fromkeys(select or [DEFAULT]))
    with Console(stderr=True).status("Reading runs"):  # seen on a terminal only
        frame = load_records(records) if records else load_runs(runs_commands.existing(runs))
        found = content(frame, suite, rules, run_ids or ())
        page = render(found)
    path = out or (Path("report.html") if records else runs / "report.html")
    write_text(path, page)
    typer.echo(f"{path}: {found.total} runs, {len(page.encode()) / 1e6:.1f} MB", err=True)
