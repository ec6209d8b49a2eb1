"""However a file of records is cut into parts, and whoever reads them, the lines are the same."""

from __future__ import annotations

import json
import os
import sys
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_record_lines import changed, configured, plain
from test_records_files import EXPORTED

from bench import record_parts, records
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD = json.dumps(EXPORTED).encode() + b"\n"
"""A line of version 1, of which the quick reader says nothing."""


def run(seed: int) -> bytes:
    return configured(seed=seed).replace(b"-0-0123456789ab", b"-%d-0123456789ab" % seed)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cut even the smallest file, for four processes."""
    monkeypatch.setattr(record_parts, "LEAST", 1)
    monkeypatch.setattr(record_parts, "LEAD", 0)
    monkeypatch.setattr(record_parts, "cores", lambda: 4)
    yield
    assert not [child for child in psutil.Process().children() if "record_parts" in str(child)]


def described(path: Path) -> list[object]:
    """Return what can be compared of a file's lines that are not blank, each with its place."""
    return [
        (number, line.offset, line.text if line.brief is None else plain(line.brief))
        for number, line in enumerate(record_parts.lines_of(path, {}), 1)
        if line.brief or not line.text.isspace()
    ]


@given(
    lines=st.lists(st.sampled_from([b"\n", b"  \n", b"{}\n", OLD, changed(), run(7)]), max_size=12),
    end=st.sampled_from([b"", b"\n", b"{", run(8).rstrip()]),
    count=st.integers(1, 9),
    lead=st.integers(0, 9_000),
)
def test_parts_end_where_lines_do(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes, count: int, lead: int
) -> None:
    path = tmp_path_factory.mktemp("parts") / "r.jsonl"
    content = b"".join(lines) + end
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_parts, "LEAST", 1)
        patch.setattr(record_parts, "LEAD", min(lead, len(content)))
        ends = record_parts.ends_of_parts(path, count)
    assert 1 <= len(ends) <= count
    assert all(0 < one <= other for one, other in pairwise(ends))
    assert all(content[at - 1 : at] == b"\n" or at == len(content) for at in ends[:-1])
    assert ends[-1] > len(content)
    parts = [list(record_parts._read(path, *span, {})) for span in pairwise([0, *ends])]
    together = [line for part in parts for line in part]
    assert [line.text for line in together] == content.splitlines(keepends=True)
    assert b"".join(content[line.offset :][: len(line.text)] for line in together) == content


def test_a_small_file_is_read_by_this_process_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(changed())
    assert record_parts.ends_of_parts(path, 8) == [sys.maxsize]
    with path.open("ab") as file:
        file.truncate(4 * record_parts.LEAST)
    assert len(record_parts.ends_of_parts(path, 8)) == 4
    assert len(record_parts.ends_of_parts(path, 2)) == 2


@pytest.mark.usefixtures("cut")
def test_other_processes_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.jsonl"
    lines = [run(0), b"\n", run(1), OLD, run(2), b"{}\n", run(3), b" \n", *[OLD] * 7, OLD[:-1]]
    path.write_bytes(b"".join(lines))
    assert len(record_parts.ends_of_parts(path, 4)) == 4
    several = described(path)
    monkeypatch.setattr(record_parts, "LEAST", sys.maxsize)
    assert described(path) == several
    assert [number for number, *_ in several] == [1, 3, 4, 5, 6, 7, *range(9, 17)]


@pytest.mark.usefixtures("cut")
def test_while_others_read_there_is_time_for_something_else(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"".join(map(run, range(8))))
    end, seen = record_parts.ends_of_parts(path, 4)[0], list[str]()
    lines = record_parts.lines_of(path, {}, lambda: seen.append("called"))
    seen.extend("own" if line.offset < end else "other" for line in lines)
    assert seen == sorted(seen, key=["own", "called", "other"].index)
    assert (seen.count("called"), len(seen)) == (1, 9)


@pytest.mark.usefixtures("cut")
def test_what_two_processes_read_is_in_memory_once(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"".join(map(run, range(40))))
    briefs = [record.brief for record in records.load_records([path])["record"]]
    assert sorted(brief.seed for brief in briefs) == list(range(40))
    assert len({id(brief.config) for brief in briefs}) == 1


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("how", ["killed", "not found", "not ours"])
def test_a_process_that_fails_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"".join(map(run, range(10))))
    expected = described(path)
    if how == "killed":
        sent = record_parts._Other._sent

        def killed(other: record_parts._Other) -> object:
            assert other._process is not None
            other._process.kill()
            other._process.wait()
            return sent(other)

        monkeypatch.setattr(record_parts._Other, "_sent", killed)
    else:
        path_of_python = tmp_path / "python"
        if how == "not ours":
            path_of_python.write_text("#!/bin/sh\necho Hello\n")
            path_of_python.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(path_of_python))
    assert described(path) == expected


@pytest.mark.usefixtures("cut")
def test_a_damaged_line_is_named_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    for damaged in range(8):
        lines = [run(seed) for seed in range(8)]
        lines[damaged] = b"\n\n" + changed(status="finished")
        path.write_bytes(b"".join(lines))
        with pytest.raises(BenchError, match=rf"r\.jsonl, line {damaged + 3}: unknown status"):
            records.load_records([path])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_read_as_it_comes(tmp_path: Path) -> None:
    """As of ``--records <(zcat records.jsonl.gz)``."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = run(0) + OLD
    writer = threading.Thread(target=path.write_bytes, args=[content], daemon=True)
    writer.start()
    assert [line.text for line in record_parts.lines_of(path, {})] == [run(0), OLD]
    writer.join()
