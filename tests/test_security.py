"""What SECURITY.md promises: files are data, and code runs only if somebody named it."""

from __future__ import annotations

import ast
import bz2
import gzip
import io
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pytest
import torch
from optuna.storages.journal import JournalFileBackend
from torch import nn

from bench import plugins
from bench.backbones import _KNOWN
from bench.backbones.weights import read as read_weights
from bench.data.domain import DataFile
from bench.data.frames import Frames, cached, read_image
from bench.data.manage import files_of
from bench.data.store import md5_of, read
from bench.errors import BenchError, MissingDataError
from bench.evidence import read as read_evidence
from bench.records import read_confusions
from bench.score import read_map
from bench.snapshots import read_snapshot
from bench.stages import StageStore
from bench.tuning.study import open_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for package in ("bench", "cycada", "baselines", "leaderboards")
    for path in (ROOT / package).rglob("*.py")
)

# ------------------------------------------------------------------ what stands in the source

FORBIDDEN = {
    *(
        "marshal",
        "shelve",
        "dill",
        "cloudpickle",
        "joblib",
        "yaml",
        "tarfile",
        "xml",
        "ctypes",
        "commands",
    ),
    *("xmlrpc", "telnetlib", "ftplib", "pty", "code"),
}
"""Modules that run, or may run, what they read."""

UNSAFE = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.spawnl"),
    *("pd.read_pickle", "pandas.read_pickle", "pd.eval", "shutil.unpack_archive", "np.fromregex"),
    *("torch.hub.load", "hub.load", "torch.jit.load", "torch.package.PackageImporter"),
}
EXTRACTS = {"extract", "extractall", "unpack_archive"}

REQUIRED = {
    "np.load": {"allow_pickle": False},
    "numpy.load": {"allow_pickle": False},
    "torch.load": {"weights_only": True},
    "hub.load_state_dict_from_url": {"weights_only": True, "check_hash": True},
    "torch.hub.load_state_dict_from_url": {"weights_only": True, "check_hash": True},
    "Environment": {"autoescape": True},
}
"""Arguments without which a call does more than it should."""

PLAIN_HTTP = {
    "http://yann.lecun.com/exdb/mnist/",
    "http://ufldl.stanford.edu/housenumbers/",
    "http://dl.yf.io/drn/drn_c_26-ddedf421.pth",
}
"""Where nothing better is known to be served; SECURITY.md names them."""


def faults(source: str) -> list[str]:
    """Return what a module does that it must not, by line."""
    return sorted(f"line {line}: {what}" for line, what in _faults(ast.parse(source)))


