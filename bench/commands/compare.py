"""``bench compare``: is one method better than another?"""

# ruff: noqa: FBT002, PLR0917, TC001  Typer makes options of the arguments, and reads annotations

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import plugins
from bench.commands import runs as runs_commands
from bench.commands.options import JsonOption, RecordsOption, RunsOption, SelectOption, SuiteOption
from bench.console import only_json, print_json, show
from bench.printable import printable
from bench.request import DEFAULT_RUNS

if TYPE_CHECKING:
    from bench.comparing.comparison import Comparison, Result

_SIDE = "A row's label or a method's name, and what singles its runs out: NAME[:key=value,...]"


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"{_SIDE}.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Likewise.")],
    suite: SuiteOption = "mini",
    runs: RunsOption = DEFAULT_RUNS,
    records: RecordsOption = None,
    select: SelectOption = "last",
    allow_differences: Annotated[
        bool,
        typer.Option("--allow-differences", help="Compare what was not measured alike, too."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two methods by runs of equal shift and seed: difference, interval and verdict.

    Keys of A and B: preset, backbone, weights, protocol, budget, precision, compile,
    processes, code, data, rule.
    """
    with only_json(as_json=as_json):
        from bench.compare import compare as paired  # noqa: PLC0415  pandas
        from bench.records import load_records, load_runs  # noqa: PLC0415

        frame = load_records(records) if records else load_runs(runs_commands.existing(runs))
        chosen = plugins.load_suite(suite)
        found = paired(frame, chosen, a, b, select, allow_differences=allow_differences)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)


def _print(found: Comparison) -> None:
    typer.echo(printable(found.sentence))
    typer.echo()
    typer.echo(f"A: {printable(found.a.name)}")
    typer.echo(f"B: {printable(found.b.name)}")
    typer.echo(
        "A and B in per cent; A - B and its interval in percentage points; d_z: A - B in standard"
        " deviations over the pairs."
    )
    typer.echo()
    lines = [_line(shift, result) for shift, result in found.shifts.items()]
    if len(lines) > 1:
        lines.append(_line("overall", found.overall))
    show(lines, list(lines[0]), as_json=False)
    typer.echo()
    for note in found.notes:
        typer.echo(f"- {printable(note)}")


def _line(name: str, result: Result) -> dict[str, Any]:
    from bench.comparing.wording import p_value, points  # noqa: PLC0415

    low, high = result.ci95 or (None, None)
    return {
        "shift": printable(name),
        "pairs": str(result.pairs),
        "A": _percent(result.mean_a),
        "B": _percent(result.mean_b),
        "A - B": points(result.difference) or "-",
        "95 % interval": "-" if low is None else f"{points(low)} to {points(high)}",
        "p": p_value(result.p_value) or "-",
        "p (Holm)": p_value(result.p_adjusted) or "-",
        "d_z": "-" if result.effect_size is None else f"{result.effect_size:.2f}",
        "verdict": result.verdict,
    }


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
