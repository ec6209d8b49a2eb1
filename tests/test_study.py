"""Where a study keeps its trials: what is no storage, who works on what, and what a crash loses."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from bench.errors import BenchError
from bench.tuning import study as studies
from bench.tuning.study import claim, counted, importance, open_study, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLUGINS = Path(__file__).parent / "plugins"
NONE = optuna.pruners.NopPruner()
SPACE: dict[str, Any] = {
    "lr": FloatDistribution(1e-3, 1.0, log=True),
    "batch": IntDistribution(1, 64),
}


@pytest.fixture(params=["sqlite", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the name of a storage of every kind that needs no server."""
    journal = request.param == "journal"
    return f"journal:{tmp_path / 'study.log'}" if journal else f"sqlite:///{tmp_path / 'study.db'}"


def opened(storage: str, name: str = "mine", **asked: Any) -> optuna.Study:
    return open_study(name, storage, {"rule": "infomax", "seeds": (1000,)} | asked, NONE)


def refused(storage: str, name: str = "mine", **asked: Any) -> str:
    with pytest.raises(BenchError) as error:
        opened(storage, name, **asked)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


# ------------------------------------------------------------------ opening


def test_a_study_is_opened_again_if_the_same_is_asked(storage: str) -> None:
    first = opened(storage)
    first.enqueue_trial({"lr": 0.5})
    assert len(opened(storage).trials) == 1
    assert first.direction == optuna.study.StudyDirection.MAXIMIZE


def test_a_study_that_was_asked_for_something_else_says_what_differs(storage: str) -> None:
    opened(storage)
    said = refused(storage, rule="snd", budget=3)
    assert "'mine' was started with other values: budget: None, now 3; rule: 'infomax'" in said
    assert "now 'snd'" in said
    assert "seeds" not in said
    assert "--study" in said
    assert len(opened(storage, "yours", rule="snd").trials) == 0


def test_of_shifts_that_differ_the_names_are_shown(storage: str) -> None:
    opened(storage, shifts=[{"name": "a2b", "size": [16, 16]}])
    said = refused(storage, shifts=[{"name": "a2b", "size": [16, 16]}, {"name": "b2c"}], seeds=[1])
    assert "seeds: 1000, now 1; shifts: a2b, now a2b, b2c. Ask for the same" in said


def test_a_locked_database_is_waited_for_and_then_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "PATIENCE", 0.1)
    path = f"sqlite:///{tmp_path / 'study.db'}"
    study = opened(path)
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "database is locked. Nothing is lost: run the same command" in refused(path)
        with pytest.raises(BenchError, match="database is locked"), studies.storage_errors(path):
            study.ask()
    assert opened(path).trials == []


def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = f"sqlite:///{tmp_path / 'study.db'}"
    opened(path)
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as base:
        base.execute("UPDATE version_info SET library_version = '1.0'")
        base.execute("UPDATE alembic_version SET version_num = 'v2.4.0.a'")
        base.commit()
    before = (tmp_path / "study.db").read_bytes()
    said = refused(path)
    assert "version" in said
    assert "optuna storage upgrade" in said
    assert (tmp_path / "study.db").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"garbage\n{}\n",
        b'{"op_code": 99}\n[]\n',
        b'{"op_code": 0, "worker_id": "a"}\n',
        bytes(range(256)) * 4,
        b"3\n",
    ],
)
def test_a_file_that_is_no_journal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.log"
    path.write_bytes(content)
    said = refused(f"journal:{path}")
    assert "study.log: cannot be read (" in said
    assert "Give another one with --storage." in said
    assert path.read_bytes() == content


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database at all" * 1000)
    assert "file is not a database" in refused(f"sqlite:///{tmp_path / 'study.db'}")


@pytest.mark.parametrize("name", ["sqlite:///{}", "journal:{}"])
def test_a_place_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "none" / "x", tmp_path / "file" / "x"):
        assert "The study's storage" in refused(name.format(place))


@pytest.mark.parametrize("name", ["foo://me:secret@h/x", "nonsense", "", "redis://h"])
def test_a_name_of_no_storage(name: str) -> None:
    said = refused(name)
    assert "Expected sqlite:///FILE, postgresql://USER@HOST/DATABASE or journal:FILE." in said


