"""A trial's numbers in another program while it trains: ``bench run --log tensorboard``.

A logger is a small class in `LOGGERS`. What it writes lies in ``<run folder>/<its name>`` and is
a copy: of the lines of ``metrics.jsonl``, and, once the trial is over, of its scores and pictures.
Whatever an earlier attempt or another trial did already is handed over again, so a logger begins
anew each time, and the copy never has a step twice.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import shutil
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from bench import select
from bench.errors import BenchError, unknown
from bench.records import read_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


class Logger(Protocol):
    """What shows one trial's numbers; made as ``LOGGERS[name](folder)``."""

    package: ClassVar[str]
    """What it imports; the extra of the logger's name installs it."""

    def __init__(self, folder: Path) -> None:
        """Begin in `folder`, which does not exist yet."""
        ...

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of one step; NaN stands for whatever was not finite."""
        ...

    def pictures(self, step: int, files: Iterable[Path]) -> None:
        """Take PNG files, drawn after `step` steps."""
        ...

    def close(self) -> None:
        """Write out what is not written yet."""
        ...


class TensorBoard:
    """Event files: a number is the scalar ``<stage>/<name>``, a picture ``figures/<name>``."""

    package: ClassVar[str] = "tensorboard"

    def __init__(self, folder: Path) -> None:
        """Begin an event file in `folder`."""
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  takes seconds

        self._writer = SummaryWriter(str(folder), flush_secs=10)

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the curve of each name."""
        for name, value in values.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)

    def pictures(self, step: int, files: Iterable[Path]) -> None:
        """Add an image for each file."""
        import numpy as np  # noqa: PLC0415
        from PIL import Image  # noqa: PLC0415

        for file in files:
            with Image.open(file, formats=("PNG",)) as image:
                pixels = np.asarray(image.convert("RGB"))
            self._writer.add_image(f"figures/{file.stem}", pixels, step, dataformats="HWC")

    def close(self) -> None:
        """End the event file."""
        self._writer.close()


LOGGERS: dict[str, type[Logger]] = {"tensorboard": TensorBoard}


def check(name: str) -> None:
    """Say before any training whether a logger can be had.

    >>> check("tensorbord")
    Traceback (most recent call last):
    bench.errors.BenchError: Unknown logger 'tensorbord'. Did you mean 'tensorboard'? Available: ...

    Raises:
        BenchError: there is no such logger, or its package is not installed.
    """
    if name not in LOGGERS:
        raise unknown("logger", name, LOGGERS)
    package = LOGGERS[name].package
    if importlib.util.find_spec(package) is None:
        raise BenchError(
            f"--log {name} needs the package '{package}', which is not installed."
            f" Install it with: pip install 'cycada-bench[{name}]'"
        )


class Log:
    """One trial's way to a logger, which may fail but never fails the trial.

    Used as a context manager, which closes the logger. The logger begins with the first line and
    not before: until then another command may be at the same trial.
    """

    def __init__(self, name: str | None, run: Path) -> None:
        """Prepare for the trial whose folder is `run`; without a name, drop all that comes."""
        self._name = name
        self._run = run
        self._logger: Logger | None = None

    def __enter__(self) -> Self:
        """Do nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the logger, whatever happened."""
        if self._logger is not None:
            with self._guarded():
                self._logger.close()

    def line(self, line: Mapping[str, Any]) -> None:
        """Hand over a line of ``metrics.jsonl``: stage, loop and step, and numbers by name."""
        if self._name is not None:
            with self._guarded():
                self._begun(self._name).scalars(line["stage"], line["step"], _numbers(line))

    def finish(self, steps: int, scores: Mapping[str, float | None], rule: str) -> None:
        """Hand over what there is of a trial only once it is over: scores and pictures.

        A trial that was over before this command began is handed over from its first line, unless
        the logger has it already.

        Args:
            steps: training steps of the whole trial; there the scores stand.
            scores: figures of the target's test set, by name; {} of one that did not end well.
            rule: the selection rule that chose the checkpoint they are of.
        """
        if self._name is None or (self._logger is None and (self._run / self._name).exists()):
            return
        late = self._logger is None
        with self._guarded():
            logger = self._begun(self._name)
            for line in read_metrics(self._run) if late else ():
                logger.scalars(line["stage"], line["step"], _numbers(line))
            found = {name: value for name, value in scores.items() if value is not None}
            logger.scalars("test" if rule == select.DEFAULT else f"test ({rule})", steps, found)
            logger.pictures(steps, sorted((self._run / "figures").glob("*.png")))

    def _begun(self, name: str) -> Logger:
        if self._logger is None:
            folder = self._run / name
            shutil.rmtree(folder, ignore_errors=True)
            self._logger = LOGGERS[name](folder)
        return self._logger

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """If the logger cannot do something, say so once, and go on without it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  a logger may raise anything
            what = f"{type(error).__name__}: {error}"
            sys.stderr.write(f"warning: no more {self._name} of {self._run.name}: {what}\n")
            self._name = self._logger = None


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line by name; each loop of a stage counts its steps from 0.

    >>> _numbers({"stage": "feature", "loop": 1, "step": 20, "loss": None, "accuracy": 0.5})
    {'loop-1/loss': nan, 'loop-1/accuracy': 0.5}
    """
    prefix = f"loop-{line['loop']}/" if line["loop"] else ""
    return {
        prefix + name: math.nan if value is None else float(value)
        for name, value in line.items()
        if name not in {"stage", "loop", "step"}
    }
