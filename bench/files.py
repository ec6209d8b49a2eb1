"""Writing files so that a crash leaves none half-written, and reading those that users name."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    Readers see the old content or the new, never a part. On an error the temporary file goes.
    What is `durable` has reached the disk on return, and outlasts a loss of power. Results are;
    what only spares work, like a snapshot, is not: after a loss of power it may be torn.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's content, or which files a folder holds, has reached the disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # Windows cannot open a folder, and writes its entries through
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if not path.is_dir() or error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What some network file systems say of a folder."""


def clean(folder: Path) -> None:
    """Remove the temporary files that killed writers left in a folder and those inside it.

    Nobody else may be writing there. What cannot be removed stays.
    """
    for leftover in folder.rglob(".*"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write `text` to `path` atomically, as UTF-8; see `atomic_path` for `durable`."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object, *, durable: bool = False) -> None:
    """Write `value` to `path` atomically, as indented JSON; see `atomic_path` for `durable`."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n", durable=durable)


def read_object(path: Path, what: str, form: str) -> dict[str, Any]:
    """Return the JSON object in a file that a user named.

    Args:
        path: the file.
        what: it should be, for the message, such as "params file".
        form: of the object, likewise.

    Raises:
        BenchError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BenchError(f"cannot read the {what} {path}: {reason}") from error
    if not isinstance(content, dict):
        raise BenchError(f"{path}: expected a JSON object {form}.")
    return content
