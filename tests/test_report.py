"""The page of ``bench report``: what it says, and that it says it as text."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from bench import leaderboard, plugins
from bench.cli import app
from bench.compare import compare
from bench.errors import BenchError
from bench.hyperparameters import convert
from bench.records import append_metrics, load_records, load_runs, write_records
from bench.report import contests as contests_module
from bench.report import entries as entries_module
from bench.report.boards import boards
from bench.report.content import content
from bench.report.curves import curves, thinned
from bench.report.details import log
from bench.report.page import SCRIPTS, render
from bench.report.pictures import SMALL, WIDTH, picture
from bench.report.text import visible
from bench.runs.reproduce import cautions, command, typed
from bench.stored import Run
from bench.suites import DIGITS_ABLATION, MINI
from bench.tables.layout import tables

RECORDS = Path(__file__).parents[1] / "leaderboards" / "records"
TOY = f"{Path(__file__).parent / 'plugins' / 'toy_suite.py'}:TOY"
HOSTILE = "</script><img src=x onerror=alert(1)>'\"&*_`|[x](y)../\x00\x1b\u202e"


class Page(HTMLParser):
    """A page taken apart: its elements, its text, the cells of its leaderboards, its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.boards: list[list[list[str]]] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self._open: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        named = dict(attrs)
        if tag == "table" and "board" in (named["class"] or "").split():
            self.boards.append([])
        elif tag == "table":
            self._open = []
        if tag == "tr" and self._open is None:
            self.boards[-1].append([])
        if tag in {"td", "th"} and self._open is None:
            self.boards[-1][-1].append("")
        if tag == "script":
            self._script = named.get("id") or "own"

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None
        if tag == "table":
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
            return
        self.text += data
        if self._open is None and self.boards and self.boards[-1] and self.get_cell():
            self.boards[-1][-1][-1] += data

    def get_cell(self) -> bool:
        return bool(self.boards[-1][-1]) and self.tags[-1] in {"td", "th", "button"}

    def part(self, name: str, number: int = 0) -> Any:
        return json.loads(gzip.decompress(base64.b64decode(self.scripts[f"{name}-{number}"])))


