"""``bench data status|fetch|verify``: what is there, what is missing, and getting it."""

from __future__ import annotations

import contextlib
import gzip
import io
import shutil
import socket
import sys
import tempfile
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import store
from bench.data.domain import Scenes
from bench.data.store import FileReport
from bench.errors import BenchError, MissingDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.data.domain import DataFile, Domain

TIMEOUT = 30.0
"""Seconds of silence after which a mirror is given up."""


def default_root() -> Path:
    """Return the per-user data folder, which need not exist yet."""
    import platformdirs  # noqa: PLC0415

    return Path(platformdirs.user_cache_dir("cycada-bench", appauthor=False))


def files_of(domain: Domain | Scenes) -> tuple[DataFile, ...]:
    """Return the files that a domain reads; none if it is embedded or one of large images."""
    return tuple(getattr(domain, "files", ()))


def status(domains: Mapping[str, Domain | Scenes], root: Path) -> list[FileReport]:
    """Report whether each file is there, at a glance: no file is read.

    Of a domain of large images, whether they are there in the right number and pairs.
    """
    return _reports(domains, root, store.glance, thorough=False)


def verify(domains: Mapping[str, Domain | Scenes], root: Path) -> list[FileReport]:
    """Report whether each file is sound: every file is read and its checksum compared.

    Large images have no known checksum: whether each can be decoded, has the right size, and
    its label map none but known values. Only what is wrong with them is reported.
    """
    return _reports(domains, root, store.inspect, thorough=True)


def missing(domain: Domain | Scenes, root: Path) -> list[str]:
    """Return a sentence for each file of `domain` that is absent or damaged; [] if all is well.

    Large images are looked at in passing, as by `status`.
    """
    if isinstance(domain, Scenes):
        reports = list(domain.inspect(root, thorough=False))
    else:
        name = type(domain).__name__.lower()
        reports = [store.inspect(root, file, name) for file in files_of(domain)]
    return [report.detail for report in reports if not report.usable]


def fetch(
    domains: Mapping[str, Domain | Scenes],
    root: Path,
    *,
    offline: bool = False,
    required: bool = True,
) -> list[FileReport]:
    """Download or generate every file that is absent or damaged, and report on all of them.

    A file appears in the data folder only after its checksum has been verified; a sound one is
    not touched. Large images that a user must place are only looked at, as by `status`; unless
    `required`, it is no error if they are not there.

    Raises:
        MissingDataError: a file cannot be had: no network, no mirror with the right content, no
            address to get it from, or `offline`.
        BenchError: the data folder cannot be written.
    """
    unplaced = []
    for name, domain in domains.items():
        if isinstance(domain, Scenes):
            domain.prepare(root)
            unplaced += _few(missing(domain, root), name)
            continue
        for file in files_of(domain):
            report = store.inspect(root, file, name)
            if not report.usable:
                if offline or not file.urls:
                    raise MissingDataError(report.detail)
                _download(root, file, name)
    if unplaced and required:
        raise MissingDataError(" ".join(unplaced))
    return _reports(domains, root, store.inspect, thorough=False)


def _reports(
    domains: Mapping[str, Domain | Scenes],
    root: Path,
    look: Callable[[Path, DataFile, str], FileReport],
    *,
    thorough: bool,
) -> list[FileReport]:
    reports: list[FileReport] = []
    for name, domain in domains.items():
        if isinstance(domain, Scenes):
            reports += domain.inspect(root, thorough=thorough)
            continue
        files = files_of(domain)
        reports += [look(root, file, name) for file in files]
        if not files:
            reports.append(FileReport(name, "", "embedded"))
    return reports


def _few(sentences: Sequence[str], name: str) -> list[str]:
    """Return the first sentences and the last, and how to see the others."""
    few = 4
    if len(sentences) <= few:
        return list(sentences)
    left = f"And {len(sentences) - few:,} more: `bench data status {name}` names them."
    return [*sentences[: few - 1], left, sentences[-1]]


def _download(root: Path, file: DataFile, domain: str) -> None:
    """Try each mirror; put the verified file in place by renaming it."""
    failures = []
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Beside the final place, because only a rename within one file system is atomic.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as folder:
            for number, url in enumerate(file.urls):
                try:
                    content = _verified(url, file, Path(folder) / str(number))
                except _TRANSFER_ERRORS as error:
                    failures.append(f"{url}: {error}")
                    continue
                path = root / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                content.replace(path)
                return
    except OSError as error:
        raise BenchError(
            f"The data folder {root} cannot be written ({error.strerror or error})."
            " Choose another with --data DIR or the environment variable BENCH_DATA."
        ) from error
    raise MissingDataError(
        f"{file.path} could not be downloaded ({'; '.join(failures)}). On a machine with a network,"
        f" download {file.urls[0]}, put it at {_manual_place(root, file)}, and run"
        f" `bench data verify {domain}`."
    )


# What a broken connection, a missing page, a wrong checksum and a broken archive raise. urllib's
# URLError and all socket errors are OSErrors; RecursionError is too many redirects.
_TRANSFER_ERRORS = (OSError, HTTPException, RecursionError, ValueError, EOFError, zlib.error)


def _verified(url: str, file: DataFile, folder: Path) -> Path:
    """Download one URL into `folder` and return the verified, unpacked file."""
    from torchvision.datasets.utils import download_url  # noqa: PLC0415  slow to import

    with _timeout(TIMEOUT), _quiet_unless_terminal():
        download_url(url, folder, filename="download")
    path = folder / "download"
    _expect(path, file.packed_md5 or file.md5)
    if file.packed_md5:
        with gzip.open(path) as packed, (folder / "unpacked").open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
        path = folder / "unpacked"
        _expect(path, file.md5)
    return path


def _expect(path: Path, md5: str) -> None:
    content = path.read_bytes()
    found = store.md5_of(content)
    if found != md5:
        raise ValueError(f"expected md5 {md5}, got {len(content):,} bytes with md5 {found}")


def _manual_place(root: Path, file: DataFile) -> Path:
    path = root / file.path
    return path.with_name(f"{path.name}.gz") if file.packed_md5 else path


@contextlib.contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Let no socket wait for ever; torchvision sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _quiet_unless_terminal() -> Iterator[None]:
    """Show torchvision's progress bar only to somebody who watches."""
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
