"""The history of translations: conservation, chances, exact resume.

Images here are 1x1 and carry a number of their own, so that each can be followed.
"""

from __future__ import annotations

import io
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.errors import BenchError
from cycada.image_pool import ImagePool

capacities = st.integers(0, 8)
sizes = st.lists(st.integers(1, 12), min_size=1, max_size=8)
seeds = st.integers(0, 2**31)


def tagged(first: int, n: int) -> Tensor:
    return torch.arange(first, first + n, dtype=torch.float32).view(n, 1, 1, 1)


def tags(images: Tensor) -> list[int]:
    return [int(tag) for tag in images.flatten()]


def stored(pool: ImagePool) -> list[int]:
    images = pool.state_dict()["stored"]
    return tags(images) if isinstance(images, Tensor) else []


def one_at_a_time(
    history: list[int], batch: list[int], capacity: int, coins: list[bool], places: list[int]
) -> list[int]:
    """Shrivastava et al.'s history in plain Python; the draws belong to a full history."""
    draws = iter(zip(coins, places, strict=True))
    out = []
    for image in batch:
        if len(history) < capacity:
            history.append(image)
            out.append(image)
            continue
        swap, place = next(draws)
        if swap:
            out.append(history[place])
            history[place] = image
        else:
            out.append(image)
    return out


@given(capacities.filter(bool), sizes, seeds)
def test_a_batch_is_as_if_its_images_came_one_at_a_time(
    capacity: int, batches: list[int], seed: int
) -> None:
    pool, history, first = ImagePool(capacity), [], 0
    for n in batches:
        torch.manual_seed(seed + first)
        out = tags(pool.query(tagged(first, n)))
        late = max(0, n - (capacity - len(history)))
        torch.manual_seed(seed + first)
        coins = (torch.rand(late) < 0.5).tolist()
        places = torch.randint(capacity, (late,)).tolist()
        batch = list(range(first, first + n))
        assert out == one_at_a_time(history, batch, capacity, coins, places)
        assert stored(pool) == history
        first += n


@given(capacities, sizes, seeds)
def test_nothing_is_lost_made_up_or_kept_beyond_capacity(
    capacity: int, batches: list[int], seed: int
) -> None:
    torch.manual_seed(seed)
    pool, first = ImagePool(capacity), 0
    for n in batches:
        before, batch = stored(pool), list(range(first, first + n))
        room = capacity - len(before)
        out = pool.query(tagged(first, n))
        assert out.shape == (n, 1, 1, 1)
        assert len(pool) == len(stored(pool)) == min(capacity, len(before) + n)
        # While it fills, an image is both kept and returned; then each goes one way.
        assert Counter(stored(pool)) + Counter(tags(out)) == (
            Counter(before) + Counter(batch) + Counter(batch[:room])
        )
        assert tags(out)[:room] == batch[:room]
        for position, tag in enumerate(tags(out)):
            assert tag in before or first <= tag <= first + position, "not from the future"
        first += n


def test_an_image_may_come_back_within_its_own_batch() -> None:
    torch.manual_seed(0)
    out = tags(ImagePool(1).query(tagged(0, 40)))
    earlier = [tag for position, tag in enumerate(out) if tag < position]
    assert len(earlier) > 10
    assert len(set(out)) >= 39, "each leaves once; only the first is also returned on entry"


def test_the_coin_is_fair_and_the_place_uniform() -> None:
    """9,000 draws: the standard deviation of the share is 0.5 %, of a place's count 5 %."""
    torch.manual_seed(0)
    capacity, n = 10, 9000
    pool = ImagePool(capacity)
    pool.query(tagged(0, capacity))
    replaced, swaps = Counter[int](), 0
    for first in range(capacity, capacity + n, 90):
        for image in tagged(first, 90).split(1):
            before = stored(pool)
            pool.query(image)
            changed = [
                i for i, (a, b) in enumerate(zip(before, stored(pool), strict=True)) if a != b
            ]
            replaced.update(changed)
            swaps += len(changed)
    assert swaps / n == pytest.approx(0.5, abs=0.02)
    assert sorted(replaced) == list(range(capacity))
    assert all(count == pytest.approx(swaps / capacity, rel=0.2) for count in replaced.values())


