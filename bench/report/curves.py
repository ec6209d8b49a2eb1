"""What a method logged, as curves of a bounded number of points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Point = tuple[int, float | None]
Curve = dict[str, Any]

POINTS = 120
"""Points of a curve at most."""

CURVES = 60
"""Curves of a run at most; the page says how many more were logged."""


def curves(lines: Iterable[object]) -> list[Curve]:
    """Return every logged number against its step, in the order in which names first appear.

    Args:
        lines: of ``metrics.jsonl``, as `bench.records.read_metrics` returns them.

    Each curve has "stage", "name", "logged" (how many values), "infinite" (how many of them were
    not finite), "range" ([first, least, greatest, last] of those that were, or None), "steps" and
    "values" (None where not finite). Loops of a stage count their steps from 0 and are curves of
    their own.

    Raises:
        BenchError: a line is none that `Context.log` writes.

    >>> [curve] = curves([{"stage": "source", "loop": 0, "step": 5, "loss": 0.25}])
    >>> curve["name"], curve["steps"], curve["values"]
    ('loss', [5], [0.25])
    """
    found: dict[tuple[str, str], list[Point]] = {}
    for number, line in enumerate(lines, 1):
        if not isinstance(line, dict) or not {"stage", "loop", "step"} <= line.keys():
            raise BenchError(f"metrics.jsonl, line {number}: no stage, loop and step")
        prefix = f"loop {line['loop']}: " if line["loop"] else ""
        for name, value in line.items():
            if name in {"stage", "loop", "step"} or not isinstance(value, (int, float, type(None))):
                continue
            finite = float(value) if value is not None and math.isfinite(value) else None
            curve = found.setdefault((str(line["stage"]), prefix + name), [])
            curve.append((line["step"], finite))
    return [_curve(stage, name, points) for (stage, name), points in found.items()]


def _curve(stage: str, name: str, points: Sequence[Point]) -> Curve:
    finite = [value for _, value in points if value is not None]
    ends = [finite[0], min(finite), max(finite), finite[-1]] if finite else None
    kept = thinned(points, POINTS)
    return {
        "stage": stage,
        "name": name,
        "logged": len(points),
        "infinite": len(points) - len(finite),
        "range": ends and [_short(value) for value in ends],
        "steps": [step for step, _ in kept],
        "values": [None if value is None else _short(value) for _, value in kept],
    }


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most `most` of the points, in order: of equal parts the least and the greatest.

    So no peak is lost, which every k-th point would lose. The first and the last point stay.

    >>> thinned([(0, 1.0), (1, 1.0), (2, 9.0), (3, 1.0), (4, 0.0), (5, 1.0)], 4)
    [(0, 1.0), (2, 9.0), (4, 0.0), (5, 1.0)]
    """
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    parts = (most - 2) // 2
    kept = [points[0]]
    for part in range(parts):
        own = inner[part * len(inner) // parts : (part + 1) * len(inner) // parts]
        finite = [place for place, (_, value) in enumerate(own) if value is not None]
        if not finite:
            kept.append(own[0])
            continue
        low = min(finite, key=lambda place: own[place][1] or 0.0)
        high = max(finite, key=lambda place: own[place][1] or 0.0)
        kept += [own[place] for place in sorted({low, high})]
    return [*kept, points[-1]]


def _short(value: float) -> float:
    """Return a number of six digits: what a picture can show, in a third of the characters."""
    return float(f"{value:.6g}")
