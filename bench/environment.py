"""Where a run took place: versions, commit, device. Provenance, and no part of its name."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch


def environment() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    packages = ("torch", "torchvision", "numpy", "pillow", "cycada-bench")
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    return {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "processor": platform.machine(),
        "git": _git_commit(),
    }


def _git_commit() -> str:
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        # An environment may lie inside some other repository, whose commit says nothing of us.
        for command in (["ls-files", "--error-unmatch", here.name], ["rev-parse", "HEAD"]):
            out = subprocess.run(  # noqa: S603
                [*git, *command], capture_output=True, text=True, check=True, timeout=5
            )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return out.stdout.strip()


def device_name(device: torch.device) -> str:
    """Return what a record calls a device: a GPU's name, else its kind."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