# ------------------------------------------------------------------ exact resume


@given(capacities, sizes, sizes, seeds)
def test_a_restored_pool_goes_on_exactly(
    capacity: int, first: list[int], second: list[int], seed: int
) -> None:
    """Through a file, as the harness does; each step is seeded as the harness seeds it."""
    torch.manual_seed(seed)
    pool = ImagePool(capacity)
    for i, n in enumerate(first):
        pool.query(tagged(100 * i, n))
    file = io.BytesIO()
    torch.save(pool.state_dict(), file)
    file.seek(0)
    restored = ImagePool(capacity)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for i, n in enumerate(second):
        torch.manual_seed(seed + i)
        expected = pool.query(tagged(5000 + 100 * i, n))
        torch.manual_seed(seed + i)
        assert torch.equal(restored.query(tagged(5000 + 100 * i, n)), expected)
        assert stored(restored) == stored(pool)


def test_an_empty_pool_restores_to_empty() -> None:
    pool = ImagePool(3)
    pool.query(tagged(0, 5))
    pool.load_state_dict(ImagePool(3).state_dict())
    assert len(pool) == 0
    assert tags(pool.query(tagged(0, 3))) == [0, 1, 2]


def test_loading_makes_a_copy() -> None:
    pool, other = ImagePool(4), ImagePool(4)
    pool.query(tagged(0, 4))
    other.load_state_dict(pool.state_dict())
    torch.manual_seed(0)
    pool.query(tagged(10, 20))
    assert stored(pool) != [0, 1, 2, 3]
    assert stored(other) == [0, 1, 2, 3]


# ------------------------------------------------------------------ edges


def test_without_capacity_a_batch_passes_through_and_nothing_is_drawn() -> None:
    images, random_state = tagged(0, 5), torch.get_rng_state()
    pool = ImagePool(0)
    assert pool.query(images) is images
    assert len(pool) == 0
    assert torch.equal(torch.get_rng_state(), random_state)


@given(capacities, st.integers(1, 12), seeds)
def test_later_changes_to_a_batch_do_not_reach_the_history(
    capacity: int, n: int, seed: int
) -> None:
    torch.manual_seed(seed)
    pool = ImagePool(capacity)
    pool.query(tagged(0, n))
    images = tagged(50, n)
    out = pool.query(images)
    assert tags(images) == list(range(50, 50 + n)), "nor does a query change the batch"
    before = stored(pool)
    images.zero_()
    out.fill_(-1.0)
    assert stored(pool) == before


def test_the_history_holds_no_graph() -> None:
    torch.manual_seed(0)
    weight = torch.ones(1, requires_grad=True)
    pool = ImagePool(2)
    for first in (0, 10, 20):
        pool.query(tagged(first, 6) * weight)
    images = pool.state_dict()["stored"]
    assert isinstance(images, Tensor)
    assert not images.requires_grad


@given(st.integers(1, 3), st.integers(2, 5), st.integers(2, 5))
def test_whole_images_move(c: int, h: int, w: int) -> None:
    torch.manual_seed(0)
    pool = ImagePool(3)
    first = tagged(0, 3).expand(3, c, h, w).to(memory_format=torch.channels_last)
    assert torch.equal(pool.query(first), first)
    out = pool.query(tagged(3, 30).expand(30, c, h, w))
    assert out.shape == (30, c, h, w)
    assert torch.equal(out, out[:, :1, :1, :1].expand_as(out)), "no image is a mixture of two"


def test_a_negative_capacity() -> None:
    with pytest.raises(BenchError, match="holds 0 images or more, got -1. Set pixel.pool to 0"):
        ImagePool(-1)