def page_of(frame: Any, **options: Any) -> Page:
    return Page(render(content(frame, **options)))


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def toy_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of real, tiny runs."""
    runs = tmp_path_factory.mktemp("toy") / "runs"
    result = bench(
        *("run", "--suite", TOY, "--preset", "smoke", "--seeds", 2, "--threads", 1),
        *("--method", "source-only", "--method", "cycada", "--runs", runs, "--device", "cpu"),
    )
    assert result.exit_code == 0, result.output
    return runs


@pytest.fixture
def mini() -> list[dict[str, Any]]:
    """Return real records that a test may change."""
    lines = (RECORDS / "mini.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def frame_of(tmp_path: Path) -> Any:
    def load(records: list[dict[str, Any]]) -> Any:
        write_records(tmp_path / "r.jsonl", records)
        return load_records([tmp_path / "r.jsonl"])

    return load


# ------------------------------------------------------------------ leaderboards


@pytest.mark.parametrize("suite", ["mini", "digits", "streets-mini", "streets-camvid"])
def test_leaderboards_are_those_of_bench_leaderboard(suite: str) -> None:
    frame = load_records([RECORDS / f"{suite}.jsonl"])
    rows = leaderboard.rows(frame, plugins.load_suite(suite))
    expected = [[list(t.grid.head), *map(list, t.grid.lines)] for t in tables(rows)]
    page = page_of(frame)
    found = [[[cell.strip() for cell in line] for line in board] for board in page.boards]
    assert found == expected
    for table in tables(rows):
        for sentence in (*table.facts, *table.notes, *(part.about for part in table.parts)):
            assert sentence in page.text


def test_a_board_knows_what_its_lines_are(mini: list[dict[str, Any]], frame_of: Any) -> None:
    own = [r for r in mini if r["config"]["shift"]["name"] == "printed2handwritten"]
    failed = next(r for r in own if r["config"]["method"] == "adda")
    failed |= {"status": "failed", "error": "no memory", "checkpoints": []}
    failed["confusion"] = {"checkpoints": {}, "stages": {}}
    [board] = boards(leaderboard.rows(frame_of(own), MINI))
    lines = {line.label: line for line in board.lines}
    assert lines["adda"].statuses == ("done", "failed")
    assert lines["cycada"].statuses == ("done",)
    assert (lines["target-only"].kind, lines["cycada"].kind) == ("bound", "ours")
    assert (board.shift, board.preset, board.rule) == ("printed2handwritten", "fast", "last")


def test_published_lines_are_told_from_ours() -> None:
    frame = load_records([RECORDS / "digits.jsonl"])
    for board in boards(leaderboard.rows(frame, plugins.load_suite("digits"))):
        for line in board.lines:
            assert (line.kind == "published") == (not line.statuses)


def test_each_rule_has_leaderboards_and_the_oracle_is_marked() -> None:
    page = page_of(load_records([RECORDS / "mini.jsonl"]), rules=("last", "oracle"))
    assert len(page.boards) == 4
    assert page.text.count("Not a fair result") == 2


def test_the_suites_are_those_that_have_runs() -> None:
    files = [RECORDS / "streets-mini.jsonl", RECORDS / "digits.jsonl"]
    found = content(load_records(files))
    assert found.suites == ["digits", "streets-mini"]
    assert found.elsewhere == []
    only = content(load_records(files), suite="streets-mini")
    assert only.suites == ["streets-mini"]
    assert {entry.config["shift"]["name"] for entry in only.entries} == {"game2camera"}
    assert only.total == 12


def test_a_suite_whose_shifts_another_has_is_left_out(
    mini: list[dict[str, Any]], frame_of: Any
) -> None:
    for record in mini:
        record["config"]["shift"] |= {"name": "svhn2mnist", "source": "svhn", "target": "mnist"}
    # The shift is one of `digits-ablation`, too.
    found = content(frame_of([r for r in mini if "printed2handwritten" in r["run_id"]]))
    assert found.suites == ["digits"]


def test_runs_on_a_shift_of_no_suite_are_listed_and_named(
    mini: list[dict[str, Any]], frame_of: Any
) -> None:
    mini[0]["config"]["shift"]["name"] = "here2there"
    found = content(frame_of(mini))
    assert found.elsewhere == ["here2there"]
    assert found.total == len(found.entries) == len(mini)
    page = Page(render(found))
    assert "Runs on here2there are in no leaderboard here" in page.text
    number = [entry.run_id for entry in found.entries].index(mini[0]["run_id"])
    assert "--suite" not in page.part("core", number)["command"]
    assert "No suite known here" in page.part("core", number)["cautions"][0]


def test_equal_runs_give_equal_bytes(toy_runs: Path) -> None:
    first = render(content(load_runs(toy_runs), suite=TOY))
    shuffled = load_runs(toy_runs).sample(frac=1, random_state=1)
    assert render(content(shuffled, suite=TOY)) == first


def test_without_runs() -> None:
    page = page_of(load_records([]))
    assert "No runs yet." in page.text
    assert page.boards == []


# ------------------------------------------------------------------ runs


def test_a_real_run_has_everything(toy_runs: Path) -> None:
    frame = load_runs(toy_runs)
    found = content(frame, suite=TOY)
    page = Page(render(found))
    number, entry = next(
        (n, e) for n, e in enumerate(found.entries) if e.config["method"] == "cycada"
    )
    assert entry.run is not None
    record = entry.run.record
    core, logged = page.part("core", number), page.part("log", number)
    assert ["status", "done"] in core["facts"]
    assert [stage[0] for stage in core["stages"]] == [s["name"] for s in record["stages"]]
    assert len(core["scores"]["lines"]) == len(record["checkpoints"])
    assert [line[-1] for line in core["scores"]["lines"]][-1] == "last"
    last = max(record["checkpoints"])
    assert [each["title"] for each in core["matrices"]] == [f"checkpoint at step {last:,}"]
    assert logged["matrices"][0] == core["matrices"][0]
    counts = np.array(core["matrices"][0]["counts"])
    figure = 100 * counts.trace() / counts.sum()
    assert core["scores"]["lines"][-1][1] == f"{figure:.2f}"
    assert f"Accuracy {figure:.2f} %" in page.text
    lines = [
        json.loads(line)
        for line in Path(entry.run.folder or "", "metrics.jsonl").read_text().splitlines()
    ]
    names = {(line["stage"], name) for line in lines for name in line} - {
        (line["stage"], name) for line in lines for name in ("stage", "loop", "step")
    }
    assert {(curve["stage"], curve["name"]) for curve in logged["curves"]} == names
    assert sum(curve["logged"] for curve in logged["curves"]) == sum(len(x) - 3 for x in lines)
    pictures = {each["name"] for each in page.part("pictures", number)}
    assert pictures == {"source-to-target", "target-to-source"}
    assert dict(core["config"])["seed"] == str(record["config"]["seed"])
    assert dict(core["environment"])["torch"] == record["environment"]["torch"]


def test_the_command_repeats_the_very_run(toy_runs: Path) -> None:
    for record in load_runs(toy_runs)["record"]:
        words = shlex.split(command(record, TOY))
        assert words[0] == "bench"
        before = {path: path.stat().st_mtime_ns for path in toy_runs.glob("*/run.json")}
        result = bench(*words[1:], "--runs", toy_runs, "--json")
        assert result.exit_code == 0, result.output
        assert [outcome["run_id"] for outcome in json.loads(result.stdout)] == [record["run_id"]]
        assert before == {path: path.stat().st_mtime_ns for path in toy_runs.glob("*/run.json")}


@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**9), 10**9),
        st.floats(allow_nan=False, allow_infinity=False),
        st.lists(st.integers(-5, 5), min_size=1, max_size=4),
        st.sampled_from(["adam", "released"]),
    )
)
def test_a_setting_is_typed_as_it_is_read(value: Any) -> None:
    kind = {type(None): None, list: tuple[int, ...]}.get(type(value), type(value))
    back = convert(typed(value), kind, "key")
    assert back == (tuple(value) if isinstance(value, list) else value)


def test_the_command_names_one_row_of_a_suite(mini: list[dict[str, Any]]) -> None:
    record = mini[0]
    record["config"] |= {"method": "cycada", "settings": {"pixel": None}, "seed": 7}
    words = shlex.split(command(record, "digits-ablation", DIGITS_ABLATION.entries))
    assert words[words.index("--method") + 1] == "cycada"
    assert words[words.index("--set") + 1] == "pixel=none"
    assert words[words.index("--seeds") + 1] == "7,"
    without = [entry for entry in DIGITS_ABLATION.entries if entry.label != "cycada"]
    words = shlex.split(command(record, "digits-ablation", without))
    assert words[words.index("--method") + 1] == "cycada, no pixel adaptation"


def test_what_the_command_cannot_know_is_said(mini: list[dict[str, Any]]) -> None:
    record = mini[0]
    record["config"] |= {"code": "0123456789ab", "weights": "file sha256:abc"}
    record["config"]["tuned"] = {"rule": "infomax", "trials": 3, "study": "mine"}
    record |= {"device": "NVIDIA H100", "environment": {"git": "c0ffee"}}
    said = " ".join(cautions(record, None))
    for words in ("--suite", "path/to/file.py:Class", "sha256:abc", "study mine", "c0ffee"):
        assert words in said
    words = shlex.split(command(record, None))
    assert words[words.index("--device") + 1] == "cuda"
    assert words[words.index("--weights") + 1] == "FILE"
    assert "--suite" not in words


def test_runs_that_did_not_finish_are_listed_with_their_reason(
    toy_runs: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for folder in toy_runs.glob("*/run.json"):
        (runs / folder.parent.name).mkdir(parents=True)
        (runs / folder.parent.name / "run.json").write_bytes(folder.read_bytes())
    broken, failed, *_ = sorted(runs.glob("*/run.json"))
    broken.write_text("{", encoding="utf-8")
    record = json.loads(failed.read_text())
    failed.write_text(json.dumps(record | {"status": "failed", "error": "Error: no <memory>"}))
    found = content(load_runs(runs), suite=TOY)
    statuses = found.statuses
    assert (statuses["broken"], statuses["failed"]) == (1, 1)
    page = Page(render(found))
    assert "Error: no <memory>" in page.text
    assert f"{broken} is not JSON" in page.text
    assert "1 broken" in page.text
    number = [entry.status for entry in found.entries].index("failed")
    assert ["reason", "Error: no <memory>"] in page.part("core", number)["facts"]
    number = [entry.status for entry in found.entries].index("done")
    assert "confusion.npz is missing" in page.part("core", number)["unreadable"]


def test_a_matrix_that_does_not_fit_its_protocol_is_said(frame_of: Any) -> None:
    lines = (RECORDS / "streets-camvid.jsonl").read_text(encoding="utf-8").splitlines()
    record = json.loads(lines[0])
    record["config"]["shift"]["protocol"] = "cityscapes-19"
    core = page_of(frame_of([record])).part("core")
    assert "19 classes" in core["unreadable"]
    assert core["matrices"] == core["scores"]["lines"] == []


def test_runs_of_a_records_file_have_no_logs() -> None:
    page = page_of(load_records([RECORDS / "mini.jsonl"]))
    assert "read from a records file" in page.part("log")["note"]
    assert page.part("pictures") == []
    assert page.part("core")["folder"] is False
    assert len(page.part("log")["matrices"]) > 1


def test_classes_have_the_names_of_the_protocol() -> None:
    page = page_of(load_records([RECORDS / "streets-camvid.jsonl"]))
    assert page.part("core")["matrices"][0]["classes"][:2] == ["sky", "building"]


def test_named_runs_are_the_list(mini: list[dict[str, Any]], frame_of: Any) -> None:
    frame = frame_of(mini)
    last, first = mini[-1]["run_id"], mini[0]["run_id"]
    found = content(frame, named=[last, first[:-3], last])
    assert [entry.run_id for entry in found.entries] == [last, first]
    assert found.total == len(mini)
    assert len(found.boards) == 2
    with pytest.raises(BenchError, match="Unknown run"):
        content(frame, named=["nothing"])
    with pytest.raises(BenchError, match="'adda-' could be"):
        content(frame, named=["adda-"])


def test_the_newest_run_comes_first(mini: list[dict[str, Any]], frame_of: Any) -> None:
    for day, record in enumerate(mini, 1):
        record["started"] = f"2026-01-{day:02d}T00:00:00+00:00"
    found = content(frame_of(mini))
    assert [entry.run_id for entry in found.entries] == [r["run_id"] for r in reversed(mini)]


# ------------------------------------------------------------------ room


def test_a_small_budget_leaves_out_the_oldest_and_says_so(
    toy_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = content(load_runs(toy_runs), suite=TOY)
    sizes = [{name: len(p) for name, p in e.parts.items()} for e in everything.entries]
    cores = sum(size["core"] for size in sizes)
    logs = [size["log"] for size in sizes]
    pictures = sizes[0]["pictures"]
    # Room for all cores, two logs, and the first run's pictures.
    monkeypatch.setattr(entries_module, "FOR_PICTURES", pictures)
    monkeypatch.setattr(entries_module, "BUDGET", cores + logs[0] + logs[1] + pictures)
    found = content(load_runs(toy_runs), suite=TOY)
    assert found.left_out == {"log": 2, "pictures": 3}
    assert [sorted(entry.parts) for entry in found.entries] == [
        ["core", "log", "pictures"],
        ["core", "log"],
        ["core"],
        ["core"],
    ]
    page = Page(render(found))
    assert "the last 2 have no curves" in page.text
    assert "the last 3 have no pictures" in page.text
    assert "bench report RUN" in page.text
    assert page.part("core", 3)["more"] == f"bench report {found.entries[3].run_id}"
    monkeypatch.setattr(entries_module, "BUDGET", cores + logs[0] + logs[1] + pictures - 1)
    assert content(load_runs(toy_runs), suite=TOY).left_out["log"] == 3


def test_a_list_has_an_end(
    mini: list[dict[str, Any]], frame_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.report.content.LISTED", 5)
    found = content(frame_of(mini))
    assert (len(found.entries), found.total) == (5, len(mini))
    assert f"5 of {len(mini)} runs, the newest" in Page(render(found)).text.replace("\n", " ")
    assert len(found.boards) == 2


# ------------------------------------------------------------------ curves and pictures

VALUES = st.one_of(st.none(), st.floats(-1e6, 1e6))


@given(st.lists(VALUES, max_size=400), st.integers(4, 60))
def test_thinned_curves_keep_ends_and_extremes(values: list[float | None], most: int) -> None:
    points = list(enumerate(values))
    kept = thinned(points, most)
    assert len(kept) <= most
    assert [points[step] for step, _ in kept] == kept
    assert [step for step, _ in kept] == sorted({step for step, _ in kept})
    if len(points) <= most:
        assert kept == points
        return
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    finite = [value for value in values if value is not None]
    shown = [value for _, value in kept if value is not None]
    if finite:
        assert (min(shown), max(shown)) == (min(finite), max(finite))


def test_curves_by_hand() -> None:
    lines = [
        {"stage": "a", "loop": 0, "step": 0, "loss": 2.0, "text": "no number"},
        {"stage": "a", "loop": 0, "step": 1, "loss": None},
        {"stage": "a", "loop": 1, "step": 0, "loss": 1.23456789},
        {"stage": "b", "loop": 0, "step": 0, "open": True},
    ]
    first, second, third = curves(lines)
    assert first == {
        "stage": "a",
        "name": "loss",
        "logged": 2,
        "infinite": 1,
        "range": [2.0, 2.0, 2.0, 2.0],
        "steps": [0, 1],
        "values": [2.0, None],
    }
    assert (second["name"], second["values"]) == ("loop 1: loss", [1.23457])
    assert (third["stage"], third["values"]) == ("b", [1.0])
    assert curves([{"stage": "a", "loop": 0, "step": 0, "x": None}])[0]["range"] is None


@pytest.mark.parametrize(
    ("line", "note"),
    [
        (3, "holds other things than JSON objects"),
        ({"loss": 1.0}, "metrics.jsonl, line 1: no stage, loop and step"),
        ({"stage": "a", "step": 1}, "metrics.jsonl, line 1: no stage, loop and step"),
    ],
)
def test_a_log_that_is_none_is_said(
    line: object, note: str, mini: list[dict[str, Any]], tmp_path: Path
) -> None:
    append_metrics(tmp_path, [json.dumps(line)])
    assert note in log(Run(mini[0], tmp_path))["note"]


def test_very_many_curves_are_cut_and_counted(mini: list[dict[str, Any]], tmp_path: Path) -> None:
    line = {"stage": "a", "loop": 0, "step": 0, **{f"x{i}": 1.0 for i in range(61)}}
    append_metrics(tmp_path, [json.dumps(line)])
    part = log(Run(mini[0], tmp_path))
    assert len(part["curves"]) == 60
    assert part["note"] == "The first 60 of 61 curves."


def shown(found: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(found["src"].partition("base64,")[2])))


def test_large_pictures_shrink_and_look_the_same(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((WIDTH, 800), Image.Resampling.BICUBIC))
    noisy = (pixels.astype(int) + random.integers(-3, 4, pixels.shape)).clip(0, 255)
    Image.fromarray(noisy.astype(np.uint8)).save(tmp_path / "large.png")
    found = picture(tmp_path / "large.png")
    image = shown(found)
    assert image.format == "WEBP"
    assert (found["name"], found["width"], found["height"]) == ("large", WIDTH, 800)
    assert image.size == (WIDTH, 800)
    assert len(found["src"]) < (tmp_path / "large.png").stat().st_size / 4
    off = np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels)
    assert off.mean() < 4


def test_wide_pictures_keep_their_proportions(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 2 * WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    found = picture(tmp_path / "wide.png")
    assert (found["width"], found["height"]) == shown(found).size == (WIDTH, 150)


def test_small_pictures_stay_as_they_are(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "small.png")
    content_of = (tmp_path / "small.png").read_bytes()
    assert len(content_of) < SMALL
    encoded = base64.b64encode(content_of).decode()
    assert picture(tmp_path / "small.png")["src"] == f"data:image/png;base64,{encoded}"


@pytest.mark.parametrize("damage", [b"", b"no picture", b"<svg onload='alert(1)'/>"])
def test_a_file_that_is_no_picture(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(damage)
    with pytest.raises(BenchError, match="x.png cannot be shown"):
        picture(tmp_path / "x.png")


# ------------------------------------------------------------------ comparisons


def test_every_two_methods_are_compared() -> None:
    frame = load_records([RECORDS / "mini.jsonl"])
    [contest] = content(frame).contests
    assert len(contest.names) == 4
    pairs = list(combinations(contest.names, 2))
    assert len(contest.results) == len(pairs)
    for (a, b), result in zip(pairs, contest.results, strict=True):
        assert json.dumps(result) == json.dumps(compare(frame, MINI, a, b).as_dict())


def test_an_unreadable_run_counts_in_a_comparison(toy_runs: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_runs, tmp_path / "runs")
    broken = next((tmp_path / "runs").glob("cycada-*/run.json"))
    broken.write_text("{", encoding="utf-8")
    [contest] = content(load_runs(tmp_path / "runs"), suite=TOY).contests
    [result] = contest.results
    side = "a" if contest.names[0] == "cycada" else "b"
    on_shift = result["shifts"]["bright2dark"]
    assert (on_shift["pairs"], on_shift[side]["attempted"]) == (1, 2)
    assert on_shift[side]["failed"][0]["status"] == "broken"


def test_of_very_many_methods_the_command_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contests_module, "MOST", 3)
    [contest] = content(load_records([RECORDS / "mini.jsonl"])).contests
    assert contest.results == []
    assert shlex.split(contest.command)[:2] == ["bench", "compare"]
    result = bench(*shlex.split(contest.command)[1:], "--records", RECORDS / "mini.jsonl")
    assert result.exit_code == 0, result.output


def test_methods_of_two_presets_are_never_compared(
    mini: list[dict[str, Any]], frame_of: Any
) -> None:
    for record in [r for r in mini if r["config"]["seed"] == 0]:
        other = json.loads(json.dumps(record))
        other["config"]["preset"] = "paper"
        mini.append(other | {"run_id": f"paper-{other['run_id']}"})
    found = content(frame_of(mini)).contests
    assert [contest.title for contest in found] == [
        "mini, preset paper, rule last",
        "mini, preset fast, rule last",
    ]
    for contest, pairs in zip(found, (1, 3), strict=True):
        assert [each["shifts"]["printed2handwritten"]["pairs"] for each in contest.results] == (
            [pairs] * 6
        )


def test_what_cannot_be_compared_says_why(mini: list[dict[str, Any]], frame_of: Any) -> None:
    for record in mini:
        if record["config"]["method"] == "adda":
            record["config"]["seed"] += 100
    [contest] = content(frame_of(mini)).contests
    errors = [each["error"] for each in contest.results if "error" in each]
    assert len(errors) == 3
    assert all("no seed in common" in error for error in errors)


# ------------------------------------------------------------------ what names may hold


def hostile(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every text of the first two records that a user chooses a hostile value."""
    for number, record in enumerate(records[:2]):
        config = record["config"]
        config |= {"method": HOSTILE, "settings": {HOSTILE: HOSTILE}, "backbone": HOSTILE}
        config |= {"weights": HOSTILE, "code": HOSTILE, "seed": number}
        record |= {"run_id": f"{HOSTILE}-{number}", "error": HOSTILE, "device": HOSTILE}
        record |= {"departure": HOSTILE, "environment": {HOSTILE: HOSTILE, "torch": HOSTILE}}
        for stage in record["stages"]:
            stage |= {"name": HOSTILE, "stop": HOSTILE}
    records[0]["status"] = "failed"
    return records


