"""Trials in processes of this machine: the numbers of one process, and no way to lose a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from bench import executors
from bench.errors import BenchError
from bench.executors.processes import threads_each
from bench.request import Request
from bench.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGINS = Path(__file__).parent.parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"

WAIT = 120
"""Seconds after which a process that should have done something is stuck."""


def request(runs: Path, **changed: Any) -> Request:
    base = Request(suite=TOY, seeds=(0, 1), preset="smoke", threads=1, runs=runs, jobs=2)
    return replace(base, **changed)


def records(runs: Path) -> dict[str, dict[str, Any]]:
    return {p.parent.name: json.loads(p.read_text()) for p in runs.glob("*/run.json")}


def matrices(runs: Path) -> dict[str, dict[str, list[Any]]]:
    found = {}
    for path in runs.glob("*/confusion.npz"):
        with np.load(path) as file:
            found[path.parent.name] = {name: file[name].tolist() for name in file.files}
    return found


# ------------------------------------------------------------------ the same as one process


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the runs of one sweep, done by one process and by two."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "suite.py").write_text(
        textwrap.dedent(f"""
            from bench.suites import DIGITS_ABLATION, Shift, Suite

            SUITE = Suite(
                "tiny-ablation", "Table 3 of the paper, on bars.",
                (Shift("bright2dark", "{PLUGINS}/toy_domain.py:BrightBars",
                       "{PLUGINS}/toy_domain.py:DarkBars", size=16),),
                DIGITS_ABLATION.entries[:4],
            )
        """)
    )
    asked = request(folder / "serial", suite=f"{folder / 'suite.py'}:SUITE", jobs=1)
    alone = sweep(asked)
    shared = sweep(replace(asked, runs=folder / "shared", jobs=2))
    assert [o["run_id"] for o in shared.outcomes] == [o["run_id"] for o in alone.outcomes]
    assert [o["metrics"] for o in shared.outcomes] == [o["metrics"] for o in alone.outcomes]
    return folder / "serial", folder / "shared"


def test_equal_matrices(both: tuple[Path, Path]) -> None:
    serial, shared = map(matrices, both)
    assert len(serial) == 8
    assert serial == shared


def test_each_stage_is_computed_once_by_whoever_comes_first(both: tuple[Path, Path]) -> None:
    for runs in both:
        stages = [s for record in records(runs).values() for s in record["stages"]]
        computed = Counter(s["key"] for s in stages if not s["cached"])
        assert set(computed.values()) == {1}
        assert set(computed) == {s["key"] for s in stages}


# ------------------------------------------------------------------ what goes wrong


@pytest.fixture
def unruly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the methods of `unruly.py` look at."""
    monkeypatch.setenv("UNRULY", str(tmp_path))
    return tmp_path


def test_a_killed_process_costs_its_own_trial_only(unruly: Path) -> None:
    (unruly / "deadly").touch()
    asked = request(unruly / "runs", methods=(f"{PLUGINS}/unruly.py:Killed", "source-only"))
    first = sweep(asked)
    assert first.failed
    ends = {(o["method"], o["seed"]): o for o in first.outcomes}
    for seed in (0, 1):
        assert ends["source-only", seed]["status"] == "done"
        lost = ends["killed", seed]
        assert lost["status"] == "failed"
        assert "lack of memory" in lost["error"]
        assert "Run the same command" in lost["error"]
        assert records(asked.runs)[lost["run_id"]]["status"] == "failed"
    assert "0 of 2" in first.text  # it is counted
    (unruly / "deadly").unlink()
    second = sweep(replace(asked, jobs=1))
    assert not second.failed
    assert [o["run_id"] for o in second.outcomes] == [o["run_id"] for o in first.outcomes]


