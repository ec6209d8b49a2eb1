"""The statistics of a verdict, against SciPy, brute force, hand and simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench import paired
from bench.paired import effect_size, holm, interval, needed, sign_flip, summary
from bench.tables.letters import MOST, display, letters

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGES = 2007
"""USPS' test images: a difference of accuracies is a multiple of 1/2007."""

counts = st.integers(-40, 40)


def accuracies(least: int, most: int) -> st.SearchStrategy[list[float]]:
    """Return differences of two accuracies as subtraction leaves them: ties are off by rounding."""
    pair = st.tuples(st.integers(1500, 2000), counts)
    made = pair.map(lambda p: (p[0] + p[1]) / IMAGES - p[0] / IMAGES)
    return st.lists(made, min_size=least, max_size=most)


def brute(whole: Sequence[int]) -> float:
    """Return the share of sign assignments whose |sum| is at least the observed, in integers."""
    observed = abs(sum(whole))
    sums = [
        abs(sum(s * d for s, d in zip(signs, whole, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(whole))
    ]
    return sum(s >= observed for s in sums) / len(sums)


# ------------------------------------------------------------------ the sign-flip test


@settings(deadline=None)
@given(st.lists(counts, max_size=10), st.integers(1500, 1900))
def test_it_agrees_with_a_count_in_integers_whatever_subtraction_rounds(
    whole: list[int], base: int
) -> None:
    # Each pair at another height: equal differences then differ in their last bits.
    differences = [
        (base + 7 * i + d) / IMAGES - (base + 7 * i) / IMAGES for i, d in enumerate(whole)
    ]
    assert sign_flip(differences) == brute(whole)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=2, max_size=9))
def test_it_agrees_with_scipy(differences: list[float]) -> None:
    other = stats.permutation_test(
        (np.array(differences), np.zeros(len(differences))),
        lambda a, b: abs(np.mean(a - b)),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
    )
    mine = sign_flip(differences)
    # SciPy's own tolerance is narrower: sums that are equal but for rounding may count for it.
    assert mine >= other.pvalue - 1e-12
    if len({round(abs(d), 6) for d in differences}) == len(differences):
        assert mine == pytest.approx(other.pvalue, abs=2 / 2 ** len(differences) + 1e-12)


