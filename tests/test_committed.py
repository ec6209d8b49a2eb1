"""The committed leaderboards are what the committed records say, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.records import load_records

ROOT = Path(__file__).parent.parent
RECORDS = sorted((ROOT / "leaderboards" / "records").glob("*.jsonl"))


def test_there_are_records() -> None:
    assert {path.stem for path in RECORDS} >= {"digits", "mini"}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_records_are_sound_and_name_no_place_on_a_machine(path: Path) -> None:
    assert len(load_records([path]))
    text = path.read_text(encoding="utf-8")
    assert "/home/" not in text
    assert "/work/" not in text
    assert "/tmp/" not in text  # noqa: S108  it is looked for, not written to


def test_the_committed_tables_are_generated_from_them() -> None:
    command = [sys.executable, str(ROOT / "leaderboards" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
