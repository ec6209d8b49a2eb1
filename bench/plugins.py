"""Methods, domains, suites and selection rules: entry points, and ``path/to/file.py:Name``.

Listing and describing read source text and import nothing heavy; only loading does. Ours register
in the same entry points as anybody's: ``bench.methods``, ``bench.domains``, ``bench.suites`` and
``bench.rules``.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
import re
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bench.config import NUMERICS
from bench.errors import BenchError, unknown
from bench.select import ORACLE, Rule
from bench.suites import Entry, Shift, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.data.domain import Domain, Scenes

Kind = Literal["method", "domain", "suite", "rule"]
T = TypeVar("T")

_OURS = {"bench", "cycada", "baselines", "leaderboards"}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DOMAIN_PARTS = ("classes", "images", "labels")
_SCENES_PARTS = ("scenes", "raw_labels", "indices", "inspect", "prepare")
_FILE_DOMAINS: dict[str, tuple[str, type[Domain | Scenes]]] = {}
"""Domains that suites in files brought along: by name, where from, and the class."""


@dataclass(frozen=True)
class Description:
    """One line of ``bench list``: a name, the first line of its documentation, who ships it."""

    name: str
    about: str
    origin: str


@dataclass(frozen=True)
class LoadedMethod:
    """A method, ready to be configured.

    Attributes:
        name: as in tables and run ids.
        cls: the frozen dataclass.
        code: what identifies its code: "builtin-<numerics version>" for ours; 12 hexadecimal
            digits over its own modules for a file; version and such digits for a package's.
    """

    name: str
    cls: type
    code: str


# ------------------------------------------------------------------ names


def names(kind: Kind) -> list[str]:
    """Return the installed names of a kind, sorted, without importing any.

    >>> "cycada" in names("method")
    True
    """
    return sorted(_entry_points(kind))


def describe(kind: Kind) -> list[Description]:
    """Describe everything installed of a kind, without importing methods or domains."""
    described = []
    for name, entry in sorted(_entry_points(kind).items()):
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
        try:
            if kind == "suite":
                about = load_suite(name).about
            else:
                about = load_rule(name).about if kind == "rule" else _first_line(entry)
        except (BenchError, OSError, SyntaxError) as error:
            about = f"cannot be read: {error}"
        described.append(Description(name, about, origin))
    return described


def kebab(name: str) -> str:
    """Return a class name as a name for the command line.

    >>> kebab("DeepCORAL"), kebab("MCDNet2")
    ('deep-coral', 'mcd-net2')
    """
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", "-", name)
    return split.strip("-").lower()


# ------------------------------------------------------------------ loading


def load_method(spec: str) -> LoadedMethod:
    """Load a method by its installed name or as ``path/to/file.py:Class``.

    A file's method is called by its class attribute ``name``, else by its class' name in
    kebab-case. A file may import modules beside it, at its top.

    Raises:
        BenchError: no such name, file or class; the code raises when imported; or the class is
            not a frozen dataclass with a method ``fit(self, task, ctx)``.
    """
    if not _is_file(spec):
        entry = _find_entry("method", spec)
        cls = _load_entry(entry)
        check_class(cls, spec)
        return LoadedMethod(spec, cls, _code_of_entry(entry))
    # Its numbers depend on the harness as well: our numerics version is part of its code.
    path, found = _load_from_file(spec, "method", _looks_like_method)
    check_class(found, spec)
    return LoadedMethod(_own_name(found, "method", spec), found, f"{code_digest(path)}-{NUMERICS}")


def load_domain(spec: str) -> Domain | Scenes:
    """Load a domain by its name or as ``path/to/file.py:Class``.

    Raises:
        BenchError: as `load_method`; a domain is a class that needs no arguments and has
            `classes`, `images` and `labels` (see `bench.data.domain.Domain`).
    """
    if spec in _FILE_DOMAINS:
        return _FILE_DOMAINS[spec][1]()
    path: Path | None
    if _is_file(spec):
        path, cls = _load_from_file(spec, "domain", _looks_like_domain)
    else:
        entry = _find_entry("domain", spec, _FILE_DOMAINS)
        path, cls = find_source(entry.module), _load_entry(entry)
    # Who has one part of a domain of large images meant to write one.
    parts = _SCENES_PARTS if hasattr(cls, "scenes") else _DOMAIN_PARTS
    missing = [part for part in parts if not hasattr(cls, part)]
    if not isinstance(cls, type) or missing:
        lacks = f", but it has no {', '.join(missing)}" if missing else ""
        message = (
            f"Domain '{spec}' must be a class with {', '.join(parts[:-1])} and {parts[-1]}{lacks}."
        )
        raise BenchError(message)
    domain: Domain | Scenes = guarded(cls, f"{spec}()", path)
    return domain


def load_suite(spec: str) -> Suite:
    """Load a suite by its name or as ``path/to/file.py:NAME``.

    The shifts of a suite in a file may name domains as ``file.py:Class``, relative to the suite's
    file or to the working directory. They come back with the domains' own names, which
    `load_domain` knows from then on: where files lie must not change a run's id.
    """
    if _is_file(spec):
        path, found = _load_from_file(spec, "suite", lambda value: isinstance(value, Suite))
    else:
        found = _load_entry(_find_entry("suite", spec))
    if not isinstance(found, Suite):
        message = f"Suite '{spec}' must be a bench.suites.Suite, but is a {type(found).__name__}."
        raise BenchError(message)
    _check_suite(found, spec)
    if not _is_file(spec):
        return found
    shifts = tuple(
        dataclasses.replace(
            shift,
            source=_register_domain(shift.source, path.parent),
            target=_register_domain(shift.target, path.parent),
        )
        for shift in found.shifts
    )
    return dataclasses.replace(found, shifts=shifts)


def load_rule(spec: str) -> Rule:
    """Load a selection rule by its name or as ``path/to/file.py:NAME``.

    Raises:
        BenchError: there is none, it is no `bench.select.Rule`, or its name is taken.

    >>> load_rule("infomax").looks_at_target_labels
    False
    """
    if _is_file(spec):
        _, found = _load_from_file(spec, "rule", lambda value: isinstance(value, Rule))
    else:
        found = _load_entry(_find_entry("rule", spec))
    if not isinstance(found, Rule):
        message = f"Rule '{spec}' must be a bench.select.Rule, but is a {type(found).__name__}."
        raise BenchError(message)
    if not isinstance(found.name, str):
        message = f"Rule '{spec}' must have a name of text, got {found.name!r}."
        raise BenchError(message)
    if not _is_file(spec) and found.name != spec:
        # Records would keep its scores under one name and look them up under the other.
        message = f"The rule '{spec}' calls itself '{found.name}'; give both one name."
        raise BenchError(message)
    if found.looks_at_target_labels and found is not ORACLE:
        message = f"Rule '{spec}' says that it looks at target labels; only 'oracle' may."
        raise BenchError(message)
    if _is_file(spec):
        _check_own_name(found.name, "rule", spec)
        if found.score is None:
            message = f"Rule '{spec}' has no score: Rule(name, about, score) needs all three."
            raise BenchError(message)
    return found


def _check_suite(suite: Suite, spec: str) -> None:
    for part, kind in (("shifts", Shift), ("entries", Entry)):
        values = getattr(suite, part)
        if not isinstance(values, tuple) or not all(isinstance(v, kind) for v in values):
            message = (
                f"Suite '{spec}': {part} must be a tuple of {kind.__name__}(...), got {values!r}."
            )
            raise BenchError(message)
    for shift in suite.shifts:
        if not _NAME.fullmatch(shift.name):
            message = (
                f"Suite '{spec}': '{shift.name}' cannot name a shift: use a-z, 0-9 and single"
                " hyphens."
            )
            raise BenchError(message)


def find_shift(name: str, suite: Suite | None = None) -> Shift:
    """Return the shift `name` of `suite`, else of any installed suite.

    Raises:
        BenchError: there is none, or two installed suites mean different things by it.
    """
    for shift in suite.shifts if suite else ():
        if shift.name == name:
            return shift
    found = {shift for shift in all_shifts() if shift.name == name}
    if len(found) > 1:
        message = f"Two installed suites define the shift '{name}' differently; add --suite."
        raise BenchError(message)
    if not found:
        known = {shift.name for shift in (*all_shifts(), *(suite.shifts if suite else ()))}
        raise unknown("shift", name, known)
    return found.pop()


def all_shifts() -> list[Shift]:
    """Return the different shifts of all installed suites, in the order of the suites' names."""
    shifts = [shift for name in names("suite") for shift in load_suite(name).shifts]
    return list(dict.fromkeys(shifts))