def test_scipy_with_twelve_and_twenty_pairs() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(0.4, 1, 12)
    other = stats.permutation_test(
        (d, np.zeros(12)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert sign_flip(d) == pytest.approx(other.pvalue, abs=1e-12)
    # Twenty equal differences: all signs equal, and nothing else, is as extreme.
    assert sign_flip([0.5] * 20) == 2 / 2**20


@pytest.mark.parametrize("n", range(1, 21))
def test_equal_differences_reach_the_smallest_p_that_there_is(n: int) -> None:
    assert sign_flip([0.01] * n) == 2 / 2**n


def test_by_hand() -> None:
    # +-1 +-2 +-3: |sum| is 6, 4, 2, 0, and the same negated. 4 is reached by 6 and 4.
    assert sign_flip([1, 2, 3]) == 2 / 8
    assert sign_flip([-1, 2, 3]) == 4 / 8
    assert sign_flip([1, -2, 3]) == 6 / 8
    assert sign_flip([1, 2, -3]) == 1.0
    assert sign_flip([0, 0, 5]) == 1.0
    assert sign_flip([0, 5, 5]) == 0.5
    assert sign_flip([0.0, 0.0]) == 1.0
    assert sign_flip([]) == 1.0


@given(accuracies(1, 24), st.randoms(use_true_random=False), st.floats(1e-6, 1e6))
@settings(max_examples=30, deadline=None)
def test_order_scale_and_the_names_of_the_sides_do_not_matter(
    d: list[float], random: object, scale: float
) -> None:
    p = sign_flip(d)
    random.shuffle(d)  # type: ignore[attr-defined]
    assert sign_flip(d) == p
    assert sign_flip([-each for each in d]) == p
    assert sign_flip([scale * each for each in d]) == p
    assert 0 < p <= 1


def test_beyond_twenty_pairs_it_is_drawn_and_close_to_the_exact_value() -> None:
    d = np.random.default_rng(3).normal(0.25, 1, 20)
    exact = sign_flip(d)
    # A zero changes no sum: the exact value stays, and with 21 pairs it has to be estimated.
    drawn = sign_flip([*d, 0.0])
    error = math.sqrt(exact * (1 - exact) / paired.FLIPS)
    assert 0 < abs(drawn - exact) < 4 * error
    assert drawn == sign_flip([0.0, *d])


def test_a_drawn_p_is_never_zero() -> None:
    # 2 / 2^60 is the exact value: none of the draws reaches it.
    assert sign_flip([0.01] * 60) == 1 / (paired.FLIPS + 1)


@pytest.mark.parametrize("wrong", [[0.1, math.nan], [math.inf], [[0.1, 0.2]], 0.5])
def test_what_is_no_vector_of_numbers_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="finite differences"):
        sign_flip(wrong)  # type: ignore[arg-type]


# ------------------------------------------------------------------ seeds that are needed


def test_needed_is_the_smallest_number_that_can_reach_the_level() -> None:
    for tests in range(1, 2000):
        n = needed(tests)
        smallest, next_larger = Fraction(2, 2**n), Fraction(2, 2 ** (n - 1))
        assert smallest * tests <= Fraction(5, 100) < next_larger * tests


def test_needed_by_hand() -> None:
    assert [needed(tests) for tests in (1, 2, 3, 4, 6, 435)] == [6, 7, 7, 8, 8, 15]
    assert sign_flip([1.0] * 6) <= paired.LEVEL < sign_flip([1.0] * 5)


# ------------------------------------------------------------------ intervals and effect size


@settings(deadline=None)
@given(accuracies(2, 19))
def test_the_interval_is_that_of_a_paired_t_test(d: list[float]) -> None:
    found = interval(d)
    assert found == summary(d)[2]
    if np.ptp(d) < 1e-9:
        assert found == pytest.approx((d[0], d[0]), abs=1e-9)
        return
    a = np.array(d) + 0.5
    other = stats.ttest_rel(a, np.full(len(d), 0.5)).confidence_interval(0.95)
    assert found == pytest.approx((other.low, other.high), rel=1e-6, abs=1e-9)


def test_from_twenty_pairs_on_the_interval_is_a_studentised_bootstraps() -> None:
    d = np.random.default_rng(5).exponential(1.0, 20)
    low, high = interval(list(d))
    middle, _, by_student = summary(list(d))
    assert middle is not None
    assert by_student is not None
    # A loop of its own random numbers: near, and not equal.
    random = np.random.default_rng(1)
    distances = []
    for _ in range(5000):
        mean, std, _ = summary(list(random.choice(d, 20)))
        distances.append(abs((mean or 0.0) - middle) / ((std or 1.0) / math.sqrt(20)))
    half = float(np.quantile(distances, 0.95)) * d.std(ddof=1) / math.sqrt(20)
    assert (low, high) == pytest.approx((middle - half, middle + half), rel=0.03)
    # A long tail is easily missed by twenty: wider than Student's.
    assert high - low > by_student[1] - by_student[0]
    assert interval(list(d[:19])) == summary(list(d[:19]))[2]
    assert interval(list(d[::-1])) == (low, high)  # seeded, whatever the order


def test_intervals_of_twenty_cover_the_truth_as_often_as_they_say() -> None:
    repetitions = 300
    covered = 0
    for d in np.random.default_rng(22).laplace(0.02, 0.01, (repetitions, 20)):
        low, high = interval(list(d))
        covered += low <= 0.02 <= high
    assert covered >= stats.binom.ppf(0.0001, repetitions, 0.95)


@pytest.mark.parametrize("value", [0.0, 0.25, 0.1])
def test_twenty_equal_differences_have_an_interval_without_width(value: float) -> None:
    assert interval([value] * 20) == pytest.approx((value, value), abs=1e-12)
    rounded = [(i / 10 + value) - i / 10 for i in range(20)]
    assert interval(rounded) == pytest.approx((value, value), abs=1e-12)
    assert effect_size(rounded) is None


def test_too_few_pairs_have_no_interval_and_no_effect_size() -> None:
    assert (interval([]), interval([0.1])) == (None, None)
    assert (effect_size([]), effect_size([0.1])) == (None, None)
    assert effect_size([0.0, 0.0]) is None


@settings(deadline=None)
@given(accuracies(2, 30))
def test_the_effect_size_is_t_over_the_root_of_n(d: list[float]) -> None:
    if np.ptp(d) < 1e-9:
        assert effect_size(d) is None
        return
    t = stats.ttest_1samp(d, 0.0).statistic
    assert effect_size(d) == pytest.approx(t / math.sqrt(len(d)), rel=1e-6, abs=1e-9)


# ------------------------------------------------------------------ Holm


def reject_by_holm(p_values: Sequence[float], level: float) -> set[int]:
    """Return whom Holm's procedure rejects, as he states it: step down, stop at the first miss."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = set()
    for step, i in enumerate(order):
        if p_values[i] > level / (len(p_values) - step):
            break
        rejected.add(i)
    return rejected


fractions = st.integers(1, 64).map(lambda k: k / 64)


@given(st.lists(fractions, max_size=8), st.sampled_from([1 / 64, 1 / 16, 1 / 8, 1 / 4, 1 / 2]))
def test_adjusted_p_values_reject_whom_the_procedure_rejects(p: list[float], level: float) -> None:
    adjusted = holm(p)
    assert all(1 >= own >= raw for own, raw in zip(adjusted, p, strict=True))
    below = {i for i, own in enumerate(adjusted) if own <= level * (1 + 1e-12)}
    strict = {i for i, own in enumerate(adjusted) if own <= level * (1 - 1e-12)}
    assert strict <= reject_by_holm(p, level) <= below


def test_holm_by_hand() -> None:
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 -> no less than 0.06, 0.5 * 1.
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.9, 0.9]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


# ------------------------------------------------------------------ simulation: tests/benchmarks


def rejections(draw: object, repetitions: int, shifts: int, n: int) -> tuple[int, int]:
    """Return how often any shift, and all pairs together, had a verdict."""
    rng = np.random.default_rng(20)
    any_shift = overall = 0
    for _ in range(repetitions):
        d = draw(rng, (shifts, n))  # type: ignore[operator]
        any_shift += min(holm([sign_flip(each) for each in d])) <= paired.LEVEL
        overall += sign_flip(d.ravel()) <= paired.LEVEL
    return any_shift, overall


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, size: rng.normal(size=size),
        lambda rng, size: rng.laplace(size=size),
        lambda rng, size: (
            (rng.binomial(IMAGES, 0.92, size) - rng.binomial(IMAGES, 0.92, size)) / IMAGES
        ),
    ],
    ids=["normal", "laplace", "accuracies"],
)
def test_no_more_false_alarms_than_one_in_twenty(draw: object) -> None:
    repetitions = 1500
    # One in ten thousand runs of this many trials has more than `most` at 5 %.
    most = stats.binom.ppf(0.9999, repetitions, paired.LEVEL)
    by_shift, overall = rejections(draw, repetitions, shifts=2, n=8)
    assert by_shift <= most
    assert overall <= most
    # It is a test of the level, too: with 2^16 assignments nearly 5 % are reached.
    assert overall >= stats.binom.ppf(0.0001, repetitions, 0.04)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    repetitions = 1500
    rng = np.random.default_rng(21)
    covered = 0
    for d in rng.normal(0.02, 0.01, (repetitions, 5)):
        low, high = interval(list(d))
        covered += low <= 0.02 <= high
    low, high = stats.binom.ppf((0.0001, 0.9999), repetitions, 0.95)
    assert low <= covered <= high


# ------------------------------------------------------------------ letters


def test_letters_by_hand() -> None:
    assert display(1, set()) == ["a"]
    assert display(3, set()) == ["a", "a", "a"]
    assert display(3, {(0, 1), (0, 2), (1, 2)}) == ["a", "b", "c"]
    assert display(4, {(0, 2), (0, 3), (1, 3)}) == ["a", "ab", "bc", "c"]
    # Noise can tell neighbours apart and not those further away.
    assert display(3, {(0, 1)}) == ["a", "b", "ab"]


def test_letters_go_on_after_z() -> None:
    every = set(itertools.combinations(range(30), 2))
    assert display(30, every)[25:28] == ["z", "a'", "b'"]


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), _pairs(n))))
def test_two_share_a_letter_exactly_if_they_are_not_told_apart(made: tuple[int, set]) -> None:
    count, apart = made
    shown = display(count, apart)
    assert all(shown)
    for i, j in itertools.combinations(range(count), 2):
        assert bool(set(shown[i]) & set(shown[j])) == ((i, j) not in apart)


def _pairs(count: int) -> st.SearchStrategy[set[tuple[int, int]]]:
    every = list(itertools.combinations(range(count), 2))
    return st.sets(st.sampled_from(every)) if every else st.just(set())


def by_seed(values: Sequence[float], first: int = 0) -> dict[int, float]:
    return dict(enumerate(values, first))


def test_nothing_is_told_with_too_few_seeds_or_too_many_methods() -> None:
    seven = [by_seed([level] * 7) for level in (0.9, 0.8, 0.7)]
    assert letters(seven) == ["a", "b", "c"]
    assert letters([dict(list(m.items())[:6]) for m in seven]) == ["", "", ""]
    assert letters([by_seed([level] * 6) for level in (0.9, 0.8)]) == ["a", "b"]
    assert letters(seven[:1]) == [""]
    assert letters([]) == []
    # 435 tests need 15 seeds.
    many = [by_seed([1 - i / 100] * 15) for i in range(MOST)]
    assert letters(many)[:2] == ["a", "b"]
    assert letters([*many, by_seed([0.1] * 15)]) == [""] * (MOST + 1)


def test_two_that_just_miss_the_level_share_a_letter() -> None:
    level = by_seed([0.8] * 7)
    # 4 of 64 sums are at least as large: with both small differences as they are or flipped.
    near = by_seed([0.85] * 5 + [0.79, 0.78])
    assert sign_flip([near[s] - level[s] for s in range(7)]) == 4 / 64
    assert letters([near, level]) == ["a", "a"]
    nearer = by_seed([0.85] * 6 + [0.79])
    assert letters([nearer, level]) == ["a", "b"]
    # With a third, these are three tests with 2 / 64 each, and Holm's first factor is 3.
    assert letters([nearer, level, by_seed([0.75] * 6 + [0.81])]) == ["a", "a", "a"]


def test_only_common_seeds_are_compared() -> None:
    a, b = by_seed([0.9] * 6), by_seed([0.8] * 6, first=1)
    assert letters([a, b]) == ["", ""]  # five in common
    assert letters([by_seed([0.9] * 7), b]) == ["a", "b"]
    # Two with no seed in common are not told apart, whoever else is.
    far = by_seed([0.1] * 7, first=100)
    assert letters([by_seed([0.9] * 7), by_seed([0.8] * 7), far]) == ["a", "b", "ab"]
