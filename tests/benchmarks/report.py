"""How large a page of 1,000 runs is, how long it takes to write, and how soon it opens.

The runs are made up, the files are as `bench run` writes them: logs of 30 to 1,200 lines, five
matrices and more a run, pictures for every tenth run, one run in twenty failed. The browser is a
fresh headless Chromium each time; times are its own (Navigation Timing), from the first request.
Processor time of the page's main thread stands beside them, which a busy machine does not stretch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import figures, records
from bench.config import RunConfig
from bench.records import Confusions
from bench.report.content import content
from bench.report.page import render
from bench.suites import DIGITS, GAME_TO_CAMERA

SIZE, SECONDS = 10_000_000, 2.0
"""Limits: bytes of a page of 1,000 runs, and seconds until it has loaded."""

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "source-only": ("source-only", {}),
    "adda": ("adda", {}),
    "adda, other rate": ("adda", {"feature.lr": 1e-4}),
    "dann": ("dann", {}),
    "deep-coral": ("deep-coral", {}),
    "cycada": ("cycada", {}),
    "cycada, no pixel": ("cycada", {"pixel": None}),
    "cycada, other cycle": ("cycada", {"pixel.cycle": 10.0}),
    "target-only": ("target-only", {}),
}
STAGES = {
    "source": (30, ("loss",)),
    "translator": (
        100,
        ("gan_st", "gan_ts", "cycle_s", "cycle_t", "semantic", "discriminators"),
    ),
    "feature": (1000, ("discriminator_accuracy", "gate_open")),
}


def make_run(runs: Path, number: int, picture: bytes) -> None:
    """Write the folder of one run that might have been."""
    random = np.random.default_rng(number)
    shift = GAME_TO_CAMERA if number % 10 == 0 else DIGITS.shifts[number % 3]
    method, settings = list(METHODS.values())[number // 30 % len(METHODS)]
    config = RunConfig(
        method=method,
        settings=settings,
        params={"source": {"lr": 1e-4, "batch": 128}, "feature": {"lr": 1e-5, "gate": 0.6}},
        preset="fast",
        code="builtin-1",
        learns_from="target" if method == "target-only" else "source",
        shift=shift.described(),
        seed=number // 270 * 30 + number % 30,
        backbone=shift.backbone,
        budget=20_000,
        data="d" * 64,
    )
    folder = runs / config.run_id
    names = list(STAGES)[: 1 if method.endswith("only") else 2 + method.startswith("cycada")]
    classes = 19 if shift is GAME_TO_CAMERA else 10
    failed = number % 20 == 7
    lines = []
    for stage in names:
        steps, keys = STAGES[stage]
        walk = random.normal(0, 0.05, (steps, len(keys))).cumsum(0)
        for step, values in enumerate(walk.tolist()):
            logged = dict(zip(keys, values, strict=True))
            lines.append(json.dumps({"stage": stage, "loop": 0, "step": step, **logged}))
    records.append_metrics(folder, lines)
    matrices = {
        f"{step}": random.multinomial(20_000, np.full(classes**2, classes**-2.0)).reshape(
            classes, classes
        )
        + 900 * np.eye(classes, dtype=np.int64)
        for step in (200, 400, 600, 800, 1000)
    }
    if not failed:
        by_step = {int(step): matrix for step, matrix in matrices.items()}
        records.write_confusions(folder, Confusions(by_step, {"source": matrices["200"]}))
    stage = {"key": "0" * 32, "steps": 1000, "seconds": 60.0, "stop": None, "cached": False}
    record = {
        "run_id": config.run_id,
        "status": "failed" if failed else "done",
        "error": "RuntimeError: out of memory (mine.py, line 12)" if failed else None,
        "config": json.loads(json.dumps(config.described())),
        "departure": None,
        "stages": [{"name": name, **stage} for name in names],
        "checkpoints": [] if failed else [int(step) for step in matrices],
        "scores": {},
        "steps": 2000,
        "seconds": 120.0,
        "threads": 1,
        "device": "cpu",
        "environment": {"python": "3.11.7", "torch": "2.14.1", "git": "0" * 40},
        "started": f"2026-01-{1 + number // 100:02d}T00:00:{number % 60:02d}+00:00",
        "finished": None,
    }
    records.write_run(folder, record)
    if number % 10 == 0:
        (folder / "figures").mkdir()
        (folder / "figures" / "translations.png").write_bytes(picture)


def a_picture(folder: Path) -> bytes:
    """Return a PNG such as CyCADA's runs have, of smooth random images."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (3, 4, 3, 8, 16), dtype=np.uint8)
    images = coarse.repeat(12, axis=3).repeat(12, axis=4)
    noisy = (images.astype(int) + random.integers(-9, 10, images.shape)).clip(0, 255)
    source, target, _ = noisy.astype(np.uint8)
    figures.translation_pairs({"a": (source, target), "b": (target, source)}, folder / "p.png")
    return (folder / "p.png").read_bytes()


