"""What ``pip install .`` installs is all of the packages, and not only what a checkout has."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "cycada", "baselines", "leaderboards")
TRACES = {"__pycache__", ".mypy_cache", ".ruff_cache"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names in the wheel that pip would build."""
    pytest.importorskip("hatchling", reason="builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        return set(content.namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_installed(installed: set[str], package: str) -> None:
    """An ignored name, such as that of the folder of runs, once left out a package."""
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not TRACES & {*path.parts}
    }
    assert len(files) > 3
    assert files <= installed


def test_nothing_else_is_installed(installed: set[str]) -> None:
    tops = {name.split("/")[0] for name in installed}
    assert tops - {*PACKAGES} == {top for top in tops if top.endswith(".dist-info")}
    assert len(tops) == len(PACKAGES) + 1
