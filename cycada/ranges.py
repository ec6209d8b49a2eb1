"""Refuse hyperparameters out of range before any training, in words."""

from __future__ import annotations


def positive(part: object, *names: str) -> None:
    """Raise ValueError unless each named field of `part` is above 0; None passes.

    >>> class Part:
    ...     lr, max_steps = 0.1, None
    >>> positive(Part(), "lr", "max_steps")
    """
    for name in names:
        value = getattr(part, name)
        if value is not None and value <= 0:
            raise ValueError(f"'{name}' must be above 0, got {value}.")


def between(part: object, low: float, high: float, *names: str) -> None:
    """Raise ValueError unless low <= field <= high for each named field of `part`.

    >>> class Part:
    ...     gate = 1.5
    >>> between(Part(), 0, 1, "gate")
    Traceback (most recent call last):
    ValueError: 'gate' must lie in 0..1, got 1.5.
    """
    for name in names:
        value = getattr(part, name)
        if not low <= value <= high:
            limits = f"be {low} or more" if high == float("inf") else f"lie in {low}..{high}"
            raise ValueError(f"'{name}' must {limits}, got {value}.")