def test_hostile_names_come_out_as_text(mini: list[dict[str, Any]], frame_of: Any) -> None:
    plain = page_of(frame_of(mini))
    page = page_of(frame_of(hostile(mini)))
    assert set(page.tags) == set(plain.tags)
    assert "img" not in page.tags
    assert {name for name, _ in page.attributes} == {name for name, _ in plain.attributes}
    assert "</script><img src=x onerror=alert(1)>'\"&*_`|[x](y)../\\x00\\x1b\\u202e" in page.text
    assert not {"\x00", "\x1b", "\u202e"} & set(page.html)
    outside = re.sub(r"<script.*?</script>", "", page.html, flags=re.DOTALL)
    assert "<img" not in outside
    # Every script element is one of ours, whole, and the data are what they were.
    numbers = range(len(mini))
    own = {f"{name}-{n}" for name in ("core", "log", "pictures") for n in numbers}
    assert set(page.scripts) == own | {"contests", "plotly", "own"}
    json.loads(page.scripts["contests"])
    assert "onerror" in json.dumps([page.part("core", number) for number in numbers])


@given(st.text())
def test_nothing_unseen_is_left_in_a_text(text: str) -> None:
    shown_text = visible(text)
    assert isinstance(shown_text, str)
    assert all(c.isprintable() or c in "\n\t" or c.isspace() for c in shown_text) or not all(
        c.isprintable() for c in text
    )
    assert not set(shown_text) & {chr(code) for code in (*range(9), *range(11, 32), 127, 0x202E)}
    assert visible(shown_text) == shown_text
    if text.isprintable():
        assert shown_text == text


