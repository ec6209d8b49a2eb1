"""Selection rules: what they choose, what they think of evidence, which look at target labels."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import criteria, plugins, select
from bench.errors import BenchError
from bench.select import Evidence, Rule, judge

SCORES = st.dictionaries(st.integers(1, 10**6), st.integers(0, 5).map(float), min_size=1)
UNSURE = st.dictionaries(
    st.integers(1, 10**6), st.none() | st.floats(-5, 5, allow_nan=False), min_size=1
)
LABEL_FREE = ("bnm", "dev", "entropy", "infomax", "snd", "source-accuracy")
RULES = {name: plugins.load_rule(name) for name in ("last", "oracle", *LABEL_FREE)}


def evidence(seed: int = 0) -> Evidence:
    """Return what a random network of 3 classes says of 20 and 12 images."""
    random = np.random.default_rng(seed)
    target, validation = (random.normal(0, 2, (n, 3)).astype(np.float32) for n in (20, 12))
    return Evidence(target, validation, random.integers(0, 3, 12), random.uniform(0.5, 2, 12))


# ------------------------------------------------------------------ what is chosen


@given(UNSURE)
def test_last_takes_the_end_of_the_budget_whatever_the_figures(
    values: dict[int, float | None],
) -> None:
    assert RULES["last"].choose(values) == max(values)


@given(SCORES)
def test_oracle_takes_the_best_and_of_equals_the_earliest(values: dict[int, float]) -> None:
    best = [step for step, value in values.items() if value == max(values.values())]
    assert RULES["oracle"].choose(values) == min(best)


@pytest.mark.parametrize("name", LABEL_FREE)
@given(values=SCORES)
def test_a_label_free_rule_takes_the_best_and_of_equals_the_latest(
    name: str, values: dict[int, float]
) -> None:
    best = [step for step, value in values.items() if value == max(values.values())]
    assert RULES[name].choose(values) == max(best)


@pytest.mark.parametrize("name", ["infomax", "oracle"])
@given(values=UNSURE)
def test_a_checkpoint_without_a_value_is_the_worst(
    name: str, values: dict[int, float | None]
) -> None:
    chosen = RULES[name].choose(values)
    known = {step: value for step, value in values.items() if value is not None}
    assert values[chosen] == (max(known.values()) if known else None)
    if not known:
        assert chosen == (min if name == "oracle" else max)(values)


def test_negative_scores_are_scores() -> None:
    assert RULES["entropy"].choose({100: -2.0, 200: None, 300: -3.0}) == 100


# ------------------------------------------------------------------ what is thought


def test_each_rule_reads_its_own_part_of_the_evidence() -> None:
    seen = evidence()
    expected = {
        "source-accuracy": criteria.source_accuracy(seen.validation, seen.labels),
        "entropy": criteria.negative_entropy(seen.target),
        "infomax": criteria.infomax(seen.target),
        "bnm": criteria.nuclear_norm(seen.target),
        "snd": criteria.neighbourhood_density(seen.target),
        "dev": criteria.embedded_validation(seen.validation, seen.labels, seen.weights),
    }
    found = {name: judge(RULES[name], seen) for name in LABEL_FREE}
    assert found == expected
    assert len(set(found.values())) == len(LABEL_FREE)


@pytest.mark.parametrize("name", LABEL_FREE)
def test_source_accuracy_and_dev_are_blind_to_the_target_and_the_others_to_the_source(
    name: str,
) -> None:
    rule, here, there = RULES[name], evidence(0), evidence(1)
    mixed = Evidence(there.target, here.validation, here.labels, here.weights)
    blind = name in ("source-accuracy", "dev")
    assert (judge(rule, mixed) == judge(rule, here)) == blind
    assert (judge(rule, mixed) == judge(rule, there)) == (not blind)


def test_rules_leave_the_evidence_alone() -> None:
    seen, same = evidence(), evidence()
    for name in LABEL_FREE:
        judge(RULES[name], seen)
    for part, value in vars(seen).items():
        assert np.array_equal(value, getattr(same, part)), part


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_score(value: float) -> None:
    assert judge(Rule("odd", "", lambda _: value), evidence()) is None


def test_a_score_is_a_plain_number() -> None:
    score = judge(Rule("sum", "", lambda e: e.target.sum(dtype=np.float32)), evidence())
    assert type(score) is float


@pytest.mark.parametrize("error", [KeyError("mean"), SystemExit(3), OverflowError("too large")])
def test_a_rule_that_fails_is_named(error: BaseException) -> None:
    def score(_: Evidence) -> float:
        raise error

    with pytest.raises(BenchError, match=f"The rule 'mine' failed: {type(error).__name__}: "):
        judge(Rule("mine", "", score), evidence())
    with pytest.raises(BenchError, match="The rule 'mine' failed: TypeError"):
        judge(Rule("mine", "", lambda _: None), evidence())  # type: ignore[arg-type, return-value]


def test_ctrl_c_is_no_failure_of_a_rule() -> None:
    def score(_: Evidence) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(Rule("mine", "", score), evidence())


@pytest.mark.parametrize("name", ["last", "oracle"])
def test_last_and_oracle_give_no_scores(name: str) -> None:
    with pytest.raises(BenchError, match=f"The rule '{name}' gives checkpoints no score"):
        judge(RULES[name], evidence())


# ------------------------------------------------------------------ who they are


def test_only_the_oracle_looks_at_target_labels_and_it_is_not_the_default() -> None:
    rules = {name: plugins.load_rule(name) for name in plugins.names("rule")}
    assert set(rules) >= {"last", "oracle", *LABEL_FREE}
    assert [name for name, rule in rules.items() if rule.looks_at_target_labels] == ["oracle"]
    assert select.DEFAULT == "last"
    assert "TEST LABELS" in rules["oracle"].about


def test_every_rule_says_its_name_who_proposed_it_and_when_it_is_wrong() -> None:
    for name, rule in RULES.items():
        assert rule.name == name
        assert rule.about.endswith(".")
        assert rule.source
        assert rule.fooled or name == "oracle"


def test_an_unknown_rule_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(BenchError, match="Unknown rule 'orakle'. Did you mean 'oracle'"):
        plugins.load_rule("orakle")


def test_all_rules_load_without_torch_numpy_or_pandas() -> None:
    heavy = "('torch', 'numpy', 'pandas', 'scipy', 'sklearn', 'matplotlib')"
    code = (
        "import sys; from bench import plugins;"
        " [plugins.load_rule(name) for name in plugins.names('rule')];"
        f" print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
