"""``bench data``: where data is, what is missing, what to do about it."""

# ruff: noqa: FBT002, TC001  Typer makes options of the arguments, and reads annotations

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from bench import plugins
from bench.commands.options import DataOption, Domains, JsonOption
from bench.console import USAGE, fail, only_json, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.data.domain import Domain, Scenes
    from bench.data.store import FileReport

app = typer.Typer(help="Where data is, what is missing, what to do about it.")


@app.command()
def status(data: DataOption, domains: Domains = None, as_json: JsonOption = False) -> None:
    """Say which files are there, without reading them."""
    from bench.data import manage  # noqa: PLC0415

    _show_files(manage.status(_loaded(domains), data), as_json=as_json)


@app.command()
def fetch(data: DataOption, domains: Domains = None, as_json: JsonOption = False) -> None:
    """Download or generate what is missing or broken, and verify it before it counts.

    Without names, everything that can be had that way.
    """
    from bench.data import manage  # noqa: PLC0415

    with only_json(as_json=as_json):
        files = manage.fetch(_loaded(domains), data, required=bool(domains))
    _show_files(files, as_json=as_json)


@app.command()
def verify(data: DataOption, domains: Domains = None, as_json: JsonOption = False) -> None:
    """Compare every file with its checksum, and look into every large image and label map."""
    from bench.data import manage  # noqa: PLC0415

    files = manage.verify(_loaded(domains), data)
    _show_files(files, as_json=as_json)
    wrong = [file for file in files if not file.usable]
    if wrong:
        fail(f"{len(wrong)} of {len(files)} files are missing or broken", USAGE)


def _loaded(names: Sequence[str] | None) -> dict[str, Domain | Scenes]:
    return {name: plugins.load_domain(name) for name in names or plugins.names("domain")}


def _show_files(files: Sequence[FileReport], *, as_json: bool) -> None:
    show([vars(file) for file in files], ("domain", "state", "path"), as_json=as_json)
    if as_json:
        return
    # Every file has a story of its own; but of those, one a domain tells it all.
    alike = {"absent", "re-encoded"}
    stories = {(f.domain, "" if f.state in alike else f.path): f for f in files if f.detail}
    for file in stories.values():
        typer.echo(f"\n{file.domain}: {file.detail}")
