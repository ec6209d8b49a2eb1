"""Provenance: which code and what machine made a record."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.config import NUMERICS
from bench.environment import PACKAGES, SOURCES, code_digest, environment

HERE = Path(__file__).parents[1]
ENV = {
    key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PYTHONPATH"))
}


def test_it_says_which_code_on_what_machine_with_which_packages() -> None:
    found = environment()
    assert all(isinstance(value, str) and value for value in found.values())
    assert found["torch"] == metadata.version("torch")
    assert found["cuda"] == (torch.version.cuda or "none")
    assert found["numerics"] == str(NUMERICS)
    assert found["code"] == code_digest()
    assert {*PACKAGES, "python", "cpu", "processor", "platform", "git", "git dirty"} <= set(found)
    assert found["git dirty"] in {"yes", "no", "unknown"}


def test_nobody_can_change_what_the_next_one_gets() -> None:
    environment()["torch"] = "0"
    assert environment()["torch"] == metadata.version("torch")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources, in no repository."""
    root = tmp_path_factory.mktemp("copy")
    for package in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(HERE / package, root / package, ignore=ignored)
    return root


def seen(root: Path) -> Any:
    """Return what a process finds that has the copied sources."""
    code = (
        "import json; from bench.environment import environment; print(json.dumps(environment()))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        env=ENV | {"PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout
    return json.loads(out)


def git(root: Path, *arguments: str) -> str:
    user = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(root), *user, *arguments]
    return subprocess.run(command, env=ENV, capture_output=True, text=True, check=True).stdout


def test_a_changed_source_has_another_digest_and_the_tree_is_dirty(copy: Path) -> None:
    plain = seen(copy)
    assert plain["code"] == code_digest()  # wherever it is installed
    assert (plain["git"], plain["git dirty"]) == ("unknown", "unknown")
    git(copy, "init", "-q")
    # A repository around an environment knows nothing of the code in it.
    (copy / "notes.txt").write_text("a", encoding="utf-8")
    git(copy, "add", "notes.txt")
    git(copy, "commit", "-q", "-m", "notes")
    assert seen(copy)["git"] == "unknown"
    git(copy, "add", *SOURCES)
    git(copy, "commit", "-q", "-m", "all")
    (copy / "notes.txt").write_text("b", encoding="utf-8")
    clean = seen(copy)
    assert clean["git"] == git(copy, "rev-parse", "HEAD").strip()
    assert (clean["code"], clean["git dirty"]) == (plain["code"], "no")
    with (copy / "cycada" / "losses.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    changed = seen(copy)
    assert (changed["git"], changed["git dirty"]) == (clean["git"], "yes")
    assert changed["code"] != clean["code"]
    renamed = copy / "baselines" / "renamed.py"
    (copy / "baselines" / "adda.py").rename(renamed)
    assert seen(copy)["code"] != changed["code"]
