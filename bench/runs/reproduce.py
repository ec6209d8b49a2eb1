"""The command line that runs a recorded trial again."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from bench import plugins
from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.records import Record
    from bench.suites import Entry, Suite

_DEVICES = ("cpu", "mps")
"""What a record calls a device by its kind; of a GPU it has the name."""


def command(record: Record, suite: str | None, entries: Iterable[Entry] = ()) -> str:
    """Return one shell command, quoted for a POSIX shell, that repeats a run.

    Args:
        record: of any run, finished or not.
        suite: as in ``--suite``; None if no suite that is known here has the run's shift.
        entries: the rows of that suite.

    >>> config = {"method": "adda", "shift": {"name": "mnist2usps"}, "seed": 3, "preset": "fast"}
    >>> config |= {"settings": {"feature.gate": None}, "backbone": "lenet", "weights": "random"}
    >>> record = {"config": config | {"budget": 500}, "threads": 1, "device": "cpu"}
    >>> print(command(record, "digits"))  # doctest: +NORMALIZE_WHITESPACE
    bench run --suite digits --shift mnist2usps --method adda --seeds 3, --preset fast
        --set feature.gate=none --backbone lenet --weights random --budget 500 --threads 1
        --device cpu
    """
    config = record["config"]
    device = record["device"] if record["device"] in _DEVICES else "cuda"
    words = [*_launcher(config.get("processes", 1)), "run"]
    if suite is not None:
        words += ["--suite", suite]
    words += ["--shift", config["shift"]["name"], "--method", _method(record, entries)]
    words += ["--seeds", f"{config['seed']},", "--preset", config["preset"]]
    for key, value in sorted(config["settings"].items()):
        words += ["--set", f"{key}={typed(value)}"]
    words += ["--backbone", config["backbone"]]
    words += ["--weights", "FILE" if _is_file(config["weights"]) else config["weights"]]
    words += ["--budget", config["budget"], "--threads", record["threads"], "--device", device]
    if config.get("precision", "float32") != "float32":
        words += ["--precision", config["precision"]]
    if config.get("compile"):
        words += ["--compile"]
    return shlex.join(map(str, words))


def _launcher(processes: int) -> list[object]:
    """Return what `bench` is started by: a trial of several processes needs them all."""
    if processes == 1:
        return ["bench"]
    return ["torchrun", "--nproc-per-node", processes, "-m", "bench.cli"]


def suite_of(record: Record, suite: str | None = None) -> tuple[str | None, Iterable[Entry]]:
    """Return the suite whose shift is the very one of a run, and its rows.

    Args:
        record: of any run.
        suite: which one, as in ``--suite``; None for the first installed one that has it.

    Returns:
        None and no rows if no installed suite has the shift, or has changed it since.

    Raises:
        BenchError: there is no such suite, or it is not the run's.
    """
    shift = record["config"]["shift"]
    if suite is not None:
        loaded = plugins.load_suite(suite)
        if not _has(loaded, shift):
            message = f"The suite '{suite}' has not the shift that {record['run_id']} ran on."
            raise BenchError(message)
        return suite, loaded.entries
    for name in plugins.names("suite"):
        loaded = plugins.load_suite(name)
        if _has(loaded, shift):
            return name, loaded.entries
    return None, ()


def _has(suite: Suite, shift: Mapping[str, object]) -> bool:
    return any(each.described() == shift for each in suite.shifts)


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Return a sentence on what of a run's environment is another one here; None if nothing is.

    >>> print(changed({"torch": "2.4", "code": "ab12"}, {"torch": "2.5", "code": "ab12"}))
    It was made with torch 2.4 (here 2.5): the last digits may differ.
    """
    left_out = {"git", "git dirty", "platform"}  # `code` says it better, and no kernel adds
    both = [name for name in then if name in now and name not in left_out]
    parts = [f"{name} {then[name]} (here {now[name]})" for name in both if then[name] != now[name]]
    return f"It was made with {', '.join(parts)}: the last digits may differ." if parts else None


def cautions(record: Record, suite: str | None) -> list[str]:
    """Return what a reader must know or fill in before the command repeats the run."""
    config = record["config"]
    found = []
    if suite is None:
        found.append("No suite known here has this shift: add --suite path/to/file.py:NAME.")
    if not config["code"].startswith("builtin-"):
        found.append(
            f"The method is a plug-in, code {config['code']}. If it is not installed, write"
            " --method path/to/file.py:Class; other code is another run."
        )
    if _is_file(config["weights"]):
        found.append(f"FILE stands for the initial weights: {config['weights']}.")
    if config.get("tuned"):
        found.append(
            f"A search found the settings: study {config['tuned']['study']}. Set by hand, they are"
            " the same training under another run id."
        )
    commit = record["environment"].get("git", "unknown")
    if commit != "unknown":
        dirty = record["environment"].get("git dirty") == "yes"
        found.append(f"The harness was at commit {commit}{', changed' if dirty else ''}.")
    reasons = record.get("nondeterministic", ())
    found += [f"The last digits may differ: {reason}." for reason in reasons]
    found.append(
        "Where the run already is, it is taken from there: add --runs with another folder."
    )
    return found


def typed(value: object) -> str:
    """Return a setting as one types it after ``--set key=``.

    >>> typed(None), typed(True), typed([1, 2]), typed(1e-4), typed("none of them")
    ('none', 'true', '1,2', '0.0001', 'none of them')
    """
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return ",".join(map(typed, value))
    return json.dumps(value, sort_keys=True)


def _method(record: Record, entries: Iterable[Entry]) -> str:
    """Return a name that means one row: a suite may have several rows of one method."""
    method: str = record["config"]["method"]
    own = [entry for entry in entries if entry.method == method]
    if not own or any(entry.label == method for entry in own):
        return method
    settings = record["config"]["settings"]
    fitting = [e for e in own if e.settings.items() <= settings.items()] or own
    return max(fitting, key=lambda entry: len(entry.settings)).label


def _is_file(weights: str) -> bool:
    return weights.startswith("file ")
