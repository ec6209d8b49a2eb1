"""What finished runs scored, many at once: arrays with a value a run, NaN for none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import select
from bench.agreement import choices, rank_correlations
from bench.confusions import counted, packed
from bench.errors import BenchError
from bench.evidence import scores_by
from bench.headline import class_ious, class_names, figures_of_each, ranked_by
from bench.records import confusions_of
from bench.stored import brief_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bench.confusions import Packed
    from bench.select import Rule
    from bench.stored import Brief, Run

    Floats = NDArray[np.float64]
    Columns = dict[str, Floats]


@dataclass(frozen=True, eq=False)
class Measured:
    """What n finished runs scored; columns by name are float64 (n,).

    Attributes:
        errors: why a run has no scores, by its place; in every column it is NaN.
        steps: training step of the checkpoint that the rule chose.
        stage_names: of each run, the stages whose own network was scored, in order of training.
        figures: of that checkpoint, by metric.
        classes: its IoU by class, of segmentation only.
        stages: figure of each stage's own network.
        picked: by rule, the figure of the checkpoint that it would have picked; of runs that kept
            scores by rules.
        correlation: by rule, the rank correlation of its scores of a run's checkpoints with their
            figures.
        judged: by rule, its score of the last checkpoint, whose figure is that of the rule `last`.
    """

    errors: dict[int, str]
    steps: Floats
    stage_names: list[tuple[str, ...]]
    figures: Columns = field(default_factory=dict)
    classes: Columns = field(default_factory=dict)
    stages: Columns = field(default_factory=dict)
    picked: Columns = field(default_factory=dict)
    correlation: Columns = field(default_factory=dict)
    judged: Columns = field(default_factory=dict)


@dataclass(eq=False)
class _Batch:
    """Runs whose records are of one shape: c checkpoints, other matrices, scores by r rules."""

    stage_names: tuple[str, ...]
    places: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    briefs: list[Brief] = field(default_factory=list)
    matrices: list[Packed] = field(default_factory=list)


def measure(runs: Sequence[Run], rule: Rule) -> Measured:
    """Return what runs scored with the checkpoints that `rule` chooses.

    A run whose matrices are missing, broken or empty, or that the rule has no scores of, is among
    the errors.
    """
    found = Measured({}, np.full(len(runs), np.nan), [()] * len(runs))
    batches: dict[tuple[object, ...], _Batch] = {}
    known: dict[tuple[object, ...], _Batch] = {}
    briefs = [brief_of(run.record) for run in runs]
    for place, brief in enumerate(briefs):
        matrices = brief.matrices
        if matrices is None:
            run = runs[place]
            try:
                matrices = packed(confusions_of(run.record, run.folder))
            except BenchError as error:
                found.errors[place] = str(error)
                continue
        if not matrices.steps:
            found.errors[place] = "no checkpoint was scored"
            continue
        # Runs of one configuration share the object, mostly: their shape is made out once.
        alike = (id(brief.config), brief.stages, brief.rules, matrices[:-1])
        batch = known.get(alike)
        if batch is None:
            names = tuple([name for name in brief.stages if name in matrices.stages])
            batch = batches.setdefault(_shape(brief, matrices, names), _Batch(names))
            known[alike] = batch
        batch.places.append(place)
        batch.matrices.append(matrices)
    for batch in batches.values():
        batch.runs = [runs[place] for place in batch.places]
        batch.briefs = [briefs[place] for place in batch.places]
        _add(found, batch, rule)
    return found


def _shape(brief: Brief, matrices: Packed, names: tuple[str, ...]) -> tuple[object, ...]:
    """Return what runs have in common that can be measured at once."""
    shift = brief.config["shift"]
    sizes = len(matrices.steps), matrices.size, matrices.kind
    return (shift.get("task"), shift["protocol"], sizes, matrices.stages, names, brief.rules)


def _add(found: Measured, batch: _Batch, rule: Rule) -> None:
    """Measure a batch of runs, and put what they scored into their places."""
    shift = batch.briefs[0].config["shift"]
    matrices, names = batch.matrices[0], batch.stage_names
    for place in batch.places:
        found.stage_names[place] = names
    counts = counted([each.data for each in batch.matrices], matrices.kind, matrices.size)
    try:
        measured = figures_of_each(counts, shift)
    except BenchError as error:
        found.errors.update(dict.fromkeys(batch.places, str(error)))
        return
    networks = {name: values.reshape(len(batch.runs), -1) for name, values in measured.items()}
    good = networks[ranked_by(shift)]
    figures = good[:, : len(matrices.steps)]
    scores = _recorded(batch)
    chosen = choices(rule, _judged(found, batch, rule, figures, scores))
    every = np.arange(len(batch.runs))
    wanted = [len(matrices.steps) + matrices.stages.index(name) for name in names]
    empty = np.isnan(good[every, chosen]) | np.isnan(good[:, wanted]).any(axis=1)
    for row in np.flatnonzero(empty):
        found.errors.setdefault(batch.places[row], "a confusion matrix is empty")
    places = np.array(batch.places)
    fine = ~np.isin(places, list(found.errors))

    def put(columns: Columns, name: str, values: Floats) -> None:
        column = columns.setdefault(name, np.full(len(found.steps), np.nan))
        column[places] = np.where(fine, values, np.nan)

    steps = [m.steps[c] for m, c in zip(batch.matrices, chosen.tolist(), strict=True)]
    found.steps[places] = np.where(fine, steps, np.nan)
    for name, values in networks.items():
        put(found.figures, name, values[every, chosen])
    for name, values in _classes(
        counts.reshape(*good.shape, *counts.shape[1:])[every, chosen], shift
    ):
        put(found.classes, name, values)
    for name, network in zip(names, wanted, strict=True):
        put(found.stages, name, good[:, network])
    if scores:
        _agree(found, scores, np.nan_to_num(figures), put)


def _recorded(batch: _Batch) -> dict[str, Floats]:
    """Return the scores that the records hold, (n, c) by rule."""
    rules = batch.briefs[0].rules
    if not rules:
        return {}
    scores = [
        brief.scores if brief.checkpoints == matrices.steps else _at(brief, matrices.steps)
        for brief, matrices in zip(batch.briefs, batch.matrices, strict=True)
    ]
    table = np.frombuffer(b"".join(scores)).reshape(len(scores), len(rules), -1)
    return {rule: table[:, place] for place, rule in enumerate(rules)}


def _at(brief: Brief, steps: Sequence[int]) -> bytes:
    """Return the rules' scores of the checkpoints of these steps."""
    known = np.frombuffer(brief.scores).reshape(len(brief.rules), len(brief.checkpoints))
    found = np.full((len(brief.rules), len(steps)), np.nan)
    for place, step in enumerate(steps):
        if step in brief.checkpoints:
            found[:, place] = known[:, brief.checkpoints.index(step)]
    return found.tobytes()


