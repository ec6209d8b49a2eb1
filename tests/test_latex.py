"""LaTeX: what a compiler would insist on, and which figures are bold. No TeX is needed here."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.tables.latex import latex
from bench.tables.row import Row

SPECIAL = "&%$#_{}\\~^<>|\"[]*-\u00b1\u2014 aZ9'`"
"""Characters that mean something to LaTeX, and some that do not."""


def row(label: str = "cycada", mean: float | None = 0.9, **other: Any) -> Row:
    plain = {
        "suite": "digits",
        "shift": "mnist2usps",
        "protocol": "full",
        "backbone": "lenet",
        "method": "cycada",
        "label": label,
        "preset": "fast",
        "rule": "last",
        "metric": "accuracy",
        "weights": "random",
        "n": 2,
        "planned": 2,
        "mean": mean,
        "std": 0.01,
        "seeds": (0, 1),
        "devices": ("cpu",),
        "threads": (1,),
        "published": 0.95,
        "published_label": label,
        "published_source": "A paper",
    }
    return Row(**plain | other)


def scenes(label: str, mean: float, fwiou: float, pixels: float, **other: Any) -> Row:
    others = {
        name: {"mean": value, "std": 0.01}
        for name, value in (("fwiou", fwiou), ("pixel_accuracy", pixels))
    }
    return row(label, mean, metric="miou", others=others, classes={"road": {"mean": 0.5}}, **other)


def body(text: str) -> str:
    """Return the text without its comments, which end where their lines do."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("%"))


def check(text: str) -> list[list[str]]:
    """Assert that LaTeX could read it; return the cells of every line of every table."""
    plain = re.sub(r"\\[&%$#_{}]", "x", body(text))  # what is escaped is a letter like others
    depth = 0
    for char in plain:
        depth += {"{": 1, "}": -1}.get(char, 0)
        assert depth >= 0
    assert depth == 0
    assert re.findall(r"\$[^$]*\$", plain) == re.findall(r"\$\\pm\$|\$-\$", plain)
    assert plain.count("$") % 2 == 0
    assert not set('_#%~^<>|"') & set(plain)
    open_: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", plain):
        if kind == "begin":
            open_.append(name)
        else:
            assert open_.pop() == name
    assert not open_
    labels = re.findall(r"\\label\{([^}]*)\}", plain)
    assert len(set(labels)) == len(labels) == plain.count(r"\caption{")
    assert all(re.fullmatch(r"tab:[a-z0-9-]+", label) for label in labels)
    lines = []
    for columns, table in re.findall(
        r"\\begin\{tabular\}\{([lrc]+)\}\n(.*?)\\end\{tabular\}", plain, flags=re.DOTALL
    ):
        rules = ("\\toprule", "\\midrule", "\\bottomrule")
        inner = [line for line in table.splitlines() if line not in rules]
        assert all(line.endswith(r" \\") for line in inner)
        assert not any(line.startswith(("[", "*")) for line in inner)
        split = [line.removesuffix(r" \\").split(" & ") for line in inner]
        assert {len(cells) for cells in split} == {len(columns)}
        lines += split
    return lines


def bold(text: str) -> list[str]:
    return re.findall(r"\\textbf\{([^}]*)\}", text)


def test_the_best_ranked_figure_is_bold_without_its_spread() -> None:
    rows = [
        row("cycada", 0.9),
        row("adda", 0.8),
        row("half", 0.95, n=1),
        row("target-only", 0.99, learns_from="target"),
    ]
    text = latex(rows, "made")
    check(text)
    assert bold(text) == ["90.00"]
    assert r"1 & cycada & \textbf{90.00} $\pm$ 1.00 &" in text
    assert r"target-only (upper bound: uses target labels) & 99.00 $\pm$ 1.00 &" in text


def test_figures_that_are_printed_alike_are_best_alike() -> None:
    text = latex([row("a", 0.90001), row("b", 0.9), row("c", 0.8999)], "made")
    assert bold(text) == ["90.00", "90.00"]