def test_a_driver_that_is_not_installed() -> None:
    said = refused("postgresql+pg8000://me:secret@127.0.0.1/x")
    if importlib.util.find_spec("pg8000") is None:
        assert "me:***@127.0.0.1/x: needs the package pg8000. Install it with pip" in said


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:a:secret@b@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:///a@b:c.db", "sqlite:///a@b:c.db"),
        ("journal:a@b", "journal:a@b"),
    ],
)
def test_passwords_are_not_shown(name: str, shown: str) -> None:
    assert studies._without_password(name) == shown


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg2")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    said = refused(f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/db")
    assert "Connection refused" in said
    assert "Nothing is lost" in said


# ------------------------------------------------------------------ who works on what


def next_of(study: optuna.Study, folder: Path, wanted: int = 99) -> tuple[Any, Any]:
    """Claim a trial that must be there."""
    claimed = claim(study, SPACE, wanted, folder, 7)
    assert claimed is not None
    return claimed


def finish(study: optuna.Study, trial: Any, lock: Any) -> None:
    study.tell(trial, trial.params["lr"] * trial.params["batch"])
    lock.release()


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in counted(study)]


def test_there_are_as_many_trials_as_wanted(storage: str, tmp_path: Path) -> None:
    study = opened(storage)
    for _ in range(3):
        finish(study, *next_of(study, tmp_path / "locks", 3))
    assert claim(study, SPACE, 3, tmp_path / "locks", 7) is None
    assert claim(study, SPACE, 2, tmp_path / "locks", 7) is None
    trial, lock = next_of(study, tmp_path / "locks", 4)
    assert trial.number == 3
    lock.release()


def test_a_study_goes_on_as_if_it_had_not_been_stopped(storage: str, tmp_path: Path) -> None:
    """Through the random beginning and into what the sampler learns."""
    whole = opened(storage, "whole")
    for _ in range(9):
        finish(whole, *next_of(whole, tmp_path / "a", 9))
    for wanted in (1, 4, 6, 9):  # another number wanted changes nothing either
        parts = opened(storage, "parts")
        while claimed := claim(parts, SPACE, wanted, tmp_path / "b", 7):
            finish(parts, *claimed)
    assert params(opened(storage, "parts")) == params(whole)
    assert len({json.dumps(each) for each in params(whole)}) == 9
    other = opened(storage, "other")
    assert claim(other, SPACE, 1, tmp_path / "c", 8)[0].params != params(whole)[0]  # type: ignore[index]


def test_a_dead_processs_trial_is_taken_up_with_the_same_values(
    storage: str, tmp_path: Path
) -> None:
    study = opened(storage)
    finish(study, *next_of(study, tmp_path, 3))
    dead, lock = next_of(study, tmp_path, 3)
    lock.release()  # as the system does when a process dies
    again, held = next_of(study, tmp_path, 3)
    assert again.params == dead.params
    assert again.number != dead.number
    assert again.user_attrs["again"] == dead.number
    assert study.trials[dead.number].state == TrialState.FAIL
    assert [trial.number for trial in counted(study)] == [0, again.number]
    # It dies as well, and then nobody does.
    held.release()
    third, held = next_of(study, tmp_path, 3)
    assert third.params == dead.params
    finish(study, third, held)
    finish(study, *next_of(study, tmp_path, 3))
    assert claim(study, SPACE, 3, tmp_path, 7) is None
    undisturbed = opened(storage, "undisturbed")
    for _ in range(3):
        finish(undisturbed, *next_of(undisturbed, tmp_path / "others", 3))
    assert params(study) == params(undisturbed)


def test_several_dead_processes_trials_are_all_taken_up(storage: str, tmp_path: Path) -> None:
    study = opened(storage)
    claims = [next_of(study, tmp_path, 3) for _ in range(3)]
    assert claim(study, SPACE, 3, tmp_path, 7) is None
    for _, lock in claims:
        lock.release()
    for _ in range(3):
        finish(study, *next_of(study, tmp_path, 3))
    assert claim(study, SPACE, 3, tmp_path, 7) is None
    assert params(study) == [trial.params for trial, _ in claims]


def test_a_crash_between_queueing_and_giving_up_doubles_nothing(
    storage: str, tmp_path: Path
) -> None:
    study = opened(storage)
    dead, lock = next_of(study, tmp_path, 1)
    lock.release()
    study.enqueue_trial(dead.params, user_attrs={"again": dead.number})
    again, lock = next_of(study, tmp_path, 1)
    assert again.params == dead.params
    finish(study, again, lock)
    assert claim(study, SPACE, 1, tmp_path, 7) is None
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_living_processes_keep_their_trials(storage: str, tmp_path: Path) -> None:
    study = opened(storage)
    mine, mine_lock = next_of(study, tmp_path, 2)
    yours, yours_lock = next_of(study, tmp_path, 2)
    assert (mine.number, yours.number) == (0, 1)
    assert claim(study, SPACE, 2, tmp_path, 7) is None
    finish(study, mine, mine_lock)
    finish(study, yours, yours_lock)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


