"""Random state is a pure function of names: on every platform, after anything that ran before."""

from __future__ import annotations

import random
import string

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.seeding import generator_from, seed_everything, seed_from

NAMES = st.lists(st.one_of(st.integers(), st.text(string.printable)), max_size=4)


def draws() -> tuple[float, float, float]:
    """Return one number from each global generator."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@given(NAMES)
def test_seeds_fit_every_library_and_depend_on_names_alone(names: list[object]) -> None:
    seed = seed_from(*names)
    assert 0 <= seed < 2**63
    random.random()
    assert seed_from(*names) == seed


@given(NAMES, NAMES)
def test_different_names_give_different_seeds(a: list[object], b: list[object]) -> None:
    assert (seed_from(*a) == seed_from(*b)) == (a == b)


def test_names_do_not_run_into_each_other() -> None:
    alike = [("ab", "c"), ("a", "bc"), ("abc",), (1, 2), (12,), ("1", 2), (1, "2"), (2, 1)]
    assert len({seed_from(*names) for names in alike}) == len(alike)


def test_seeds_are_the_same_on_every_machine() -> None:
    """Python's own hash() differs between processes, for one; these numbers may never move."""
    assert seed_from(0, "source", 17) == 4_493_382_787_180_115_726
    assert torch.randperm(5, generator=generator_from("pinned")).tolist() == [1, 3, 4, 0, 2]


@given(NAMES)
def test_it_seeds_python_numpy_and_torch(names: list[object]) -> None:
    seed_everything(*names)
    first = draws()
    draws()
    seed_everything(*names)
    assert draws() == first
    seed_everything(*names, "another")
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_a_generator_of_ones_own_leaves_the_global_state_alone() -> None:
    seed_everything("before")
    expected = draws()
    seed_everything("before")
    own = torch.rand(3, generator=generator_from("own"))
    assert draws() == expected
    assert torch.equal(torch.rand(3, generator=generator_from("own")), own)
    assert not torch.equal(torch.rand(3, generator=generator_from("other")), own)
