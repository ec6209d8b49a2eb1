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

from .sweeps import KILLS, TRIALS, arguments, finished, matrices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are POSIX's"),
    pytest.mark.skipif(not KILLS, reason="takes minutes: nox -s soak, or SOAK_KILLS=10"),
]

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


def disturb(start: Callable[[Path], int | None], undisturbed: Path, name: str) -> tuple[int, int]:
    """Run sweeps until there were enough kills; return the numbers of kills and of sweeps.

    Args:
        start: runs the sweep in a folder, kills it if it takes too long, and returns how it
            ended: its exit code, or None if it was killed.
        undisturbed: what `undisturbed` returns.
        name: of the folders.
    """
    expected = matrices(undisturbed / "undisturbed")
    kills = rounds = 0
    while kills < KILLS:
        now = Round(undisturbed / f"{name}-{rounds}")
        while (code := start(now.runs)) is None:
            kills += 1
            now.check()
        # A trial that lost its process without the command's end counts as failed: go on.
        while code != 0:
            assert code == 1
            code = start(now.runs)
            kills += code is None
            now.check()
        rounds += 1
        assert matrices(now.runs) == expected
        assert not list(now.runs.glob("stages/damaged-*"))
    return kills, rounds


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

        def start(runs: Path) -> int | None:
            stdin.write("\t".join(arguments(undisturbed, runs)) + "\n")
            stdin.flush()
            pid = int(stdout.readline())
            time.sleep(dice.uniform(0.05, 2.5))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            code = int(stdout.readline())
            return None if code < 0 else code

        kills, rounds = disturb(start, undisturbed, "serial")
        stdin.close()
    with capsys.disabled():
        print(f" {kills} kills over {rounds} sweeps of {TRIALS} trials", end="")


def test_two_workers(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Now the whole command is killed, now one of its processes."""
    dice = random.Random(1)
    longest = [10.0]

    def start(runs: Path) -> int | None:
        began = time.monotonic()
        command = subprocess.Popen(
            [sys.executable, "-m", "bench", *arguments(undisturbed, runs), "--jobs", "2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        killed = False
        pause = dice.uniform(0.3, 1.0) * longest[0]
        try:
            code: int | None = command.wait(pause)
        except subprocess.TimeoutExpired:
            children = [
                child
                for child in psutil.Process(command.pid).children()
                if "spawn_main" in " ".join(child.cmdline())  # and not Python's own helper
            ]
            victim = dice.choice([command.pid, *(child.pid for child in children)])
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            killed = True
            code = command.wait()
            # Those that a killed command leaves behind end by themselves.
            psutil.wait_procs(children, timeout=60)
        if not killed:
            longest[0] = 0.9 * (time.monotonic() - began)
        return None if killed else code

    kills, rounds = disturb(start, undisturbed, "workers")
    with capsys.disabled():
        print(f" {kills} kills over {rounds} sweeps of {TRIALS} trials", end="")
