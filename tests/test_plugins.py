"""Plug-ins: found by name or file, imported only when needed, and explained when they are wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bench import plugins
from bench.config import NUMERICS
from bench.data.domain import Scenes
from bench.errors import BenchError
from bench.plugins import (
    code_digest,
    describe,
    find_shift,
    find_source,
    kebab,
    load_domain,
    load_method,
    load_rule,
    load_suite,
    local_modules,
    names,
)
from bench.suites import DIGITS, MINI, Suite

PLUGINS = Path(__file__).parent / "plugins"

METHOD = """
    from __future__ import annotations
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Mine:
        \"\"\"A method of mine.\"\"\"
        lr: float = 0.1
        def fit(self, task, ctx):
            return ctx.network()
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


# ------------------------------------------------------------------ installed ones


def test_ours_are_registered_as_entry_points() -> None:
    assert set(names("method")) >= {
        *("source-only", "target-only", "dann", "deep-coral", "adda", "cycada")
    }
    assert set(names("domain")) >= {"mnist", "usps", "svhn", "handwritten", "printed"}
    assert set(names("suite")) >= {"mini", "digits", "digits-ablation"}


def test_listing_and_describing_import_neither_methods_nor_torch() -> None:
    code = """
        import sys
        from bench import plugins
        plugins.names("method"), plugins.describe("method"), plugins.describe("domain")
        plugins.describe("suite"), plugins.describe("rule")
        plugins.all_shifts(), plugins.find_shift("mnist2usps")
        heavy = {"torch", "numpy", "pandas", "matplotlib", "cycada", "baselines"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_every_description_has_a_line() -> None:
    for kind in ("method", "domain", "suite", "rule"):
        for known in describe(kind):  # type: ignore[arg-type]
            assert len(known.about) > 10, known
            assert not known.about.startswith("cannot be read"), known
            assert known.origin.startswith("cycada-bench ")


@pytest.mark.parametrize("name", names("method"))
def test_installed_methods_load(name: str) -> None:
    loaded = load_method(name)
    assert loaded.name == name
    assert re.fullmatch(r"builtin-\d+", loaded.code)


@pytest.mark.parametrize("name", names("domain"))
def test_installed_domains_load(name: str) -> None:
    domain = load_domain(name)
    assert isinstance(domain, Scenes) or domain.classes == 10


@pytest.mark.parametrize(
    ("load", "got", "said"),
    [
        (load_method, "cycda", "Unknown method 'cycda'. Did you mean 'cycada'?"),
        (load_domain, "minst", "Unknown domain 'minst'. Did you mean 'mnist'?"),
        (load_suite, "digit", "Unknown suite 'digit'. Did you mean 'digits'?"),
        (load_rule, "infomx", "Unknown rule 'infomx'. Did you mean 'infomax'?"),
        (find_shift, "mnist2usp", "Unknown shift 'mnist2usp'. Did you mean 'mnist2usps'?"),
        (find_shift, "zzz", "Available: game2camera, game2camvid, gta2cityscapes"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(load: object, got: str, said: str) -> None:
    with pytest.raises(BenchError) as caught:
        load(got)  # type: ignore[operator]
    assert said in str(caught.value)


def test_a_shift_is_found_in_any_suite_and_first_in_the_given_one() -> None:
    assert find_shift("svhn2mnist", MINI).backbone == "dtn"
    own = Suite("mine", "", (DIGITS.shifts[1],), ())
    assert find_shift("usps2mnist", own) is own.shifts[0]


# ------------------------------------------------------------------ files


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DeepCORAL", "deep-coral"),
        ("Mine", "mine"),
        ("MCDNet", "mcd-net"),
        ("DANN", "dann"),
        ("My_Method2", "my-method2"),
        ("V2Net", "v2-net"),
    ],
)
def test_a_class_name_becomes_a_command_line_name(name: str, expected: str) -> None:
    assert kebab(name) == expected


def test_a_file_with_a_method(tmp_path: Path) -> None:
    loaded = load_method(f"{write(tmp_path / 'mine.py', METHOD)}:Mine")
    assert loaded.name == "mine"
    assert re.fullmatch(rf"[0-9a-f]{{12}}-{NUMERICS}", loaded.code)
    assert loaded.cls().lr == 0.1


def test_a_relative_path_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "sub" / "mine.py", METHOD)
    monkeypatch.chdir(tmp_path)
    assert load_method("sub/mine.py:Mine").name == "mine"


def test_the_class_attribute_name_wins(tmp_path: Path) -> None:
    text = METHOD.replace("lr: float", "name = 'my-method'\n        lr: float")
    assert load_method(f"{write(tmp_path / 'a.py', text)}:Mine").name == "my-method"


def test_loading_twice_gives_one_class_until_the_file_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", METHOD)
    first = load_method(f"{path}:Mine")
    assert load_method(f"{path}:Mine").cls is first.cls
    write(path, METHOD.replace("0.1", "0.2"))
    second = load_method(f"{path}:Mine")
    assert (second.cls().lr, second.code != first.code) == (0.2, True)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (METHOD, "Mien", "Unknown method of mine.py 'Mien'. Did you mean 'Mine'? Available: Mine."),
        (METHOD, "", "does not say which method. Available: mine.py:Mine."),
        ("x = 1\n\nraise ValueError('no luck')\n", "Mine", "line 3 raised ValueError: no luck"),
        ("import no_such_package\n", "Mine", "line 1 raised ModuleNotFoundError"),
        ("x = 1\ndef f(:\n", "Mine", "line 2 raised SyntaxError"),
        ("import sys\nsys.exit(3)\n", "Mine", "line 2 raised SystemExit: 3"),
        ("Mine = 3\n", "Mine", "is a int, not a class"),
        ("class Mine:\n    pass\n", "Mine", "has no method fit"),
        ("class Mine:\n    def fit(self): ...\n", "Mine", "is not a frozen dataclass"),
        (METHOD.replace("(frozen=True)", ""), "Mine", "write @dataclass(frozen=True) above it"),
        (METHOD.replace("lr:", "learns_from = 'both'\n        lr:"), "Mine", "not 'both'"),
        (METHOD.replace("lr:", "name = 'My Method'\n        lr:"), "Mine", "cannot name a method"),
        (
            METHOD.replace("lr:", "name = 'cycada'\n        lr:"),
            "Mine",
            "as an installed method is",
        ),
    ],
)
def test_a_wrong_file_is_explained_in_one_line(
    tmp_path: Path, text: str, name: str, said: str
) -> None:
    path = write(tmp_path / "mine.py", text)
    with pytest.raises(BenchError) as caught:
        load_method(f"{path}:{name}" if name else str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"There is no file '.*gone\.py'"):
        load_method(f"{tmp_path}/gone.py:Mine")


# ------------------------------------------------------------------ what identifies the code


HELPED = METHOD.replace(
    "from dataclasses", "from helpers.losses import WEIGHT\n    from dataclasses"
)


def test_the_digest_covers_helpers_of_helpers_and_nothing_installed(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.py", "import torch, bench.api, cycada.method\n" + textwrap.dedent(HELPED)
    )
    write(tmp_path / "helpers" / "__init__.py", "")
    losses = write(
        tmp_path / "helpers" / "losses.py", "from . import numbers\nWEIGHT = numbers.ONE\n"
    )
    one = write(tmp_path / "helpers" / "numbers.py", "import json\nONE = 1\n")
    assert set(local_modules(path)) == {"helpers", "helpers.losses", "helpers.numbers"}
    before = code_digest(path)
    write(one, "import json\nONE = 2\n")
    after = code_digest(path)
    write(losses, losses.read_text() + "# changed\n")
    assert len({before, after, code_digest(path)}) == 3


def test_the_digest_does_not_depend_on_where_the_files_lie(tmp_path: Path) -> None:
    digests = set()
    for folder in (tmp_path / "a", tmp_path / "b"):
        write(folder / "helpers" / "__init__.py", "")
        write(folder / "helpers" / "losses.py", "WEIGHT = 1\n")
        digests.add(code_digest(write(folder / "mine.py", HELPED)))
    assert len(digests) == 1


def test_helpers_that_import_each_other_are_digested_once(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", "import ping_module\n")
    write(tmp_path / "ping_module.py", "import pong_module\nimport mine\n")
    write(tmp_path / "pong_module.py", "import ping_module\n")
    assert set(local_modules(path)) == {"ping_module", "pong_module"}


def test_two_plugins_with_helpers_of_one_name_keep_their_own(tmp_path: Path) -> None:
    text = METHOD.replace("from dataclasses", "from helper_of_mine import LR\n    from dataclasses")
    text = text.replace("= 0.1", "= LR")
    loaded = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        write(folder / "helper_of_mine.py", f"LR = {number}.0\n")
        loaded.append(load_method(f"{write(folder / 'mine.py', text)}:Mine"))
    assert [method.cls().lr for method in loaded] == [1.0, 2.0]
    assert loaded[0].code != loaded[1].code
    assert not [entry for entry in sys.path if entry.startswith(str(tmp_path))]


def test_a_helper_never_shadows_an_installed_module(tmp_path: Path) -> None:
    write(tmp_path / "hypothesis.py", "raise RuntimeError\n")
    text = METHOD.replace("from dataclasses", "import hypothesis\n    from dataclasses")
    assert load_method(f"{write(tmp_path / 'mine.py', text)}:Mine").name == "mine"


def test_a_source_is_found_without_importing_its_package() -> None:
    code = """
        import sys
        from bench.plugins import find_source
        assert find_source("cycada.method").name == "method.py"
        assert find_source("no_such.module") is None and find_source("cycada.no_such") is None
        assert "cycada" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    assert find_source("math") is None  # no Python source


