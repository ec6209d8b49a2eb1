"""How long `bench eval` takes against Cityscapes' own evaluation script, as whole processes.

Both score the same PNG files of 2048x1024 labels, in turns; the smallest time of each counts. The
script runs as installed from PyPI, with its instance scores off (ours has none), and has no other
changes. IoUs must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import scene

from bench.classes import CITYSCAPES

LIMIT = 2.0
"""How many times faster ours should be, on two cores."""

SCRIPT = """
import sys
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as script
script.args.evalInstLevelScore = False
script.args.groundTruthSearch = sys.argv[1] + "/*_gtFine_labelIds.png"
script.args.exportFile = sys.argv[2]
del sys.argv[1:]
script.main()
"""


def write_images(folder: Path, images: int) -> None:
    """Write ground truth and predictions: the same scene, moved, with patches of another."""
    ids = [label.id for label in CITYSCAPES.labels]
    for kind in ("gt", "pred"):
        (folder / kind).mkdir()
    for number in range(images):
        truth = scene(number, ids)
        guess = np.roll(truth, 5, axis=1)
        guess[:, 1500:] = scene(images + number, ids)[:, 1500:]
        name = f"city_{number:06}_000019"
        Image.fromarray(truth).save(folder / "gt" / f"{name}_gtFine_labelIds.png")
        Image.fromarray(guess).save(folder / "pred" / f"{name}.png")


def timed(command: list[str], **environment: str) -> tuple[float, str]:
    """Return the wall time of a process, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **environment}
    )
    return time.perf_counter() - start, done.stdout


def main() -> int:
    """Print a table, and fail if the ratio is under the limit or an IoU differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder, asked.images)
        truths, predictions, result = folder / "gt", folder / "pred", folder / "theirs.json"
        ours = [sys.executable, "-m", "bench", "eval", "--json", "--classes", "cityscapes"]
        ours += ["--threads", str(asked.threads), "--pred", str(predictions), "--gt", str(truths)]
        theirs = [sys.executable, "-c", SCRIPT, str(truths), str(result)]
        times: dict[str, list[float]] = {"bench eval": [], "its own script": []}
        for _ in range(asked.repetitions):
            seconds, output = timed(ours)
            times["bench eval"].append(seconds)
            seconds, _ = timed(theirs, CITYSCAPES_RESULTS=str(predictions))
            times["its own script"].append(seconds)
        found = json.loads(output)["iou"]
        expected = json.loads(result.read_text(encoding="utf-8"))["classScores"]
    apart = max(abs(share - expected[name]) for name, share in found.items())
    best = {name: min(seconds) for name, seconds in times.items()}
    ratio = best["its own script"] / best["bench eval"]
    print(f"{asked.images} pairs of images, {asked.threads} threads\n")
    print("| process | min | median | images a second |\n| :-- | --: | --: | --: |")
    for name, seconds in times.items():
        figures = f"{best[name]:.2f} s | {float(np.median(seconds)):.2f} s"
        print(f"| {name} | {figures} | {asked.images / best[name]:.0f} |")
    print(f"\n{ratio:.2f} times faster (limit {LIMIT:g}); IoUs differ by at most {apart:.1e}")
    return int(ratio < LIMIT or apart > 1e-9)


if __name__ == "__main__":
    sys.exit(main())
