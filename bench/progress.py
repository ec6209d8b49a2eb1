"""Progress on standard error: bars on a terminal, one line a finished trial elsewhere."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.progress import TaskID

    from bench.executors.order import Job

LOOK = 2.0
"""Seconds between two looks at the claims of trials in other processes."""


class Progress:
    """Shows how far a sweep is: one bar for its trials, one for each that is running."""

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
        self._all = self._bars.add_task("trials", total=trials)
        self._running: dict[str, TaskID] = {}
        self._noted: set[tuple[int, str]] = set()

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing, whatever happened."""
        self._bars.stop()

    def step(self, title: str, stage: str, done: int, total: int) -> None:
        """Show how far the trial `title` is: steps done of those of a stage."""
        if title not in self._running:
            self._running[title] = self._bars.add_task(title, total=None)
        task, text = self._running[title], f"{title}: {stage}"
        self._bars.update(task, description=text, completed=done, total=total)

    def end(self, title: str) -> None:
        """Remove the bar of a trial that ended."""
        if title in self._running:
            self._bars.remove_task(self._running.pop(title))

    @contextlib.contextmanager
    def following(self, locks: Path, command: str) -> Iterator[None]:
        """Show how far trials are that run elsewhere: their claims in the folder `locks` say so.

        Args:
            locks: of the runs folder.
            command: as in the claims of this command's trials.
        """
        if self._bars.disable:
            yield
            return
        over = threading.Event()
        watcher = threading.Thread(target=self._follow, args=(locks, command, over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _follow(self, locks: Path, command: str, over: threading.Event) -> None:
        from bench.claim import claims  # noqa: PLC0415  only where there is a terminal

        while not over.wait(LOOK):
            seen = {c.name: c for c in claims(locks) if c.about.get("command") == command}
            for title in self._running.keys() - seen.keys():
                self.end(title)
            for name, claim in seen.items():
                self.step(name, claim.stage, claim.done, claim.total)

    def finish_trial(self, outcome: dict[str, Any]) -> None:
        """Advance the sweep by one trial and say how it ended."""
        self._bars.advance(self._all)
        metric, score = next(iter(outcome["metrics"].items()), ("", None))
        shown = "mIoU " if metric == "miou" else ""
        ending = outcome["status"] if score is None else f"{shown}{100 * score:.1f} %"
        reason = f": {outcome['error']}" if outcome["error"] else ""
        self.say(
            f"{outcome['shift']} seed {outcome['seed']} {outcome['method']}: {ending}{reason}"
            f" ({'done before' if outcome['reused'] else format(outcome['seconds'], '.0f') + ' s'})"
        )

    def note(self, job: Job, note: str) -> None:
        """Print what a trial has to say before it trains: once a method and shift."""
        if (job.row, job.shift) not in self._noted:
            self._noted.add((job.row, job.shift))
            self.say(note)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