def test_a_trial_that_ends_while_somebody_looks_is_not_done_again(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at its state and the look at its lock."""
    study = opened(storage)
    claimed = next_of(study, tmp_path, 1)
    lock_of = studies._lock

    def late(folder: Path, number: int) -> Any:
        monkeypatch.setattr(studies, "_lock", lock_of)
        finish(study, *claimed)
        return lock_of(folder, number)

    monkeypatch.setattr(studies, "_lock", late)
    assert claim(study, SPACE, 1, tmp_path, 7) is None
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]


@pytest.mark.parametrize("moved", ["folder", "host"])
def test_only_who_shares_the_locks_can_tell_that_an_owner_died(
    storage: str, tmp_path: Path, moved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process with another runs folder, or on another machine, sees no lock of this one's."""
    study = opened(storage)
    trial, lock = next_of(study, tmp_path / "mine", 2)
    lock.release()
    with monkeypatch.context() as changed:
        folder = tmp_path / "mine"
        if moved == "folder":
            folder = tmp_path / "yours"
        else:
            changed.setattr(socket, "gethostname", lambda: "elsewhere")
        other, held = next_of(study, folder, 2)
        assert other.params != trial.params
        finish(study, other, held)
        assert claim(study, SPACE, 2, folder, 7) is None
    assert study.trials[0].state == TrialState.RUNNING
    again, lock = next_of(study, tmp_path / "mine", 2)
    assert again.params == trial.params
    lock.release()


@pytest.mark.parametrize(("age", "orphan"), [(0, False), (3600, True)])
def test_a_trial_without_an_owner_is_given_time(
    storage: str, tmp_path: Path, age: int, *, orphan: bool
) -> None:
    """Its process died, or another machine's is just about to say that it owns it."""
    study = opened(storage)
    values = {"lr": 0.25, "batch": 3}
    frozen = create_trial(state=TrialState.RUNNING, params=values, distributions=SPACE)
    frozen.datetime_start = datetime.now() - timedelta(seconds=age)  # noqa: DTZ005  as Optuna's
    study.add_trial(frozen)
    claimed = claim(study, SPACE, 1, tmp_path, 7)
    assert (claimed is not None) == orphan
    if claimed is not None:
        assert claimed[0].params == values
        claimed[1].release()


def test_what_the_user_queued_comes_first(storage: str, tmp_path: Path) -> None:
    study = opened(storage)
    study.enqueue_trial({"lr": 0.125, "batch": 5})
    assert counted(study) == []
    trial, lock = next_of(study, tmp_path, 1)
    assert trial.params == {"lr": 0.125, "batch": 5}
    lock.release()


# ------------------------------------------------------------------ what Optuna says


def test_a_report_that_cannot_be_stored_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "PATIENCE", 0.1)
    study = opened(f"sqlite:///{tmp_path / 'study.db'}")
    trial, lock = next_of(study, tmp_path / "locks")
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert report(trial, 0.5, 1) is False
    assert report(trial, 0.5, 2) is False
    assert study.trials[0].intermediate_values[2] == 0.5
    finish(study, trial, lock)


def test_a_report_says_what_the_pruner_says(tmp_path: Path) -> None:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    study = open_study("mine", f"sqlite:///{tmp_path / 'study.db'}", {}, pruner)
    first, lock = next_of(study, tmp_path / "locks")
    assert not report(first, 0.5, 1)
    finish(study, first, lock)
    second, lock = next_of(study, tmp_path / "locks")
    assert report(second, 0.4, 1)
    third, other = next_of(study, tmp_path / "locks")
    assert not report(third, 0.6, 1)
    lock.release()
    other.release()


def test_importance_is_a_share_of_what_varies() -> None:
    study = optuna.create_study(direction="maximize")
    assert importance(study) == {}
    space = {"big": FloatDistribution(0, 1), "small": FloatDistribution(0, 1)}
    for i in range(12):
        values = {"big": i / 12, "small": (i * 5 % 12) / 12}
        trial = create_trial(
            params=values, distributions=dict(space), value=values["big"] + values["small"] / 50
        )
        study.add_trial(trial)
        if i == 2:
            assert importance(study) == {}  # too few to say anything
    study.add_trial(create_trial(state=TrialState.FAIL))
    shares = importance(study)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["big"] > 0.8
    assert shares == importance(study)


