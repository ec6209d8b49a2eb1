"""Killed by SIGKILL anywhere in any stage and started again, a run ends as if it never was killed.

Every process here is a real `bench run`. One driver imports the package once and forks them, which
saves seconds each; a child kills itself at an exact step, so that nothing depends on timing. The
last one of a case is started by `python -m bench`, as a user would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are POSIX's")

TOY = f"{Path(__file__).parent / 'plugins' / 'toy_suite.py'}:TOY"

DRIVER = """
    import json, os, signal, sys
    from pathlib import Path

    import bench.context, bench.outputs, bench.run, bench.sweep
    from bench import cli
    from bench.progress import Progress


    def arm(point):
        # Kill this process once `point` is reached: after a step, or in what follows the training.
        def kill(*_, **__):
            os.kill(os.getpid(), signal.SIGKILL)

        if point == "scoring":
            bench.outputs.score_outputs = kill
        elif point == "writing":
            save = bench.context.torch.save
            seen = []

            def torn(content, path):
                seen.append(path)
                if len(seen) == 2:  # the first snapshot is whole, the second is torn
                    Path(path).write_bytes(b"half a snapshot")
                    kill()
                save(content, path)

            bench.context.torch.save = torn
        elif point is not None:
            step = Progress.step

            def killing(self, title, stage, done, total):
                step(self, title, stage, done, total)
                if [stage, done] == point:
                    kill()

            Progress.step = killing


    def run(arguments, point):
        # Return (exit code or -signal, the run's status).
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                sys.argv = ["bench", *arguments]
                arm(point)
                cli.main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        runs = Path(arguments[arguments.index("--runs") + 1])
        return code, [json.loads(p.read_text())["status"] for p in runs.glob("*/run.json")]


    print(json.dumps([run(arguments, point) for arguments, point in json.loads(sys.argv[1])]))
