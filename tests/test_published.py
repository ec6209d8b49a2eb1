"""The registry against the paper's tables, typed here by hand a second time."""

from __future__ import annotations

import pytest

from bench import published
from bench.errors import BenchError
from bench.suites import DIGITS, DIGITS_ABLATION

SHIFTS = ("mnist2usps", "usps2mnist", "svhn2mnist")

# Hoffman et al. 2018, Table 2, row by row as printed: per cent, "-" for an empty cell.
TABLE_2 = {
    "Source only": ("82.2 0.8", "69.6 3.8", "67.1 0.6"),
    "DANN (Ganin et al., 2016)": ("-", "-", "73.6"),
    "DTN (Taigman et al., 2017a)": ("-", "-", "84.4"),
    "CoGAN (Liu & Tuzel, 2016b)": ("91.2", "89.1", "-"),
    "ADDA (Tzeng et al., 2017)": ("89.4 0.2", "90.1 0.8", "76.0 1.8"),
    "PixelDA (Bousmalis et al., 2017b)": ("95.9", "-", "-"),
    "UNIT (Liu et al., 2017)": ("95.9", "93.6", "90.5"),
    "CyCADA (Ours)": ("95.6 0.2", "96.5 0.1", "90.4 0.4"),
    "Target Fully Supervised": ("96.3 0.1", "99.2 0.1", "99.2 0.1"),
}

# Table 3: svhn2mnist only.
TABLE_3 = {
    "Source only": "67.1",
    "CyCADA - no feat adapt, no semantic loss": "70.3",
    "CyCADA - no feat adapt": "71.2",
    "CyCADA - no cycle consistency": "75.7",
    "CyCADA - no pixel adapt": "83.8",
    "CyCADA (Full)": "90.4",
    "Target Fully Supervised": "99.2",
}


def shown(cell: published.Cell) -> str:
    std = "" if cell.std is None else f" {100 * cell.std:.1f}"
    return f"{100 * cell.value:.1f}{std}"


def test_table_2_is_carried_as_printed() -> None:
    ours = {(cell.label, cell.shift): shown(cell) for cell in published.cells("digits")}
    printed = {
        (label, shift): figure
        for label, figures in TABLE_2.items()
        for shift, figure in zip(SHIFTS, figures, strict=True)
        if figure != "-"
    }
    assert ours == printed


def test_table_3_is_carried_as_printed_and_agrees_with_table_2() -> None:
    cells = published.cells("digits-ablation")
    assert {cell.label: shown(cell) for cell in cells} == TABLE_3
    assert {cell.shift for cell in cells} == {"svhn2mnist"}
    both = {c.method: c.value for c in published.cells("digits") if c.shift == "svhn2mnist"}
    for cell in cells:
        if cell.method in ("source-only", "cycada", "target-only"):
            assert cell.value == both[cell.method]


def test_what_cycada_gains_by_the_paper() -> None:
    value = {(c.method, c.shift): c.value for c in published.cells("digits")}
    gains = [100 * (value["cycada", s] - value["source-only", s]) for s in SHIFTS]
    assert gains == pytest.approx([13.4, 26.9, 23.3])
    means = [100 * sum(value[m, s] for s in SHIFTS) / 3 for m in ("source-only", "cycada")]
    assert means == pytest.approx([72.96667, 94.16667], abs=1e-5)


def test_figures_are_the_floats_nearest_to_what_is_printed() -> None:
    assert 67.1 / 100 != 0.671
    text = HEADER + LINE.replace("50.0", "67.1")
    assert published.parse(text, "registry.csv")[0].value == 0.671


@pytest.mark.parametrize("suite", [DIGITS, DIGITS_ABLATION], ids=lambda suite: suite.name)
def test_every_row_of_the_suite_has_its_published_figure(suite: object) -> None:
    cells = {(c.method, c.shift) for c in published.cells(suite.name)}
    wanted = {(entry.label, shift.name) for entry in suite.entries for shift in suite.shifts}
    assert wanted <= cells


def test_protocols() -> None:
    protocol = {(c.method, c.shift): c.protocol for c in published.cells("digits")}
    small = {key for key, name in protocol.items() if name == "adda-2000-1800"}
    assert small == {(m, s) for m in ("adda", "CoGAN") for s in ("mnist2usps", "usps2mnist")}
    assert protocol["adda", "svhn2mnist"] == "full"
    assert protocol["UNIT", "svhn2mnist"] == "svhn-extra"
    full = {key for key, name in protocol.items() if name == "full"}
    papers_own = {(m, s) for m in ("source-only", "cycada", "target-only") for s in SHIFTS}
    assert full == papers_own | {("adda", "svhn2mnist")}


def test_a_figure_matches_only_when_everything_does() -> None:
    cell = next(c for c in published.cells("digits") if c.method == "cycada")
    alike = {"metric": "accuracy", "protocol": "full", "backbone": "lenet", "weights": "random"}
    assert cell.matches(**alike)
    for key in alike:
        assert not cell.matches(**alike | {key: "other"})
    unknown = next(c for c in published.cells("digits") if c.method == "UNIT")
    assert not unknown.matches(**alike)


def test_a_suite_without_a_registry_has_no_published_figures() -> None:
    assert published.cells("mini") == ()


HEADER = "method,label,shift,metric,value,std,protocol,backbone,weights,source,note\n"
LINE = "m,M,s,accuracy,50.0,1.0,full,lenet,random,Paper,\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER.replace("note", "remark") + LINE, "expected the columns"),
        (HEADER + LINE.replace("50.0", "fifty"), "line 2: expected a percentage in 0..100"),
        (HEADER + LINE.replace("50.0", "500"), "line 2: expected a percentage"),
        (HEADER + LINE.replace("1.0", "nan"), "line 2: expected a percentage"),
        (HEADER + LINE.replace("1.0", "-1"), "line 2: expected a percentage"),
        (HEADER + LINE.replace("50.0", ""), "line 2: expected a percentage"),
        (HEADER + "m,M,s\n", "line 2: expected 11 values"),
        (HEADER + LINE.replace("\n", ",more\n"), "line 2: expected 11 values"),
        (HEADER + LINE + LINE, "line 3: m on s stands there twice"),
    ],
)
def test_a_damaged_registry_is_refused_by_line(text: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        published.parse(text, "registry.csv")


def test_parse_reads_a_line() -> None:
    (cell,) = published.parse(HEADER + LINE, "registry.csv")
    assert (cell.value, cell.std, cell.note) == (0.5, 0.01, "")