def test_nothing_matters_where_all_trials_are_alike() -> None:
    study = optuna.create_study(direction="maximize")
    for i in range(6):
        space = {"lr": FloatDistribution(0, 1)}
        study.add_trial(create_trial(params={"lr": i / 6}, distributions=space, value=1.0))
    assert importance(study) == {}


# ------------------------------------------------------------------ real processes

DRIVER = """
    import json, os, signal, sys
    import matplotlib.figure, torch
    import bench.run, bench.tune, bench.tuning.trial, bench.tuning.report
    from bench import cli

    # Whoever runs the tests in the background ignores Ctrl-C, and children would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        children = []
        for number, (arguments, environment) in enumerate(json.loads(line)):
            pid = os.fork()
            if pid:
                children.append(pid)
                continue
            code = 99
            try:
                os.environ.update(environment)
                for stream, name in ((1, "out"), (2, "err")):
                    place = os.open(f"{name}-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                    os.dup2(place, stream)
                sys.argv = ["bench", *arguments]
                cli.main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        print(json.dumps(codes), flush=True)
"""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork and SIGKILL are POSIX's")


class Processes:
    """Commands in processes of their own, forked from one that has imported everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._driver = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def __call__(self, *commands: list[str], **environment: str) -> list[tuple[int, str, str]]:
        """Run commands at once; return of each the exit code or -signal, and what it said."""
        assert self._driver.stdin
        assert self._driver.stdout
        self._driver.stdin.write(json.dumps([(each, environment) for each in commands]) + "\n")
        self._driver.stdin.flush()
        codes = json.loads(self._driver.stdout.readline())
        return [
            (code, *((self._folder / f"{name}-{i}").read_text() for name in ("out", "err")))
            for i, code in enumerate(codes)
        ]

    def close(self) -> None:
        self._driver.communicate("")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    made = Processes(tmp_path_factory.mktemp("processes"))
    yield made
    made.close()


def command(runs: Path, trials: int, *more: str) -> list[str]:
    return [
        *("tune", "--suite", f"{PLUGINS / 'toy_suite.py'}:TOY", "--preset", "smoke", "--json"),
        *("--method", f"{PLUGINS / 'tunable.py'}:Lean", "--trials", str(trials)),
        *("--set", "steps=4", "--threads", "1", "--device", "cpu", "--runs", str(runs), *more),
    ]


def trials_of(said: tuple[int, str, str]) -> list[dict[str, Any]]:
    """Return the trials that a command printed, without numbers and times."""
    code, out, err = said
    assert code == 0, err
    return [
        {k: v for k, v in trial.items() if k not in ("trial", "seconds")}
        for trial in json.loads(out)["trials"]
    ]


@pytest.fixture(scope="module")
def undisturbed(
    processes: Processes, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    (said,) = processes(command(tmp_path_factory.mktemp("undisturbed"), 3))
    return trials_of(said)


@forks
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_search_goes_on_where_it_was(
    processes: Processes,
    undisturbed: list[dict[str, Any]],
    tmp_path: Path,
    sign: signal.Signals,
) -> None:
    """In the middle of its second trial; nothing is lost, and nothing counts twice."""
    runs, flag = tmp_path / "runs", tmp_path / "flag"
    (first,) = processes(command(runs, 1))
    assert first[0] == 0, first
    flag.write_text(sign.name)
    ((code, out, err),) = processes(command(runs, 3), TUNABLE_FLAG=str(flag))
    assert not flag.exists()
    if sign == signal.SIGINT:
        assert code == 130
        assert "interrupted; run the same command to go on" in err
        assert "Traceback" not in err
    else:
        assert code == -signal.SIGKILL
    assert out == ""
    (last,) = processes(command(runs, 3))
    assert trials_of(last) == undisturbed
    records = [json.loads(path.read_text()) for path in runs.glob("studies/*/*/run.json")]
    assert [record["status"] for record in records] == ["done"] * 3
    # And all of it again costs nothing.
    (once_more,) = processes(command(runs, 3))
    assert once_more[1] == last[1]
    assert "trial " not in once_more[2]


@forks
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_processes_share_a_study(
    processes: Processes, undisturbed: list[dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    place = f"journal:{tmp_path / 'log'}" if kind == "journal" else f"sqlite:///{tmp_path / 'db'}"
    asked = command(tmp_path / "runs", 5, "--storage", place)
    said = processes(asked, asked, TUNABLE_SLEEP="0.02")
    assert [code for code, _, _ in said] == [0, 0], said
    # Who was done first may have seen the other at its last trial.
    (last,) = processes(asked)
    trials = json.loads(last[1])["trials"]
    assert [trial["trial"] for trial in trials] == [0, 1, 2, 3, 4]
    assert all(trial["state"] in ("complete", "failed") for trial in trials)
    assert len({json.dumps(trial["settings"]) for trial in trials}) == 5
    assert trials[0]["settings"] == undisturbed[0]["settings"]
    begun = [line for _, _, err in said for line in err.splitlines() if line.startswith("trial ")]
    assert sorted(int(line.split()[1].rstrip(":")) for line in begun) == [0, 1, 2, 3, 4]
    assert all(any(line.startswith("trial ") for line in err.splitlines()) for _, _, err in said)


# ------------------------------------------------------------------ PostgreSQL

SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server: its database's URL, and what starts it anew."""

    url: str
    restart: Callable[[], None]


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server of our own on loopback."""
    initdb = next((str(s / "initdb") for s in SERVERS), None) or shutil.which("initdb")
    if initdb is None or importlib.util.find_spec("psycopg2") is None:
        pytest.skip("needs PostgreSQL's initdb and psycopg2")
    before: list[str] = []
    folder = tmp_path_factory.mktemp("postgres")
    if os.geteuid() == 0:  # the server refuses to run as root
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        before = ["runuser", "-u", "postgres", "--"]
        folder = Path("/tmp") / f"bench-postgres-{os.getpid()}"  # noqa: S108  theirs to enter
        folder.mkdir()
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    tools, data = Path(initdb).resolve().parent, folder / "data"

    def run(*arguments: object) -> None:
        done = subprocess.run(
            [*before, *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr

    try:
        run(initdb, "-D", data, "-A", "trust", "-U", "me", "-N")
        start = (tools / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        run(*start)

        def restart() -> None:
            run(tools / "pg_ctl", "-D", data, "-m", "immediate", "stop")  # as a crash does
            time.sleep(2)
            run(*start)

        try:
            yield Server(f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/postgres", restart)
        finally:
            run(tools / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        if before:
            shutil.rmtree(folder, ignore_errors=True)


@forks
def test_two_processes_share_a_study_on_a_server(
    processes: Processes, postgres: Server, tmp_path: Path
) -> None:
    """With runs folders of their own, as two machines have."""
    (first,) = processes(command(tmp_path / "a", 1, "--storage", postgres.url))
    assert first[0] == 0, first
    asked = [command(tmp_path / name, 5, "--storage", postgres.url) for name in ("a", "b")]
    said = processes(*asked, TUNABLE_SLEEP="0.05")
    assert [code for code, _, _ in said] == [0, 0], said
    (last,) = processes(asked[0])
    trials = json.loads(last[1])["trials"]
    # Without a common lock, both may begin what was to be the last one.
    assert len(trials) in (5, 6)
    assert {trial["state"] for trial in trials} <= {"complete", "failed", "pruned"}
    folders = [list((tmp_path / name).glob("studies/*/*/run.json")) for name in ("a", "b")]
    assert all(folders)
    assert sum(map(len, folders)) >= 5


@forks
def test_a_server_restarts_while_two_processes_search(
    processes: Processes, postgres: Server, tmp_path: Path
) -> None:
    """It crashes once some trials are finished: those stay, and all the others come to an end."""
    asked = command(tmp_path, 8, "--study", "restarted", "--storage", postgres.url)
    before: dict[int, Any] = {}

    def finished() -> dict[int, Any]:
        with contextlib.suppress(Exception):  # the study is not there yet
            study = optuna.load_study(study_name="restarted", storage=postgres.url)
            return {t.number: t.values for t in study.trials if t.state.is_finished()}
        return {}

    def disturb() -> None:
        until = time.monotonic() + 120
        while len(found := finished()) < 2 and time.monotonic() < until:
            time.sleep(0.2)
        before.update(found)
        postgres.restart()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    said = processes(asked, asked, TUNABLE_SLEEP="0.2")
    disturber.join()
    # A question that was being answered when the server went ends a process in a sentence.
    for code, _, err in said:
        assert code == 0 or (code == 2 and "the same command" in err.lower()), said
        assert "Traceback" not in err
    (last,) = processes(asked)
    assert last[0] == 0, last
    trials = json.loads(last[1])["trials"]
    assert len(trials) == 8
    assert "running" not in {trial["state"] for trial in trials}
    failed = [trial["reason"] for trial in trials if trial["state"] == "failed"]
    assert all("diverged: collapsed" in reason for reason in failed)  # the settings' own fault
    assert 2 <= len(before) < 8
    now = finished()
    assert {number: now[number] for number in before} == before
