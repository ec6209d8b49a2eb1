"""The page of ``bench report`` in a real browser: what a reader does, sees and does not get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.records import load_records, write_records
from bench.report.content import content
from bench.report.page import render

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM.exists() and DRIVER.exists()), reason="no Chromium on this machine"
)

RECORDS = Path(__file__).parents[1] / "leaderboards" / "records"
TOY = f"{Path(__file__).parent / 'plugins' / 'toy_suite.py'}:TOY"
FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
    *("disable-background-networking", "disable-component-update", "disable-sync"),
)
HOSTILE = "</script><img src='https://example.org/x.png' onerror=alert(1)>\"&<b>_*`../"
WAIT = 60
"""Seconds after which something that should happen has not."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write pages: of a tiny real sweep, of committed records, and of hostile names."""
    folder = tmp_path_factory.mktemp("pages")
    run = ["run", "--suite", TOY, "--preset", "smoke", "--seeds", "1", "--threads", "1"]
    run += ["--method", "cycada", "--method", "source-only", "--runs", str(folder / "runs")]
    assert CliRunner().invoke(app, run).exit_code == 0
    report = ["report", "--suite", TOY, "--runs", str(folder / "runs")]
    assert CliRunner().invoke(app, [*report, "--out", str(folder / "toy.html")]).exit_code == 0
    files = [RECORDS / "digits.jsonl", RECORDS / "streets-mini.jsonl"]
    (folder / "records.html").write_text(render(content(load_records(files))), encoding="utf-8")
    records = [json.loads(line) for line in (RECORDS / "mini.jsonl").read_text().splitlines()]
    for number, record in enumerate(records[:3]):
        record["config"] |= {"method": HOSTILE, "settings": {HOSTILE: HOSTILE}, "seed": number}
        record["config"] |= {"backbone": HOSTILE, "weights": HOSTILE}
        record |= {"run_id": f"{HOSTILE}{number}", "environment": {HOSTILE: HOSTILE}}
        record |= {"error": HOSTILE, "departure": HOSTILE}
        for stage in record["stages"]:
            stage |= {"name": HOSTILE, "stop": HOSTILE}
    records[0]["status"] = "failed"
    write_records(folder / "hostile.jsonl", records)
    hostile = render(content(load_records([folder / "hostile.jsonl"])))
    (folder / "hostile.html").write_text(hostile, encoding="utf-8")
    return {path.stem: path for path in folder.glob("*.html")}


class Reader:
    """A browser window, and what a reader of the page does with it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, width: int = 1280) -> None:
        self.command("Emulation.setEmulatedMedia", features=[])
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(path.as_uri())

    def command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)

    def do(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str) -> Any:
        from selenium.webdriver.support.wait import WebDriverWait

        wait = WebDriverWait(self.driver, WAIT)
        return wait.until(lambda driver: driver.execute_script(f"return {script}"))

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, selector: str, place: int = 0) -> None:
        from selenium.webdriver.common.by import By

        element = self.driver.find_elements(By.CSS_SELECTOR, selector)[place]
        self.do("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        element.click()

    def choose(self, selector: str, value: str) -> None:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.select import Select

        Select(self.driver.find_element(By.CSS_SELECTOR, selector)).select_by_visible_text(value)

    def open_run(self, place: int = 0) -> None:
        self.click(".run > summary", place)
        self.until("document.querySelector('.run[open] .matrix .main-svg') !== null")
        self.until("[...document.querySelectorAll('.chart')].every(c => c.querySelector('svg'))")

    def column(self, place: int) -> list[str]:
        return [line[place] for line in self.cells(".board tbody")]

    def cells(self, selector: str) -> list[list[str]]:
        """Return the cells of the first part of a table that fits, line by line."""
        return self.do(
            "return [...document.querySelector(arguments[0]).rows]"
            ".map(row => [...row.cells].map(cell => cell.textContent.trim()))",
            selector,
        )

    def messages(self) -> list[dict[str, Any]]:
        """Return what the browser's network log says since it was last asked."""
        found = [json.loads(each["message"]) for each in self.driver.get_log("performance")]
        return [m["message"] for m in found if m["message"]["method"].startswith("Network.")]

    def requests(self) -> list[str]:
        """Return addresses that the page has asked for."""
        asked = [m for m in self.messages() if m["method"] == "Network.requestWillBeSent"]
        return [message["params"]["request"]["url"] for message in asked]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Reader(driver)
    finally:
        driver.quit()


