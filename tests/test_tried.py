"""Which set of hyperparameters is chosen: ranks by hand, the guard, and what cannot matter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from bench.tuning.tried import GUARD, Tried, best, excess_loss, mean, ranked, tried_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def trial(number: int, scores: Sequence[float], accuracy: float = 0.9) -> Tried:
    """Return a finished trial with these scores in runs a, b, c, ..."""
    runs = [chr(97 + i) for i in range(len(scores))]
    return Tried(
        number,
        "complete",
        {"lr": number},
        dict(zip(runs, scores, strict=True)),
        dict.fromkeys(runs, accuracy),
        10,
        1.0,
        None,
    )


def ended(number: int, state: str) -> Tried:
    return Tried(number, state, {}, {"a": 99.0}, {"a": 1.0}, 3, 0.1, "a reason")


def ranks(*trials: Tried) -> list[float | None]:
    return [each.rank for each in ranked(trials)]


# ------------------------------------------------------------------ by hand


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[1.0], [3.0], [2.0]], [3, 1, 2]),
        # Ranks 1 2 3, 3 1 2 and 2 3 1: each of them is as good as the others.
        ([[3, 1, 2], [2, 3, 1], [1, 2, 3]], [2, 2, 2]),
        # a: 2.5 2.5 1; b: 2 2 2 (all alike).
        ([[0, 5], [0, 5], [1, 5]], [2.25, 2.25, 1.5]),
        # Four alike share (1 + 2 + 3 + 4) / 4.
        ([[7], [7], [7], [7]], [2.5] * 4),
        # One huge score in one run does not make up for two lost ones.
        ([[1e9, 0, 0], [0, 1, 1]], [5 / 3, 4 / 3]),
        ([[-1.0]], [1]),
    ],
)
def test_ranks_by_hand(scores: list[list[float]], expected: list[float]) -> None:
    assert ranks(*(trial(i, each) for i, each in enumerate(scores))) == pytest.approx(expected)


def test_only_finished_trials_are_ranked() -> None:
    found = ranked([ended(0, "pruned"), trial(1, [0.0]), ended(2, "failed"), ended(3, "running")])
    assert [each.rank for each in found] == [None, 1, None, None]
    assert [each.eligible for each in found] == [False, True, False, False]
    assert best(found) == found[1]


def test_no_trial_is_eligible() -> None:
    assert ranked([]) == []
    assert best([]) is None
    assert best(ranked([ended(0, "failed"), ended(1, "pruned")])) is None


def test_of_equal_ranks_the_first_tried_is_chosen() -> None:
    # The order in which they are listed does not decide.
    found = ranked([trial(5, [1, 2]), trial(3, [2, 1]), trial(9, [0, 0])])
    assert best(found) == found[1]
    assert best(found[::-1]) == found[1]


def test_the_smallest_mean_rank_is_chosen_and_not_the_largest_mean() -> None:
    found = ranked([trial(0, [100, 0, 0]), trial(1, [0, 1, 1])])
    assert (found[0].value or 0) > (found[1].value or 0)
    assert best(found) == found[1]


# ------------------------------------------------------------------ the guard


def test_what_loses_too_much_source_accuracy_is_out() -> None:
    found = ranked([trial(0, [9], 0.849), trial(1, [1], 0.9), trial(2, [5], 0.85)])
    assert [each.rank for each in found] == [None, 2, 1]
    assert [each.eligible for each in found] == [False, True, True]


def test_the_guard_compares_means_over_runs() -> None:
    lopsided = replace(trial(0, [9, 9]), source_accuracy={"a": 1.0, "b": 0.72})
    assert ranks(lopsided, trial(1, [1, 1], 0.9)) == [1, 2]
    lopsided = replace(lopsided, source_accuracy={"a": 1.0, "b": 0.68})
    assert ranks(lopsided, trial(1, [1, 1], 0.9)) == [None, 1]


def test_only_finished_trials_raise_the_bar() -> None:
    accurate = replace(ended(0, "pruned"), source_accuracy={"a": 1.0})
    assert ranks(accurate, trial(1, [1], 0.5)) == [None, 1]


@given(st.integers(50, 1000))
def test_exactly_the_guard_is_within_it(thousandths: int) -> None:
    """Accuracies are fractions: their differences may be off by a last bit."""
    top = thousandths / 1000
    edge = (thousandths - round(1000 * GUARD)) / 1000
    assert excess_loss(edge, top) <= 0
    assert excess_loss(edge - 0.0005, top) > 0
    assert ranks(trial(0, [1], top), trial(1, [2], edge), trial(2, [3], edge - 0.0005)) == [
        2,
        1,
        None,
    ]


# ------------------------------------------------------------------ what cannot matter

scored = st.integers(1, 4).flatmap(
    lambda runs: st.lists(
        st.tuples(
            st.lists(st.integers(-3, 3), min_size=runs, max_size=runs),
            st.integers(70, 100).map(lambda n: n / 100),
        ),
        min_size=1,
        max_size=8,
    )
)


def made(rows: list[tuple[list[int], float]]) -> list[Tried]:
    return [trial(i, scores, accuracy) for i, (scores, accuracy) in enumerate(rows)]


@given(scored)
def test_scores_of_a_shift_have_no_scale(rows: list[tuple[list[int], float]]) -> None:
    """A growing function of one run's scores changes no rank."""
    trials = made(rows)
    stretched = [
        replace(t, scores=dict(t.scores) | {"a": 1e3 * math.exp(t.scores["a"]) - 5}) for t in trials
    ]
    assert ranks(*trials) == ranks(*stretched)


