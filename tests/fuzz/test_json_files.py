"""Files of JSON that people write or send each other: params files and search spaces."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import example, given
from hypothesis import strategies as st
from near_misses import ODD, REFUSED, bent, documents, fuzzed, outcome, same

from bench.hyperparameters import flat
from bench.params_file import read_params
from bench.tuning.space import contains, described, distributions, read_space, start

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = {
    "method": "adda",
    "preset": "fast",
    "settings": {"feature.lr": 1e-4, "pixel": None, "sizes": [1, 2]},
    "tuned": {"rule": "infomax", "trials": 7, "study": "adda-mini"},
    "about": {"trial": 3},
}
SPACE = {
    "lr": ["around", 10],
    "weight": ["log", 1e-3, 10],
    "gate": ["uniform", 0.5, 0.9],
    "batch": ["choice", 64, 128],
    "steps": ["log", 10, 1000],
    "sizes": ["choice", "8,4", "16,8"],
}


@dataclass(frozen=True)
class Mine:
    lr: float = 1e-3
    weight: float = 1.0
    gate: float = 0.6
    batch: int = 64
    steps: int = 100
    sizes: tuple[int, ...] = (8, 4)
    kind: Literal["a", "b"] = "a"
    on: bool = True
    big: float = 1e300


def plainly(content: bytes) -> Any:
    """Return what json.loads makes of UTF-8; `REFUSED` if nothing."""
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return REFUSED


@fuzzed
@given(content=documents(PARAMS))
@example(content=b"[" * 100_000)
@example(content=b"\xef\xbb\xbf" + json.dumps(PARAMS).encode())
@example(content=json.dumps(PARAMS).replace("7", "9" * 5000).encode())
@example(content=b'{"method": 1, "method": "adda"}')
def test_a_params_file_says_what_it_says_or_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    path.write_bytes(content)
    found = outcome("params files", lambda: read_params(path), path)
    document = plainly(content)
    if found is REFUSED:
        assert not same(document, PARAMS)
    else:
        ours = {**vars(found), "about": document.get("about", found.about)}
        assert all(same(ours[key], document.get(key, {})) for key in PARAMS)
        assert found.tuned["trials"] >= 1


@fuzzed
@given(content=documents(SPACE))
@example(content=b"[" * 100_000)
def test_a_space_file_says_what_it_says_or_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_bytes(content)
    found = outcome("space files", lambda: read_space(path), path)
    document = plainly(content)
    if found is REFUSED:
        assert not isinstance(document, dict)
    else:
        assert same(found, document)


RANGES = st.one_of(
    st.tuples(st.sampled_from(("around", "log", "uniform", "choice")), ODD),
    st.tuples(st.sampled_from(("log", "uniform", "choice", "around")), ODD, ODD),
    st.tuples(st.sampled_from(("log", "uniform")), st.floats(), st.floats()),
    st.lists(ODD, max_size=4),
)


@fuzzed
@given(
    space=bent(SPACE) | st.dictionaries(st.sampled_from([*SPACE, "kind", "on", "big"]), RANGES),
    lr=st.sampled_from((1e-3, 1e-320, 1e308, 0.0, -1.0)),
)
@example(space={"batch": ["choice", 10**400]}, lr=1e-3)
@example(space={"big": ["around", 1e14]}, lr=1e-3)
@example(space={"lr": ["around", 1e14]}, lr=1e308)
@example(space={"weight": ["log", 1e-320, 1e-319]}, lr=1e-3)
@example(space={"steps": ["around", 1e14]}, lr=1e-3)
@example(space={"kind": ["choice", "a", "a"]}, lr=1e-3)
def test_a_space_can_be_searched_or_is_refused(space: Any, lr: float) -> None:
    import optuna

    if not isinstance(space, dict):
        return
    base = flat(Mine(lr=lr))
    found = outcome("space files", lambda: distributions(Mine, space, base))
    if found is REFUSED:
        return
    assert set(found) == set(space)
    assert all(described(distribution) for distribution in found.values())
    first = start(found, base)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(first)
    for _ in range(2):
        params = study.ask(fixed_distributions=found).params
        for key, value in params.items():
            assert contains(found[key], value)
            if isinstance(value, (int, float)):
                assert math.isfinite(value)
            word, *ends = space[key]
            if word in ("log", "uniform"):
                assert ends[0] <= value <= ends[1] * (1 + 1e-9)