@pytest.fixture
def reader(browser: Reader) -> Iterator[Reader]:
    """Return the browser; afterwards, whatever a test did, the page must have been silent."""
    yield browser
    assert browser.driver.get_log("browser") == []
    assert [url for url in browser.requests() if not url.startswith(("file:", "data:"))] == []


# ------------------------------------------------------------------ leaderboards


def test_sorting(pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["records"])
    [heads] = reader.cells(".board thead")
    place = heads.index("Accuracy")
    before = reader.column(place)

    def numbers(cells: list[str]) -> list[float]:
        return [float(cell.split()[0]) for cell in cells if cell]

    reader.click(".board thead button", place)
    falling = reader.column(place)
    assert sorted(falling) == sorted(before)
    assert numbers(falling) == sorted(numbers(before), reverse=True)
    sorted_by = (
        "return [...document.querySelector('.board').querySelectorAll('[aria-sort]')]"
        ".map(head => [head.textContent.trim(), head.getAttribute('aria-sort')])"
    )
    assert reader.do(sorted_by) == [["Accuracy", "descending"]]
    reader.click(".board thead button", place)
    rising = reader.column(place)
    assert numbers(rising) == sorted(numbers(before))
    # Rows without a figure stand last either way.
    empty = sum(not cell for cell in before)
    assert falling[len(falling) - empty :] == rising[len(rising) - empty :] == [""] * empty
    reader.click(".board thead button", heads.index("Method"))
    names = [name.lower() for name in reader.column(heads.index("Method"))]
    assert names == sorted(names)
    assert reader.do(sorted_by) == [["Method", "ascending"]]


@pytest.mark.parametrize(
    ("text", "numeric", "key"),
    [
        ("14.0 min", True, 840),
        ("2.5 h", True, 9000),
        ("75 s", True, 75),
        ("1,234", True, 1234),
        ("-67.06 to 187.06", True, -67.06),
        ("+1.2", True, 1.2),
        ("50.00 \u00b1 1.20 [3]", True, 50),
        ("", True, None),
        ("\u2014", True, None),
        ("Zebra", False, "zebra"),
    ],
)
def test_cells_are_sorted_by_what_they_mean(
    text: str, numeric: object, key: object, pages: dict[str, Path], reader: Reader
) -> None:
    if reader.driver.current_url != pages["records"].as_uri():
        reader.open(pages["records"])
    assert reader.do("return sortKey(arguments[0], arguments[1])", text, numeric) == key


def visible_rows(reader: Reader) -> list[str]:
    return reader.do(
        "return [...document.querySelectorAll('.board tbody tr')]"
        ".filter(r => r.checkVisibility()).map(r => r.textContent)"
    )


def visible_runs(reader: Reader) -> list[str]:
    return reader.do(
        "return [...document.querySelectorAll('.run')]"
        ".filter(r => !r.hidden).map(r => r.textContent)"
    )


def test_filters(pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["records"])
    rows, runs = len(visible_rows(reader)), len(visible_runs(reader))
    status = "return document.querySelector('#filters output').value"
    assert reader.do(status) == f"{rows} of {rows} rows, {runs} of {runs} runs"
    reader.click("[name=text]")
    reader.keys("CyCADA game2camera")
    assert all("cycada" in row.lower() for row in visible_rows(reader))
    assert 0 < len(visible_runs(reader)) < runs
    assert all("cycada" in run and "game2camera" in run for run in visible_runs(reader))
    assert reader.do(status).startswith(f"{len(visible_rows(reader))} of {rows} rows")
    reader.click("[type=reset]")
    reader.until(f"document.querySelector('#filters output').value.startsWith('{rows} of')")
    reader.choose("[name=shift]", "usps2mnist")
    assert reader.do(
        "return [...document.querySelectorAll('article')]"
        ".filter(board => !board.hidden).map(board => board.dataset.shift)"
    ) == ["usps2mnist"]
    assert all("usps2mnist" in run for run in visible_runs(reader))
    reader.choose("[name=status]", "done")
    assert 0 < len(visible_rows(reader)) < rows
    reader.click("[name=text]")
    reader.keys("no such thing")
    assert visible_rows(reader) == visible_runs(reader) == []
    assert reader.do(status) == f"0 of {rows} rows, 0 of {runs} runs"


