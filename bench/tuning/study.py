"""Where a study keeps its trials: Optuna's storages, and who is working on which trial.

Optuna's word for one set of hyperparameters is *trial*; here it consists of runs, one for each
shift and seed.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

JOURNAL = "journal:"
"""What the storage's name begins with if it is a file of Optuna's journal."""

NEEDED = 4
"""Finished trials without which nothing can be said of importance."""

PATIENCE = 30
"""Seconds to wait for a database that another process has locked."""

RESTART = 60
"""Seconds to wait for a server that was there and is gone."""

RANDOM = 5
"""Trials drawn at random before the sampler learns from them."""


def open_study(
    name: str, storage: str, asked: Mapping[str, Any], pruner: optuna.pruners.BasePruner
) -> optuna.Study:
    """Create a study, or open it again.

    Args:
        name: the study's.
        storage: a database URL, or ``journal:FILE``.
        asked: all that makes its trials comparable, as plain data. What is asked of a study that
            exists already must be the same.
        pruner: decides which trials are hopeless.

    Raises:
        BenchError: the storage is locked, cannot be reached, is of another version or no storage
            at all; or the study there was asked for something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with storage_errors(storage), _unusable(storage):
        study = optuna.create_study(
            study_name=name,
            storage=_storage(storage),
            direction="maximize",
            pruner=pruner,
            load_if_exists=True,
        )
        before = study.user_attrs.get("asked")
        plain = json.loads(json.dumps(asked))
        if before is None:
            study.set_user_attr("asked", plain)
        elif before != plain:
            differing = [k for k in sorted({*before, *plain}) if before.get(k) != plain.get(k)]
            listed = "; ".join(
                f"{k}: {_shown(before.get(k))}, now {_shown(plain.get(k))}" for k in differing
            )
            message = (
                f"The study '{name}' was started with other values: {listed}."
                " Ask for the same, or give this one another name with --study."
            )
            raise BenchError(message)
    return study


def _shown(value: object) -> str:
    """Return what was asked, short: of shifts only the names."""
    if isinstance(value, list):
        return ", ".join(str(v.get("name", v) if isinstance(v, dict) else v) for v in value)
    return repr(value)


def _storage(storage: str) -> optuna.storages.BaseStorage:
    if storage.startswith(JOURNAL):
        return JournalStorage(JournalFileBackend(storage.removeprefix(JOURNAL)))
    local = storage.startswith("sqlite")
    options = {"connect_args": {"timeout": PATIENCE}} if local else {"pool_pre_ping": True}
    try:
        opened = RDBStorage(storage, engine_kwargs=options)
    except _database_errors() as error:
        if "already exists" not in str(error):
            raise
        # Two processes that began at once both made the tables: now they are there.
        opened = RDBStorage(storage, engine_kwargs=options)
    return opened if local else _patient(opened)


