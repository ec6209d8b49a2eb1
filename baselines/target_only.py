"""The upper bound: supervised training on the target's own labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from baselines.source_only import SourceOnly


@dataclass(frozen=True)
class TargetOnly(SourceOnly):
    """Train on the labelled target ("Target Fully Supervised"); tables mark it as a bound.

    It is `SourceOnly` on a task that the harness builds with the target domain as source, so that
    no method ever holds a target label. Not to be confused with the selection rule `oracle`.
    """

    learns_from: ClassVar[Literal["source", "target"]] = "target"
