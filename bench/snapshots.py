"""Reading the snapshot that a killed training loop left behind."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = {"done": int, "taken": int, "seconds": float, "lines": list, "state": dict}


def read_snapshot(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Return what a snapshot holds; None if there is none, or if it is damaged.

    Nothing in it is ever run.
    """
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        return content if _sound(content) else None
    except Exception:  # noqa: BLE001  of any class: unpicklers promise none
        return None


def _sound(content: dict[str, Any]) -> bool:
    """Say whether the parts are there, with their types; raise whatever says that they are not."""
    numbers = content["done"], content["taken"], content["seconds"]
    return (
        all(type(content[key]) is kind for key, kind in _KINDS.items())
        and all(math.isfinite(number) and number >= 0 for number in numbers)
        and isinstance(content["stop"], str | None)
        and all(type(json.loads(line)["loop"]) is int for line in content["lines"])
    )
