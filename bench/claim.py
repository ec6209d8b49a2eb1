"""Who works on what: one owner at a time for each run and each stage, on any number of machines.

::

    <folder>/locks/<name>.lock    locked by the kernel as long as its owner lives
                   <name>.claim   JSON: who the owner is, and how far it is

Within a machine the kernel's lock decides, and a dead owner's is free at once. Some network file
systems do not carry locks to other machines. There the claim decides: its owner writes it anew
every `BEAT` seconds. Who finds another machine's claim waits until it has stood still for
`PATIENCE` seconds of the finder's own clock, and takes over. A claim is silent if its file is
older than that beside one touched now in the same folder: both times are of the folder's file
system, and no two machines' clocks are compared. Who finds a silent claim of its own machine, from
before it was started again, or one that a loss of power tore, takes over at once.
An owner that was away for so long (a laptop that slept) finds another's claim, and stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from bench.errors import ClaimLostError
from bench.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

BEAT = 5.0
"""Seconds between two signs of life."""

PATIENCE = 60.0
"""Seconds without a sign of life after which another machine is taken for dead."""

_POLL = 0.2
"""Seconds between two looks at who owns it. To look, and not to block, lets Ctrl-C through."""

_SAY_AFTER = 3.0
"""Seconds of waiting after which the user hears for whom."""

_SIZE = 4096
"""Bytes of a claim, padded: to be written anew in place it needs no room on a full disk."""


@dataclass(frozen=True)
class Seen:
    """A claim as another process sees it.

    Attributes:
        name: of the run or stage.
        about: what its owner said about it.
        host: the owner's machine.
        pid: the owner's process.
        stage: where the owner is, at its last sign of life; "" if it did not say.
        done: steps of that stage done.
        total: steps of that stage.
        alive: False if the owner has died, or is on another machine and silent for `PATIENCE`.
    """

    name: str
    about: Mapping[str, str]
    host: str
    pid: int
    stage: str
    done: int
    total: int
    alive: bool


class Claim:
    """The right to work on one thing, held inside a ``with`` block; entering waits for it.

    Example::

        >>> import tempfile
        >>> locks = Path(tempfile.mkdtemp())
        >>> with Claim(locks / "adda-a2b-0.lock", {"command": "mine"}) as claim:
        ...     claim.progress("source", 10, 100)
        ...     [seen] = claims(locks)
        ...     claim.check()  # before what was found is written
        >>> seen.name, seen.about, seen.alive
        ('adda-a2b-0', {'command': 'mine'}, True)
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, str],
        *,
        beat: float = BEAT,
        patience: float = PATIENCE,
    ) -> None:
        """Prepare to claim.

        Args:
            path: ``<folder>/locks/<name>.lock``.
            about: what others should know, as text by name.
            beat: seconds between two signs of life.
            patience: seconds without one after which another machine is taken for dead.
        """
        self._lock = FileLock(path)
        self._path = path.with_suffix(".claim")
        self._about = dict(about)
        self._every = beat
        self._patience = patience
        self._token = uuid.uuid4().hex
        self._beats = 0
        self._progress = ("", 0, 0)
        self._lost = False
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, name=f"claim {path.stem}", daemon=True)

    def __enter__(self) -> Self:
        """Wait until nobody else works on it, and claim it. Raises OSError if that cannot be."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        waiting = _Waiting(self._path)
        while not _locked(self._lock):
            waiting.pause()
        try:
            self._take(waiting)
            self._beating.start()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Give it up."""
        try:
            self._over.set()
            self._beating.join()
            with contextlib.suppress(OSError):
                if self._owner() == self._token:
                    self._path.unlink()
        finally:
            self._lock.release()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Let the next sign of life say how far it is. Raises ClaimLostError as `check` does."""
        self._progress = (stage, done, total)
        if self._lost:
            raise self._loss()

    def check(self) -> None:
        """Look whether it is still ours, as one should before writing what was found.

        Raises:
            ClaimLostError: another machine took it over.
        """
        with contextlib.suppress(OSError):
            self._lost = self._lost or self._owner() not in (None, self._token)
        if self._lost:
            raise self._loss()

    def _loss(self) -> ClaimLostError:
        return ClaimLostError(
            f"{self._path.stem} was taken over by another process, which had seen no sign of life"
            f" of this one for {self._patience:g} seconds."
        )

    def _take(self, waiting: _Waiting) -> None:
        """Wait while another machine is at it, and put our claim in its place."""
        seen: bytes | None = None
        since = time.monotonic()
        while True:
            found = _content(self._path)
            if found is not None and _parsed(found).get("machine") != _machine():
                if found != seen:
                    seen, since = found, time.monotonic()
                    if self._is_left(found):
                        since -= self._patience
                if time.monotonic() - since < self._patience:
                    waiting.pause()
                    continue
            try:
                self._put(new=found is None)
            except FileExistsError:
                continue
            # Another machine may have taken it over in the same moment: the last one has it.
            if self._owner() == self._token:
                return

    def _is_left(self, found: bytes) -> bool:
        """Say whether a claim, whose lock we hold, is what a start of this machine left behind.

        Hosts may have one name, and their locks not reach each other: only silence tells then. A
        torn claim's living owner would have written it anew.
        """
        host = _parsed(found).get("host", socket.gethostname())
        return host == socket.gethostname() and _is_silent(self._path, self._patience)

    def _put(self, *, new: bool) -> None:
        # Not forced to the disk: after a loss of power no owner is alive, and no claim is needed.
        if not new:
            write_text(self._path, self._text())
            return
        with self._path.open("x", encoding="utf-8") as file:
            try:
                file.write(self._text())
                file.flush()
            except OSError:
                self._path.unlink(missing_ok=True)
                raise

    def _beat(self) -> None:
        """Renew the claim again and again, until it is given up or found to be another's."""
        while not self._over.wait(self._every):
            # A disk that is full or away for a moment makes no difference to who owns what.
            with contextlib.suppress(OSError):
                if self._owner() not in (None, self._token):
                    self._lost = True
                    return
                self._renew()

    def _renew(self) -> None:
        """Write the claim in place; whoever reads it torn will read it again.

        Opening a file that stays asks a network's server for what is in it, whereas the content of
        a folder may be as old as a minute.
        """
        self._beats += 1
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            text = self._text().encode()
            os.write(handle, text)
            os.ftruncate(handle, len(text))
        finally:
            os.close(handle)

    def _owner(self) -> str | None:
        """Return the token in the claim; None if it is torn, or gone."""
        owner = _parsed(_content(self._path) or b"").get("token")
        return None if owner is None else str(owner)

    def _text(self) -> str:
        stage, done, total = self._progress
        content = {
            "token": self._token,
            "machine": _machine(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "about": self._about,
            "beat": self._beats,
            "stage": stage,
            "done": done,
            "total": total,
        }
        return json.dumps(content, indent=2).ljust(_SIZE - 1) + "\n"


class _Waiting:
    """Waits, and says once on standard error for whom."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._say_at: float | None = time.monotonic() + _SAY_AFTER

    def pause(self) -> None:
        time.sleep(_POLL)
        if self._say_at is not None and time.monotonic() > self._say_at:
            self._say_at = None
            owner = _parsed(_content(self._path) or b"")
            who = f"process {owner['pid']} on {owner['host']}" if owner else "another process"
            sys.stderr.write(f"waiting for {who}, which is at {self._path.stem}\n")


def claims(folder: Path) -> list[Seen]:
    """Return the claims in a folder of locks, by name, whether or not their owners are alive."""
    found = []
    for path in sorted(folder.glob("[!.]*.claim")):
        content = _parsed(_content(path) or b"")
        if content:
            alive = is_locked(path.with_suffix(".lock")) or (
                content["machine"] != _machine() and not _is_silent(path, PATIENCE)
            )
            shown = ("about", "host", "pid", "stage", "done", "total")
            found.append(Seen(path.stem, **{key: content[key] for key in shown}, alive=alive))
    return found


def _locked(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Say whether a process of this machine holds a lock, with a claim or without."""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        free = _locked(lock)
    except OSError:
        return True  # another user's, maybe
    if free:
        lock.release()
    return not free


def _is_silent(path: Path, patience: float) -> bool:
    """Say whether a claim was not renewed for so many seconds of its file system's clock.

    False if that cannot be told, as in a folder that may not be written.
    """
    try:
        # To open a file asks a network's server for its time of change; see `Claim._renew`.
        with path.open("rb") as file, tempfile.TemporaryFile(dir=path.parent) as touched:
            os.utime(touched.fileno() if os.utime in os.supports_fd else touched.name)
            age = os.fstat(touched.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime
    except OSError:
        return False
    return age > patience


def _content(path: Path) -> bytes | None:
    """Return a claim's bytes; None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


_KINDS: Mapping[str, type] = {
    **dict.fromkeys(("token", "machine", "host", "stage"), str),
    **dict.fromkeys(("pid", "beat", "done", "total"), int),
    "about": dict,
}


def _parsed(content: bytes) -> Mapping[str, Any]:
    """Return what a claim says; {} if it is torn."""
    try:
        claim = json.loads(content)
    except ValueError:
        return {}
    if not isinstance(claim, dict) or {k: type(v) for k, v in claim.items()} != _KINDS:
        return {}
    return claim


@cache
def _machine() -> str:
    """Return what tells this machine from others, and from itself before it was started again."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = f"{uuid.getnode():x}"
    # Machines that were cloned while they ran have equal boot ids; containers on one have, too.
    return f"{socket.gethostname()}:{boot}"
