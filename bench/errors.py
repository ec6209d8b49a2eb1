"""The errors that a user can cause, each with a sentence that says what to do."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class BenchError(Exception):
    """A user's mistake or a missing thing; the command line prints it without a traceback."""


class MissingDataError(BenchError):
    """A data file is absent, truncated or corrupted."""


class BudgetError(BenchError):
    """A method asked for more training steps than the trial's budget holds."""


class DivergedError(BenchError):
    """Training produced NaN or infinity, or a network with one answer for every image."""


class PrunedError(BenchError):
    """A trial of a study was stopped while it ran, because others had done better by then."""


class ClaimLostError(BenchError):
    """Another machine took over what this process was working on, having taken it for dead."""


class MachineError(BenchError):
    """The disk or the accelerator gave out: no fault of the method, and others will meet it."""


def unknown(kind: str, got: str, available: Iterable[str]) -> BenchError:
    """Return the error for a name that does not exist, with the nearest one that does.

    >>> str(unknown("suite", "digit", ["digits", "mini"]))
    "Unknown suite 'digit'. Did you mean 'digits'? Available: digits, mini."
    """
    names = sorted(available)
    near = difflib.get_close_matches(got, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    listed = ", ".join(names) or "none"
    return BenchError(f"Unknown {kind} '{got}'.{hint} Available: {listed}.")
