"""The leaderboard in brief: aligned, with the notes that it refers to, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from bench.tables.formats import render
from bench.tables.row import Row

ROW = Row(
    suite="digits",
    shift="mnist2usps",
    protocol="full",
    backbone="lenet",
    method="cycada",
    preset="fast",
    rule="last",
    metric="accuracy",
    label="cycada",
    n=2,
    planned=2,
    mean=0.924,
    std=0.003,
    ci95=(0.897, 0.951),
    weights="random",
    learns_from="source",
    seeds=(0, 1),
    figures=(0.921, 0.927),
    steps=1000.0,
    seconds=60.0,
    devices=("cpu",),
    threads=(1,),
    stages=({"stage": "source", "n": 2, "mean": 0.8, "std": 0.1},),
    picked={"last": {"mean": 0.924, "std": 0.003}},
)
PUBLISHED = replace(
    ROW, rule=None, preset=None, label="theirs", n=0, planned=0, mean=None, std=None, ci95=None,
    steps=None, seconds=None, published=0.9, published_label="theirs", published_note="from a plot",
)  # fmt: skip


def test_columns_are_aligned_and_empty_ones_left_out() -> None:
    long = replace(
        ROW, label="a method of a long name", mean=0.0912, std=0.001, departure="with Adam"
    )
    lines = render([ROW, long], "text").splitlines()
    assert lines[0].startswith("mnist2usps: protocol full, backbone lenet")
    head, first, second = lines[2:5]
    assert "Published" not in head
    assert first.index("\u00b1") == second.index("\u00b1")
    assert head.index("Method") == first.index("cycada") == second.index("a method")
    assert any(line.startswith("[1] a method of a long name: with Adam") for line in lines)


def test_what_it_does_not_refer_to_it_does_not_say() -> None:
    text = render([ROW], "text")
    assert "Stage by stage" not in text
    assert "selection rule would" not in text
    assert "Difference: ours" not in text


def test_it_ends_with_how_to_read_what_we_measured() -> None:
    assert render([ROW, PUBLISHED], "text").count("standard deviation over the seeds") == 1
    assert "standard deviation over the seeds" not in render([PUBLISHED], "text")


def test_shifts_without_runs_are_left_out_unless_there_are_no_others() -> None:
    elsewhere = replace(PUBLISHED, shift="svhn2mnist")
    text = render([ROW, PUBLISHED, elsewhere], "text")
    assert "theirs" in text
    assert "svhn2mnist" not in text
    assert "svhn2mnist: published figures only" in render([elsewhere], "text")
    assert render([], "text") == "No runs yet.\n"


def test_a_result_that_is_unfair_or_means_nothing_is_marked() -> None:
    text = render([replace(ROW, rule="oracle", chosen_on_test_labels=True)], "text")
    assert "Not a fair result" in text
    assert "mean nothing" not in text
    assert "mean nothing" in render([replace(ROW, preset="smoke")], "text")


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert "\x1b" not in render([replace(ROW, label="mine\x1b[2J")], "text")