# ------------------------------------------------------------------ another distribution


def test_another_package_registers_as_ours_do(tmp_path: Path) -> None:
    """A package with an entry point is listed, described and loaded; its code is its version."""
    write(tmp_path / "theirs" / "__init__.py", "raise RuntimeError('listing must not import me')")
    write(tmp_path / "theirs" / "mine.py", METHOD)
    info = tmp_path / "their_package-2.5.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: their-package\nVersion: 2.5\n")
    write(
        info / "entry_points.txt",
        "[bench.methods]\ntheir-method = theirs.mine:Mine\ntheir-gone = theirs.gone:Gone\n",
    )
    code = """
        import pathlib, re, sys
        from bench import plugins
        from bench.errors import BenchError
        known = {d.name: d for d in plugins.describe("method")}
        assert known["their-method"] == plugins.Description(
            "their-method", "A method of mine.", "their-package 2.5")
        assert known["their-gone"].about == ""
        try:
            plugins.load_method("their-method")
        except BenchError as error:
            assert "(theirs.mine:Mine) raised RuntimeError: listing" in str(error), error
        else:
            raise AssertionError
        pathlib.Path(sys.argv[1], "theirs", "__init__.py").write_text("")
        loaded = plugins.load_method("their-method")
        assert re.fullmatch("2[.]5[+][0-9a-f]{12}-[0-9]+", loaded.code), loaded.code
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        check=True,
        env={"PYTHONPATH": f"{tmp_path}:{Path(plugins.__file__).parent.parent}"},
    )


# ------------------------------------------------------------------ suites and domains in files


DOMAIN = """
    class {name}:
        classes = 3
        images = labels = None
