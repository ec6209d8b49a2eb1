"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import plugins
from bench.config import PRECISIONS
from bench.hyperparameters import PRESETS

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
RecordsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--records", metavar="FILE", help="Exported records, not a runs folder. Repeatable."
    ),
]
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
ShiftOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shift",
        metavar="NAME",
        autocompletion=shift_names,
        show_default="all of the suite",
        help="A shift, also of another suite. Repeatable.",
    ),
]
PresetOption = Annotated[
    str, typer.Option("--preset", metavar="|".join(PRESETS), help="How much work.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a hyperparameter. Repeatable."),
]
BackboneOption = Annotated[
    str | None,
    typer.Option(
        "--backbone", metavar="NAME", show_default="the shift's", help="The task network."
    ),
]
WeightsOption = Annotated[
    str,
    typer.Option(
        "--weights", metavar="random|imagenet|FILE", help="The task network's initial weights."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda|mps")]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision", metavar="|".join(PRECISIONS), help="Of the arithmetic while training."
    ),
]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="Train kernels of torch.compile's: where they help.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, show_default="all cores", help="CPU threads of a trial."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Keep large images decoded: faster, much larger."),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Fetch nothing.")]
SkipMissingOption = Annotated[
    bool, typer.Option("--skip-missing", help="Run what there is data for.")
]
BudgetOption = Annotated[
    int | None,
    typer.Option(
        "--budget", min=1, show_default="the preset's", help="Training steps a trial may take."
    ),
]
JobsOption = Annotated[
    int, typer.Option("--jobs", "-j", min=1, help="Trials side by side, a process each.")
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="serial|processes|ray",
        show_default="what --jobs needs",
        help="Where trials run.",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        show_default="a cluster of this machine alone",
        help="The Ray cluster to run on; auto finds one that runs here.",
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        "--gpus",
        min=0,
        show_default="1 if the cluster has any",
        help="GPUs of a trial on Ray, or a share of one.",
    ),
]
Domains = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DOMAIN]...", autocompletion=names_of("domain"), show_default="all"),
]
