"""Every job is handed out once, stages' first users run alone, and nobody idles without need."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bench.executors.order import Job, Order


@st.composite
def plans(draw: st.DrawFn) -> list[Job]:
    """Draw jobs in the order of a sweep: shift by shift, seed by seed, row by row."""
    shifts, seeds, rows = (draw(st.integers(1, n)) for n in (3, 4, 4))
    cells = [(s, seed, row) for s in range(shifts) for seed in range(seeds) for row in range(rows)]
    return [
        Job(place, f"shift-{shift}", seed, row, f"method-{row}")
        for place, (shift, seed, row) in enumerate(cells)
    ]


@given(plans(), st.integers(1, 6), st.data())
def test_any_number_of_workers(jobs: list[Job], workers: int, data: Any) -> None:
    order, running, done = Order(jobs), [], []
    while len(order) or running:
        while len(running) < workers and (job := order.take()):
            others = [other for other in running if other.group == job.group]
            if not any(other.group == job.group for other in done):
                assert not others, "a group's first job must run alone"
            if others:
                idle = {j.group for j in jobs} - {j.group for j in running}
                waiting = {j.group for j in jobs if j not in done and j not in running}
                assert not (waiting - {job.group}) & idle, "a group that nobody was at came later"
            running.append(job)
        if len(running) < workers and len(order):
            # Whoever has nothing to do waits for first jobs only.
            for left in {j.group for j in jobs if j not in done and j not in running}:
                assert any(j.group == left for j in running)
                assert not any(j.group == left for j in done)
        ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
        order.ended(ended)
        done.append(ended)
    assert Counter(done) == Counter(jobs)
    assert order.take() is None


@given(plans())
def test_one_worker_keeps_the_plan(jobs: list[Job]) -> None:
    order = Order(jobs)
    taken = []
    while job := order.take():
        taken.append(job)
        order.ended(job)
    assert taken == jobs


def test_two_workers_have_groups_of_their_own() -> None:
    """With two seeds of three methods, each worker stays with the seed that it began."""
    order = Order([Job(i, "a2b", i // 3, i % 3, "m") for i in range(6)])
    ours = {0: order.take(), 1: order.take()}
    seen: dict[int, set[int]] = {0: set(), 1: set()}
    while any(ours.values()):
        for worker, job in ours.items():
            if job is not None:
                seen[worker].add(job.seed)
                order.ended(job)
                ours[worker] = order.take()
    assert seen == {0: {0}, 1: {1}}
