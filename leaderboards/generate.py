"""Write the committed leaderboards from the committed records, or check that they are those.

python leaderboards/generate.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import leaderboard, plugins
from bench.files import write_text
from bench.records import load_records

HERE = Path(__file__).parent
RECORDS = HERE / "records"

SUITES = ("digits", "mini", "streets-mini", "streets-camvid")
"""Each has records in ``records/<suite>.jsonl`` and becomes ``<suite>.md``."""


def generated(suite: str) -> str:
    """Return the leaderboard of a suite's committed records, as Markdown."""
    path = RECORDS / f"{suite}.jsonl"
    rows = leaderboard.rows(load_records([path]), plugins.load_suite(suite))
    shown = path.relative_to(HERE.parent).as_posix()
    command = f"bench leaderboard --suite {suite} --records {shown}"
    return leaderboard.render(rows, "md", command=command)


def main() -> int:
    """Write every leaderboard, or with ``--check`` name those that are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if one differs")
    check = parser.parse_args().check
    stale = []
    for suite in SUITES:
        path, text = HERE / f"{suite}.md", generated(suite)
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(path.name)
        elif not check:
            write_text(path, text)
    if stale:
        print(f"out of date: {', '.join(stale)}; run python leaderboards/generate.py")
    return len(stale)


if __name__ == "__main__":
    sys.exit(main())