def open_page(path: Path) -> dict[str, float]:
    """Return milliseconds until a fresh browser is ready, has sorted, and has drawn a chart."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    with tempfile.TemporaryDirectory() as profile:
        for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-sync"):
            options.add_argument(f"--{flag}")
        options.add_argument("--disable-background-networking")
        options.add_argument("--disable-component-update")
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            driver.set_script_timeout(60)
            driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
            driver.get(path.as_uri())
            loading = main_thread(driver)
            times = driver.execute_async_script(MEASURE)
            opening = main_thread(driver) - loading
        finally:
            driver.quit()
    return times | {
        "processor time until loaded": 1000 * loading,
        "processor time of what follows": 1000 * opening,
    }


def main_thread(driver: Any) -> float:
    """Return the seconds of processor time that the page's main thread has spent in tasks."""
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(each["value"] for each in metrics if each["name"] == "TaskDuration")


MEASURE = """
const done = arguments[0];
const frame = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
const timed = async (act, over) => {
  const start = performance.now();
  act();
  do await frame(); while (!over());
  return performance.now() - start;
};
(async () => {
  const [page] = performance.getEntriesByType("navigation");
  const run = document.querySelector(".run");
  done({
    "ready (DOMContentLoaded)": page.domContentLoadedEventEnd,
    "loaded": page.loadEventEnd,
    "first paint": performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
    "sort a table": await timed(() => document.querySelector("thead button").click(), () => true),
    "filter 1,000 runs": await timed(() => {
      const filter = document.querySelector("[name=text]");
      filter.value = "cycada";
      filter.dispatchEvent(new Event("input", { bubbles: true }));
      filter.value = "";
      filter.dispatchEvent(new Event("input", { bubbles: true }));
    }, () => true),
    "open a run, charts drawn": await timed(
      () => run.querySelector("summary").click(), () => run.querySelector(".matrix .main-svg")),
  });
})();
"""


def main() -> int:
    """Print the figures, and fail if one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "runs")
        picture = a_picture(Path(name))
        for number in range(asked.runs):
            make_run(folder, number, picture)
        began, spent = time.perf_counter(), time.process_time()
        found = content(records.load_runs(folder))
        page = render(found)
        wall, processor = time.perf_counter() - began, time.process_time() - spent
        path = Path(name, "report.html")
        path.write_text(page, encoding="utf-8")
        size = path.stat().st_size
        without = " and ".join(f"{many} without {part}" for part, many in found.left_out.items())
        print(f"{found.total} runs ({without}): {size / 1e6:.2f} MB")
        print(f"written in {wall:.1f} s, {processor:.1f} s of processor time\n")
        if not Path("/usr/bin/chromium").exists():
            print("no Chromium on this machine: the page was not opened")
            return int(size > SIZE)
        times = [open_page(path) for _ in range(asked.repeats)]
    print("| until | min | median | max |\n| :-- | --: | --: | --: |")
    for key in times[0]:
        values = [each[key] / 1000 for each in times]
        middle = statistics.median(values)
        print(f"| {key} | {min(values):.2f} s | {middle:.2f} s | {max(values):.2f} s |")
    slow = min(each["loaded"] for each in times) > 1000 * SECONDS  # the least disturbed
    return int(size > SIZE or slow)


if __name__ == "__main__":
    sys.exit(main())
