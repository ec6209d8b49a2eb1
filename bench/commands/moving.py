"""``bench runs import``, ``merge`` and ``prune``: what comes into a runs folder, and leaves it."""

# ruff: noqa: FBT002, TC001, TC003  Typer makes options of the arguments, and reads annotations

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.options import RunsOption
from bench.console import FAILED, fail
from bench.errors import BenchError, unknown
from bench.printable import printable
from bench.request import DEFAULT_RUNS
from bench.runs.moving import existing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.runs.arrivals import Arrival
    from bench.runs.waste import Waste

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
StagesOption = Annotated[
    bool, typer.Option("--stages/--no-stages", help="Also the cache of finished stages.")
]

_WORDS = {
    "run": "runs",
    "heavy": "finished runs lose checkpoints, outputs and predictions",
    "stage": "stages that no run refers to",
    "damaged stage": "damaged stages that were set aside",
    "temporary": "temporary files of killed commands",
    "lock": "locks that nobody has",
}
"""What is deleted, by `bench.runs.waste.Waste.kind`."""

_BRIEF = ("temporary", "lock")
"""Of these only the number is shown."""


def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Exported records.")],
    runs: RunsOption = DEFAULT_RUNS,
) -> None:
    """Make run folders of records that bench runs export wrote. Nothing here is changed."""
    from bench.runs.arrivals import import_records  # noqa: PLC0415  pandas

    _report(import_records(files, runs), "import")


def merge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Other runs folders; they stay.")
    ],
    runs: RunsOption = DEFAULT_RUNS,
    stages: StagesOption = True,
    yes: YesOption = False,
) -> None:
    """Copy the runs of other runs folders into this one. A finished run replaces an unfinished."""
    from bench.runs.arrivals import REPLACED  # noqa: PLC0415  pandas
    from bench.runs.merging import merge as merged  # noqa: PLC0415
    from bench.runs.merging import planned  # noqa: PLC0415

    coming = [each for folder in sources for each in planned(folder, runs)]
    replaced = [each for each in coming if each.outcome == REPLACED]
    for arrival in replaced:
        typer.echo(f"would replace {arrival.name}: {printable(arrival.why)}", err=True)
    if replaced:
        _confirm(f"Replace the above in '{printable(str(runs))}'?", yes=yes)
    arrivals = (each for folder in sources for each in merged(folder, runs, stages=stages))
    _report(arrivals, "merge")


def _report(arrivals: Iterable[Arrival], what: str) -> None:
    """Say what came of every run; fail if one could not be taken."""
    from bench.runs.arrivals import CONFLICT, KEPT, LEFT_OUT, REPLACED  # noqa: PLC0415

    counts: Counter[str] = Counter()
    for arrival in arrivals:
        counts[arrival.outcome] += 1
        if arrival.outcome in (CONFLICT, LEFT_OUT):
            line = f"{arrival.outcome}: {arrival.name}: {arrival.why}"
            typer.secho(printable(line), fg=typer.colors.YELLOW, err=True)
        elif arrival.outcome in (KEPT, REPLACED):
            typer.echo(printable(f"{arrival.outcome}: {arrival.name}: {arrival.why}"), err=True)
    listed = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    typer.echo(listed or f"nothing to {what}")
    troubled = counts[CONFLICT] + counts[LEFT_OUT]
    if troubled:
        fail(f"{troubled} of {counts.total()} did not come in; see above", FAILED)


def prune(
    runs: RunsOption = DEFAULT_RUNS,
    status: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATUS",
            show_default="failed, pruned",
            help="Delete runs that ended so. Repeatable. The same command would go on with those"
            " that are interrupted, or stopped: they say running, but are not.",
        ),
    ] = None,
    stages: StagesOption = True,
    heavy: Annotated[
        bool,
        typer.Option(
            "--heavy",
            help="Finished runs lose checkpoints, outputs and predictions: new rules can no longer"
            " judge them, nor can they be drawn again.",
        ),
    ] = False,
    studies: Annotated[
        bool, typer.Option("--studies", help="Also in the folders of bench tune's studies.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would go and stop.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Delete what is of no more use, after a list and a question. Never what is being worked on.

    Interrupted and stopped runs go only if --status says so, and stages only when no unfinished or
    broken run stays.
    """
    from bench.runs.waste import USELESS, delete, find, size  # noqa: PLC0415  pandas

    statuses = _statuses(status) or USELESS
    found = find(existing(runs), statuses, stages=stages, heavy=heavy, studies=studies)
    if stages:
        _explain_stages(runs, found)
    if not found:
        typer.echo("nothing to delete")
        return
    for line in _listed(found, runs):
        typer.echo(line)
    total = human(size(path for each in found for path in each.paths))
    if dry_run:
        typer.echo(f"would free {total}")
        return
    _confirm(f"Delete this, {total}?", yes=yes)
    gone = [each for each in found if delete(each, statuses)]
    typer.echo(f"deleted {_counted(gone)}; freed {total}" if gone else "nothing was deleted")
    if len(gone) < len(found):
        count = len(found) - len(gone)
        typer.secho(f"kept {count}: somebody is at it now", fg=typer.colors.YELLOW, err=True)


def _explain_stages(runs: Path, found: list[Waste]) -> None:
    """Say on standard error if the stages stay because of runs that are not finished."""
    from bench.runs.merging import STAGES  # noqa: PLC0415
    from bench.runs.waste import unsettled  # noqa: PLC0415

    blocking = unsettled(runs, {each.path for each in found if each.kind == "run"})
    if blocking and (runs / STAGES).is_dir():
        count, first = len(blocking), printable(blocking[0].name)
        line = f"stages stay: {count} unfinished or broken runs may need them, such as {first}"
        typer.secho(line, fg=typer.colors.YELLOW, err=True)


def _statuses(asked: list[str] | None) -> list[str]:
    from bench.records import BROKEN  # noqa: PLC0415
    from bench.runs.waste import STOPPED  # noqa: PLC0415
    from bench.schema import STATUSES  # noqa: PLC0415

    known = [*(each for each in STATUSES if each != "running"), STOPPED, BROKEN]
    for each in asked or ():
        if each not in known:
            raise unknown("status", each, known)
    return asked or []


def _listed(found: list[Waste], runs: Path) -> Iterable[str]:
    """Yield a line for each thing to delete, but of many small ones only how many there are."""
    from bench.runs.waste import size  # noqa: PLC0415

    for kind, words in _WORDS.items():
        own = [each for each in found if each.kind == kind]
        if own:
            yield f"{len(own)} x {words}"
        for each in own if kind not in _BRIEF else ():
            name = (each.path.parent if kind == "heavy" else each.path).relative_to(runs)
            yield printable(f"  {human(size(each.paths)):>10}  {name}  ({each.why})")


def _counted(gone: list[Waste]) -> str:
    counts = Counter(each.kind for each in gone)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _confirm(question: str, *, yes: bool) -> None:
    """Ask before anything is deleted; raise BenchError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        message = f"{question} Nobody can be asked here, so nothing was done. Say --yes."
        raise BenchError(message)
    if not typer.confirm(question, err=True):
        typer.echo("nothing was done", err=True)
        raise typer.Exit(FAILED)


def human(count: int) -> str:
    """Return a number of bytes for people.

    >>> human(0), human(1536), human(3 * 2**30)
    ('0 B', '1.5 KiB', '3.0 GiB')
    """
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:  # noqa: PLR2004
            break
        value, unit = value / 1024, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
