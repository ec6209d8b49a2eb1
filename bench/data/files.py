"""One data file: is it there, is it sound, and how does it get there."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import MissingDataError
from bench.files import atomic_path

if TYPE_CHECKING:
    from bench.data.domain import DataFile

_SOUND: set[tuple[str, int, int]] = set()
"""(path, size, modification time) of files whose digest this process has found good."""


def md5(path: Path) -> str:
    """Return the MD5 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def problem(file: DataFile, root: Path) -> str | None:
    """Return what is wrong with a file in the data folder, in words; None if it is sound."""
    path = root / file.path
    if not path.is_file():
        return f"{path} is missing"
    stat = path.stat()
    identity = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    if identity in _SOUND:
        return None
    found = md5(path)
    if found not in file.digests:
        expected = " or ".join(file.digests)
        return (
            f"{path} is truncated or corrupted: {stat.st_size} bytes with MD5 {found},"
            f" expected MD5 {expected}"
        )
    _SOUND.add(identity)
    return None


def version(file: DataFile, root: Path) -> str:
    """Return which accepted version of a sound file is there, "official" for instance."""
    return file.digests[md5(root / file.path)]


def checked(file: DataFile, root: Path, domain: str) -> Path:
    """Return the path of a file that is there and sound.

    Raises:
        MissingDataError: it is not; the message names the file and says what to do.
    """
    wrong = problem(file, root)
    if wrong is not None:
        raise MissingDataError(f"{wrong}. {remedy(file, root, domain)}")
    return root / file.path


def remedy(file: DataFile, root: Path, domain: str) -> str:
    """Return what a user can do about a file that is missing or broken."""
    place = root / file.path
    return (
        f"Run `bench data fetch {domain}`, or place it yourself at {place}"
        f" (download: {file.urls[0]}{', unpacked' if _is_packed(file, file.urls[0]) else ''})."
    )


def fetch(file: DataFile, root: Path, domain: str) -> None:
    """Download a file, verify it, and only then give it its name.

    Nothing is left behind when that fails: a file under its real name is always a whole one.

    Raises:
        MissingDataError: no address gave the right bytes.
    """
    from torchvision.datasets.utils import download_url  # noqa: PLC0415  torch

    target = root / file.path
    failures = []
    for url in file.urls:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
                name = url.rpartition("/")[2]
                download_url(url, folder, filename=name, md5=None)
                _install(Path(folder) / name, file, url, target)
        except (OSError, urllib.error.URLError, RuntimeError, EOFError) as error:
            failures.append(f"{url}: {error}")
        else:
            return
    raise MissingDataError(
        f"{target} could not be downloaded ({'; '.join(failures)})."
        f" {remedy(file, root, domain)}"
    )


def _install(download: Path, file: DataFile, url: str, target: Path) -> None:
    """Verify a finished download, unpack it if need be, and rename it into place."""
    packed = _is_packed(file, url)
    wanted = [file.url_digest] if packed and file.url_digest else list(file.digests)
    found = md5(download)
    if found not in wanted:
        size = download.stat().st_size
        raise RuntimeError(f"got {size} bytes with MD5 {found}, expected {' or '.join(wanted)}")
    with atomic_path(target) as temporary:
        if packed:
            with gzip.open(download) as source, temporary.open("wb") as out:
                shutil.copyfileobj(source, out)
        else:
            shutil.copyfile(download, temporary)
        if md5(temporary) not in file.digests:
            raise RuntimeError("the unpacked file does not have the expected MD5")


def _is_packed(file: DataFile, url: str) -> bool:
    return url.endswith(".gz") and not file.path.endswith(".gz")