def test_what_every_trial_would_meet_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "suite.py").write_text(
        textwrap.dedent(f"""
            from bench.suites import Entry, Shift, Suite

            SUITE = Suite(
                "torn", "A domain that cannot be read.",
                (Shift("torn2dark", "{tmp_path}/torn.py:Torn",
                       "{PLUGINS}/toy_domain.py:DarkBars", size=16),),
                (Entry("source-only", "source-only"),),
            )
        """)
    )
    source = (PLUGINS / "toy_domain.py").read_text()
    (tmp_path / "torn.py").write_text(
        source
        + textwrap.dedent("""

            class Torn(BrightBars):
                def images(self, root, split):
                    raise ZeroDivisionError("no images")
        """)
    )
    with pytest.raises(BenchError, match="no images"):
        sweep(request(tmp_path / "runs", suite=f"{tmp_path / 'suite.py'}:SUITE"))
    children = psutil.Process().children()
    assert not [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def start(unruly: Path, *more: str) -> subprocess.Popen[str]:
    """Start a `bench run` of two trials in two processes."""
    arguments = ["--suite", TOY, "--preset", "smoke", "--threads", "1", "--jobs", "2"]
    arguments += ["--method", f"{PLUGINS}/unruly.py:Slow", "--seeds", "2", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *arguments, "--runs", str(unruly / "runs")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background lets its commands ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        start_new_session=True,
    )


@pytest.fixture
def command(unruly: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a `bench run` whose two processes are in the middle of slow trials."""
    (unruly / "slow").touch()
    process = start(unruly)
    until = time.monotonic() + WAIT
    while len(list(unruly.glob("begun-*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)
    yield process
    process.kill()
    process.communicate()


def workers(unruly: Path) -> list[int]:
    return [int(path.name.split("-")[2]) for path in unruly.glob("begun-*")]


def gone(pids: list[int]) -> bool:
    until = time.monotonic() + WAIT
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.1)
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize(
    ("number", "to"),
    [(signal.SIGINT, "group"), (signal.SIGTERM, "command")],
)
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(
    command: subprocess.Popen[str], unruly: Path, number: signal.Signals, to: str
) -> None:
    """A terminal sends Ctrl-C to all of the command's processes, `kill` to one."""
    (os.killpg if to == "group" else os.kill)(command.pid, number)
    _, err = command.communicate(timeout=WAIT)
    assert command.returncode == 130, err
    assert "run the same command to go on" in err
    assert "Traceback" not in err
    assert gone(workers(unruly))
    ends = {record["status"] for record in records(unruly / "runs").values()}
    assert ends == {"interrupted"}
    (unruly / "slow").unlink()
    report = sweep(request(unruly / "runs", methods=(f"{PLUGINS}/unruly.py:Slow",), jobs=1))
    assert [outcome["status"] for outcome in report.outcomes] == ["done", "done"]


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_no_process_outlives_a_killed_command(command: subprocess.Popen[str], unruly: Path) -> None:
    command.kill()
    assert gone(workers(unruly))


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize("after", [0.0, 0.4])
def test_ctrl_c_while_processes_start(unruly: Path, after: float) -> None:
    """They import for seconds before they can answer by more than a traceback."""
    process = start(unruly)
    until = time.monotonic() + WAIT
    while not (children := workers_of(process.pid)) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert gone(children)


def workers_of(pid: int) -> list[int]:
    children = psutil.Process(pid).children()
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_standard_output_is_the_document_alone(unruly: Path) -> None:
    """A method may print; with --json that must not reach the document."""
    (unruly / "loud").touch()
    process = start(unruly, "--json")
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, err
    assert [trial["status"] for trial in json.loads(out)] == ["done", "done"]
    assert err.count("loud and clear") == 2


# ------------------------------------------------------------------ what was asked for


def test_which_executor() -> None:
    assert executors.name_of(Request()) == "serial"
    assert executors.name_of(Request(jobs=2)) == "processes"
    assert executors.name_of(Request(executor="processes")) == "processes"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Request(executor="slurm"), "Unknown executor 'slurm'"),
        (Request(executor="serial", jobs=2), "--executor serial has none"),
        (Request(executor="ray", jobs=2), "--threads and --gpus say how many"),
        (Request(address="localhost:6379"), "for --executor ray"),
        (Request(jobs=2, gpus=0.5), "for --executor ray"),
        (Request(executor="ray", gpus=1.5), "a share below 1 or a whole number, got 1.5"),
    ],
)
def test_what_does_not_go_together(asked: Request, says: str) -> None:
    with pytest.raises(BenchError, match=says):
        executors.name_of(asked)


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_each(4) == 3
    for text in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        assert cores is not None
        assert [threads_each(n) for n in (1, cores, cores + 1)] == [cores, 1, 1]
