"""Score files of predictions against files of ground truth, one pair of images after another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.kernels import cores
from bench.label_maps import LabelReader
from bench.metrics import Counts, count_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.classes import ClassList
    from bench.pairing import Pair

FEW = 60
"""Pairs up to which compiled loops take longer to load than they save at 2048x1024 pixels."""


def evaluate(
    pairs: Sequence[Pair],
    classes: ClassList,
    *,
    encoding: str = "labelIds",
    truth_encoding: str = "labelIds",
    threads: int | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Counts:
    """Count the pixels of all pairs of files; memory does not grow with their number.

    Args:
        pairs: the files.
        classes: what the files' values or colours mean, and which classes count.
        encoding: the predictions': "labelIds", "trainIds" or "color".
        truth_encoding: the ground truth's.
        threads: how many images are read at once; all cores if None.
        on_image: called after each pair, by whichever thread read it.

    Raises:
        BenchError: files cannot be scored; the message names all of them with the reason.
    """
    compiled = len(pairs) > FEW
    truths = LabelReader(classes, truth_encoding, compiled)
    predictions = LabelReader(classes, encoding, compiled)
    left, turn, stop = iter(enumerate(pairs)), threading.Lock(), threading.Event()

    def work() -> tuple[Counts, list[tuple[int, str]]]:
        total, problems = Counts.zero(len(classes)), []
        try:
            while not stop.is_set():
                with turn:
                    number, pair = next(left, (-1, None))
                if pair is None:
                    break
                try:
                    total += count_pair(pair, truths, predictions)
                except BenchError as error:
                    problems.append((number, str(error)))
                on_image()
        finally:
            stop.set()  # nothing is left to begin, or this thread met a bug
        return total, problems

    # Threads, not processes: what takes time here is done without Python's global lock.
    workers = min(threads or cores(), len(pairs)) or 1
    with ThreadPoolExecutor(workers) as pool:
        try:
            results = [job.result() for job in [pool.submit(work) for _ in range(workers)]]
        finally:
            stop.set()
    problems = sorted(problem for _, found in results for problem in found)
    if problems:
        listed = "".join(f"\n  {sentence}" for _, sentence in problems)
        raise BenchError(f"{len(problems)} of {len(pairs)} pairs cannot be scored:{listed}")
    return sum((total for total, _ in results), Counts.zero(len(classes)))


def count_pair(pair: Pair, truths: LabelReader, predictions: LabelReader) -> Counts:
    """Count the pixels of one pair of files, on one thread.

    Raises:
        BenchError: a file cannot be read, their sizes differ, or a value is no label.
    """
    expected, found = truths.header(pair.truth), predictions.header(pair.prediction)
    if found[:2] != expected[:2]:
        raise BenchError(
            f"{pair.prediction} is {found.width}x{found.height} pixels; expected"
            f" {expected.width}x{expected.height}, as {pair.truth} is."
        )
    truth = truths.read(pair.truth, expected)
    prediction = predictions.read(pair.prediction, found)
    luts, k = (truths.lut, predictions.lut), len(truths.classes)
    try:
        return count_raw(truth, prediction, *luts, k, threads=1, compiled=truths.compiled)
    except BenchError as error:
        raise BenchError(f"{pair.prediction} against {pair.truth}: {error}") from error
