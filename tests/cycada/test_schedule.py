"""How long a stage trains and how its rate falls: by hand, as properties, after a resume."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cycada.schedule import cosine, hold_then_fall, total_steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim.lr_scheduler import LambdaLR

LR = 0.5

lengths = st.integers(1, 60)


def optimizer() -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)


def rates(schedule: LambdaLR, steps: int) -> list[float]:
    """Return the share of the full rate at which each of the next `steps` steps is taken."""
    taken = []
    for _ in range(steps):
        taken.append(schedule.optimizer.param_groups[0]["lr"] / LR)
        schedule.optimizer.step()
        schedule.step()
    return taken


# ------------------------------------------------------------------ the number of steps


@pytest.mark.parametrize(
    ("epochs", "max_steps", "images", "batch", "expected"),
    [
        (1, None, 100, 100, 1),
        (1, None, 101, 100, 2),  # the last batch is filled from the next epoch
        (1, None, 99, 100, 1),
        (3, None, 10, 4, 8),  # 30 images are 7.5 batches; epochs are not rounded one by one
        (100, None, 60_000, 128, 46_875),
        (100, None, 73_257, 100, 73_257),
        (2, 10, 50, 10, 10),
        (2, 9, 50, 10, 9),
        (2, 11, 50, 10, 10),
        (1, 1, 10**6, 1, 1),
    ],
)
def test_total_steps_by_hand(
    epochs: int, max_steps: int | None, images: int, batch: int, expected: int
) -> None:
    assert total_steps(epochs, max_steps, images, batch) == expected


@given(st.integers(1, 300), st.integers(1, 10**6), st.integers(1, 1000))
def test_total_steps_are_the_fewest_that_show_every_epoch(
    epochs: int, images: int, batch: int
) -> None:
    steps = total_steps(epochs, None, images, batch)
    assert isinstance(steps, int)
    assert (steps - 1) * batch < epochs * images <= steps * batch
    assert steps == math.ceil(Fraction(epochs * images, batch))


@given(st.integers(1, 9), st.integers(1, 300), st.integers(1, 300), st.integers(1, 50))
def test_max_steps_is_a_bound_and_nothing_else(
    epochs: int, max_steps: int, images: int, batch: int
) -> None:
    free = total_steps(epochs, None, images, batch)
    bound = total_steps(epochs, max_steps, images, batch)
    assert bound <= max_steps
    assert bound == free or (bound == max_steps and free > max_steps)


# ------------------------------------------------------------------ the rate


def test_cosine_by_hand() -> None:
    """Half a cosine over 4 steps: cos 0, 45, 90, 135 and 180 degrees; then it stays at zero."""
    half = math.sqrt(2) / 4
    expected = [1.0, 0.5 + half, 0.5, 0.5 - half, 0.0, 0.0, 0.0]
    assert rates(cosine(optimizer(), 4), 7) == pytest.approx(expected, abs=1e-12)


def test_cosine_without_a_length_is_constant() -> None:
    assert rates(cosine(optimizer(), None), 50) == [1.0] * 50


@settings(deadline=None)
@given(lengths)
def test_cosine_falls_from_one_to_zero_symmetrically(n: int) -> None:
    rate = rates(cosine(optimizer(), n), n + 3)
    assert rate[0] == 1.0
    assert rate[n:] == pytest.approx([0.0] * 3, abs=1e-12)
    assert all(now > after for now, after in itertools.pairwise(rate[: n + 1]))
    mirrored = [1.0 - r for r in rate[n::-1]]
    assert rate[: n + 1] == pytest.approx(mirrored, abs=1e-12)


def test_hold_then_fall_by_hand() -> None:
    """Of 8 steps, 4 at the full rate; then it reaches zero at the step after the last."""
    expected = [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert rates(hold_then_fall(optimizer(), 8), 10) == pytest.approx(expected)


def test_hold_then_fall_of_an_odd_length_by_hand() -> None:
    """The fall starts at 2.5: 2 * (1 - 3/5) and 2 * (1 - 4/5)."""
    expected = [1.0, 1.0, 1.0, 0.8, 0.4, 0.0, 0.0]
    assert rates(hold_then_fall(optimizer(), 5), 7) == pytest.approx(expected)


@settings(deadline=None)
@given(lengths)
def test_hold_then_fall_holds_then_falls_in_equal_steps(n: int) -> None:
    rate = rates(hold_then_fall(optimizer(), n), n + 3)
    first, last = rate[: n // 2 + 1], rate[n // 2 + 1 :]
    assert first == [1.0] * len(first)
    exact = [float(max(Fraction(0), 2 - Fraction(2 * s, n))) for s in range(n // 2 + 1, n + 3)]
    assert last == pytest.approx(exact, abs=1e-12)
    assert all(r > 0 for r in rate[:n]), "every planned step moves something"


@settings(deadline=None)
@given(st.sampled_from([cosine, hold_then_fall]), lengths, st.data())
def test_a_restored_schedule_goes_on(
    make: Callable[[torch.optim.Optimizer, int], LambdaLR], n: int, data: st.DataObject
) -> None:
    stop = data.draw(st.integers(0, n))
    expected = rates(make(optimizer(), n), n)
    before = make(optimizer(), n)
    first = rates(before, stop)
    after = make(optimizer(), n)
    after.optimizer.load_state_dict(before.optimizer.state_dict())
    after.load_state_dict(before.state_dict())
    assert first + rates(after, n - stop) == expected


def test_every_group_of_parameters_follows() -> None:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in (1.0, 10.0)]
    for make in (cosine, hold_then_fall):
        adam = torch.optim.Adam(groups, lr=1.0)
        schedule = make(adam, 4)
        for _ in range(3):
            adam.step()
            schedule.step()
        low, high = (group["lr"] for group in adam.param_groups)
        assert high == pytest.approx(10 * low)
        assert 0 < low < 1