def _judged(
    found: Measured, batch: _Batch, rule: Rule, figures: Floats, scores: Mapping[str, Floats]
) -> Floats:
    """Return by what the rule chooses, (n, c): its own scores, or the figures themselves."""
    if rule.score is None:
        return figures
    if rule.name in scores:
        return scores[rule.name]
    values = np.full(figures.shape, np.nan)
    for row, (run, matrices) in enumerate(zip(batch.runs, batch.matrices, strict=True)):
        try:
            by_step = scores_by(rule, {}, run.folder)
        except BenchError as error:
            found.errors[batch.places[row]] = str(error)
            continue
        values[row] = [np.nan if (v := by_step.get(s)) is None else v for s in matrices.steps]
    return values


def _classes(matrices: NDArray[Any], shift: Mapping[str, Any]) -> list[tuple[str, Floats]]:
    """Return the IoU of each class, of segmentation only."""
    names = class_names(shift)
    each = [class_ious(matrix, shift) for matrix in matrices] if names else []
    return [(name, np.array([ious[name] for ious in each], np.float64)) for name in names]


def _agree(
    found: Measured,
    scores: Mapping[str, Floats],
    figures: Floats,
    put: Callable[[Columns, str, Floats], None],
) -> None:
    """Compare what rules thought of checkpoints with how good those are on the test set."""
    rows = np.arange(len(figures))
    for rule in (select.LAST, select.ORACLE):
        put(found.picked, rule.name, figures[rows, choices(rule, figures)])
    for name, values in scores.items():
        scored = select.Rule(name, "", _never)
        put(found.picked, name, figures[rows, choices(scored, values)])
        put(found.correlation, name, rank_correlations(values, figures))
        put(found.judged, name, values[:, -1])


def _never(_: select.Evidence) -> float:
    raise NotImplementedError