def _register_domain(spec: str, folder: Path) -> str:
    if not _is_file(spec):
        return spec
    beside = str(folder / spec)
    spec = beside if _split(beside)[0].exists() else str(Path(spec).resolve())
    cls = type(load_domain(spec))
    name = _own_name(cls, "domain", spec)
    if name in _FILE_DOMAINS and _FILE_DOMAINS[name][0] != spec:
        both = f"{_FILE_DOMAINS[name][0]} and {spec}"
        message = f"Two domains are called '{name}': {both}. Set `name` in one of the classes."
        raise BenchError(message)
    _FILE_DOMAINS[name] = (spec, cls)
    return name


def _own_name(cls: type, kind: Kind, spec: str) -> str:
    name = getattr(cls, "name", None)
    name = name if isinstance(name, str) else kebab(cls.__name__)
    _check_own_name(name, kind, spec)
    return name


def _check_own_name(name: str, kind: Kind, spec: str) -> None:
    if not _NAME.fullmatch(name):
        message = f"'{name}' in {spec} cannot name a {kind}: use a-z, 0-9 and single hyphens."
        raise BenchError(message)
    if name in _entry_points(kind):
        message = (
            f"{spec} is called '{name}', as an installed {kind} is; tables could not tell them"
            f" apart. Give it another name: name = 'my-{name}'."
        )
        raise BenchError(message)


