"""One run on a sheet, for a terminal: how it ended, what was run, and what made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.records import Record

Line = tuple[str, object]

_HEAD = ("run_id", "status", "error", "departure", "attempts", "steps", "seconds")
_MACHINE = ("device", "threads", "started", "finished")


def sheet(record: Record) -> Iterator[tuple[str, list[Line]]]:
    """Yield the title and the lines of each section that has any, but for confusion matrices.

    Args:
        record: of any run, as the current version has it.

    Yields:
        title and lines; a line is a name and a value, None where there is none.
    """
    yield "How it ended", [(key, record[key]) for key in _HEAD]
    yield "What was run", list(flat(record["config"]))
    if record["stages"]:
        yield "Stages", [(stage["name"], _stage(stage)) for stage in record["stages"]]
    if record["events"]:
        yield "Noticed while training", list(map(_event, record["events"]))
    if record["scores"]:
        yield "Scores of rules", list(flat(record["scores"]))
    machine = [(key, record[key]) for key in _MACHINE]
    reasons = record["nondeterministic"]
    determinism = "not the same again: " + "; ".join(reasons) if reasons else None
    numbers = [("numbers", determinism)] if reasons else []
    yield "What made it", [*machine, *numbers, *flat(record["environment"])]


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[Line]:
    """Yield nested mappings as dotted keys and plain values.

    >>> list(flat({"lr": 1.0, "pixel": {"cycle": 2.0}, "feature": {}}))
    [('lr', 1.0), ('pixel.cycle', 2.0), ('feature', None)]
    """
    for key, part in value.items():
        if isinstance(part, dict) and part:
            yield from flat(part, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", None if part == {} else part


def _stage(stage: Mapping[str, Any]) -> str:
    """Return one stage in words; records that were made up by hand may say less of it."""
    parts = [
        f"{stage.get('steps', '?')} steps in {stage.get('seconds', '?')} s",
        "from the cache" if stage.get("cached") else "",
        f"stopped: {stage['stop']}" if stage.get("stop") else "",
        f"key {stage.get('key', '?')}",
    ]
    return ", ".join(filter(None, parts))


def _event(event: Mapping[str, Any]) -> Line:
    return f"{event['stage']}, step {event['step']}", f"{event['kind']}: {event['reason']}"
