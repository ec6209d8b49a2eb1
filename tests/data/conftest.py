"""Where the real data is, if this machine has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder with the real MNIST and USPS, or skip the test that asks for it."""
    folder = os.environ.get("BENCH_DATA")
    if not folder:
        pytest.skip("BENCH_DATA is not set: no real data to read")
    for name in ("MNIST/raw", "USPS"):
        if not Path(folder, name).is_dir():
            pytest.skip(f"BENCH_DATA has no folder {name}")
    return Path(folder)
