"""One owner at a time: on one machine by the kernel's lock, on several by signs of life."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from bench import claim as module
from bench.claim import PATIENCE, Claim, claims
from bench.errors import ClaimLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENT = 1000.0
"""Nobody who waits for so long ends within a test."""

SOON = 30.0
"""Seconds within which whatever is to happen must have happened."""

CHILD = """
    import sys
    from pathlib import Path
    from bench import claim
    from bench.claim import Claim
    from filelock import FileLock

    path, name, patience = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    one = Claim(path, {"run": "r"}, beat=0.1, patience=patience)
    if name:  # a machine of its own, which the kernel's lock does not reach
        claim._machine = lambda: name
        one._lock = FileLock(path.with_name(name))
    print("ready", flush=True)
    with one:
        print("mine", flush=True)
        for line in sys.stdin:
            one.progress("source", 3, 10)
            one.check()
            print("still mine", flush=True)
"""


class Child:
    """Another process that claims the same thing, and holds it until it is let go."""

    def __init__(self, path: Path, machine: str = "", patience: float = PATIENT) -> None:
        code = "\n".join(line[4:] for line in CHILD.splitlines())
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(path), machine, str(patience)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.strip() for line in self.process.stdout)

    def says(self, line: str) -> None:
        until(lambda: line in self.lines)

    def asked(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def let_go(self) -> str:
        """Let it end; return what it wrote on standard error."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(SOON)
        return self.process.stderr.read()


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Return what starts a child; whatever it still holds when the test ends is killed."""
    started: list[Child] = []

    def start(*arguments: Any, **named: Any) -> Child:
        started.append(Child(*arguments, **named))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        one.reader.join()
        for pipe in (one.process.stdin, one.process.stdout, one.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "adda-a2b-0-v1.5.lock"


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def foreign(path: Path, beat: int = 0, **changed: Any) -> None:
    """Write the claim of a process on another machine."""
    content = {
        "token": "theirs",
        "machine": "elsewhere",
        "host": "far",
        "pid": 7,
        "about": {},
        "beat": beat,
        "stage": "",
        "done": 0,
        "total": 0,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".claim").write_text(json.dumps(content | changed))


def token(path: Path) -> str:
    content: dict[str, str] = json.loads(path.with_suffix(".claim").read_text())
    return content["token"]


# ------------------------------------------------------------------ one machine


def test_a_claim_says_who_has_it_and_goes_when_it_is_given_up(path: Path) -> None:
    with Claim(path, {"run": "r", "command": "c"}, beat=0.01) as claim:
        claim.progress("source", 3, 10)
        until(lambda: claims(path.parent)[0].done == 3)
        (seen,) = claims(path.parent)
        assert (seen.name, seen.about) == ("adda-a2b-0-v1.5", {"run": "r", "command": "c"})
        assert (seen.pid, seen.stage, seen.done, seen.total) == (os.getpid(), "source", 3, 10)
        assert seen.alive
        claim.check()
    assert claims(path.parent) == []
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert claims(path.parent / "not there") == []


def test_renewing_a_claim_takes_no_room(path: Path) -> None:
    """On a full disk an owner must still give signs of life."""
    with Claim(path, {}, beat=0.01) as claim:
        file = path.with_suffix(".claim")
        before = file.stat()
        claim.progress("a stage with a long name", 10**9, 10**9)
        until(lambda: b"long name" in file.read_bytes())
        assert (file.stat().st_ino, file.stat().st_size) == (before.st_ino, before.st_size)


def test_who_comes_second_waits_and_then_has_it(path: Path, child: Callable[..., Child]) -> None:
    first = child(path)
    first.says("mine")
    second = child(path)
    second.says("ready")
    time.sleep(0.5)
    first.asked()
    first.says("still mine")
    assert second.lines == ["ready"]
    assert first.let_go() == ""
    second.says("mine")
    assert second.let_go() == ""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_what_a_killed_process_had_is_free_at_once(path: Path, child: Callable[..., Child]) -> None:
    first = child(path)
    first.says("mine")
    assert claims(path.parent)[0].alive
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    (seen,) = claims(path.parent)
    assert (seen.pid, seen.alive) == (first.process.pid, False)
    second = child(path)
    second.says("mine")
    assert claims(path.parent)[0].pid == second.process.pid


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_process_that_is_stopped_keeps_it(path: Path, child: Callable[..., Child]) -> None:
    first = child(path)
    first.says("mine")
    first.process.send_signal(signal.SIGSTOP)
    second = child(path, patience=0.0)
    second.says("ready")
    time.sleep(1.0)
    assert second.lines == ["ready"]
    assert claims(path.parent)[0].alive
    first.process.send_signal(signal.SIGCONT)
    first.asked()
    first.says("still mine")
    first.let_go()
    second.says("mine")


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_who_waits_can_be_interrupted_and_leaves_nothing(
    path: Path, child: Callable[..., Child]
) -> None:
    first = child(path)
    first.says("mine")
    second = child(path)
    second.says("ready")
    time.sleep(0.5)
    second.process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in second.let_go()
    assert claims(path.parent)[0].pid == first.process.pid
    first.let_go()
    assert claims(path.parent) == []


def test_no_two_processes_have_it_at_once(path: Path) -> None:
    code = """if True:
        import sys, time
        from pathlib import Path
        from bench.claim import Claim
        counter = Path(sys.argv[2])
        for _ in range(4):
            with Claim(Path(sys.argv[1]), {}):
                count = int(counter.read_text())
                time.sleep(0.02)
                counter.write_text(str(count + 1))
    """
    counter = path.parent.parent / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", code, str(path), str(counter)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(SOON) for process in processes] == [0, 0, 0]
    assert counter.read_text() == "12"


def test_the_user_hears_for_whom_one_waits(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_SAY_AFTER", 0.0)
    foreign(path)
    with Claim(path, {}, patience=0.5):
        said = "waiting for process 7 on far, which is at adda-a2b-0-v1.5\n"
        assert capsys.readouterr().err == said


def test_a_place_that_cannot_be_written_is_an_error_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("in the way")
    threads = threading.active_count()
    with pytest.raises(OSError, match="locks"), Claim(tmp_path / "locks" / "a.lock", {}):
        pass
    assert threading.active_count() == threads


# ------------------------------------------------------------------ several machines


def test_another_machine_that_gives_no_sign_of_life_is_succeeded(path: Path) -> None:
    foreign(path)
    assert claims(path.parent)[0].alive  # as far as this machine can tell
    began = time.monotonic()
    with Claim(path, {}, patience=0.4) as claim:
        assert time.monotonic() - began >= 0.4
        claim.check()
        assert token(path) != "theirs"
    assert claims(path.parent) == []


def aged(path: Path, seconds: float) -> None:
    """Make a claim as old as that."""
    then = time.time() - seconds
    os.utime(path.with_suffix(".claim"), (then, then))


def test_another_machine_that_was_silent_for_long_counts_as_dead(path: Path) -> None:
    foreign(path)
    aged(path, PATIENCE - 20)
    assert claims(path.parent)[0].alive
    aged(path, PATIENCE + 20)
    assert not claims(path.parent)[0].alive
    with FileLock(path):  # its lock reaches this machine
        assert claims(path.parent)[0].alive
    assert {each.suffix for each in path.parent.iterdir()} == {".claim", ".lock"}


def test_a_folder_that_may_not_be_written_tells_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(path)
    aged(path, 2 * PATIENCE)

    def refused(**_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    assert claims(path.parent)[0].alive


@pytest.mark.parametrize("torn", [False, True])
def test_what_was_there_before_this_machine_started_is_free_at_once(
    path: Path, *, torn: bool
) -> None:
    foreign(path, machine=f"{socket.gethostname()}:another boot", host=socket.gethostname())
    if torn:
        path.with_suffix(".claim").write_bytes(b"")
    aged(path, PATIENCE + 20)
    began = time.monotonic()
    with Claim(path, {}) as claim:
        claim.check()
    assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize(("host", "age"), [(socket.gethostname(), 0.0), ("far", 10 * PATIENCE)])
def test_a_living_namesake_and_another_machine_are_waited_for(
    path: Path, host: str, age: float
) -> None:
    foreign(path, machine=f"{host}:another boot", host=host)
    aged(path, age)
    began = time.monotonic()
    with Claim(path, {}, patience=0.4):
        assert time.monotonic() - began >= 0.4


def test_another_machine_that_lives_keeps_it(path: Path) -> None:
    living = threading.Event()

    def live() -> None:
        for beat in range(20):
            foreign(path, beat)
            living.set()
            time.sleep(0.1)
        living.clear()

    thread = threading.Thread(target=live)
    thread.start()
    living.wait()
    with Claim(path, {}, patience=1.0):
        assert not living.is_set()
        assert token(path) != "theirs"
    thread.join()


def test_what_another_machine_gave_up_is_free_at_once(path: Path) -> None:
    foreign(path)
    threading.Timer(0.5, path.with_suffix(".claim").unlink).start()
    with Claim(path, {}, patience=PATIENT):
        assert token(path) != "theirs"


def test_an_owner_that_was_succeeded_notices_and_leaves_the_other_alone(path: Path) -> None:
    with Claim(path, {}, beat=0.02) as claim:
        foreign(path)
        with pytest.raises(ClaimLostError, match=r"adda-a2b-0-v1\.5 was taken over"):
            until(lambda: claim.progress("source", 1, 2))
        with pytest.raises(ClaimLostError):
            claim.check()
    assert token(path) == "theirs"


def test_it_notices_before_it_writes_even_between_two_signs_of_life(path: Path) -> None:
    with Claim(path, {}, beat=PATIENT) as claim:
        foreign(path)
        claim.progress("source", 1, 2)  # not looked up at every step
        with pytest.raises(ClaimLostError):
            claim.check()
        with pytest.raises(ClaimLostError):
            claim.progress("source", 2, 2)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_machine_that_slept_finds_itself_succeeded(
    path: Path, child: Callable[..., Child]
) -> None:
    """Two processes that no lock connects: only their signs of life tell them of each other."""
    laptop = child(path, machine="laptop", patience=1.5)
    laptop.says("mine")
    other = child(path, machine="cluster", patience=1.5)
    other.says("ready")
    time.sleep(2.0)
    assert other.lines == ["ready"]
    laptop.process.send_signal(signal.SIGSTOP)
    other.says("mine")
    laptop.process.send_signal(signal.SIGCONT)
    laptop.asked()
    assert "ClaimLostError" in laptop.let_go()
    other.asked()
    other.says("still mine")
    assert "Error" not in other.let_go()
    assert claims(path.parent) == []


# ------------------------------------------------------------------ damage

TORN = (b"", b"{", b"[]", b"7", b"\0" * 4096, b"\xff\xfe", b'{"token": "theirs"}')


@pytest.mark.parametrize("content", TORN)
def test_a_torn_claim_is_succeeded_and_not_listed(content: bytes, path: Path) -> None:
    path.parent.mkdir()
    path.with_suffix(".claim").write_bytes(content)
    assert claims(path.parent) == []
    with Claim(path, {}, patience=0.0) as claim:
        claim.check()
        assert len(claims(path.parent)) == 1


@given(st.binary(max_size=40), st.integers(0, 300))
def test_bytes_of_any_kind_are_no_claim_or_a_torn_one(content: bytes, at: int) -> None:
    whole = json.dumps(
        {"token": "t", "machine": "m", "host": "h", "stage": "", "about": {}}
        | dict.fromkeys(("pid", "beat", "done", "total"), 1)
    ).encode()
    assert module._parsed(whole)["pid"] == 1
    assert module._parsed(content) == {}
    assert isinstance(module._parsed(whole[:at] + content + whole[at + len(content) :]), dict)


@pytest.mark.parametrize("content", [None, *TORN])
def test_a_claim_that_somebody_spoiled_is_written_again(content: bytes | None, path: Path) -> None:
    file = path.with_suffix(".claim")
    with Claim(path, {}, beat=0.05) as claim:
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        claim.check()
        until(lambda: claims(path.parent))
        claim.check()
    assert not file.exists()


def test_a_folder_that_somebody_removed_hurts_nobody(path: Path) -> None:
    with Claim(path, {}, beat=0.02) as claim:
        shutil.rmtree(path.parent)
        time.sleep(0.1)
        claim.progress("source", 1, 2)
        claim.check()
    assert not path.parent.exists()


def test_the_lock_of_a_dead_claim_may_be_missing_and_leftovers_are_no_claims(path: Path) -> None:
    foreign(path, machine=module._machine())
    (path.parent / f".{path.stem}.claim.abcd.claim").write_bytes(
        path.with_suffix(".claim").read_bytes()
    )
    (seen,) = claims(path.parent)
    assert not seen.alive
    assert not path.exists()
