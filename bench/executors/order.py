"""Which trial is next, so that trials that share a stage compute it once and seldom wait for it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Group = tuple[str, int]
"""Name of a shift, and a seed: trials that have both in common may share stages."""


@dataclass(frozen=True)
class Job:
    """One trial to be, by name: plain data, which any process can make a trial of.

    Attributes:
        place: its position in the plan.
        shift: the shift's name.
        seed: the trial's seed.
        row: position of its method among the request's rows.
        method: that row's method, for messages.
    """

    place: int
    shift: str
    seed: int
    row: int
    method: str

    @property
    def group(self) -> Group:
        """Return what it has in common with the trials that may share its stages."""
        return self.shift, self.seed


class Order:
    """Jobs that wait, handed out group by group.

    A group's first job runs alone, because it computes what the others begin with. After it, a
    worker still prefers a group that nobody is at: its jobs find all that they share. Only when
    every group is taken do two workers share one; a stage that both need is then computed by one
    of them while the other waits (see `bench.stages`).

    >>> order = Order(Job(i, "mnist2usps", i // 2, i % 2, "adda") for i in range(4))
    >>> first, second = order.take(), order.take()
    >>> first.seed, second.seed, order.take()  # both groups have begun: a third worker waits
    (0, 1, None)
    >>> order.ended(first)
    >>> order.take().seed, len(order)
    (0, 1)
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Take jobs in the order in which one worker would do them."""
        self._waiting: dict[Group, deque[Job]] = {}
        for job in jobs:
            self._waiting.setdefault(job.group, deque()).append(job)
        self._running: Counter[Group] = Counter()
        self._opened: set[Group] = set()

    def __len__(self) -> int:
        """Return how many jobs wait."""
        return sum(map(len, self._waiting.values()))

    def take(self) -> Job | None:
        """Return the next job; None if there is none, or none before a running one has ended."""
        idle = (group for group in self._waiting if not self._running[group])
        shared = (group for group in self._waiting if group in self._opened)
        group = next(idle, None) or next(shared, None)
        if group is None:
            return None
        job = self._waiting[group].popleft()
        if not self._waiting[group]:
            del self._waiting[group]
        self._running[group] += 1
        return job

    def ended(self, job: Job) -> None:
        """Note that a job is over, however it ended."""
        self._running[job.group] -= 1
        self._opened.add(job.group)
