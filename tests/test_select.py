"""Selection rules: what they choose, and which of them look at target labels."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import select
from bench.errors import BenchError

# Any object stands for a matrix here: a rule knows it by its quality alone.
CHECKPOINTS = st.dictionaries(st.integers(1, 10**6), st.integers(0, 100), min_size=1)


def good(matrix: int) -> float:
    return matrix / 100


@given(CHECKPOINTS)
def test_last_takes_the_end_of_the_budget_whatever_the_scores(correct: dict[int, int]) -> None:
    assert select.rule("last").choose(correct, good) == max(correct)


@given(CHECKPOINTS)
def test_oracle_takes_the_best_and_of_equals_the_earliest(correct: dict[int, int]) -> None:
    best = [step for step, right in correct.items() if right == max(correct.values())]
    assert select.rule("oracle").choose(correct, good) == min(best)


def test_oracle_takes_what_it_is_told_is_better() -> None:
    kept = {300: "poor", 600: "good", 900: "nothing was scored"}
    assert select.rule("oracle").choose(kept, {"good": 0.2, "poor": 0.1}.get) == 600
    assert select.rule("oracle").choose(kept, {"good": 0.1, "poor": 0.2}.get) == 300


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