def test_the_policy_allows_our_two_scripts_and_no_request() -> None:
    page = page_of(load_records([RECORDS / "mini.jsonl"]))
    policy = dict(page.attributes)["content"]
    policies = [v for k, v in page.attributes if k == "content" and "default-src" in (v or "")]
    assert policy is not None
    [text] = policies
    assert text is not None
    assert "default-src 'none'" in text
    assert "unsafe-eval" not in text
    [allowed] = re.findall(r"script-src ([^;]*);", text)
    plotly = gzip.decompress(base64.b64decode(page.scripts["plotly"]))
    assert plotly.startswith(b"/**\n* plotly.js v")
    expected = {
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in (page.scripts["own"].encode(), plotly)
    }
    assert set(allowed.split()) == expected


def test_the_page_names_no_other_address() -> None:
    page = page_of(load_records([RECORDS / "mini.jsonl"]))
    links = [v for k, v in page.attributes if k in {"src", "href", "action", "srcset", "data"}]
    assert all(value and value[0] in "#d" for value in links), links
    assert all(not (value or "").startswith("//") for value in links)
    for name in (*SCRIPTS, "page.css"):
        text = Path(render.__code__.co_filename).with_name(name).read_text()
        assert "http" not in text
        assert "innerHTML" not in text
        assert "</script" not in text


