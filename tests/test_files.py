"""Atomic writes: a reader sees the old content or the new, and no rubbish is left behind."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from typing import TYPE_CHECKING

import pytest

from bench.files import atomic_path, clean, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def contents(folder: Path) -> dict[str, str]:
    """Return everything in a folder, hidden files included."""
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_new_content_appears_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.json"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        # A rename is atomic within one file system only; and NumPy and torch go by the suffix.
        assert (temporary.parent, temporary.suffix) == (path.parent, ".json")
    assert contents(path.parent) == {"file.json": "new"}


def test_readers_see_the_old_content_until_then(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("whole")
    assert contents(tmp_path) == {"file": "whole"}


def fail_half_way(path: Path, error: type[BaseException]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_old_content_stays_when_the_block_raises(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error):
        fail_half_way(path, error)
    assert contents(tmp_path) == {"file": "old"}


def test_nothing_appears_when_the_first_write_raises(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "file"):
        raise RuntimeError
    assert contents(tmp_path) == {}


def test_two_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_path(path) as first, atomic_path(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert contents(tmp_path) == {"file": "first"}  # the outer block ended last


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="folders are not opened here")
def test_what_is_durable_reaches_the_disk_before_its_name_and_then_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of power cannot be had here; the order of the system's calls can be seen."""
    path = tmp_path / "file.json"
    path.write_text("old")
    seen = []

    def watched(handle: int, fsync: Callable[[int], None] = os.fsync) -> None:
        fsync(handle)
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        size = 0 if is_folder else os.fstat(handle).st_size
        seen.append(("folder" if is_folder else size, path.read_text()))

    monkeypatch.setattr(os, "fsync", watched)
    write_json(path, 1)
    assert seen == []
    write_json(path, "new", durable=True)
    assert seen == [(6, "1\n"), ("folder", '"new"\n')]


def test_an_error_of_the_disk_is_heard_and_the_old_content_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    write_text(tmp_path / "file", "old")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output"):
        write_text(tmp_path / "file", "new", durable=True)
    assert contents(tmp_path) == {"file": "old"}


def test_a_folder_that_cannot_be_synced_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuses_folders)
    write_text(tmp_path / "file", "new", durable=True)
    assert contents(tmp_path) == {"file": "new"}


def test_what_killed_writers_left_is_cleaned_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("whole", ".whole.abcdefgh", "deep/.file.json.abcdefgh.json", "deep/file.json"):
        (tmp_path / name).write_text("x")
    clean(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"whole", "deep", "deep/file.json", ".hidden"}
    clean(tmp_path / "not there")


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    """A runs folder is shared; temporary files are born readable by their owner alone."""
    write_text(tmp_path / "file", "x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_json_and_text_come_back(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "größer\n")
    assert (tmp_path / "a").read_bytes() == "größer\n".encode()
    write_json(tmp_path / "b", {"z": 1, "a": [None, 0.1]})
    assert json.loads((tmp_path / "b").read_text()) == {"z": 1, "a": [None, 0.1]}
    assert (tmp_path / "b").read_text().endswith("}\n")


@pytest.mark.parametrize("value", [math.nan, {"a": math.inf}, object()])
def test_what_json_cannot_hold_leaves_the_old_file(value: object, tmp_path: Path) -> None:
    write_json(tmp_path / "a", 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a", value)
    assert contents(tmp_path) == {"a": "1\n"}
