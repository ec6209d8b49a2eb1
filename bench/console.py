"""What the command line prints where, and how it ends."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from bench.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NEW_LINE = "\n"

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; a trial failed; bad usage or missing data; stopped by Ctrl-C."""


def fail(message: str, code: int) -> NoReturn:
    """Print one sentence on standard error and end the command."""
    typer.secho(f"error: {printable(message, NEW_LINE)}", fg=typer.colors.RED, err=True)
    raise typer.Exit(code)


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Stop as cleanly on SIGTERM, which job schedulers send before they kill, as on Ctrl-C."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: whoever runs that decides about signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def only_json(*, as_json: bool) -> Iterator[None]:
    """Keep standard output for the JSON document: what plug-ins print goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def print_json(value: object) -> None:
    """Print one JSON document on standard output; NaN is refused, for JSON has none."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as JSON with all their keys, or as a table of `columns`."""
    if as_json:
        print_json(rows)
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
        return f"{value:.4g}"
    return "-" if value is None else printable(str(value))
