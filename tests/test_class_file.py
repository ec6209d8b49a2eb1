"""The class list of a user's own: what it means, and what is said of a malformed one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.class_file import class_list, read_class_file
from bench.classes import CITYSCAPES, SYNTHIA16
from bench.errors import BenchError, MissingDataError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
name,id,colour,evaluated
road,7,#804080,yes
"sky, clouds",2,#4682B4,
sensor,9,#000000,no

tree,0,#00ff00
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "classes.csv"
    path.write_bytes(text.encode())
    return path


def test_a_file_says_names_values_colours_and_what_counts(tmp_path: Path) -> None:
    found = read_class_file(written(tmp_path, GOOD))
    assert found.names == ("road", "sky, clouds", "tree")
    assert found.colours == ((128, 64, 128), (70, 130, 180), (0, 255, 0))
    assert len(found.labels) == 4
    assert found.by_id()[[7, 2, 0, 9, 255, 1]].tolist() == [0, 1, 2, 255, 255, 254]
    assert found.by_train_id()[[0, 1, 2, 255, 3]].tolist() == [0, 1, 2, 255, 254]


@pytest.mark.parametrize(
    "text",
    [
        "name,id,colour\na,0,#000000\nb,1,#010101\n",
        "\ufeffname,id,colour\r\na,0,#000000\r\nb,1,#010101\r\n",
        "colour, id, name\n#000000, 0, a\n#010101, 1, b",
    ],
    ids=["three columns", "as spreadsheets write it", "any order, spaces"],
)
def test_variants_of_csv(tmp_path: Path, text: str) -> None:
    found = read_class_file(written(tmp_path, text))
    assert [(label.name, label.id, label.colour) for label in found.labels] == [
        ("a", 0, (0, 0, 0)),
        ("b", 1, (1, 1, 1)),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected the first line name,id,colour,evaluated"),
        ("name,id\na,1\n", "got 'name,id'"),
        ("name,id,colour,weight\na,1,#000000,3\n", "got 'name,id,colour,weight'"),
        ("name,id,colour,id\na,1,#000000,1\n", "got 'name,id,colour,id'"),
        ("name,id,colour\na,1,#000000,yes\n", "line 2: expected 3 cells, got 4"),
        ("name,id,colour\n\n,1,#000000\n", "line 3: expected a name"),
        ("name,id,colour\na,1,#000000\na,2,#000001\n", "line 3: expected a name that no other"),
        ("name,id,colour\na,255,#000000\n", r"an id in 0..254 for 'a', got '255'"),
        ("name,id,colour\na,-1,#000000\n", "got '-1'"),
        ("name,id,colour\na,1.0,#000000\n", "got '1.0'"),
        ("name,id,colour\na\n", "expected an id in 0..254 for 'a', got ''"),
        ("name,id,colour\na,1,#000000\nb,1,#000001\n", "no other line has for 'b', got 1"),
        ("name,id,colour\na,1,red\n", "expected a colour such as #804080 for 'a', got 'red'"),
        ("name,id,colour\na,1,#1234567\n", "got '#1234567'"),
        ("name,id,colour,evaluated\na,1,#000000,maybe\n", "'yes' or 'no' in evaluated"),
        ("name,id,colour,evaluated\na,1,#000000,no\n", "1 to 254 evaluated classes, got 0"),
        (
            "name,id,colour\n" + "".join(f"c{i},{i},#000000\n" for i in range(255)),
            "1 to 254 evaluated classes, got 255",
        ),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BenchError, match=said) as caught:
        class_list(str(path))
    assert str(path) in str(caught.value)


def test_what_is_no_text_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchError, match="expected CSV in UTF-8"):
        class_list(str(path))


def test_names_come_first_and_a_path_is_recognised(tmp_path: Path) -> None:
    assert class_list("cityscapes") is CITYSCAPES
    assert class_list("synthia16") is SYNTHIA16
    with pytest.raises(BenchError, match="Unknown class list 'cityscape'. Did you mean 'cityscap"):
        class_list("cityscape")
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(MissingDataError, match="is no file. Expected a class list"):
            class_list(str(path))


def test_254_classes_leave_room_for_the_two_that_mean_something_else(tmp_path: Path) -> None:
    lines = "".join(f"c{i},{i},#{i:06x}\n" for i in range(254))
    table = class_list(str(written(tmp_path, "name,id,colour\n" + lines))).by_id()
    assert np.array_equal(table, [*range(254), 254, 255])