def _patient(storage: RDBStorage) -> RDBStorage:
    """Let a study outlive its server's restart: connect again for a while before giving up."""
    from sqlalchemy import event  # noqa: PLC0415

    @event.listens_for(storage.engine, "do_connect")
    def connect(dialect: Any, _: object, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        until = time.monotonic() + RESTART
        while True:
            try:
                return dialect.connect(*args, **kwargs)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    return storage


@contextlib.contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Turn what a database raises into a sentence; what is stored stays as it is.

    Raises:
        BenchError: instead.
    """
    try:
        yield
    except _database_errors() as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        cause = getattr(cause, "orig", None) or cause
        advice = "Nothing is lost: run the same command when it can be used, or give --storage."
        raise _failed(storage, str(cause), advice) from error


@contextlib.contextmanager
def _unusable(storage: str) -> Iterator[None]:
    """Turn what is raised when something cannot be opened as a storage into a sentence."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError  # noqa: PLC0415

    try:
        yield
    except ImportError as error:
        name = getattr(error.__cause__ or error.__context__ or error, "name", None)
        advice = "Install it with pip, or give another storage with --storage."
        raise _failed(storage, f"needs the package {name or 'of its driver'}", advice) from error
    except (ArgumentError, NoSuchModuleError) as error:
        advice = "Expected sqlite:///FILE, postgresql://USER@HOST/DATABASE or journal:FILE."
        raise _failed(storage, str(error), advice) from error
    except RuntimeError as error:
        if "version" not in str(error):
            raise
        raise _failed(storage, str(error), "Or give another one with --storage.") from error
    except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:
        advice = "Give another one with --storage."
        raise _failed(storage, f"cannot be read ({error})", advice) from error


def _database_errors() -> tuple[type[Exception], ...]:
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  a journal does without

    return SQLAlchemyError, optuna.exceptions.StorageInternalError


def _failed(storage: str, reason: str, advice: str) -> BenchError:
    lines = reason.strip().splitlines() or ["no reason given"]
    return BenchError(
        f"The study's storage {_without_password(storage)}: {lines[0].rstrip('.')}. {advice}"
    )


def _without_password(storage: str) -> str:
    """Return a storage's name as it may be shown."""
    scheme, separator, rest = storage.partition("://")
    user, at, place = rest.rpartition("@")
    if not separator or not at or ":" not in user:
        return storage
    return f"{scheme}://{user.partition(':')[0]}:***@{place}"


def importance(study: optuna.Study) -> dict[str, float]:
    """Return how much of the finished trials' variance each hyperparameter explains, 0..1.

    By functional ANOVA (Hutter et al., ICML 2014), as Optuna computes it; empty if too few
    trials finished, or all alike.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = {trial.value for trial in done}
    if len(done) < NEEDED or len(values) == 1 or not done[0].params:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


# ------------------------------------------------------------------ who works on what


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes that share the folder of locks from changing the list of trials."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "study.lock"):
        yield


def claim(
    study: optuna.Study,
    space: dict[str, BaseDistribution],
    wanted: int,
    folder: Path,
    sampler_seed: int,
) -> tuple[Trial, FileLock] | None:
    """Return the next trial and the lock that its owner holds; None if there are enough.

    A trial whose owner on this machine has died is taken up again, with the same values.

    Args:
        study: the study.
        space: what to choose from.
        wanted: trials that the study should have in the end.
        folder: for locks; shared by all processes of this machine that work on the study.
        sampler_seed: what the sampler's choices depend on, beside the trials so far.
    """
    with alone(folder):
        _take_over(study, folder)
        trials = counted(study)
        if len(trials) >= wanted:
            return None
        # Seeded by its number, so that a study that was stopped goes on as if it had not been.
        study.sampler = optuna.samplers.TPESampler(
            seed=(sampler_seed + len(trials)) % 2**32, n_startup_trials=RANDOM
        )
        trial = study.ask(fixed_distributions=space)
        lock = _lock(folder, trial.number)
        lock.acquire()
        trial.set_user_attr("owner", _owner(folder))
    return trial, lock


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were begun, without those that were done again after a crash."""
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get("again") for trial in trials}
    return [t for t in trials if t.state != TrialState.WAITING and t.number not in again]


def _take_over(study: optuna.Study, folder: Path) -> None:
    """Queue again what dead processes of this machine were working on."""
    for trial in counted(study):
        if trial.state == TrialState.RUNNING and _is_orphan(study, trial, folder):
            # What is queued says what it is for: a crash after this line doubles nothing.
            study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
    again = {t.user_attrs.get("again") for t in study.get_trials(deepcopy=False)}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.number in again:
            study.tell(trial.number, state=TrialState.FAIL)


def _is_orphan(study: optuna.Study, trial: FrozenTrial, folder: Path) -> bool:
    """Say whether a trial's owner worked with this folder of locks, and has died."""
    owner = trial.user_attrs.get("owner")
    if owner is None:
        # Somebody died between two lines of `claim`, or is there just now on another machine.
        began = trial.datetime_start
        return began is None or datetime.now() - began > timedelta(seconds=PATIENCE)  # noqa: DTZ005
    if owner != _owner(folder):
        return False
    lock = _lock(folder, trial.number)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    try:
        # Its owner may have ended it, and then let go of the lock, since it was seen to run.
        return study.get_trials(deepcopy=False)[trial.number].state == TrialState.RUNNING
    finally:
        lock.release()


def _owner(folder: Path) -> str:
    return f"{socket.gethostname()}:{folder.resolve()}"


def _lock(folder: Path, number: int) -> FileLock:
    return FileLock(folder / f"trial-{number}.lock")


def report(trial: Trial, value: float, at: int) -> bool:
    """Report a score of a running trial; return whether it is hopeless.

    A storage that cannot be used just now ends no training: then the answer is no.
    """
    passing: tuple[type[Exception], ...] = (*_database_errors(), OSError)
    try:
        trial.report(value, at)
        return trial.should_prune()
    except passing:
        return False
