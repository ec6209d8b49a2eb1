"""Tables of segmentation in every format; what digits share with them is in test_leaderboard."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench import leaderboard, records
from bench.classes import CITYSCAPES, PROTOCOLS, SYNTHIA16
from bench.config import RunConfig
from bench.suites import DRIVING, GTA5_TO_CITYSCAPES, MNIST_TO_USPS, Shift

if TYPE_CHECKING:
    from pathlib import Path

    from bench.tables.row import Row

PIXELS = 1000
"""Of each class that occurs."""


def matrix(right: int, classes: int = 19, absent: int = 0) -> list[list[int]]:
    """Return a matrix where `right` of 1,000 pixels a class are right, the rest taken for the next.

    Of the other classes, `absent` occur nowhere. Every class that occurs then has the same IoU.
    """
    there = classes - absent
    hits = np.eye(there, dtype=int) * right
    made = np.zeros((classes, classes), dtype=int)
    made[:there, :there] = hits + np.roll(np.eye(there, dtype=int) * (PIXELS - right), 1, axis=1)
    return made.tolist()


def iou(right: int) -> float:
    return right / (2 * PIXELS - right)


def run(
    right: int,
    method: str = "cycada",
    seed: int = 0,
    *,
    shift: Shift = GTA5_TO_CITYSCAPES,
    confusion: dict[str, Any] | None = None,
    **other: Any,
) -> records.Record:
    """Return an exported record whose last checkpoint is ``matrix(right)``."""
    classes = len(PROTOCOLS[shift.protocol].classes) if shift.task == "segmentation" else 10
    plain = {
        "settings": {},
        "params": {},
        "preset": "paper",
        "code": "builtin-1",
        "learns_from": "target" if method == "target-only" else "source",
        "backbone": shift.backbone,
        "budget": 100,
        "data": "d" * 64,
        "weights": "imagenet",
    }
    made = RunConfig(method=method, seed=seed, shift=shift.described(), **plain | other)
    checkpoints = (confusion or {}).get("checkpoints") or {"600": matrix(right, classes)}
    return {
        "run_id": made.run_id,
        "status": "done",
        "error": None,
        "config": json.loads(json.dumps(made.described())),
        "stages": [{"name": name} for name in (confusion or {}).get("stages", {})],
        "checkpoints": [int(step) for step in checkpoints],
        "steps": 4500,
        "seconds": 60.0,
        "departure": None,
        "threads": 2,
        "device": "cpu",
        "environment": {},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": None,
        "confusion": {"checkpoints": checkpoints, "stages": (confusion or {}).get("stages", {})},
    }


@pytest.fixture
def rows_of(tmp_path: Path) -> Any:
    """Return a function from records to the rows of the suite `driving`."""

    def tabulate(*made: records.Record, suite: Any = DRIVING, rule: str = "last") -> list[Row]:
        records.write_records(tmp_path / "r.jsonl", made)
        return leaderboard.rows(records.load_records([tmp_path / "r.jsonl"]), suite, rule)

    return tabulate


def ours(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.rule is not None]


def lines_of(text: str, start: str) -> list[list[str]]:
    """Return the cells of the first Markdown table after the heading `start`."""
    lines = text[text.index(start) :].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    block = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        block.append([cell.strip() for cell in line.strip("|").split("|")])
    return block


# ------------------------------------------------------------------ rows


def test_a_row_is_ranked_by_miou_and_has_the_other_figures_and_every_class(rows_of: Any) -> None:
    (row,) = ours(rows_of(run(800, seed=0), run(900, seed=1)))
    values = [iou(800), iou(900)]
    assert (row.metric, row.n) == ("miou", 2)
    assert row.mean == pytest.approx(np.mean(values))
    assert row.std == pytest.approx(np.std(values, ddof=1))
    assert list(row.others) == ["fwiou", "pixel_accuracy"]
    assert row.others["fwiou"] == pytest.approx({"mean": row.mean, "std": row.std})
    assert row.others["pixel_accuracy"] == pytest.approx({"mean": 0.85, "std": np.sqrt(0.005)})
    assert tuple(row.classes) == CITYSCAPES.names
    for spread in row.classes.values():
        assert spread == pytest.approx({"mean": row.mean, "std": row.std})


def test_a_class_counts_in_the_seeds_in_which_it_occurs(rows_of: Any) -> None:
    without = {"checkpoints": {"600": matrix(800, absent=2)}}
    (row,) = ours(rows_of(run(0, seed=0, confusion=without), run(900, seed=1)))
    assert row.classes["bicycle"] == {"mean": pytest.approx(iou(900)), "std": None}
    assert row.classes["road"]["mean"] == pytest.approx((iou(800) + iou(900)) / 2)
    (row,) = ours(rows_of(run(0, confusion=without)))
    assert row.classes["bicycle"] == {"mean": None, "std": None}
    assert row.mean == pytest.approx(iou(800))  # over the 17 that occur


def test_equal_means_share_a_rank(rows_of: Any) -> None:
    made = [(900, "a"), (800, "b"), (800, "c"), (700, "d")]
    text = leaderboard.render(rows_of(*(run(right, method) for right, method in made)), "md")
    lines = [line[:2] for line in lines_of(text, "| ") if line[1] in {*"abcd"}]
    assert lines == [["1", "a"], ["2", "b"], ["2", "c"], ["4", "d"]]


def test_the_same_figures_in_another_order_share_a_rank(rows_of: Any) -> None:
    """Their means may differ in the last digit: seeds are added up in their order."""
    figures = (829, 735, 772, 735, 893), (735, 893, 735, 772, 829)
    made = [
        run(right, method, seed)
        for method, rights in zip("ab", figures, strict=True)
        for seed, right in enumerate(rights)
    ]
    text = leaderboard.render(rows_of(*made), "md")
    lines = [line[:2] for line in lines_of(text, "| ") if line[1] in {*"ab"}]
    assert sorted(lines) == [["1", "a"], ["1", "b"]]


def test_methods_are_ranked_by_miou_not_by_pixels(rows_of: Any) -> None:
    # Everything is taken for road, of which there is much: many pixels, hardly any class.
    road = np.zeros((19, 19), dtype=int)
    road[:, 0] = [10**6, *[PIXELS] * 18]
    frequent = run(0, "adda", confusion={"checkpoints": {"600": road.tolist()}})
    first, second = ours(rows_of(frequent, run(500, "cycada")))
    assert (first.method, second.method) == ("cycada", "adda")
    assert first.others["pixel_accuracy"]["mean"] < second.others["pixel_accuracy"]["mean"]


def test_the_oracle_chooses_by_miou(rows_of: Any) -> None:
    road = np.zeros((19, 19), dtype=int)
    road[:, 0] = [10**6, *[PIXELS] * 18]
    confusion = {"checkpoints": {"300": road.tolist(), "600": matrix(900), "900": matrix(100)}}
    (row,) = ours(rows_of(run(0, confusion=confusion), rule="oracle"))
    assert row.mean == pytest.approx(iou(900))


def test_a_run_with_other_classes_than_its_protocol_is_broken_not_dropped(rows_of: Any) -> None:
    wrong = run(0, seed=1, confusion={"checkpoints": {"600": matrix(900, classes=11)}})
    (row,) = ours(rows_of(run(900, seed=0), wrong))
    assert (row.n, row.planned) == (1, 2)
    assert "the 19 classes of protocol cityscapes-19, got 11" in row.failed[0]["error"]


def test_nothing_to_score_is_said(rows_of: Any) -> None:
    empty = run(0, confusion={"checkpoints": {"600": np.zeros((19, 19), dtype=int).tolist()}})
    (row,) = ours(rows_of(empty))
    assert (row.n, row.mean, row.others, row.classes) == (0, None, {}, {})
    assert row.failed[0]["error"] == "a confusion matrix is empty"


# ------------------------------------------------------------------ Markdown and LaTeX

HEAD = ["# [7]", "Method", "mIoU", "95 % interval", "fwIoU", "Pixel accuracy", "Seeds", "Steps"]
HEAD += ["Wall time", "Published", "Difference"]


def table_4(rows_of: Any) -> list[Row]:
    methods = {"source-only": 300, "adda": 500, "cycada": 700, "target-only": 900}
    return rows_of(*(run(n + 10 * s, m, s) for s in range(2) for m, n in methods.items()))


def test_the_main_table_has_all_three_figures_and_the_published_miou(rows_of: Any) -> None:
    text = leaderboard.render(table_4(rows_of), "md")
    head, _, *lines = lines_of(text, "## gta2cityscapes: protocol cityscapes-19")
    assert head == HEAD
    assert [line[:2] for line in lines[:4]] == [
        ["1", "cycada"],
        ["2", "adda"],
        ["3", "source-only"],
        ["", "target-only (upper bound: uses target labels)"],
    ]
    cycada = [100 * iou(700), 100 * iou(710)]
    expected = f"{np.mean(cycada):.2f} \u00b1 {np.std(cycada, ddof=1):.2f}"
    assert lines[0][2] == lines[0][4] == expected
    assert lines[0][5] == "70.50 \u00b1 0.71"
    # Other target images: no difference. Source only needs none: 17.1 under equal conditions.
    assert lines[0][-2:] == ["35.4 [1]", ""]
    source = 100 * (iou(300) + iou(310)) / 2 - 17.1
    assert lines[2][-2:] == ["17.1 [2]", f"{source:+.1f}"]
    assert [line[1] for line in lines[4:]] == ["FCTN", "FCN-wld", "CDA"]
    assert "cityscapes-19 with 19,998 target images" in text
    assert "- [2] Source only: disagrees with itself: the printed classes average to 17.88" in text


def test_the_table_of_classes_has_the_columns_and_rows_of_table_4(rows_of: Any) -> None:
    text = leaderboard.render(table_4(rows_of), "md")
    head, rulers, *lines = lines_of(text, "### IoU by class")
    assert head == ["Method", *CITYSCAPES.names, "mIoU", "fwIoU", "Pixel accuracy"]
    assert rulers == [":--", *["--:"] * 22]
    by_name = {line[0]: line[1:] for line in lines}
    assert list(by_name) == [
        "cycada",
        "cycada (published) [1]",
        "adda",
        "source-only",
        "source-only (published) [2]",
        "target-only (upper bound: uses target labels)",
        "target-only (published) [3]",
        "FCTN (published) [4]",
        "FCN-wld (published) [5]",
        "CDA (published) [6]",
    ]
    shown = f"{50 * (iou(700) + iou(710)):.1f}"
    assert by_name["cycada"] == [*[shown] * 21, "70.5"]
    printed = "85.2 37.2 76.5 21.8 15.0 23.8 22.9 21.5 80.5 31.3 60.7 50.5 9.0 76.9 17.1 28.2 4.5"
    assert by_name["cycada (published) [1]"] == f"{printed} 9.8 0.0 35.4 73.8 83.6".split()
    assert by_name["FCTN (published) [4]"][-6:] == [
        "0.0",
        "\u2014",
        "\u2014",
        "30.5",
        *["\u2014"] * 2,
    ]
    # The marks mean the notes of the main table.
    notes = [line for line in text.split("## synthia")[0].splitlines() if line.startswith("- [")]
    assert len([note for note in notes if "github.com" not in note]) == 7
    assert "Ranks are not tested" in notes[6]


def test_a_class_that_occurs_nowhere_is_a_dash(rows_of: Any) -> None:
    confusion = {"checkpoints": {"600": matrix(800, absent=1)}}
    text = leaderboard.render(rows_of(run(0, confusion=confusion)), "md")
    _, _, first, *_ = lines_of(text, "### IoU by class")
    assert first[18:20] == [f"{100 * iou(800):.1f}", "\u2014"]


def test_classes_that_miou_leaves_out_are_named(rows_of: Any) -> None:
    shift = replace(GTA5_TO_CITYSCAPES, protocol="synthia-13-of-16")
    rows = rows_of(run(800, shift=shift))
    text = leaderboard.render(rows, "md")
    head, *_ = lines_of(text, "### IoU by class")
    assert tuple(head[1:17]) == SYNTHIA16.names
    assert "mIoU leaves out wall, fence, pole." in text
    assert "leaves out" not in leaderboard.render(table_4(rows_of), "md")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("imagenet", "backbone fcn8s, imagenet initial weights, preset paper"),
        ("random", "backbone fcn8s, random initial weights, preset paper"),
        (
            "file sha256:0123456789ab",
            "backbone fcn8s, initial weights from file sha256:0123456789ab, preset paper",
        ),
    ],
)
def test_the_heading_says_where_the_weights_come_from(
    rows_of: Any, weights: str, said: str
) -> None:
    text = leaderboard.render(rows_of(run(800, weights=weights)), "md")
    assert f"## gta2cityscapes: protocol cityscapes-19, {said}, rule last" in text
    compared = lines_of(text, "## gta2cityscapes")[2][-1] != ""
    assert not compared  # cycada's target images are others anyway
    source = leaderboard.render(rows_of(run(800, "source-only", weights=weights)), "md")
    assert (lines_of(source, "## gta2cityscapes")[2][-1] != "") == (weights == "imagenet")


def test_the_other_backbones_figures_are_shown_where_ours_has_none(rows_of: Any) -> None:
    drn, unet = run(800, backbone="drn26"), run(700, backbone="smp/unet/resnet18")
    text = leaderboard.render(rows_of(run(800), drn, unet), "md")
    assert lines_of(text, "backbone fcn8s,")[2][-2].startswith("35.4")
    assert lines_of(text, "backbone drn26,")[2][-2].startswith("39.5")
    lines = lines_of(text, "backbone smp/unet/resnet18,")[2:]
    assert lines[0][-2:] == ["", ""]
    names = [line[1].removesuffix(" (upper bound: uses target labels)") for line in lines[1:]]
    assert sorted(names) == sorted(
        [f"{m}, {b}" for m in ("source-only", "cycada", "target-only") for b in ("fcn8s", "drn26")]
        + ["CDA", "FCN-wld", "FCTN"]
    )
    fcn8s = [line[1] for line in lines_of(text, "backbone fcn8s,")[3:]]
    assert not [name for name in fcn8s if "drn26" in name]


def test_without_runs_the_published_tables_stand_alone(rows_of: Any) -> None:
    rows = rows_of(run(900, shift=MNIST_TO_USPS, weights="random"))
    text = leaderboard.render(rows, "md")
    assert "## gta2cityscapes: published figures only" in text
    head, _, *lines = lines_of(text, "### IoU by class")
    assert len(head) == 23
    assert len(lines) == 9
    # The paper has no such figure; later work has.
    head, _, *lines = lines_of(text, "## synthia2cityscapes: published figures only")
    assert [(line[1], line[-2].partition(" [")[0]) for line in lines] == [
        ("HRDA", "65.8"),
        ("DAFormer", "60.9"),
        ("ProDA", "55.5"),
        ("DACS", "48.3"),
    ]


def test_published_figures_without_classes_still_have_all_three_scores(rows_of: Any) -> None:
    suite = replace(DRIVING, name="driving-ablation")
    text = leaderboard.render(rows_of(suite=suite), "md")
    head, _, *lines = lines_of(text, "### All scores")
    assert head == ["Method", "mIoU", "fwIoU", "Pixel accuracy"]
    assert ["source-only, drn26 (published)", "21.7", "47.4", "62.5"] in [
        [line[0].partition(" [")[0], *line[1:]] for line in lines
    ]


def test_the_legend_is_of_what_is_shown(rows_of: Any) -> None:
    digits = replace(DRIVING, shifts=(MNIST_TO_USPS,))
    both = replace(DRIVING, shifts=(MNIST_TO_USPS, GTA5_TO_CITYSCAPES))
    made = run(500, shift=MNIST_TO_USPS, weights="random"), run(800)
    of_digits, of_scenes, of_both = (
        leaderboard.render(rows_of(*made, suite=suite), "md") for suite in (digits, DRIVING, both)
    )
    accuracy, resolution = "Accuracy on the target's test set", "the label maps' own resolution"
    assert (accuracy in of_digits, resolution in of_digits) == (True, False)
    assert (accuracy in of_scenes, resolution in of_scenes) == (False, True)
    assert (accuracy in of_both, resolution in of_both) == (True, True)
    assert "IoU" not in of_digits


def test_stages_of_a_segmentation_are_scored_by_miou(rows_of: Any) -> None:
    stages = {"source": matrix(500), "feature": matrix(800)}
    rows = rows_of(run(800, confusion={"stages": stages}))
    text = leaderboard.render(rows, "md")
    assert "mIoU of each stage's own network on the same test images" in text
    (line,) = lines_of(text, "### Stage by stage")[2:]
    assert line == ["cycada", f"{100 * iou(500):.2f}", *[f"{100 * iou(800):.2f}"] * 2]


def test_latex_has_the_same_tables_with_upright_heads(rows_of: Any) -> None:
    rows = table_4(rows_of)
    text = leaderboard.render(rows, "latex")
    main, classes = text.split(r"\end{table*}")[0].split(r"\begin{table*}")
    lines = [line for line in classes.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in lines} == {22}
    assert r"Method & \rotatebox{90}{road} & " in lines[0]
    assert r"\begin{tabular}{l" + "r" * 22 + "}" in classes
    assert r"\begin{tabular}{rlrcrrrrrrr}" in main
    assert {x.replace(r"\&", "").count("&") for x in main.splitlines() if x.endswith(r"\\")} == {10}
    assert "---" in lines[-1]
    assert text.isascii()
    for name in ("table", "table*", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
    markdown = lines_of(leaderboard.render(rows, "md"), "### IoU by class")[2:]
    for line, cells in zip(lines[1:], markdown, strict=True):
        assert [c.strip().replace("---", "\u2014") for c in line[:-2].split("&")] == cells


# ------------------------------------------------------------------ JSON and CSV


def test_json_has_every_figure_unrounded(rows_of: Any) -> None:
    rows = json.loads(leaderboard.render(table_4(rows_of), "json"))
    cycada = next(row for row in rows if row["label"] == "cycada")
    assert cycada["metric"] == "miou"
    assert cycada["mean"] == pytest.approx((iou(700) + iou(710)) / 2)
    assert cycada["others"].keys() == {"fwiou", "pixel_accuracy"}
    assert tuple(cycada["classes"]) == CITYSCAPES.names
    assert cycada["classes"]["road"].keys() == {"mean", "std"}
    assert cycada["published_others"] == {"fwiou": 0.738, "pixel_accuracy": 0.836}
    assert cycada["published_classes"]["train"] == 0.045
    reference = next(row for row in rows if row["label"] == "FCTN")
    assert (reference["metric"], reference["rule"], reference["classes"]) == ("miou", None, {})
    assert len(reference["published_classes"]) == 17
    assert reference["weights"] == ""


def test_csv_holds_the_figures_of_classes_as_json(rows_of: Any) -> None:
    rows = table_4(rows_of)
    flat = list(csv.DictReader(io.StringIO(leaderboard.render(rows, "csv"))))
    nested = json.loads(leaderboard.render(rows, "json"))
    for key in ("others", "classes", "published_others", "published_classes"):
        assert [json.loads(row[key]) for row in flat] == [row[key] for row in nested]


@pytest.mark.parametrize("fmt", ["md", "csv", "latex", "json"])
def test_equal_records_give_equal_text(rows_of: Any, fmt: str) -> None:
    assert leaderboard.render(table_4(rows_of), fmt) == leaderboard.render(table_4(rows_of), fmt)
