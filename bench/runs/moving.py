"""Run folders: which there are; how one comes and goes whole, by one rename or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

ARRIVING, LEAVING = ".arriving-", ".leaving-"
"""What folders are called on their way in and out. A kill leaves them there; nothing reads them."""


def existing(runs: Path) -> Path:
    """Return `runs`; raise BenchError if there is no such folder."""
    if not runs.is_dir():
        message = f"There is no runs folder '{runs}'. Run 'bench run' first, or say --runs DIR."
        raise BenchError(message)
    return runs


def run_folders(runs: Path) -> list[Path]:
    """Return the folders in `runs` that hold a record, sorted; not those on their way."""
    found = (path.parent for path in runs.glob("*/run.json"))
    return sorted(folder for folder in found if not folder.name.startswith("."))


@contextlib.contextmanager
def arriving(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder` if the block succeeds, else goes.

    What was at `folder` before leaves then. Nothing waits for the disk: of what comes from
    elsewhere there is another copy, and what a loss of power tears is recognised when it is read.

    Raises:
        BenchError: the file system does not let it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=ARRIVING, dir=folder.parent))
        temporary.chmod(0o755)
        try:
            yield temporary
            with contextlib.suppress(FileNotFoundError):
                remove(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        message = f"cannot write {folder}: {error.strerror or error}. Nothing of it was kept."
        raise BenchError(message) from error


def remove(path: Path) -> None:
    """Delete a folder, which is gone at once for readers, or a file. Follows no link.

    Raises:
        OSError: it is not there, or the file system does not let it.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    leaving = Path(tempfile.mkdtemp(prefix=LEAVING, dir=path.parent))
    path.rename(leaving / path.name)
    shutil.rmtree(leaving)
