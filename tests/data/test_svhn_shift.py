"""The shift svhn2mnist from end to end, on small files of the exact formats.

The real SVHN has never been here. What this shows: files in the folder layout and format of the
official ones become 32x32 colour images for DTN, grey MNIST beside them, and a scored trial.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from bench.data import mnist, svhn
from bench.data.assemble import build_task
from bench.data.domain import DataFile
from bench.request import Request
from bench.suites import SVHN_TO_MNIST
from bench.sweep import sweep

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = {"train": 60, "test": 30}


def house_numbers(n: int) -> bytes:
    """Return a MAT file: X uint8 (32, 32, 3, n), y uint8 (n, 1) in 1..10, ten stands for zero."""
    file = io.BytesIO()
    pictures = np.random.default_rng(n).integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
    savemat(file, {"X": pictures, "y": (np.arange(n, dtype=np.uint8) % 10 + 1)[:, None]})
    return file.getvalue()


def idx(values: np.ndarray) -> bytes:
    """Return an IDX file of bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with small files, whose checksums the domains take for official."""

    def placed(path: str, content: bytes) -> DataFile:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
        return DataFile(path, hashlib.md5(content, usedforsecurity=False).hexdigest())

    random = np.random.default_rng(0)
    tables: dict[str, dict[Any, DataFile]] = {"svhn": {}, "images": {}, "labels": {}}
    for split, n in COUNTS.items():
        tables["svhn"][split] = placed(f"SVHN/{split}_32x32.mat", house_numbers(n))
        pictures = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        tables["images"][split] = placed(f"MNIST/raw/{split}-images", idx(pictures))
        digits = (np.arange(n) % 10).astype(np.uint8)
        tables["labels"][split] = placed(f"MNIST/raw/{split}-labels", idx(digits))
    monkeypatch.setattr(svhn, "_FILES", tables["svhn"])
    monkeypatch.setattr(svhn.SVHN, "files", tuple(tables["svhn"].values()))
    monkeypatch.setattr(mnist, "_IMAGES", tables["images"])
    monkeypatch.setattr(mnist, "_LABELS", tables["labels"])
    files = (*tables["images"].values(), *tables["labels"].values())
    monkeypatch.setattr(mnist.MNIST, "files", files)
    return tmp_path


def test_the_task_is_colour_at_32_pixels_on_both_sides(data: Path) -> None:
    task = build_task(SVHN_TO_MNIST, svhn.SVHN(), mnist.MNIST(), data, torch.device("cpu"))
    assert task.source.pixels.shape == (54, 3, 32, 32)
    assert task.validation.pixels.shape == (6, 3, 32, 32)
    assert task.target.pixels.shape == (60, 3, 32, 32)
    assert sorted(set(task.source.labels.tolist())) == list(range(10))
    red, green, blue = task.target.pixels.unbind(1)
    assert torch.equal(red, green)
    assert torch.equal(red, blue)


def test_every_method_runs_on_it(data: Path, tmp_path: Path) -> None:
    report = sweep(
        Request(
            suite="digits",
            shifts=("svhn2mnist",),
            seeds=(0,),
            preset="smoke",
            threads=1,
            data=data,
            runs=tmp_path / "runs",
            offline=True,
        )
    )
    ended = {trial["method"]: (trial["status"], trial["error"]) for trial in report.outcomes}
    expected = {"source-only", "adda", "cycada", "target-only", "dann", "deep-coral"}
    assert ended.keys() == expected
    # Noise can be learned or not; what counts is that every trial was trained and scored.
    assert all(status == "done" or "collapsed" in error for status, error in ended.values()), ended
