"""Files of CSV: class lists of ``bench eval``, and the registry of published figures."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st
from near_misses import REFUSED, fuzzed, outcome, spoiled

from bench.class_file import class_list
from bench.published import parse

if TYPE_CHECKING:
    from pathlib import Path

GOOD = b"""\
name,id,colour,evaluated
road,7,#804080,yes
"sky, clouds",2,#4682B4,
sensor,9,#000000,no

tree,0,#00ff00
"""
CELLS = st.sampled_from(
    (
        *(
            "",
            " ",
            "road",
            "7",
            "255",
            "254",
            "-1",
            "007",
            "1e2",
            "\u0663",
            "9" * 5000,
            "#804080",
            "#80408",
        ),
        *(
            "#\u0661\u06610000",
            "yes",
            "no",
            "YES",
            '"',
            'a"b',
            "a\nb",
            "\0",
            "\x1b[2J",
            "x" * 200_000,
        ),
    )
)
ROWS = st.lists(st.lists(CELLS, max_size=5).map(",".join), max_size=4).map(
    lambda lines: "\n".join(["name,id,colour,evaluated", *lines]).encode()
)


@fuzzed
@given(content=spoiled(GOOD) | ROWS)
@example(content=GOOD)
@example(content=b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n"))
@example(content=GOOD.replace(b"7", "\u0667".encode()))
@example(content=GOOD.replace(b"road", b"r" * 200_000))
@example(content=GOOD.replace(b"road", b"ro\0ad"))
@example(content=GOOD.decode().encode("utf-16"))
@example(
    content=b"name,id,colour\n" + b"".join(b"%d,%d,#000000\n" % (i, i % 255) for i in range(300))
)
@example(content=b"name,id,colour\n" + b"".join(b"%d,%d,#000000\n" % (i, i) for i in range(255)))
def test_class_lists(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes(content)
    found = outcome("class lists", lambda: class_list(str(path)), path)
    if found is REFUSED:
        return
    rows = [*csv.reader(content.decode("utf-8-sig").splitlines(), skipinitialspace=True)]
    names = [column.strip() for column in rows[0]]
    said = [dict(zip(names, map(str.strip, row), strict=False)) for row in rows[1:] if row]
    assert [label.name for label in found.labels] == [row["name"] for row in said]
    for label, row in zip(found.labels, said, strict=True):
        assert label.id == int(row["id"])
        assert "#{:02x}{:02x}{:02x}".format(*label.colour) == row["colour"].lower()
        assert label.evaluated == (row.get("evaluated") != "no")
        assert int(found.by_id()[label.id]) == (label.train_id if label.evaluated else 255)
    assert len({label.id for label in found.labels}) == len(said)


def test_a_folder_is_no_class_list(tmp_path: Path) -> None:
    assert outcome("class lists", lambda: class_list(str(tmp_path / ".")), tmp_path) is REFUSED


HEAD = "method,label,shift,metric,value,std,protocol,backbone,weights,rule,source,note"
LINE = (
    'cycada,CyCADA,mnist2usps,accuracy,{},{},full,lenet,random,last,"Hoffman et al. 2018, Table 2",'
)
FIGURES = st.sampled_from(
    (
        *(
            "95.6",
            "0",
            "100",
            "100.0001",
            "-0",
            "-1",
            "",
            "NaN",
            "sNaN",
            "Infinity",
            "1e2",
            "1e-400",
            "1_0",
        ),
        *(
            "1e999999",
            "1E+999999999999999999",
            "1E-999999999999999999",
            "9" * 5000,
            "\u0669",
            "95,6",
            "95.6%",
        ),
        *(" 95.6", '"95.6"', "\0", '"a\nb"', "0x10"),
    )
)
TABLES = st.builds(lambda value, std: f"{HEAD}\n{LINE.format(value, std)}\n", FIGURES, FIGURES)


@fuzzed
@given(
    text=TABLES
    | spoiled(f"{HEAD}\n{LINE.format('95.6', '0.2')}\n".encode()).map(
        lambda b: b.decode("utf-8", "replace")
    )
)
@example(text=f"{HEAD}\n{LINE.format('1E+999999999999999999', '')}\n")
@example(text=f"{HEAD}\n{LINE.format('sNaN', '')}\n")
@example(text=f"{HEAD}\r{LINE.format('95.6', '')}")
@example(text=f"{HEAD}\n{LINE.format('95.6', '')}{'x' * 200_000}\n")
@example(text=f"{HEAD}\n{LINE.format('95.6', '')}\n{LINE.format('95.7', '')}\n")
@example(text="")
def test_published_figures(text: str) -> None:
    found = outcome("published CSV", lambda: parse(text, "digits.csv"), "digits.csv")
    if found is REFUSED:
        return
    rows = [*csv.reader(io.StringIO(text, newline=""))][1:]
    for cell, row in zip(found, [row for row in rows if row], strict=True):
        for ours, printed in zip(astuple(cell), row, strict=True):
            if ours is None:
                assert printed == ""
            elif isinstance(ours, float):
                assert 0 <= ours <= 1
                assert ours == float(Decimal(printed).scaleb(-2))
            else:
                assert ours == printed


def test_the_reference_knows_what_is_no_number() -> None:
    for text in ("", "x", "95,6"):
        try:
            Decimal(text)
        except InvalidOperation:
            continue
        raise AssertionError(text)
