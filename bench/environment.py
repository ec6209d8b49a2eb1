"""Which code, on what machine, with which packages: provenance, and no part of a run's name."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import torch

from bench.config import NUMERICS

PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "safetensors"),
    *("timm", "segmentation-models-pytorch", "cycada-bench"),
)
"""Those whose versions a result may depend on."""

SOURCES = ("bench", "cycada", "baselines")
"""What `code` is a digest of."""


def environment() -> dict[str, str]:
    """Return what a result may depend on beside its configuration, as text by name.

    Beside versions: "numerics" is `bench.config.NUMERICS`. "code" is `code_digest`, which tells a
    changed file from a release. "git" is the commit, "unknown" if the code does not stand in its
    repository; "git dirty" is "yes" if a source that it tracks has changed since, else "no". "cpu"
    is the processor's model, "processor" its kind. "cuda" is what torch was built for, or "none".
    Found out once a process, in some tens of milliseconds.

    >>> sorted(environment())[:4]
    ['code', 'cpu', 'cuda', 'cycada-bench']
    """
    return dict(_environment())


@cache
def _environment() -> dict[str, str]:
    # Accelerate decides nothing unless somebody launched the trial with it.
    packages = [*PACKAGES, *(["accelerate"] if "accelerate" in sys.modules else [])]
    commit, dirty = _git()
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in packages},
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpu": _cpu(),
        "cuda": torch.version.cuda or "none",
        "numerics": str(NUMERICS),
        "code": code_digest(),
        "git": commit,
        "git dirty": dirty,
    }


@cache
def code_digest() -> str:
    """Return 12 hexadecimal digits over the sources in `SOURCES`, wherever they are installed."""
    sha = hashlib.sha256()
    for package in SOURCES:
        for folder in _folders(package):
            for path in sorted(folder.rglob("*.py")):
                content = path.read_bytes()
                name = f"{package}/{path.relative_to(folder).as_posix()}"
                sha.update(f"{name}\0{len(content)}\0".encode() + content)
    return sha.hexdigest()[:12]


def _folders(package: str) -> list[Path]:
    """Return where a package stands; nothing is imported, for the harness knows no method."""
    spec = find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _git() -> tuple[str, str]:
    """Return the commit, and whether a source that it tracks has changed since."""
    here = Path(__file__)
    try:
        # An environment may lie inside some other repository, whose commit says nothing of us.
        _run("git", "-C", str(here.parent), "ls-files", "--error-unmatch", here.name)
        # No optional locks: another git command may be at work.
        status = ("status", "--porcelain=v2", "--branch", "--untracked-files=no", "--")
        folders = [str(folder) for package in SOURCES for folder in _folders(package)]
        lines = _run("git", "--no-optional-locks", "-C", str(here.parent), *status, *folders)
    except (OSError, subprocess.SubprocessError):
        return "unknown", "unknown"
    heads = [line for line in lines.splitlines() if line.startswith("# branch.oid ")]
    changed = any(not line.startswith("#") for line in lines.splitlines())
    commit = heads[0].split()[-1] if heads else "unknown"
    return commit, "yes" if changed else "no"


def _cpu() -> str:
    """Return the processor's model, as the operating system has it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        try:
            return _run("sysctl", "-n", "machdep.cpu.brand_string")
        except (OSError, subprocess.SubprocessError):
            pass
    return platform.processor() or "unknown"


def _run(*command: str) -> str:
    done = subprocess.run(  # noqa: S603  our own words, and no shell
        command, capture_output=True, text=True, check=True, timeout=5
    )
    return done.stdout.strip()


def device_name(device: torch.device) -> str:
    """Return what a record calls a device: a GPU's name, else its kind."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
