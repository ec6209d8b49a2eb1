"""Random state as a pure function of names, so that no result depends on what ran before."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

from bench.digest import canonical_json


def seed_from(*names: object) -> int:
    """Return an integer in 0..2**63-1 that depends on `names` alone, on every platform.

    >>> seed_from(0, "source", 17) == seed_from(0, "source", 17)
    True
    """
    digest = hashlib.sha256(canonical_json(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(*names: object) -> None:
    """Seed Python, NumPy and torch (every device) from `names`."""
    seed = seed_from(*names)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  methods may use the global generator
    # torch.manual_seed does the same, but formats a stack trace each time for a CUDA that never
    # starts: half a millisecond a step.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def generator_from(*names: object) -> torch.Generator:
    """Return a CPU generator of its own, seeded from `names`."""
    return torch.Generator().manual_seed(seed_from(*names))