"""

STEPS = 40
"""Steps of every stage: enough for a snapshot at every fourth step, not at every one."""

SETTINGS = {
    "source.max_steps": STEPS,
    "pixel.max_steps": STEPS,
    # With this the classifier's loss first falls to 1 at step 14, is above it again at the kill,
    # and "released" must remember that it was below.
    "pixel.classifier_lr": 1e-3,
    "feature.max_steps": STEPS,
    "feature.lr": 1e-4,
    "feature.discriminator_lr": 1e-3,
}


@dataclass(frozen=True)
class Case:
    """A method, what is changed in it, and where its runs are killed."""

    method: str
    points: tuple[tuple[str, int] | str, ...]
    settings: tuple[str, ...] = ()
    backbone: str = "lenet"


BY_MODULE = "released"
"""The case whose last process is started by ``python -m bench``."""


def places(*stages: str) -> tuple[tuple[str, int], ...]:
    """Return for each stage: before its first snapshot, between two, and after the last."""
    return tuple((stage, done) for stage in stages for done in (1, 21, STEPS))


CASES = {
    "released": Case(
        "cycada",
        (*places("source", "translator", "adapted", "feature"), "scoring"),
        ("pixel.semantic=released",),
    ),
    "cooperative": Case(
        "cycada",
        ("writing", ("translator", 5), ("translator", 32), ("feature", 9)),
        # The feature stage's gate never opens, and the count of closed steps ends the stage.
        ("pixel.semantic=cooperative", "source.schedule=cosine", "feature.gate=1"),
    ),
    # Dropout and batch norm: random numbers and running statistics in every step.
    "batch-norm": Case(
        "adda",
        (("source", 7), ("source", 10), ("feature", 9)),
        ("source.batch=8", "feature.batch=8"),
        backbone="dtn",
    ),
}


@dataclass(frozen=True)
class Outcome:
    """Two runs folders, and how each process on the way ended: (exit code, statuses)."""

    never: Path
    killed: Path
    ends: list[Any]


def arguments(case: Case, runs: Path, threads: int) -> list[str]:
    """Return the command; another number of threads would add up in another order."""
    known = {"cycada": ("source", "pixel", "feature"), "adda": ("source", "feature")}[case.method]
    chosen = [f"{k}={v}" for k, v in SETTINGS.items() if k.partition(".")[0] in known]
    return [
        *("run", "--suite", TOY, "--preset", "smoke", "--method", case.method, "--seeds", "3,"),
        *("--backbone", case.backbone, "--threads", str(threads), "--runs", str(runs)),
        *(word for text in (*chosen, *case.settings) for word in ("--set", text)),
    ]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Run every case: never killed; killed at each of its points; and then to its end."""
    folder = tmp_path_factory.mktemp("resume")
    plan: list[tuple[list[str], object]] = []
    for name, case in CASES.items():
        plan.append((arguments(case, folder / name / "never", 1), None))
        plan += [(arguments(case, folder / name / "killed", 1), point) for point in case.points]
        if name != BY_MODULE:
            plan.append((arguments(case, folder / name / "killed", 2), None))
    (folder / "driver.py").write_text(textwrap.dedent(DRIVER))
    command = [sys.executable, str(folder / "driver.py"), json.dumps(plan)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ends = json.loads(out.splitlines()[-1])
    found = {}
    for name, case in CASES.items():
        n = 1 + len(case.points) + (name != BY_MODULE)
        found[name] = Outcome(folder / name / "never", folder / name / "killed", ends[:n])
        ends = ends[n:]
    command = [
        sys.executable,
        "-m",
        "bench",
        *arguments(CASES[BY_MODULE], found[BY_MODULE].killed, 2),
    ]
    last = subprocess.run(command, capture_output=True, text=True, check=False)
    found[BY_MODULE].ends.append([last.returncode, [record(found[BY_MODULE].killed)["status"]]])
    return found


@pytest.fixture(params=CASES)
def outcome(request: pytest.FixtureRequest, outcomes: dict[str, Outcome]) -> Outcome:
    """Return one case's outcome."""
    return outcomes[request.param]


def record(runs: Path) -> dict[str, Any]:
    (path,) = runs.glob("*/run.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def files(runs: Path, *patterns: str) -> dict[str, bytes]:
    """Return the content of files below `runs`, by path."""
    found = sorted(path for pattern in patterns for path in runs.glob(pattern))
    assert found
    return {str(path.relative_to(runs)): path.read_bytes() for path in found}


def test_every_kill_left_a_record_that_says_running_and_a_later_run_completes_it(
    outcome: Outcome,
) -> None:
    never, *killed, last = outcome.ends
    assert never == last == [0, ["done"]]
    assert killed == [[-signal.SIGKILL, ["running"]]] * len(killed)
    done = record(outcome.killed)
    assert (done["status"], done["error"]) == ("done", None)
    assert done["run_id"] == record(outcome.never)["run_id"]


def test_it_keeps_the_threads_it_began_with(outcome: Outcome) -> None:
    assert record(outcome.killed)["threads"] == 1
    keys = [
        [stage["key"] for stage in record(r)["stages"]] for r in (outcome.never, outcome.killed)
    ]
    assert keys[0] == keys[1]
    assert {p.name for p in (outcome.killed / "stages").iterdir()} == {*keys[0], "locks"}


def test_all_confusion_matrices_are_those_of_a_run_never_killed(outcome: Outcome) -> None:
    paths = [next(runs.glob("*/confusion.npz")) for runs in (outcome.never, outcome.killed)]
    with np.load(paths[0]) as expected, np.load(paths[1]) as found:
        stages = {f"stage-{name}" for name in ("source", "adapted", "feature")}
        assert {name for name in expected if name.startswith("stage")} <= stages
        assert sum(name.startswith("checkpoint") for name in expected) >= 3
        assert set(found) == set(expected)
        for name in expected:
            assert np.array_equal(found[name], expected[name]), name


def test_weights_and_outputs_are_the_same_to_the_bit(outcome: Outcome) -> None:
    """Few predictions of a small network may hide a difference; its weights hide none."""
    patterns = ("stages/*/*.safetensors", "*/checkpoints/*", "*/outputs.safetensors")
    expected, found = files(outcome.never, *patterns), files(outcome.killed, *patterns)
    assert found.keys() == expected.keys()
    different = [name for name, content in expected.items() if found[name] != content]
    assert not different


def test_scores_by_every_rule_are_those_of_a_run_never_killed(outcome: Outcome) -> None:
    expected, found = record(outcome.never), record(outcome.killed)
    assert found["scores"] == expected["scores"]
    for by_step in expected["scores"].values():
        assert [int(step) for step in by_step] == expected["checkpoints"]
        assert len(by_step) >= 3


def test_every_line_is_logged_once(outcome: Outcome) -> None:
    expected, found = (files(r, "*/metrics.jsonl") for r in (outcome.never, outcome.killed))
    assert found == expected


def test_steps_are_those_of_a_run_never_killed(outcome: Outcome) -> None:
    never, killed = record(outcome.never), record(outcome.killed)
    assert killed["steps"] == never["steps"] == sum(s["steps"] for s in never["stages"])
    for key in ("steps", "stop", "name"):
        assert [s[key] for s in killed["stages"]] == [s[key] for s in never["stages"]]
    assert {s["steps"] for s in never["stages"] if s["stop"] is None} == {STEPS}


def test_what_only_a_resume_needs_is_gone(outcome: Outcome) -> None:
    assert not list(outcome.killed.glob("*/work"))
    assert not list(outcome.killed.rglob("loop-*"))


def test_nobody_claims_what_is_done(outcome: Outcome) -> None:
    assert not list(outcome.killed.rglob("*.claim"))


def test_a_torn_snapshot_does_not_stay_in_the_cache(outcomes: dict[str, Outcome]) -> None:
    left = [path.name for path in (outcomes["cooperative"].killed / "stages").rglob(".*")]
    assert not left