"""
SUITE = """
    from bench.suites import Entry, Shift, Suite

    TOY = Suite(
        "toy",
        "A toy.",
        (Shift("a2b", "domains.py:SideA", "domains.py:SideB"),),
        (Entry("source-only", "source-only"),),
    )
"""


@pytest.fixture(autouse=True)
def _forget_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_FILE_DOMAINS", {})


def test_a_suite_in_a_file_brings_domains_along(tmp_path: Path) -> None:
    text = textwrap.dedent(DOMAIN.format(name="SideA")) + textwrap.dedent(
        DOMAIN.format(name="SideB")
    )
    write(tmp_path / "domains.py", text)
    suite = load_suite(f"{write(tmp_path / 'suite.py', SUITE)}:TOY")
    (shift,) = suite.shifts
    assert (shift.source, shift.target) == ("side-a", "side-b")  # no path: see RunConfig
    assert load_domain("side-a").classes == 3
    with pytest.raises(BenchError, match=r"Available: .*side-a, side-b"):
        load_domain("side-c")


def test_a_suite_of_the_wrong_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "suite.py", SUITE + "\n    OTHER = 3\n")
    with pytest.raises(BenchError, match=r"must be a bench\.suites\.Suite, but is a int"):
        load_suite(f"{path}:OTHER")
    with pytest.raises(BenchError, match="Available: TOY"):
        load_suite(f"{path}:TOYS")


def test_a_suite_of_names_alone(tmp_path: Path) -> None:
    text = "from bench.suites import Suite\nS = Suite('s', '', ('mnist2usps',), ())\n"
    with pytest.raises(BenchError, match=r"shifts must be a tuple of Shift\(\.\.\.\), got"):
        load_suite(f"{write(tmp_path / 'suite.py', text)}:S")
    text = "from bench.suites import Suite\nS = Suite('s', '', (), ['cycada'])\n"
    with pytest.raises(BenchError, match=r"entries must be a tuple of Entry\(\.\.\.\), got"):
        load_suite(f"{write(tmp_path / 'suite.py', text)}:S")


def test_a_domain_without_its_parts(tmp_path: Path) -> None:
    path = write(tmp_path / "d.py", "class Half:\n    classes = 3\n")
    with pytest.raises(BenchError, match="but it has no images, labels"):
        load_domain(f"{path}:Half")


def test_a_domain_that_raises(tmp_path: Path) -> None:
    text = textwrap.dedent(DOMAIN.format(name="Bad")) + "    def __init__(self): 1 / 0\n"
    with pytest.raises(BenchError, match=r"line 5 raised ZeroDivisionError"):
        load_domain(f"{write(tmp_path / 'd.py', text)}:Bad")


def test_two_domains_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        text = DOMAIN.format(name="SideA") + DOMAIN.format(name="SideB")
        write(tmp_path / folder / "domains.py", text)
        write(tmp_path / folder / "suite.py", SUITE)
    load_suite(f"{tmp_path}/one/suite.py:TOY")
    with pytest.raises(BenchError, match="Two domains are called 'side-a'"):
        load_suite(f"{tmp_path}/two/suite.py:TOY")


def test_no_rule_but_the_oracle_may_claim_to_look_at_target_labels(tmp_path: Path) -> None:
    path = tmp_path / "rules.py"
    path.write_text(
        "from bench.select import Rule\n"
        "CHEAT = Rule('cheat', 'Peeks.', lambda e: 0.0, looks_at_target_labels=True)\n",
        encoding="utf-8",
    )
    with pytest.raises(BenchError, match="only 'oracle' may"):
        plugins.load_rule(f"{path}:CHEAT")