def _faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (
                (node.lineno, n.name) for n in node.names if n.name.split(".")[0] in FORBIDDEN
            )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            base = (node.module or "").split(".")[0]
            if base in FORBIDDEN | {"pickle"} or (
                base == "os" and {"system", "popen"} & {n.name for n in node.names}
            ):
                yield node.lineno, f"from {node.module}"
        elif isinstance(node, ast.Attribute):
            # The exception of weights_only is called so; nothing else of the module is for us.
            if ast.unparse(node.value) == "pickle" and node.attr != "UnpicklingError":
                yield node.lineno, f"pickle.{node.attr}"
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in _unsafe(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            urls = re.findall(r"(?:http|ftp)://[^\s)\"'{]+", node.value)
            yield from ((node.lineno, url) for url in urls if url not in PLAIN_HTTP)


def _unsafe(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if name in UNSAFE or (isinstance(call.func, ast.Attribute) and call.func.attr in EXTRACTS):
        yield name
    for word, value in REQUIRED.get(name, {}).items():
        if given.get(word) != str(value):
            yield f"{name} without {word}={value}"
    if name == "Image.open" and "formats" not in given:  # one of Pillow's formats runs a program
        yield "Image.open without formats"
    if given.get("shell", "False") != "False":
        yield f"{name} with a shell"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_runs_what_it_reads(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        *(
            "import marshal",
            "import yaml",
            "import xml.etree.ElementTree",
            "from pickle import loads",
        ),
        *(
            "import pickle\npickle.loads(b'')",
            "import pickle as p\nfrom joblib import load",
            "eval('1')",
        ),
        *(
            "exec(text)",
            "os.system('ls')",
            "from os import system",
            "subprocess.run(x, shell=True)",
        ),
        *(
            "np.load(path)",
            "np.load(path, allow_pickle=True)",
            "torch.load(path)",
            "torch.load(p, weights_only=False)",
        ),
        *(
            "hub.load_state_dict_from_url(u, weights_only=True)",
            "archive.extractall()",
            "shutil.unpack_archive(p)",
        ),
        *(
            "Image.open(path)",
            "Environment(autoescape=False)",
            "url = 'http://example.org/x'",
            "import tarfile",
        ),
    ],
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert faults(line)


def test_programs_are_started_with_lists_and_by_the_harness_alone() -> None:
    """`git` for provenance; other Pythons for parallel trials."""
    who = [
        path.name
        for path in SOURCES
        if re.search(
            r"^\s*(?:import|from) subprocess", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    assert set(who) == {"environment.py", "record_parts.py"}
    for name in who:
        assert "shell=" not in (ROOT / "bench" / name).read_text(encoding="utf-8")


def test_everything_that_is_downloaded_has_a_checksum() -> None:
    for name in plugins.names("domain"):
        for file in files_of(plugins.load_domain(name)):
            assert re.fullmatch("[0-9a-f]{32}", file.md5)
            for url in file.urls:
                assert url.startswith(("https://", *PLAIN_HTTP))
    for known in _KNOWN.values():  # torch compares the digits in the name with the SHA-256
        assert known.imagenet is None or re.search(r"-[0-9a-f]{8}\.pth$", known.imagenet)


# ------------------------------------------------------------------ files that would run


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


def _archived(content: object, name: str = "archive/data.pkl") -> bytes:
    """Return a zip file of torch's form around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, pickle.dumps(content, 2))
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def _array(content: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([content], dtype=object), allow_pickle=True)
    return file.getvalue()


def _member(content: object) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("checkpoint-00000005.npy", _array(content))
    return file.getvalue()


FORMS: dict[str, Callable[[object], bytes]] = {
    "pickle": pickle.dumps,
    "torch": _archived,
    "array": _array,
    "npz": _member,
}


def _stage(folder: Path, content: bytes) -> object:
    (folder / "k").mkdir()
    (folder / "k" / "stage.json").write_text(
        '{"key": "k", "steps": 1, "seconds": 1.0, "stop": null}'
    )
    (folder / "k" / "metrics.jsonl").write_text("")
    (folder / "k" / "weights.safetensors").write_bytes(content)
    return StageStore(folder).load("k", nn.Linear(1, 1))


def _named(name: str, read: Callable[[Path], object], folder: Path, content: bytes) -> object:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return read(path)


def _cache(folder: Path, content: bytes) -> object:
    from functools import partial

    from PIL import Image

    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(folder / "a.png")
    read = partial(read_image, size=(2, 2), channels=3)
    frames = Frames([folder / "a.png"], read, (3, 2, 2))
    (folder / f"{frames.digest()}.npy").write_bytes(content)
    (folder / f"{frames.digest()}.json").write_text(
        f'{{"digest": "{frames.digest()}", "crc32": [0]}}'
    )
    return cached(frames, folder).index_select(0, torch.tensor([0])).sum()


READERS: dict[str, Callable[[Path, bytes], object]] = {
    "weights.pth": lambda folder, content: _named("w.pth", read_weights, folder, content),
    "weights.safetensors": lambda folder, content: _named(
        "w.safetensors", read_weights, folder, content
    ),
    "snapshot": lambda folder, content: _named(
        "loop-0.pt", lambda path: read_snapshot(path, torch.device("cpu")), folder, content
    ),
    "stage": _stage,
    "confusion.npz": lambda folder, content: _named(
        "confusion.npz", lambda path: read_confusions(path.parent), folder, content
    ),
    "outputs": lambda folder, content: _named(
        "outputs.safetensors", lambda path: read_evidence(path.parent), folder, content
    ),
    "prediction": lambda folder, content: _named(
        "predictions/a/00000.png", lambda path: read_map(path.parents[2], "a", 0), folder, content
    ),
    "decoded cache": _cache,
    "journal": lambda folder, content: _named(
        "s.log",
        lambda path: open_study("a", f"journal:{path}", {}, optuna.pruners.NopPruner()),
        folder,
        content,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_files_would_run(form: str, tmp_path: Path) -> None:
    """Else the test below proves nothing."""
    content = FORMS[form](Hostile(tmp_path / "mark"))
    file = tmp_path / "file"
    file.write_bytes(content)
    if form == "torch":
        with zipfile.ZipFile(file) as archive:
            pickle.loads(archive.read("archive/data.pkl"))  # noqa: S301
    elif form == "npz":
        np.load(file, allow_pickle=True)["checkpoint-00000005"]
    else:
        np.load(file, allow_pickle=True)
    assert (tmp_path / "mark").is_dir()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", READERS)
def test_nothing_that_is_read_is_run(reader: str, form: str, tmp_path: Path) -> None:
    content = FORMS[form](Hostile(tmp_path / "mark"))
    try:
        found = READERS[reader](tmp_path, content)
    except (BenchError, OSError):  # OSError: a prediction of our own that is no picture
        found = None
    assert found is None or int(found) == 0  # type: ignore[call-overload]  the cache, made anew
    assert not (tmp_path / "mark").exists()


def test_a_picture_is_no_program_for_ghostscript(tmp_path: Path) -> None:
    (tmp_path / "predictions/a").mkdir(parents=True)
    (tmp_path / "predictions/a/00000.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n%%EndComments\n"
    )
    with pytest.raises(OSError, match="cannot identify"):
        read_map(tmp_path, "a", 0)


def test_a_journal_of_optuna_is_json_and_not_a_pickle() -> None:
    """Optuna pickles what storages with snapshots keep; files of journals keep none."""
    assert not hasattr(JournalFileBackend, "load_snapshot")


# ------------------------------------------------------------------ archives


def test_an_archive_decides_about_no_path(tmp_path: Path) -> None:
    """A gzip file may name what it holds, and a zip file its members."""
    plain = b"content"
    packed = io.BytesIO()
    with gzip.GzipFile("../../evil", "wb", fileobj=packed) as archive:
        archive.write(plain)
    file = DataFile("a/b", md5_of(plain), len(plain), packed_md5=md5_of(packed.getvalue()))
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "root/a/b.gz").write_bytes(packed.getvalue())
    assert read(tmp_path / "root", file, "toy") == plain
    with zipfile.ZipFile(tmp_path / "root/confusion.npz", "w") as members:
        members.writestr("../../checkpoint-00000005.npy", b"x")
    with pytest.raises(BenchError, match="is no confusion matrix"):
        read_confusions(tmp_path / "root")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "b.gz",
        "confusion.npz",
    ]


def test_an_archive_is_unpacked_no_further_than_it_should_be(tmp_path: Path) -> None:
    file = DataFile("a", md5_of(b"content"), 7, packed_md5="0" * 32)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(2**20)))
    with pytest.raises(MissingDataError, match="truncated or damaged: expected 7 bytes"):
        read(tmp_path, file, "toy")
    from bench.data.usps import MOST_BYTES, read_svmlight

    with pytest.raises(MissingDataError, match=f"at most {MOST_BYTES:,} bytes"):
        read_svmlight(bz2.compress(b"1 " + bytes(2**20)) * (MOST_BYTES // 2**20 + 1))


# ------------------------------------------------------------------ code that nobody named

PLANTED = (
    "mine.py",
    "torch.py",
    "numpy.py",
    "bench.py",
    "method.py",
    "sitecustomize.py",
    "conftest.py",
)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Return a folder of modules, each of which leaves a mark when it is imported."""
    for name in PLANTED:
        mark = tmp_path / f"{name}.mark"
        (tmp_path / name).write_text(f"import os\nos.mkdir({str(mark)!r})\n", encoding="utf-8")
    (tmp_path / "runs").mkdir()
    return tmp_path


def bench(folder: Path, *arguments: str) -> int:
    """Run a command in a folder, as the installed script does: that folder is on no path."""
    command = [sys.executable, "-P", "-m", "bench.cli", *arguments]
    environment = os.environ | {"BENCH_DATA": str(folder), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, check=False
    ).returncode


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "methods"),
        ("list", "domains"),
        ("data", "status"),
        ("runs", "list"),
        ("leaderboard", "--suite", "digits"),
        ("run", "--dry-run", "--preset", "smoke"),
        ("check", "mine"),
    ],
    ids=" ".join,
)
def test_files_that_nobody_named_are_not_imported(
    arguments: tuple[str, ...], planted: Path
) -> None:
    bench(planted, *arguments)
    assert [path.name for path in planted.glob("*.mark")] == []


def test_a_file_that_somebody_named_is(planted: Path) -> None:
    assert bench(planted, "check", "mine.py:Mine") != 0
    assert [path.name for path in planted.glob("*.mark")] == ["mine.py.mark"]