# ------------------------------------------------------------------ entry points


def _entry_points(kind: Kind) -> dict[str, metadata.EntryPoint]:
    found: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=f"bench.{kind}s"):
        if found.setdefault(entry.name, entry).value != entry.value:
            both = f"{found[entry.name].value} and {entry.value}"
            message = f"Two packages register the {kind} '{entry.name}': {both}. Uninstall one."
            raise BenchError(message)
    return found


def _find_entry(kind: Kind, name: str, also: Iterable[str] = ()) -> metadata.EntryPoint:
    entries = _entry_points(kind)
    if name not in entries:
        raise unknown(kind, name, {*entries, *also})
    return entries[name]


def _load_entry(entry: metadata.EntryPoint) -> Any:  # noqa: ANN401  checked by the caller
    return guarded(entry.load, f"{entry.name} ({entry.value})", find_source(entry.module))


def _code_of_entry(entry: metadata.EntryPoint) -> str:
    if entry.module.partition(".")[0] in _OURS:
        return f"builtin-{NUMERICS}"
    source = find_source(entry.module)
    version = entry.dist.version if entry.dist else "0"
    return f"{version}+{code_digest(source)}-{NUMERICS}" if source else f"{version}-{NUMERICS}"


def _first_line(entry: metadata.EntryPoint) -> str:
    """Return the first line of a class' docstring, from its source text."""
    path = find_source(entry.module)
    if path is None:
        return ""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef) and node.name == entry.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


# ------------------------------------------------------------------ files


def _is_file(spec: str) -> bool:
    return spec.endswith(".py") or ".py:" in spec


def _split(spec: str) -> tuple[Path, str]:
    path, name = (spec, "") if spec.endswith(".py") else spec.rsplit(":", 1)
    return Path(path).expanduser(), name


def _load_from_file(spec: str, kind: Kind, fits: Callable[[object], bool]) -> tuple[Path, Any]:
    path, name = _split(spec)
    if not path.is_file():
        message = f"There is no file '{path}'; expected a {kind} as path/to/file.py:Name."
        raise BenchError(message)
    path = path.resolve()
    module = guarded(lambda: _import_file(path), str(path), path)
    own = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    if name not in own:
        candidates = [key for key, value in own.items() if fits(value)]
        if not name:
            listed = ", ".join(f"{path.name}:{key}" for key in candidates) or "none in this file"
            message = f"'{spec}' does not say which {kind}. Available: {listed}."
            raise BenchError(message)
        raise unknown(f"{kind} of {path.name}", name, candidates)
    return path, own[name]


def _import_file(path: Path) -> Any:  # noqa: ANN401  a module's attributes are anything
    """Import a file as a module of its own; modules beside it can be imported at its top."""
    code = code_digest(path)
    name = f"bench_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{code}"
    if name in sys.modules:
        return sys.modules[name]
    # Two plug-ins may each have a helper of the same name; the other one's must not serve here.
    for helper, source in local_modules(path).items():
        loaded = getattr(sys.modules.get(helper), "__file__", None)
        if loaded is not None and Path(loaded).resolve() != source:
            del sys.modules[helper]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    sys.path.append(str(path.parent))  # last, so that nothing installed is ever shadowed
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.parent))
    return module


