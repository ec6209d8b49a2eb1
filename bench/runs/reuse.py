"""Why a finished run that is here is not the one that was asked for."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.records import read_run
from bench.runs.differences import Difference, differences, spoken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.config import RunConfig

Config = dict[str, Any]


def explained(config: RunConfig, runs: Path) -> str | None:
    """Return a sentence on why a run is trained although others of its kind are finished.

    Args:
        config: of a run that is not finished.
        runs: the folder where it was looked for.

    Returns:
        What differs from the nearest finished run of the same method, shift and seed; None if
        there is no such run, or if an earlier attempt at this one is here: it was said then.
    """
    if (runs / config.run_id / "run.json").exists():
        return None
    found = nearest(config, alike(config, runs))
    if found is None:
        return None
    run_id, differing = found
    what = f"{config.method} on {config.shift['name']}, seed {config.seed},"
    return f"{what} is not taken from {run_id}: {spoken(differing)}."


def alike(config: RunConfig, runs: Path) -> dict[str, Config]:
    """Return the configurations of other finished runs of a method, shift and seed, by run id.

    Reads no other run's record: a run's id begins with these three.
    """
    start = config.run_id.rpartition("-")[0] + "-"
    try:
        with os.scandir(runs) as entries:
            paths = sorted(each.path for each in entries if each.name.startswith(start))
    except OSError:
        return {}
    found: dict[str, Config] = {}
    for path in paths:
        with contextlib.suppress(BenchError):  # a damaged run is no news here
            record = read_run(Path(path))
            if record["status"] in ("done", "diverged") and _is_alike(record["config"], config):
                found[record["run_id"]] = record["config"]
    return found


def _is_alike(other: Config, config: RunConfig) -> bool:
    """Say whether it is indeed the same method, shift and seed: ids could begin alike by chance."""
    kind = (other["method"], other["shift"]["name"], other["seed"])
    return kind == (config.method, config.shift["name"], config.seed)


def nearest(config: RunConfig, others: Mapping[str, Config]) -> tuple[str, list[Difference]] | None:
    """Return the run with the fewest differences, and these; None if there is no run at all.

    Args:
        config: what was asked for.
        others: configurations as records hold them, by run id.
    """
    ranked = [(run_id, mismatches(config, other)) for run_id, other in sorted(others.items())]
    return min(ranked, key=lambda each: len(each[1]), default=None)


def mismatches(config: RunConfig, other: Config) -> list[Difference]:
    """Return what differs between a run that was asked for and another's configuration.

    Hyperparameters have their names on the command line, and come once: not as settings, too.
    """
    asked = config.described()
    found = [
        *differences(other["params"], asked["params"]),
        *differences(_but_params(other), _but_params(asked)),
    ]
    keys = {each.key for each in found}
    return [each for each in found if not _repeats(each.key, keys)]


def _repeats(key: str, keys: set[str]) -> bool:
    """Say whether a setting tells what a hyperparameter among `keys`, or a part of it, tells."""
    setting = key.removeprefix("settings.")
    return setting != key and any(setting == k or setting.startswith(f"{k}.") for k in keys)


def _but_params(config: Config) -> Config:
    return {key: value for key, value in config.items() if key != "params"}
