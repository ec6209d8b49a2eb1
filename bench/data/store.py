"""Files in the data folder: is each there and sound, and its content once that is proven."""

from __future__ import annotations

import gzip
import hashlib
import io
import os.path
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.errors import MissingDataError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data.domain import DataFile

MOST_BYTES = 2**32
"""That an archive may hold, if nobody knows its content's size."""

State = Literal["embedded", "present", "sound", "re-encoded", "absent", "damaged"]


@dataclass(frozen=True)
class FileReport:
    """What is known of one file of a domain; an embedded domain has one report and no path.

    Attributes:
        domain: the domain's name.
        path: where the file lies or belongs; "" if the domain is embedded.
        state: "present" (not yet verified), "sound" (the official bytes), "re-encoded" (known other
            bytes with the same content), "absent", "damaged", or "embedded".
        detail: a sentence on what is wrong and what to do; "" if nothing is.
    """

    domain: str
    path: str
    state: State
    detail: str = ""

    @property
    def usable(self) -> bool:
        """Whether a domain can read the file as it stands, as far as is known."""
        return self.state not in {"absent", "damaged"}


def glance(root: Path, file: DataFile, domain: str) -> FileReport:
    """Look whether a file is there and has its size, without reading it."""
    path = located(root, file)
    if path is None:
        return _report(root, file, domain, "absent", "is not there")
    found = path.stat().st_size
    if path == root / file.path and file.size not in {None, found} and not file.also:
        return _report(
            root, file, domain, "damaged", f"has {found:,} bytes, expected {file.size:,}"
        )
    return FileReport(domain, str(path), "present")


def inspect(root: Path, file: DataFile, domain: str) -> FileReport:
    """Read a file in full and compare its checksum with the known ones."""
    return _examined(root, file, domain)[0]


def read(root: Path, file: DataFile, domain: str) -> bytes:
    """Return a file's verified content; an archive's is unpacked.

    Raises:
        MissingDataError: the file is absent, truncated or otherwise not the known one.
    """
    report, content = _examined(root, file, domain)
    if not report.usable:
        raise MissingDataError(report.detail)
    return content


def located(root: Path, file: DataFile) -> Path | None:
    """Return where a file is: at its own path, or as an archive beside it, or nowhere."""
    path = root / file.path
    archive = path.with_name(f"{path.name}.gz")
    for candidate in (path, archive) if file.packed_md5 else (path,):
        # Unlike Path.is_file, this is also False for a file in a folder that may not be read.
        if os.path.isfile(candidate):  # noqa: PTH113
            return candidate
    return None


def md5_of(content: bytes) -> str:
    """Return the MD5 of `content`, hexadecimal. It guards against accidents, not attackers."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def remedy(root: Path, file: DataFile, domain: str) -> str:
    """Return the sentence that says how to get a file."""
    where = f"put it at {root / file.path}"
    if not file.urls:
        return f"Get the original file and {where}."
    if file.packed_md5:
        where += " (packed, with .gz added to its name, is fine too)"
    return f"Run `bench data fetch {domain}`, or download {file.urls[0]} and {where}."


def _examined(root: Path, file: DataFile, domain: str) -> tuple[FileReport, bytes]:
    path = located(root, file)
    if path is None:
        return _report(root, file, domain, "absent", "is not there"), b""
    try:
        content = path.read_bytes()
        size = len(content)
        if path != root / file.path:
            # A byte more than there should be is enough to tell; an archive may hold a billion.
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as archive:
                content = archive.read(1 + (file.size or MOST_BYTES))
    except (OSError, EOFError, zlib.error) as error:
        return _report(root, file, domain, "damaged", f"cannot be read ({error})", path), b""
    md5 = md5_of(content)
    if md5 == file.md5:
        return FileReport(domain, str(path), "sound"), content
    if md5 in file.also:
        return FileReport(domain, str(path), "re-encoded", file.also[md5]), content
    expected = f"{file.size:,} bytes with " if file.size else ""
    wrong = (
        f"is truncated or damaged: expected {expected}md5 {file.md5},"
        f" found {size:,} bytes with md5 {md5}"
    )
    return _report(root, file, domain, "damaged", wrong, path), b""


def _report(
    root: Path, file: DataFile, domain: str, state: State, wrong: str, path: Path | None = None
) -> FileReport:
    path = path or root / file.path
    return FileReport(domain, str(path), state, f"{path} {wrong}. {remedy(root, file, domain)}")
