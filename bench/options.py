"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import plugins

if TYPE_CHECKING:
    from collections.abc import Callable


def names_of(kind: plugins.Kind) -> Callable[[], list[str]]:
    """Return what completes the names of a kind of plug-in in a shell."""
    return lambda: plugins.names(kind)


def shift_names() -> list[str]:
    """Complete the names of shifts in a shell."""
    return [shift.name for shift in plugins.all_shifts()]


def _default_data() -> Path:
    from bench.data.manage import default_root  # noqa: PLC0415

    return default_root()


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
        autocompletion=names_of("suite"),
        help="A suite, or path/to/file.py:NAME.",
    ),
]
SelectOption = Annotated[
    str,
    typer.Option(
        "--select",
        metavar="RULE",
        autocompletion=names_of("rule"),
        help="Which checkpoint is reported: see bench list selectors; or path/to/file.py:NAME.",
    ),
]
Domains = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DOMAIN]...", autocompletion=names_of("domain"), show_default="all"),
]
