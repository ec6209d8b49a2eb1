"""What `bench tune` is told of studies: the name of a storage, and a journal that a crash tore."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from hypothesis import example, given
from hypothesis import strategies as st
from near_misses import MEBIBYTE, REFUSED, fuzzed, outcome, spoiled

from bench.tuning.study import counted, open_study

if TYPE_CHECKING:
    import pytest

ASKED = {"rule": "infomax", "seeds": [1000]}
NONE = optuna.pruners.NopPruner()
PARTS = st.sampled_from(
    (
        "sqlite",
        "mysql",
        "nodb",
        "journal",
        "",
        ":",
        "://",
        "///",
        "/",
        "@",
        "u:secret",
        "host",
        "?a=b",
        "%zz",
        "\0",
        "#",
        "[",
        "\ud800",
        "file:x?mode=ro",
    )
)


@fuzzed
@given(storage=st.lists(PARTS, max_size=5).map("".join))
@example(storage="sqlite://:x")
@example(storage="postgresql://u:secret@[::1")
@example(storage="sqlite:///a\0b")
@example(storage="journal:a\0b")
@example(storage="journal:")
@example(storage="sqlite:///nowhere/to/be/found.db")
@example(storage="nodb://u:secret@host:port/x")
@example(storage="sqlite:///\ud800")
def test_any_name_is_a_storage_or_refused(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some of these are names of files
    found = outcome(
        "storages", lambda: open_study("mine", storage, ASKED, NONE), memory=512 * MEBIBYTE
    )
    if found is not REFUSED:
        assert found.study_name == "mine"
        assert storage.startswith(("sqlite", "journal:"))


@cache
def journal() -> bytes:
    """Return the file of a study of two trials."""
    with tempfile.TemporaryDirectory() as folder:
        study = open_study("mine", f"journal:{folder}/sound.log", ASKED, NONE)
        for value in (0.1, 0.9):
            trial = study.ask({"lr": optuna.distributions.FloatDistribution(0, 1)})
            study.tell(trial, value)
        return Path(folder, "sound.log").read_bytes()


@fuzzed
@given(data=st.data())
def test_a_damaged_journal(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = data.draw(spoiled(journal()))
    path = tmp_path_factory.mktemp("journal") / "study.log"
    path.write_bytes(content)
    found = outcome(
        "journals", lambda: counted(open_study("mine", f"journal:{path}", ASKED, NONE)), "study"
    )
    if found is REFUSED:
        return
    lines = []
    for line in content.split(b"\n"):
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    assert len(found) <= sum(isinstance(line, dict) and line.get("op_code") == 4 for line in lines)
