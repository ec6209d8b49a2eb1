"""SIGKILLs at random moments: every trial ends as if there had been none, and none runs twice."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from .sweeps import KILLS, TRIALS, arguments, attempts, begun, finished, matrices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are POSIX's"),
    pytest.mark.skipif(not KILLS, reason="takes minutes: nox -s soak, or SOAK_KILLS=10"),
]

LONGEST = 300.0
"""Seconds without a kill after which a sweep hangs: undisturbed, it takes some ten."""

DRIVER = """
    import os, sys
    import bench.executors.serial, bench.sweep  # all that takes seconds to import
    from bench import cli

    # A line of standard input starts a `bench run`; its process is the answer.
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv = ["bench", *line.split("\\t")]
            sys.argv[-1] = sys.argv[-1].rstrip()
            code = 99
            try:
                cli.main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
            finally:
                os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the suite, and the runs that nobody disturbed."""
    folder = tmp_path_factory.mktemp("kills")
    command = [sys.executable, "-m", "bench", *arguments(folder, folder / "undisturbed")]
    subprocess.run(command, check=True, capture_output=True)
    assert len(matrices(folder / "undisturbed")) == TRIALS
    return folder


class Round:
    """A sweep in a folder of its own, disturbed until it has ended."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.seen: dict[Path, tuple[int, int]] = {}

    def check(self) -> None:
        """What was finished before must have been left alone since."""
        now = finished(self.runs)
        assert {path: now.get(path) for path in self.seen} == self.seen
        self.seen = now


def disturb(
    start: Callable[[Path, int], tuple[int | None, int]], undisturbed: Path, name: str
) -> str:
    """Run sweeps until there were enough kills; return what to print.

    Args:
        start: runs the sweep in a folder and disturbs it, with so many kills at most; returns its
            exit code, None if it was killed itself, and the number of kills.
        undisturbed: what `undisturbed` returns.
        name: of the folders.
    """
    expected = matrices(undisturbed / "undisturbed")
    kills = rounds = hit = 0
    while kills < KILLS:
        now = Round(undisturbed / f"{name}-{rounds}")
        code: int | None = None
        while code != 0:
            # The last sweep is left in peace at last, and must come to its end.
            code, more = start(now.runs, KILLS - kills)
            # A trial that lost its process without the command's end counts as failed: go on.
            assert code in {None, 0, 1}
            kills += more
            now.check()
        rounds += 1
        assert matrices(now.runs) == expected
        assert not list(now.runs.glob("stages/damaged-*"))
        hit += attempts(now.runs) - TRIALS
    assert hit, "no kill met a trial at work"
    return f" {kills} kills over {rounds} sweeps of {TRIALS} trials; trials at work hit: {hit}"


def test_serial(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(0)
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with driver:
        stdin, stdout = driver.stdin, driver.stdout
        assert stdin is not None
        assert stdout is not None

        def start(runs: Path, most: int) -> tuple[int | None, int]:
            stdin.write("\t".join(arguments(undisturbed, runs)) + "\n")
            stdin.flush()
            pid = int(stdout.readline())
            if most > 0:
                time.sleep(dice.uniform(0.05, 2.5))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            code = int(stdout.readline())
            return (None, 1) if code < 0 else (code, 0)

        said = disturb(start, undisturbed, "serial")
        stdin.close()
    with capsys.disabled():
        print(said, end="")


def test_two_workers(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Now the whole command is killed, now one of its processes, when it is at work."""
    dice = random.Random(1)
    victims = set()

    def start(runs: Path, most: int) -> tuple[int | None, int]:
        command = psutil.Popen(
            [sys.executable, "-m", "bench", *arguments(undisturbed, runs), "--jobs", "2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kills, since = 0, time.time_ns()
        while command.poll() is None:
            assert time.time_ns() - since < LONGEST * 1e9, "the sweep hangs"
            # A trial has begun, or one was written off after the kill before.
            if kills >= most or not begun(runs, since):
                time.sleep(0.02)
                continue
            with contextlib.suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
                command.wait(dice.uniform(0, 1.5))
                break
            with contextlib.suppress(psutil.NoSuchProcess):
                workers = [
                    child
                    for child in command.children()
                    if "spawn_main" in " ".join(child.cmdline())  # and not Python's own helper
                ]
                victim = dice.choice([command, *workers])
                victim.kill()
                victims.add("command" if victim is command else "worker")
                kills, since = kills + 1, time.time_ns()
                if victim is command:
                    command.wait()
                    # Those that a killed command leaves behind end by themselves.
                    _, alive = psutil.wait_procs(workers, timeout=60)
                    assert not alive
                    return None, kills
        return command.returncode, kills

    said = disturb(start, undisturbed, "workers")
    assert victims == {"command", "worker"}
    with capsys.disabled():
        print(said, end="")
