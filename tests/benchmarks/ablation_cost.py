"""What Table 3's rows cost together, as a multiple of one full CyCADA run.

Runs the entries of `digits-ablation` with one seed and the `fast` preset on a shift of `mini`, and
adds up the wall time of the stages that were computed; a stage that rows share counts once.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

from bench import suites, sweep
from bench.records import load_runs
from bench.request import Request

LIMIT = 2.8

# target-only is no row of the ablation itself, and it learns from other images.
ROWS = tuple(e for e in suites.DIGITS_ABLATION.entries if e.method != "target-only")
ABLATION = dataclasses.replace(
    suites.DIGITS_ABLATION, shifts=(suites.PRINTED_TO_HANDWRITTEN,), entries=ROWS
)


def main() -> int:
    """Print the stages computed and the ratio, and fail if it is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sweep.sweep(
            Request(
                suite=f"{__file__}:ABLATION",
                seeds=(0,),
                preset=asked.preset,
                threads=asked.threads,
                runs=Path(folder),
            )
        )
        records = list(load_runs(Path(folder))["record"])
    stages = {stage["key"]: stage for record in records for stage in record["stages"]}
    full = next(
        record
        for record in records
        if record["config"]["method"] == "cycada" and not record["config"]["settings"]
    )
    counts: dict[str, int] = {}
    for stage in stages.values():
        counts[stage["name"]] = counts.get(stage["name"], 0) + 1
    together = sum(stage["seconds"] for stage in stages.values())
    print(f"stages computed for {len(records)} rows: {counts}")
    print(f"together {together:.1f} s, one full run {full['seconds']:.1f} s")
    print(f"ratio {together / full['seconds']:.2f} (limit {LIMIT})")
    return int(together / full["seconds"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
