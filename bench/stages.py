"""The stage cache: finished pieces of work, named by what determined them."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from bench.files import atomic_path, write_json

if TYPE_CHECKING:
    from torch import nn


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
    one, and of two trials that compute the same stage the first to finish wins.
    """

    def __init__(self, root: Path) -> None:
        """Use `root`, which need not exist yet."""
        self._root = root

    def folder(self, key: str) -> Path:
        """Return where the stage `key` is or would be."""
        return self._root / key

    def load(self, key: str, module: nn.Module) -> dict[str, Any] | None:
        """Load the stage's weights into `module` and return its description, or None.

        A damaged stage is moved aside, and is as good as none.
        """
        folder = self.folder(key)
        if not (folder / "stage.json").exists():
            return None
        try:
            meta: dict[str, Any] = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
            weights = load_file(folder / "weights.safetensors")
        except (OSError, ValueError, SafetensorError):
            self._move_aside(key)
            return None
        module.load_state_dict(weights)
        return meta

    def save(self, key: str, work: Path, module: nn.Module, meta: dict[str, Any]) -> None:
        """Complete the folder `work` (logs, checkpoints) with the weights, and move it in."""
        save_weights(module, work / "weights.safetensors")
        write_json(work / "stage.json", {"key": key, **meta})
        # A kill in the middle of writing a snapshot leaves a hidden temporary file behind.
        for leftover in (*work.glob("loop-*.pt"), *work.rglob(".*")):
            leftover.unlink()
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            work.rename(self.folder(key))
        except OSError:
            if (self.folder(key) / "stage.json").exists():
                shutil.rmtree(work, ignore_errors=True)  # another trial was first
                return
            # Stages move in whole, so this is no stage on its way but what is left of one.
            self._move_aside(key)
            work.rename(self.folder(key))

    def _move_aside(self, key: str) -> None:
        """Make room for a stage; what was there stays to be looked at, under another name."""
        aside = tempfile.mkdtemp(prefix=f"damaged-{key}-", dir=self._root)
        self.folder(key).rename(Path(aside, key))