@given(scored, st.randoms(use_true_random=False))
def test_the_order_of_trials_does_not_matter(
    rows: list[tuple[list[int], float]], random: object
) -> None:
    trials = made(rows)
    shuffled = list(trials)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    by_number = {each.number: each for each in ranked(shuffled)}
    assert [by_number[each.number] for each in trials] == ranked(trials)
    assert best(ranked(shuffled)) == best(ranked(trials))


@given(scored)
def test_the_guard_lets_none_through_and_never_shuts_out_all(
    rows: list[tuple[list[int], float]],
) -> None:
    found = ranked(made(rows))
    top = max(accuracy for _, accuracy in rows)
    for each, (_, accuracy) in zip(found, rows, strict=True):
        assert each.eligible == (round(100 * (top - accuracy)) <= 100 * GUARD)
        assert (each.rank is not None) == each.eligible
    chosen = best(found)
    assert chosen is not None
    assert chosen.eligible
    # Ranks of n trials add up to n (n + 1) / 2 in every run.
    n = sum(each.eligible for each in found)
    assert sum(each.rank or 0 for each in found) == pytest.approx(n * (n + 1) / 2)


@given(scored)
def test_a_trial_that_is_best_everywhere_is_chosen(rows: list[tuple[list[int], float]]) -> None:
    trials = made(rows)
    winner = replace(
        trial(99, [4] * len(rows[0][0])), source_accuracy=dict.fromkeys(trials[0].scores, 1.0)
    )
    chosen = best(ranked([*trials, winner]))
    assert chosen is not None
    assert chosen.number == 99
    assert chosen.rank == 1


# ------------------------------------------------------------------ from Optuna


def test_a_trial_as_optuna_keeps_it() -> None:
    notes = {
        "scores": {"s, seed 1": 0.25, "s, seed 2": 0.75},
        "source_accuracy": {"s, seed 1": 0.5, "s, seed 2": 1.0},
        "steps": 30,
        "seconds": 2.5,
        "owner": "somebody",
    }
    space = {"lr": optuna.distributions.FloatDistribution(0, 1)}
    frozen = create_trial(params={"lr": 0.5}, distributions=space, value=0.5, user_attrs=notes)
    frozen.number = 4
    got = tried_of(frozen)
    assert got == Tried(
        4,
        "complete",
        {"lr": 0.5},
        notes["scores"],  # type: ignore[arg-type]
        notes["source_accuracy"],  # type: ignore[arg-type]
        30,
        2.5,
        None,
    )
    assert got.value == 0.5


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (TrialState.PRUNED, "pruned"),
        (TrialState.FAIL, "failed"),
        (TrialState.RUNNING, "running"),
    ],
)
def test_a_trial_that_did_not_finish(state: TrialState, word: str) -> None:
    frozen = create_trial(state=state, user_attrs={"scores": {"a": 1.0}, "reason": "why"})
    got = tried_of(frozen)
    assert (got.state, got.value, got.reason) == (word, None, "why")
    assert (got.steps, got.seconds, got.source_accuracy) == (0, 0.0, {})


def test_mean() -> None:
    assert mean(iter([1, 2, 6])) == 3