def test_each_figure_of_a_segmentation_has_a_best_of_its_own() -> None:
    rows = [
        scenes("a", 0.40, 0.70, 0.80),
        scenes("b", 0.30, 0.75, 0.80),
        scenes("bound", 0.90, 0.91, 0.92, learns_from="target"),
    ]
    text = latex(rows, "made")
    check(text)
    main = text.split(r"\end{table}")[0]
    assert bold(main) == ["40.00", "80.00", "75.00", "80.00"]
    assert bold(text) == bold(main)  # the parts beneath hold bounds, too, and have no ranks


@pytest.mark.parametrize(
    "rows",
    [
        [row()],
        [row(), row("half", 0.8, n=1), row("bound", 0.99, learns_from="target")],
        [row(rule=None, n=0, mean=None), row("b", rule=None, n=0, mean=None)],
        [row(n=0, mean=None, std=None), row("b", n=0, mean=None, std=None)],
    ],
    ids=["one", "one-ranked", "published", "none-finished"],
)
def test_without_a_contest_nothing_is_bold(rows: list[Row]) -> None:
    text = latex(rows, "made")
    check(text)
    assert bold(text) == []


def test_every_float_can_be_referred_to_by_a_name_that_stays() -> None:
    rows = [row(), row(preset="smoke"), row(shift="svhn2mnist")]
    rows.append(scenes("a", 0.4, 0.5, 0.6, shift="game2camera"))
    text = latex(rows, "made")
    assert re.findall(r"\\label\{(.*)\}", text) == [
        *("tab:mnist2usps", "tab:mnist2usps-2", "tab:svhn2mnist"),
        *("tab:game2camera", "tab:game2camera-iou-by-class"),
    ]
    for caption, label in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if label.startswith(r"\label"):
            assert caption.startswith(r"\caption")


def test_the_caption_is_whole_sentences() -> None:
    oracle = row(rule="oracle", chosen_on_test_labels=True)
    (caption,) = re.findall(r"\\caption\{(.*)\}", latex([oracle], "made"))
    assert "published figure. Seeds: 0, 1. Trained on: cpu, 1 thread. Published:" in caption
    assert caption.endswith("A paper.")
    assert ".." not in caption


def test_a_negative_difference_has_a_minus_and_a_hyphen_stays_one() -> None:
    text = latex([row("adda-2", delta=-0.032), row("b", 0.8, delta=0.01)], "made")
    assert r"& $-$3.2 \\" in text
    assert r"& +1.0 \\" in text
    assert "& adda-2 &" in text


@pytest.mark.parametrize("first", ["[x]", "*x"])
def test_no_line_begins_with_what_would_belong_to_the_end_of_the_one_before(first: str) -> None:
    text = latex([scenes(first, 0.4, 0.5, 0.6)], "made")
    check(text)
    assert f"\n{{}}{first} & 50.0 &" in text


def test_what_it_needs_is_said_at_the_top() -> None:
    text = latex([row()], "made by a command")
    assert text.startswith("% made by a command\n\n% Needs \\usepackage{booktabs,graphicx}.\n")
    assert r"\toprule" in text
    classes = {name: {"mean": 0.1} for name in ("road", *"abcdefgh")}
    wide = replace(scenes("a", 0.4, 0.5, 0.6), classes=classes)
    assert r"\rotatebox{90}{road}" in latex([wide], "made")


@given(
    st.text(alphabet=SPECIAL, min_size=1),
    st.text(alphabet=SPECIAL),
    st.text(alphabet=SPECIAL, min_size=1),
)
def test_nothing_in_a_name_or_a_note_is_taken_for_markup(label: str, note: str, first: str) -> None:
    rows = [
        row(label, departure=note or None),
        row("b", 0.8, published_note=note, published_source=label),
        scenes(first, 0.4, 0.5, 0.6, shift="game2camera"),
    ]
    check(latex(rows, "made"))


def test_the_signs_that_are_replaced() -> None:
    text = latex([row('50 % & a_b {c} ~ ^ < > | " \\ # $ \u2014')], "made")
    assert (
        r"50 \% \& a\_b \{c\} \textasciitilde{} \textasciicircum{} \textless{} \textgreater{}"
        r" \textbar{} '' \textbackslash{} \# \$ ---" in text
    )