def test_the_status_filter(pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["hostile"])
    rows = len(visible_rows(reader))
    reader.choose("[name=status]", "failed")
    [row], [run] = visible_rows(reader), visible_runs(reader)
    assert HOSTILE in row
    assert run.split()[0] == "failed"
    reader.choose("[name=status]", "done")
    assert len(visible_rows(reader)) == rows  # that row has a seed that finished, too
    assert all(run.split()[0] == "done" for run in visible_runs(reader))


def test_a_row_leads_to_its_runs(pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["records"])
    reader.click("article[data-shift=mnist2usps] tr[data-label=adda] td button")
    found = visible_runs(reader)
    assert found
    assert all("adda" in run and "mnist2usps" in run for run in found)


# ------------------------------------------------------------------ one run


def test_a_run_opens_with_charts_and_pictures(pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["toy"])
    assert reader.do("return typeof Plotly") == "undefined"
    which = next(n for n, text in enumerate(visible_runs(reader)) if "cycada" in text)
    reader.open_run(which)
    text = reader.do("return document.querySelector('.run[open] .body').textContent")
    assert "bench run --suite" in text
    for heading in ("Run it again", "Stages", "Checkpoints", "Confusion matrix", "Curves"):
        assert heading in text
    curves = reader.do("return [...document.querySelectorAll('.chart .scatterlayer')].length")
    assert curves == reader.do("return document.querySelectorAll('.chart').length") > 3
    # As many cells as the matrix in numbers has, in the order of ground truth from above.
    assert reader.do("return document.querySelectorAll('.matrix .heatmaplayer image').length") == 1
    first = reader.do("return document.querySelector('.matrix').data[0].z.length")
    assert (
        first
        == reader.do(
            "return document.querySelectorAll('.body details table')[0].tBodies[0].rows.length"
        )
        > 1
    )
    low, high = reader.do("return document.querySelector('.matrix').layout.yaxis.range")
    assert low > high, "the first true class does not stand at the top"
    pictures = "[...document.querySelectorAll('.run[open] img')]"
    reader.until(f"{pictures}.every(i => i.complete)")
    assert reader.do(f"return {pictures}.length") == 2
    assert reader.do(
        f"return {pictures}.every(i => i.naturalWidth == i.width || i.naturalWidth > 100)"
    )
    assert reader.do(f"return {pictures}.every(i => i.alt)")


def test_another_matrix_can_be_chosen(pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["records"])
    reader.open_run()
    before = reader.do("return JSON.stringify(document.querySelector('.matrix').data[0].z)")
    names = reader.do(
        "return [...document.querySelectorAll('.body select option')].map(o => o.textContent)"
    )
    reader.choose(".body select", names[1])  # the first is shown; a stage's may be the same
    reader.until(
        f"JSON.stringify(document.querySelector('.matrix').data[0].z) !== {json.dumps(before)}"
    )
    label = reader.do("return document.querySelector('.matrix').getAttribute('aria-label')")
    assert names[1] in label


def test_a_command_can_be_copied(pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["records"])
    reader.open_run()
    reader.click(".copy")
    reader.until(
        "['Copied', 'Selected'].includes(document.querySelector('.body .copy').textContent)"
    )
    selected = reader.do("return String(getSelection())")
    assert selected.startswith("bench run --suite ")
    assert "\n" not in selected
    assert " --seeds " in selected


# ------------------------------------------------------------------ comparisons


