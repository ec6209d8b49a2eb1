"""Who is at which run of a runs folder: what is being worked on is neither moved nor deleted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bench.claim import BEAT, Claim, claims, is_locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.claim import Seen

LOCKS = "locks"
"""The folder, inside of a runs folder and of a folder of stages, that holds claims."""


def at_work(runs: Path) -> dict[str, Seen]:
    """Return the claims of living owners in a runs folder, by the run's id."""
    return {seen.name: seen for seen in claims(runs / LOCKS) if seen.alive}


@contextlib.contextmanager
def alone_at(runs: Path, run_id: str) -> Iterator[bool]:
    """Claim a run inside of the block; yield False at once if somebody else is at it."""
    path = runs / LOCKS / f"{run_id}.lock"
    if run_id in at_work(runs) or is_locked(path):
        yield False
        return
    # What is left of a claim is silent: to see it stand still for some beats is enough.
    with Claim(path, {"command": "bench runs"}, patience=3 * BEAT):
        yield True
