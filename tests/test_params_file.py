"""The file that a search writes: it reads back as it was, and anything else is answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.params_file import Params, read_params, write_params

if TYPE_CHECKING:
    from pathlib import Path

TUNED = {"rule": "infomax", "trials": 7, "study": "adda-mini"}
PARAMS = Params("adda", "fast", {"feature.lr": 1e-4, "pixel": None, "a": "x"}, TUNED, {"trial": 3})


def test_it_reads_back(tmp_path: Path) -> None:
    write_params(tmp_path / "new" / "params.json", PARAMS)
    assert read_params(tmp_path / "new" / "params.json") == PARAMS
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["params.json"]


plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False).filter(lambda x: abs(x) < 1e300)
)


@settings_of_hypothesis(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(
    settings=st.dictionaries(st.text(), plain | st.lists(plain)),
    about=st.dictionaries(st.text(), plain),
    trials=st.integers(1, 10**6),
)
def test_anything_that_json_holds_reads_back(
    settings: dict[str, Any],
    about: dict[str, Any],
    trials: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "params.json"
    params = Params("m", "smoke", settings, TUNED | {"trials": trials}, about)
    write_params(path, params)
    assert read_params(path) == params


def test_it_is_json_for_readers(tmp_path: Path) -> None:
    """Keys that others may rely on."""
    write_params(tmp_path / "p.json", PARAMS)
    content = json.loads((tmp_path / "p.json").read_text())
    assert list(content) == ["method", "preset", "settings", "tuned", "about"]
    assert content["tuned"] == TUNED


def test_about_is_for_readers_alone(tmp_path: Path) -> None:
    content = {k: v for k, v in vars(PARAMS).items() if k != "about"}
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert read_params(tmp_path / "p.json").about == {}


def changed(**changes: Any) -> str:
    return json.dumps({k: v for k, v in (vars(PARAMS) | changes).items() if v != "gone"})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed()[:-20], "cannot read the params file"),
        ("", "cannot read the params file"),
        ("\xff", "cannot read the params file"),
        ("[]", "expected a JSON object as bench tune writes it"),
        ("3", "expected a JSON object"),
        ("{}", "missing method, preset, settings, tuned. It is no file that bench tune wrote"),
        (changed(tuned="gone"), "missing tuned"),
        (changed(extra=1, more=2), "unknown extra, more"),
        (changed(method=3), "'method' has the wrong type: 3"),
        (changed(settings=["lr"]), "'settings' has the wrong type: ['lr']"),
        (changed(about=None), "'about' has the wrong type: None"),
        (changed(tuned={}), "tuned: missing rule, study, trials"),
        (changed(tuned=TUNED | {"trials": True}), "tuned: 'trials' has the wrong type: True"),
        (changed(tuned=TUNED | {"trials": "7"}), "tuned: 'trials' has the wrong type: '7'"),
        (changed(tuned=TUNED | {"by": "me"}), "tuned: unknown by"),
    ],
)
def test_a_file_that_no_search_wrote(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "params.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(BenchError) as error:
        read_params(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(BenchError, match=r"cannot read the params file \S+: [A-Z][ a-z]+$"):
            read_params(path)


@pytest.mark.parametrize(
    "tuned",
    [
        {"rule": "infomax", "trials": 0, "study": "mine"},
        {"rule": "<script>", "trials": 3, "study": "mine"},
        {"rule": "infomax", "trials": 3, "study": "a\nb"},
    ],
)
def test_what_a_search_says_of_itself_is_checked(tmp_path: Path, tuned: dict[str, Any]) -> None:
    path = tmp_path / "params.json"
    content = {"method": "lean", "preset": "smoke", "settings": {}, "tuned": tuned, "about": {}}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BenchError, match="expected the names of a rule and a study"):
        read_params(path)


def test_json_nested_beyond_reason_is_answered_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(BenchError, match="cannot read the params file"):
        read_params(path)