def test_two_methods_are_compared(pages: dict[str, Path], reader: Reader) -> None:
    from bench import plugins
    from bench.compare import compare

    frame = load_records([RECORDS / "digits.jsonl"])
    found = compare(frame, plugins.load_suite("digits"), "cycada", "source-only")
    reader.open(pages["records"])
    selects = "#contest select"
    reader.choose(f"{selects}[aria-label=Method]", "cycada")
    reader.choose(f"{selects}[aria-label=Against]", "source-only")

    forth = reader.cells("#contest tbody")
    assert [line[0] for line in forth] == [*found.shifts, "all shifts"]
    for line, result in zip(forth, [*found.shifts.values(), found.overall], strict=True):
        assert result.difference is not None
        assert line[1] == str(result.pairs)
        assert float(line[4]) == pytest.approx(100 * result.difference, abs=0.00501)
        if result.ci95 is not None:
            ends = [float(end) for end in line[5].split(" to ")]
            assert ends == pytest.approx([100 * end for end in result.ci95], abs=0.00501)
    assert reader.do("return document.querySelector('.verdict').textContent") == found.sentence
    # Any other two: the page has the pairs in one list.
    other = compare(frame, plugins.load_suite("digits"), "adda", "target-only")
    reader.choose(f"{selects}[aria-label=Method]", "adda")
    reader.choose(f"{selects}[aria-label=Against]", "target-only")
    assert reader.do("return document.querySelector('.verdict').textContent") == other.sentence
    # The other way round all signs turn, and nothing else.
    reader.choose(f"{selects}[aria-label=Method]", "source-only")
    reader.choose(f"{selects}[aria-label=Against]", "cycada")
    back = reader.cells("#contest tbody")
    for one, other in zip(forth, back, strict=True):
        assert float(one[4]) == -float(other[4])
        assert (one[2], one[3], one[6], one[7]) == (other[3], other[2], other[6], other[7])
        assert one[9] == other[9]
    reader.choose(f"{selects}[aria-label=Against]", "source-only")
    assert "Choose two different methods" in reader.do(
        "return document.querySelector('#contest').textContent"
    )


# ------------------------------------------------------------------ every reader


def test_by_keyboard_alone(pages: dict[str, Path], reader: Reader) -> None:
    from selenium.webdriver.common.keys import Keys

    reader.open(pages["toy"])
    focused = "document.activeElement"
    reader.keys(Keys.TAB)
    assert reader.do(f"return {focused}.className") == "skip"
    assert reader.do(f"return {focused}.getBoundingClientRect().left") >= 0
    reader.keys(Keys.ENTER)
    assert reader.do(f"return {focused}.id") == "leaderboards"

    def tab_to(condition: str) -> None:
        for _ in range(80):
            reader.keys(Keys.TAB)
            if reader.do(f"return {focused}.matches({json.dumps(condition)})"):
                width = reader.do(f"return getComputedStyle({focused}).outlineWidth")
                assert width != "0px", "the focus cannot be seen"
                return
        pytest.fail(f"{condition} cannot be reached")

    tab_to(".board thead button")
    reader.keys(Keys.ENTER)
    assert reader.do("return document.querySelector('[aria-sort]') !== null")
    tab_to("#contest select")
    reader.keys(Keys.ARROW_DOWN)
    tab_to(".run > summary")
    reader.keys(Keys.SPACE)
    reader.until("document.querySelector('.run[open] .matrix .main-svg') !== null")
    tab_to(".copy")
    tab_to(".body details > summary")
    reader.keys(Keys.ENTER)
    assert reader.do("return document.querySelector('.body details[open]') !== null")


@pytest.mark.parametrize("page", ["toy", "records", "hostile"])
def test_a_narrow_screen_never_scrolls_sideways(
    page: str, pages: dict[str, Path], reader: Reader
) -> None:
    reader.open(pages[page], width=360)
    reader.open_run(1)
    reader.do("document.querySelectorAll('details:not(.run)').forEach(d => d.open = true)")
    width = reader.do("return document.documentElement.scrollWidth")
    assert width <= reader.do("return document.documentElement.clientWidth")
    regions = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
    assert reader.do(f"return {regions}.length")
    assert reader.do(f"return {regions}.every(e => e.tabIndex === 0 && e.role === 'region')")


CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const luminance = ([r, g, b]) => {
  const linear = [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const colour = rgba(getComputedStyle(each).backgroundColor);
    if (colour[3] === 255) return colour;
  }
  return rgba("Canvas");
};
const worst = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim()) continue;
  if (element.closest("script, style, .matrix, noscript, option")) continue;
  if (!element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const ink = luminance(rgba(element instanceof SVGElement ? style.fill : style.color));
  const paper = luminance(behind(element));
  const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  worst.push([ratio, element.tagName, walker.currentNode.data.trim().slice(0, 30)]);
}
return worst.sort((a, b) => a[0] - b[0]).slice(0, 5).concat([[worst.length]]);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str, pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["toy"])
    reader.command(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    reader.open_run()
    reader.do("document.querySelectorAll('details:not(.run)').forEach(d => d.open = true)")
    *worst, [count] = reader.do(CONTRAST)
    assert count > 150
    assert worst[0][0] >= 4.5, worst


def test_charts_follow_the_colour_scheme(pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["toy"])
    reader.open_run()
    ink = "document.querySelector('.matrix').layout.font.color"
    before = reader.do(f"return {ink}")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    reader.command("Emulation.setEmulatedMedia", features=dark)
    reader.until(f"{ink} !== {json.dumps(before)}")
    paper = reader.do("return getComputedStyle(document.body).backgroundColor")
    assert paper != "rgb(255, 255, 255)"


def test_without_javascript_the_tables_are_there(pages: dict[str, Path], reader: Reader) -> None:
    reader.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        reader.open(pages["records"])
        from selenium.webdriver.common.by import By

        boards = reader.driver.find_elements(By.CSS_SELECTOR, ".board")
        assert len(boards) == 4
        assert "cycada" in boards[0].text
        assert "Without JavaScript" in reader.driver.find_element(By.TAG_NAME, "body").text
        assert len(reader.driver.find_elements(By.CSS_SELECTOR, ".run")) > 40
    finally:
        reader.command("Emulation.setScriptExecutionDisabled", value=False)


# ------------------------------------------------------------------ nothing else happens


def test_hostile_names_stay_text(pages: dict[str, Path], reader: Reader) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    reader.open(pages["hostile"])
    runs = len(visible_runs(reader))
    for place in range(runs):
        if HOSTILE in visible_runs(reader)[place]:
            reader.click(".run > summary", place)
    reader.until("document.querySelectorAll('.run[open] .body').length === 3")
    reader.until("document.querySelectorAll('.run[open] .matrix').length === 3")
    reader.do("document.querySelectorAll('details:not(.run)').forEach(d => d.open = true)")
    options = "document.querySelectorAll('#contest [aria-label=Method] option')"
    names = f"return [...{options}].map(option => option.textContent)"
    [hostile] = [name for name in reader.do(names) if HOSTILE in name]
    reader.choose("#contest [aria-label=Method]", hostile)
    text = reader.do("return document.body.textContent")
    assert text.count(HOSTILE) > 20
    allowed = "img, iframe, object, embed, b, base, form:not(#filters), link:not([rel=icon])"
    assert reader.do(f"return document.querySelectorAll({json.dumps(allowed)}).length") == 0
    inline = (
        "return [...document.querySelectorAll('*')]"
        ".filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length"
    )
    assert reader.do(inline) == 0
    with pytest.raises(NoAlertPresentException):
        _ = reader.driver.switch_to.alert.text
    assert reader.do("return performance.getEntriesByType('resource').length") == 0


def test_the_page_asks_for_nothing(pages: dict[str, Path], reader: Reader) -> None:
    reader.open(pages["toy"])
    reader.open_run()
    addresses = [url for url in reader.requests() if not url.startswith("data:")]
    assert addresses == [pages["toy"].as_uri()]
    entries = reader.do("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in entries if not name.startswith("data:")] == []


def test_the_policy_stops_what_would_get_in(pages: dict[str, Path], reader: Reader) -> None:
    """If a name ever became markup, its script would not run and its picture not be fetched."""
    reader.open(pages["toy"])
    reader.do(
        "window.caught = []; document.addEventListener('securitypolicyviolation',"
        " e => caught.push(e.effectiveDirective));"
        "document.body.insertAdjacentHTML('beforeend',"
        ' \'<img src="https://example.org/x.png" onerror="window.got = 1">\');'
        "const s = document.createElement('script'); s.textContent = 'window.got = 1';"
        "document.body.append(s);"
    )
    reader.until("caught.length >= 2")
    assert set(reader.do("return caught")) <= {"img-src", "script-src-elem", "script-src-attr"}
    assert reader.do("return window.got === undefined")
    messages = reader.messages()
    tried = {m["params"]["requestId"] for m in messages if "https:" in json.dumps(m["params"])}
    blocked = {
        m["params"]["requestId"] for m in messages if m["params"].get("blockedReason") == "csp"
    }
    assert tried <= blocked
    assert all("Content Security Policy" in e["message"] for e in reader.driver.get_log("browser"))
