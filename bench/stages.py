"""The stage cache: finished pieces of work, named by what determined them."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from bench.claim import Claim
from bench.files import atomic_path, clean, sync, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


WEIGHTS, DESCRIPTION = "weights.safetensors", "stage.json"


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's parameters and buffers to a safetensors file, atomically."""
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)


def load_weights(module: nn.Module, path: Path) -> None:
    """Load what `save_weights` wrote, in place, on the module's own device."""
    module.load_state_dict(load_file(path))


class StageStore:
    """A folder of finished stages, one sub-folder a key, that any number of trials may share.

    A stage is moved in whole, by one rename, after it has finished: readers never see a part of
    one, and if two trials compute the same stage after all, the first to finish wins. Its
    description holds a digest of every other file, so that a damaged stage is as good as none.
    """

    def __init__(self, root: Path) -> None:
        """Use `root`, which need not exist yet."""
        self._root = root

    def folder(self, key: str) -> Path:
        """Return where the stage `key` is or would be."""
        return self._root / key

    def claim(self, key: str, name: str) -> Claim:
        """Return the right to compute a stage; look again with `load` once it is yours."""
        return Claim(self._root / "locks" / f"{key}.lock", {"stage": name})

    def load(self, key: str, module: nn.Module) -> dict[str, Any] | None:
        """Load the stage's weights into `module` and return its description, or None."""
        meta = self._description(key)
        if meta is None:
            return None
        weights = load_file(self.folder(key) / WEIGHTS)
        if not _alike(weights, module.state_dict()):
            return None
        module.load_state_dict(weights)
        return meta

    def save(self, key: str, work: Path, module: nn.Module, meta: dict[str, Any]) -> None:
        """Complete the folder `work` (logs, checkpoints) with the weights, and move it in.

        What is left of a damaged stage makes room, and stays to be looked at.
        """
        # A kill in the middle of writing a snapshot leaves a hidden temporary file behind.
        clean(work)
        for snapshot in work.glob("loop-*.pt"):
            snapshot.unlink()
        save_weights(module, work / WEIGHTS)
        digests = {}
        for path in sorted(work.rglob("*")):
            sync(path)
            if path.is_file() and path.name != DESCRIPTION:
                digests[path.relative_to(work).as_posix()] = _digest(path)
        write_json(work / DESCRIPTION, {"key": key, **meta, "digests": digests}, durable=True)
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            work.rename(self.folder(key))
        except OSError:
            if self._description(key) is not None:
                shutil.rmtree(work, ignore_errors=True)  # another trial was first
                return
            # Stages move in whole, so this is no stage on its way but what is left of one.
            self._move_aside(key)
            work.rename(self.folder(key))
        sync(self._root)

    def _description(self, key: str) -> dict[str, Any] | None:
        """Return the content of ``stage.json``; None if there is none, or if a file is damaged."""
        folder = self.folder(key)
        try:
            meta: dict[str, Any] = json.loads((folder / DESCRIPTION).read_bytes())
            if meta["key"] != key or not _sound(meta):
                return None
            for name, digest in meta.pop("digests", {}).items():
                if _digest(folder / name) != digest:
                    return None
            # Earlier versions wrote no digests: see at least whether it can be read.
            for line in (folder / "metrics.jsonl").read_bytes().splitlines():
                if not isinstance(json.loads(line), dict):
                    return None
            with safe_open(folder / WEIGHTS, "pt"):
                return meta
        except (FileNotFoundError, NotADirectoryError, *_DAMAGE):
            return None

    def _move_aside(self, key: str) -> None:
        """Make room for a stage; what was there stays to be looked at, under another name."""
        aside = tempfile.mkdtemp(prefix=f"damaged-{key}-", dir=self._root)
        self.folder(key).rename(Path(aside, key))


_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)
"""What reading a damaged description, log or file of weights may raise."""


def _sound(meta: dict[str, Any]) -> bool:
    steps, seconds, stop = meta["steps"], meta["seconds"], meta["stop"]
    whole = type(steps) is int and steps >= 0 and isinstance(stop, str | None)
    return whole and type(seconds) in (int, float) and 0 <= seconds < math.inf


def _alike(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Say whether two networks' tensors have the same names, shapes and types."""
    first, second = ({k: (v.shape, v.dtype) for k, v in part.items()} for part in (one, other))
    return first == second


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
