"""Several commands on one runs folder: the same results, and no trial done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from .sweeps import KILLS, TRIALS, arguments, matrices

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("commands", [2, 4] if KILLS else [2])
def test_several_commands_share_a_folder(commands: int, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bench", *arguments(tmp_path, tmp_path / "runs"), "--json"]
    running = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(commands)
    ]
    said = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * commands, said
    found = [json.loads(out) for out, _ in said]
    assert found == [found[0]] * commands
    assert len(found[0]) == TRIALS
    records = [json.loads(p.read_text()) for p in (tmp_path / "runs").glob("*/run.json")]
    assert len(records) == len(matrices(tmp_path / "runs")) == TRIALS
    # Begun once each, and each stage computed once.
    assert {record["attempts"] for record in records} == {1}
    stages = [stage for record in records for stage in record["stages"]]
    assert set(Counter(s["key"] for s in stages if not s["cached"]).values()) == {1}