def guarded(load: Callable[[], T], what: str, path: Path | None = None) -> T:
    """Call `load`; whatever a plug-in raises becomes one sentence with its line.

    Args:
        load: runs somebody else's code.
        what: names it in the sentence.
        path: the file that the line is in; None for wherever it was raised.

    Raises:
        BenchError: `load` raised anything but a KeyboardInterrupt; a BenchError comes as it is.
    """
    try:
        return load()
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        inside = [frame for frame in frames if path is None or frame.filename == str(path)]
        line = inside[-1].lineno if inside else None
        if isinstance(error, SyntaxError):
            line = error.lineno
        where = f", line {line}" if line else ""
        if path is None and inside:
            where = f" ({Path(inside[-1].filename).name}{where})"
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        detail = text.strip().partition("\n")[0]
        message = f"Loading {what}{where} raised {type(error).__name__}: {detail}"
        raise BenchError(message) from error


def check_class(cls: object, spec: str) -> None:
    """Raise BenchError unless `cls` is a frozen dataclass with a method `fit`."""
    asked = "a method is a frozen dataclass with fit(self, task, ctx)"
    if not isinstance(cls, type):
        message = f"'{spec}' is a {type(cls).__name__}, not a class; {asked}."
    elif not callable(getattr(cls, "fit", None)):
        message = f"'{spec}' has no method fit; {asked}."
    elif not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        message = f"'{spec}' is not a frozen dataclass; write @dataclass(frozen=True) above it."
    elif getattr(cls, "learns_from", "source") not in ("source", "target"):
        message = f"'{spec}': learns_from must be 'source' or 'target', not {cls.learns_from!r}."  # type: ignore[attr-defined]
    else:
        return
    raise BenchError(message)


def _looks_like_method(value: object) -> bool:
    return isinstance(value, type) and dataclasses.is_dataclass(value) and hasattr(value, "fit")


def _looks_like_domain(value: object) -> bool:
    return isinstance(value, type) and any(
        all(hasattr(value, part) for part in parts) for parts in (_DOMAIN_PARTS, _SCENES_PARTS)
    )


# ------------------------------------------------------------------ source text


def code_digest(path: Path) -> str:
    """Return 12 hexadecimal digits over a file and all it imports that is not installed."""
    sha = hashlib.sha256(path.read_bytes())
    for name, source in sorted(local_modules(path).items()):
        sha.update(f"\0{name}\0".encode() + source.read_bytes())
    return sha.hexdigest()[:12]


def local_modules(path: Path) -> dict[str, Path]:
    """Return the modules that `path` imports, directly or not, that belong to no package.

    Those in site-packages or the standard library, and ours, are left out: their versions stand
    for them. Nothing is imported to find out.
    """
    where = [*sys.path, str(path.parent)]
    found: dict[str, Path] = {}
    waiting: list[tuple[str, Path]] = [("", path)]
    while waiting:
        package, file = waiting.pop()
        for name in _imports(ast.parse(file.read_bytes(), str(file)), package):
            source = find_source(name, where)
            if name in found or source is None or source == path or not _is_local(name, source):
                continue
            found[name] = source
            parent = name if source.name == "__init__.py" else name.rpartition(".")[0]
            waiting.append((parent, source))
    return found


def find_source(module: str, where: Sequence[str] | None = None) -> Path | None:
    """Return the Python file of a module, also of one inside a package, without importing any."""
    locations, path = where, None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), locations)
        if spec is None:
            return None
        locations = list(spec.submodule_search_locations or [])
        path = Path(spec.origin).resolve() if spec.origin and spec.has_location else None
    return path if path and path.suffix == ".py" else None


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the full names of all modules that a module of `package` may import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            full = [f"{base}.{alias.name}" for alias in node.names if base]
        else:
            continue
        for name in full:
            parts = name.split(".")
            yield from (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))


def _is_local(name: str, source: Path) -> bool:
    paths = [sysconfig.get_path(key) for key in ("stdlib", "purelib", "platlib")]
    outside = not any(source.is_relative_to(Path(path).resolve()) for path in paths)
    return outside and "site-packages" not in source.parts and name.partition(".")[0] not in _OURS
