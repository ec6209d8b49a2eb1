"""Which published row stands beside ours, and when a difference is printed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.published import Cell
from bench.suites import DRIVING
from bench.tables.beside import references, with_published
from bench.tables.cells import note_of
from bench.tables.formats import render
from bench.tables.layout import lacking
from bench.tables.row import Row

SHIFT = DRIVING.shifts[0]


def cell(metric: str = "miou", value: float = 0.354, **other: str) -> Cell:
    plain = {
        "method": "cycada",
        "label": "CyCADA (Ours)",
        "shift": SHIFT.name,
        "protocol": SHIFT.protocol,
        "backbone": "fcn8s",
        "weights": "imagenet",
        "rule": "unstated",
        "source": "Hoffman et al. 2018, Table 4",
        "note": "",
    }
    return Cell(metric=metric, value=value, std=None, **plain | other)


def row(**other: Any) -> Row:
    plain = {
        "suite": DRIVING.name,
        "shift": SHIFT.name,
        "protocol": SHIFT.protocol,
        "backbone": "fcn8s",
        "method": "cycada",
        "label": "cycada",
        "preset": "paper",
        "rule": "last",
        "metric": "miou",
        "weights": "imagenet",
        "n": 1,
        "planned": 1,
        "mean": 0.4,
    }
    return Row(**plain | other)


BOTH = (cell(), cell(value=0.395, backbone="drn26"))

LATER = cell(
    value=0.575,
    method="Newer",
    label="Newer (2021)",
    backbone="deeplabv2",
    weights="",
    rule="oracle",
    source="README of somewhere",
    note="its code says so",
)


@pytest.mark.parametrize(
    ("backbone", "value", "delta"),
    [("fcn8s", 0.354, 0.046), ("drn26", 0.395, 0.005), ("smp/unet/resnet18", None, None)],
)
def test_the_published_row_of_our_own_backbone_stands_beside_ours(
    backbone: str, value: float | None, delta: float | None
) -> None:
    found = with_published(row(backbone=backbone), BOTH)
    assert found.published == value
    assert found.delta == pytest.approx(delta)
    if value is not None:
        assert found.published_backbone == backbone


def test_the_only_published_row_stands_beside_ours_whatever_its_backbone() -> None:
    found = with_published(row(backbone="smp/unet/resnet18"), BOTH[:1])
    assert (found.published, found.delta, found.published_backbone) == (0.354, None, "fcn8s")


@pytest.mark.parametrize("ours", ["protocol", "backbone", "weights"])
def test_no_difference_unless_all_conditions_match(ours: str) -> None:
    assert with_published(row(), BOTH[:1]).delta == pytest.approx(0.046)
    found = with_published(row(**{ours: "other"}), BOTH[:1])
    assert (found.published, found.delta) == (0.354, None)
    theirs = with_published(row(), [cell(**{ours: "other"})])
    assert (theirs.published, theirs.delta) == (0.354, None)


def test_no_difference_of_a_row_chosen_on_test_labels_or_without_a_mean() -> None:
    assert with_published(row(chosen_on_test_labels=True), BOTH).delta is None
    assert with_published(row(mean=None, n=0), BOTH).delta is None
    smoke = with_published(row(preset="smoke"), BOTH)
    assert smoke.delta is None
    assert "no difference, because ours is of the preset smoke" in note_of(smoke, smoke)


def test_all_that_a_published_row_has_comes_along_whatever_the_order_of_its_cells() -> None:
    cells = [
        cell("iou:road", 0.852),
        cell("iou:train", 0.045),
        cell("fwiou", 0.738),
        cell("pixel_accuracy", 0.836),
        cell(note="a note"),
        cell("iou:road", 0.1, method="adda"),
    ]
    found = with_published(row(), cells)
    assert (found.published, found.published_note) == (0.354, "a note")
    assert found.published_others == {"fwiou": 0.738, "pixel_accuracy": 0.836}
    assert found.published_classes == {"road": 0.852, "train": 0.045}
    # A row without the figure that rows are ranked by cannot stand beside any.
    assert with_published(row(label="adda"), cells).published is None


OTHERS = cell(method="CDA", label="CDA (Zhang et al.)", value=0.278, protocol="unstated")


def labels(rows: list[Row]) -> list[tuple[str, str | None]]:
    return [(each.label, each.published_backbone) for each in rows]


def test_without_runs_every_published_row_is_a_reference() -> None:
    found = references([], DRIVING, [*BOTH, OTHERS, cell(shift="elsewhere")])
    assert labels(found) == [("cycada", "fcn8s"), ("cycada", "drn26"), ("CDA", "fcn8s")]
    assert [(each.rule, each.n, each.mean, each.delta) for each in found] == [
        (None, 0, None, None)
    ] * 3


def test_references_are_what_some_table_lacks_of_its_own_backbone() -> None:
    cells = [*BOTH, OTHERS]
    ours = with_published(row(), cells)
    assert labels(references([ours], DRIVING, cells)) == [("CDA", "fcn8s")]
    # A table of another backbone lacks both rows; one of `drn26` lacks its own.
    unet = with_published(row(backbone="unet"), cells)
    assert labels(references([ours, unet], DRIVING, cells)) == labels(
        references([], DRIVING, cells)
    )
    adda = row(backbone="drn26", method="adda", label="adda")
    assert labels(references([ours, adda], DRIVING, cells)) == [
        ("cycada", "drn26"),
        ("CDA", "fcn8s"),
    ]


def test_a_table_takes_the_references_of_its_own_backbone_or_all() -> None:
    every = references([], DRIVING, [*BOTH, OTHERS])
    assert labels(lacking([], every)) == labels(every)
    assert labels(lacking([row(label="mine")], every)) == [("cycada", "fcn8s"), ("CDA", "fcn8s")]
    drn = lacking([row(label="mine", backbone="drn26")], every)
    assert labels(drn) == [("cycada", "drn26"), ("CDA", "fcn8s")]
    unet = row(label="mine", backbone="unet")
    assert labels(lacking([unet], every)) == labels(every)
    beside = replace(unet, published_label="CDA (Zhang et al.)")
    assert labels(lacking([beside], every)) == labels(every)[:2]


def test_a_supervised_bound_is_marked_as_one() -> None:
    (bound,) = references([], DRIVING, [cell(method="target-only", label="Oracle")])
    assert (bound.method, bound.learns_from) == ("target-only", "target")


# ------------------------------------------------------------------ later work


def shown(measured: list[Row], *cells: Cell) -> str:
    rows = [with_published(row, cells) for row in measured]
    return render([*rows, *references(rows, DRIVING, cells)], "md")


def test_later_work_has_a_table_of_its_own_with_how_it_was_obtained() -> None:
    text = shown([row()], *BOTH, LATER)
    main, later = text.split("### Later work")
    assert "Newer" not in main.split("- [1]")[0]
    assert "- [1] README of somewhere; its code says so" in main
    conditions = f"{SHIFT.protocol} | deeplabv2 | unstated | chosen by test labels"
    assert f"| Newer (2021) [1] | 57.5 | {conditions} |" in later
    assert "- Published: Hoffman et al. 2018, Table 4\n" in main


@pytest.mark.parametrize("rule", ["last", "unstated"])
def test_a_rule_that_looks_at_no_labels_is_named(rule: str) -> None:
    assert f" | unstated | {rule} |" in shown([row()], replace(LATER, rule=rule))


def test_without_ours_and_the_papers_later_work_is_the_table() -> None:
    text = shown([], LATER)
    assert "Later work" not in text
    assert "|  | Newer |" in text
    assert "- Published: README of somewhere\n" in text
    said = "Newer (2021): protocol cityscapes-19; backbone deeplabv2"
    labels = "its checkpoint was chosen by the target's test labels"
    assert f"{said}; {labels}; its code says so" in text


def test_a_method_of_ours_has_later_work_of_its_name_beside_it() -> None:
    text = shown([row(label="Newer", method="newer.py:Newer")], *BOTH, LATER)
    assert "Later work" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("| 1 | Newer")]
    assert line.endswith("| 57.5 [1] |  |")
    assert "its checkpoint was chosen by the target's test labels" in text


def test_only_the_papers_own_source_is_not_later_work() -> None:
    sources = ("Hoffman et al. 2018, Table 4", "README of somewhere", "")
    assert [cell(source=source).later for source in sources] == [False, True, True]
