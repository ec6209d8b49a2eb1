"""Atomic writes: a reader sees the old content or the new, and no rubbish is left behind."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING

import pytest

from bench.files import atomic_path, write_json, write_text

if TYPE_CHECKING:
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
