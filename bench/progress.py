"""Progress on standard error: bars on a terminal, one line a finished trial elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from collections.abc import Callable


class Progress:
    """Shows how far a sweep is: one bar for its trials, one for the stage that is running."""

    def __init__(self, trials: int) -> None:
        """Prepare for `trials` trials."""
        self._console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._trials = self._bars.add_task("trials", total=trials)
        self._stage = self._bars.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing, whatever happened."""
        self._bars.stop()

    def stepper(self, title: str) -> Callable[[str, int, int], None]:
        """Return what a trial calls with (stage, steps done, steps in all)."""

        def on_step(stage: str, done: int, total: int) -> None:
            self._bars.update(
                self._stage,
                description=f"{title}: {stage}",
                completed=done,
                total=total,
                visible=True,
            )

        return on_step

    def finish_trial(self, outcome: dict[str, Any]) -> None:
        """Advance the sweep by one trial and say how it ended."""
        self._bars.advance(self._trials)
        self._bars.update(self._stage, visible=False)
        metric, score = next(iter(outcome["metrics"].items()), ("", None))
        shown = "mIoU " if metric == "miou" else ""
        ending = outcome["status"] if score is None else f"{shown}{100 * score:.1f} %"
        reason = f": {outcome['error']}" if outcome["error"] else ""
        line = (
            f"{outcome['shift']} seed {outcome['seed']} {outcome['method']}: {ending}{reason}"
            f" ({outcome['seconds']:.0f} s)"
        )
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
