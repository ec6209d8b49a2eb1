"""Selection rules: what they choose, and which of them look at target labels."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import select
from bench.errors import BenchError


def with_accuracy(correct: int) -> np.ndarray:
    return np.array([[correct, 100 - correct], [0, 0]])


CHECKPOINTS = st.dictionaries(st.integers(1, 10**6), st.integers(0, 100), min_size=1)


@given(CHECKPOINTS)
def test_last_takes_the_end_of_the_budget_whatever_the_scores(correct: dict[int, int]) -> None:
    kept = {step: with_accuracy(right) for step, right in correct.items()}
    assert select.rule("last").choose(kept) == max(correct)


@given(CHECKPOINTS)
def test_oracle_takes_the_best_and_of_equals_the_earliest(correct: dict[int, int]) -> None:
    kept = {step: with_accuracy(right) for step, right in correct.items()}
    best = [step for step, right in correct.items() if right == max(correct.values())]
    assert select.rule("oracle").choose(kept) == min(best)


def test_only_the_oracle_looks_at_target_labels_and_it_is_not_the_default() -> None:
    peeking = [name for name in select.names() if select.rule(name).looks_at_target_labels]
    assert peeking == ["oracle"]
    assert select.names()[0] == select.DEFAULT == "last"
    assert "TEST LABELS" in select.rule("oracle").about


def test_an_unknown_rule_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(BenchError, match="Unknown selection rule 'orakle'. Did you mean 'oracle'"):
        select.rule("orakle")


def test_the_names_come_without_torch_numpy_or_pandas() -> None:
    heavy = "('torch', 'numpy', 'pandas', 'scipy', 'matplotlib')"
    code = (
        "import sys; from bench import select; select.names();"
        f" print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
