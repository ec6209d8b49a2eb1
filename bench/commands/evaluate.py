"""``bench eval``: score label maps that anyone has predicted, anywhere."""

# ruff: noqa: FBT002, PLR0917, TC001, TC003  Typer makes options of the arguments, and reads annotations

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands.options import JsonOption
from bench.console import only_json, print_json, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.classes import ClassList
    from bench.metrics import Absent, Counts

PATIENCE = 2.0
"""Seconds after which a progress bar appears."""


def _class_lists() -> list[str]:
    from bench.classes import CLASS_LISTS  # noqa: PLC0415  numpy

    return list(CLASS_LISTS)


def evaluate(
    pred: Annotated[Path, typer.Option(metavar="DIR", help="Predictions: one PNG an image.")],
    gt: Annotated[Path, typer.Option(metavar="DIR", help="Ground truth: one PNG an image.")],
    classes: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            autocompletion=_class_lists,
            help="Which classes count: cityscapes, synthia16, synthia13, synthia-seqs, camvid, or a"
            " CSV file: name,id,colour and, where some do not count, evaluated (yes or no).",
        ),
    ],
    encoding: Annotated[
        str,
        typer.Option(metavar="labelIds|trainIds|color", help="What predictions hold."),
    ] = "labelIds",
    gt_encoding: Annotated[
        str,
        typer.Option(metavar="labelIds|trainIds|color", help="What the ground truth holds."),
    ] = "labelIds",
    absent: Annotated[
        str,
        typer.Option(
            metavar="skip|zero",
            help="A class that occurs nowhere is left out of mIoU, or counts as 0.",
        ),
    ] = "skip",
    threads: Annotated[
        int | None, typer.Option(min=1, show_default="all cores", help="Images read at once.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score predicted label maps: IoU of each class, mIoU, fwIoU and pixel accuracy.

    Files named as those of Cityscapes pair by city, sequence and frame, others by stem.
    """
    with only_json(as_json=as_json):
        from bench.class_file import class_list  # noqa: PLC0415  numpy
        from bench.errors import unknown  # noqa: PLC0415
        from bench.evaluate import evaluate as count_all  # noqa: PLC0415  numpy
        from bench.label_maps import ENCODINGS  # noqa: PLC0415
        from bench.metrics import ABSENT  # noqa: PLC0415
        from bench.pairing import pair  # noqa: PLC0415

        for name, kind, known in (
            (encoding, "encoding", ENCODINGS),
            (gt_encoding, "encoding", ENCODINGS),
            (absent, "policy for absent classes", ABSENT),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        chosen = class_list(classes)
        pairs = pair(pred, gt, gt_encoding)
        with _progress(len(pairs)) as advance:
            counts = count_all(
                pairs,
                chosen,
                encoding=encoding,
                truth_encoding=gt_encoding,
                threads=threads,
                on_image=advance,
            )
        report = summary(counts, chosen, len(pairs), "zero" if absent == "zero" else "skip")
    if as_json:
        print_json(report)
    else:
        _print_table(report, absent)
    if report["pixel_accuracy"] is None:
        typer.echo(
            f"No pixel of the ground truth in {gt} counts: the class list '{chosen.name}' evaluates"
            f" none of its values. Is it --gt-encoding {gt_encoding}, and are these its --classes?",
            err=True,
        )


def summary(
    counts: Counts, classes: ClassList, images: int, absent: Absent = "skip"
) -> dict[str, Any]:
    """Return what ``bench eval --json`` prints: fractions 0..1, None where there is nothing.

    SYNTHIA's 16 classes have a second mean, "miou13": 13 IoUs of the same matrix.
    """
    from bench import metrics  # noqa: PLC0415  numpy
    from bench.classes import PROTOCOLS, SYNTHIA16  # noqa: PLC0415

    state = (counts.matrix, counts.void)
    shares = zip(classes.names, metrics.iou(*state).tolist(), strict=True)
    report: dict[str, Any] = {
        "images": images,
        "pixel_accuracy": metrics.pixel_accuracy(*state),
        "miou": metrics.mean_iou(*state, absent=absent),
        "fwiou": metrics.frequency_weighted_iou(*state),
        "iou": {name: None if share != share else share for name, share in shares},  # noqa: PLR0124  NaN
        "confusion": counts.matrix.tolist(),
        "void": counts.void.tolist(),
    }
    if classes == SYNTHIA16:
        thirteen = [classes.names.index(n) for n in PROTOCOLS["synthia-13-of-16"].averaged]
        report["miou13"] = metrics.mean_iou(*state, absent=absent, classes=thirteen)
    return report


def _print_table(report: dict[str, Any], absent: str) -> None:
    figures = [
        ("mIoU", "miou"),
        ("mIoU* (13 classes)", "miou13"),
        ("fwIoU", "fwiou"),
        ("pixel accuracy", "pixel_accuracy"),
    ]
    rows = [
        *report["iou"].items(),
        *((name, report[key]) for name, key in figures if key in report),
    ]
    cells = [{"": name, "IoU %": _per_cent(value)} for name, value in rows]
    show(cells, ("", "IoU %"), as_json=False)
    nowhere = sum(value is None for value in report["iou"].values())
    policy = {"skip": "left out of mIoU", "zero": "counted as 0 in mIoU"}[absent]
    typer.echo(
        f"\n{report['images']} images. Classes that occur nowhere (-) are {policy}"
        f" (--absent {absent}): {nowhere} of {len(report['iou'])}."
    )


def _per_cent(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{100 * value:6.2f}"


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Yield what advances a bar on standard error, if that is a terminal and it takes long."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415  only a terminal needs it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    bars = Progress(
        "images",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task, begin = bars.add_task("images", total=total), time.monotonic()

    def advance() -> None:
        bars.advance(task)
        if time.monotonic() - begin > PATIENCE:
            bars.start()  # does nothing if it has started

    try:
        yield advance
    finally:
        bars.stop()
