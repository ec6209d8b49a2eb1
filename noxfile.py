"""Everything that a change must pass: ``nox`` runs lint, tests, benchmark and docs.

All sessions share one virtual environment, because every one with torch takes gigabytes:
``tests`` makes it, and the others use it as it is, or make it if it is not there.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.error_on_external_run = True
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "benchmark", "docs"]

SHARED = Path(".nox", "shared")
"""The one environment; each session's own is a link to nothing but this."""

CITYSCAPES_SCRIPTS = ("cityscapesScripts>=2.2", "pyquaternion>=0.9")
"""A reference for tests. Not a dependency: it asks for the `typing` of Python 3.4."""


def in_shared_environment(session: nox.Session) -> str:
    """Install the project and its development tools once, and return that Python."""
    python = SHARED / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        session.run("python", "-m", "venv", str(SHARED), external=True)
        session.run(str(python), "-m", "pip", "install", "-q", "-U", "pip>=25.1", external=True)
    # Cheap if nothing changed; and what pyproject.toml declares is what gets installed.
    session.run(
        *(str(python), "-m", "pip", "install", "-q", "-e", ".", "--group", "dev"), external=True
    )
    session.run(
        *(str(python), "-m", "pip", "install", "-q", "--no-deps", *CITYSCAPES_SCRIPTS),
        external=True,
    )
    # Not for every Python and platform: its tests skip by name where there is none.
    ray = (str(python), "-m", "pip", "install", "-q", "-e", ".[ray]")
    session.run(*ray, external=True, success_codes=range(256))
    return str(python)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style, types and import contracts."""
    python = in_shared_environment(session)
    session.run(python, "-m", "ruff", "check", ".", external=True)
    session.run(python, "-m", "ruff", "format", "--check", ".", external=True)
    session.run(python, "-m", "mypy", external=True)
    session.run(
        python, "-c", "from importlinter.cli import lint_imports_command as m; m()", external=True
    )


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the test suite, or the part that the arguments name."""
    python = in_shared_environment(session)
    # One thread: the tests' networks are tiny, and equal numbers need equal thread counts.
    environment = {"OMP_NUM_THREADS": "1"}
    # A file's tests share what takes long to make, so a file stays in one process.
    several = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")
    # The same inputs each time, so that a commit fails or passes; others are for `soak`, and for
    # whoever runs pytest by hand.
    same = "--hypothesis-profile=ci"
    session.run(
        *(python, "-m", "pytest", *several, same, *session.posargs), env=environment, external=True
    )


@nox.session(venv_backend="none")
def soak(session: nox.Session) -> None:
    """Strain the code for an hour: hundreds of kills, and thousands of inputs, each time others."""
    python = in_shared_environment(session)
    environment = {"OMP_NUM_THREADS": "1", "FUZZ": "soak", "SOAK_KILLS": "200"}
    for tests in (("-m", "hypothesis"), ("tests/soak",)):
        session.run(python, "-m", "pytest", "-q", *tests, env=environment, external=True)


@nox.session(venv_backend="none")
def benchmark(session: nox.Session) -> None:
    """Measure times; a test never does. See tests/benchmarks/README.md."""
    python = in_shared_environment(session)
    scripts = ("startup", "overhead", "sweeps", "arithmetic", "translator", "ablation_cost")
    more = ("confusion", "evaluation", "loader", "verdict", "report", "leaderboard")
    for script in (*scripts, *more):
        session.run(python, f"tests/benchmarks/{script}.py", *session.posargs, external=True)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Run every example in a docstring, and prove that the committed tables are the records'."""
    python = in_shared_environment(session)
    packages = ("bench", "cycada", "baselines")
    session.run(python, "-m", "pytest", "--doctest-modules", *packages, external=True)
    session.run(python, "leaderboards/generate.py", "--check", external=True)