# ------------------------------------------------------------------ the command


def test_the_command_writes_one_file(toy_runs: Path, tmp_path: Path) -> None:
    result = bench("report", "--suite", TOY, "--runs", toy_runs)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "4 runs" in result.stderr
    assert Page((toy_runs / "report.html").read_text()).boards
    (toy_runs / "report.html").unlink()
    out = tmp_path / "new" / "page.html"
    run_id = next(toy_runs.glob("*/run.json")).parent.name
    result = bench("report", run_id, "--suite", TOY, "--runs", toy_runs, "--out", out)
    assert result.exit_code == 0, result.output
    assert out.read_text().count('class="run"') == 1
    assert not (toy_runs / "report.html").exists()


def test_the_command_takes_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = RECORDS / "mini.jsonl"
    result = bench("report", "--records", file, "--select", "oracle", "--select", "oracle")
    assert result.exit_code == 0, result.output
    assert len(Page(Path("report.html").read_text()).boards) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--runs", "nowhere"), "There is no runs folder 'nowhere'"),
        (("--records", "nowhere.jsonl"), "cannot read the records file nowhere.jsonl"),
        (("--records", RECORDS / "mini.jsonl", "--suite", "minni"), "Did you mean 'mini'?"),
        (("--records", RECORDS / "mini.jsonl", "--select", "lst"), "Did you mean 'last'?"),
        (("--records", RECORDS / "mini.jsonl", "addda"), "Unknown run 'addda'"),
    ],
)
def test_mistakes(
    arguments: tuple[object, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = bench("report", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from bench.cli import app;"
        "assert CliRunner().invoke(app, ['report', '--help']).exit_code == 0;"
        "print([m for m in ('jinja2', 'plotly', 'pandas', 'numpy', 'PIL') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
