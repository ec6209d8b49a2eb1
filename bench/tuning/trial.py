"""One set of hyperparameters of a study: run on every shift with every seed, and judged."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from bench import select
from bench.context import CANDIDATES
from bench.errors import BenchError, MissingDataError, PrunedError
from bench.evidence import scores_by
from bench.gather import gather
from bench.headline import quality
from bench.records import read_confusions
from bench.run import finished_run, run_trial
from bench.select import judge
from bench.trials import make_trial, own_threads
from bench.tuning.study import report
from bench.tuning.tried import excess_loss, mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import optuna
    from optuna.trial import Trial
    from torch import nn

    from bench.material import Material
    from bench.records import Record
    from bench.select import Rule
    from bench.suites import Shift
    from bench.trials import Materials, Row

    Cell = tuple[Shift, int]

BETWEEN_CELLS, BETWEEN_STAGES = 1000, 20
"""How far apart the reports of two runs, and of two stages of a run, stand on Optuna's axis."""


@dataclass(eq=False)
class Worker:
    """Runs trials of one study in this process."""

    row: Row
    rule: Rule
    cells: list[Cell]
    materials: Materials
    folder: Path

    def run(self, study: optuna.Study, trial: Trial) -> None:
        """Run a trial's runs one after the other, and tell the study what came of it."""
        notes: dict[str, Any] = {"scores": {}, "source_accuracy": {}, "steps": 0, "seconds": 0.0}
        state, value = TrialState.COMPLETE, None
        watch = _Watch(trial, self.rule, _reported_before(study, trial))
        for place, (shift, seed) in enumerate(self.cells):
            name = f"{shift.name}, seed {seed}"
            try:
                watch.begin(place, list(notes["scores"].values()))
                score, accuracy = self._run_cell(trial, shift, seed, watch, notes)
            except PrunedError as error:
                state, notes["reason"] = TrialState.PRUNED, f"{name}: {error}"
                break
            except _FailedError as error:
                state, notes["reason"] = TrialState.FAIL, f"{name}: {error}"
                break
            notes["scores"][name], notes["source_accuracy"][name] = score, accuracy
        else:
            value = mean(notes["scores"].values())
            accuracy = mean(notes["source_accuracy"].values())
            best = max(accuracy, _best_source_accuracy(study))
            trial.set_constraint("source accuracy", excess_loss(accuracy, best))
        for key, note in notes.items():
            trial.set_user_attr(key, note)
        study.tell(trial, value, state=state)

    def _run_cell(
        self, trial: Trial, shift: Shift, seed: int, watch: _Watch, notes: dict[str, Any]
    ) -> tuple[float, float]:
        """Return the score and the source accuracy at the end of training."""
        request = self.materials.request
        row = replace(self.row, asked={**self.row.asked, **trial.params})
        with _failures():
            run, material = make_trial(row, shift, seed, self.materials)
        record = finished_run(self.folder / run.config.run_id) or run_trial(
            run,
            material,
            runs=self.folder,
            device=self.materials.device,
            threads=request.threads or own_threads(),
            on_candidate=watch.looking_at(material),
            stages=request.runs / "stages",
        )
        notes["steps"] += trained_steps(record)
        notes["seconds"] += _trained_seconds(record)
        if record["status"] == "pruned":
            raise PrunedError(record["error"])
        if record["status"] != "done":
            raise _FailedError(f"{record['status']}: {record['error']}")
        with _failures():
            scores = self._scores(record)
        watch.finished(record, scores)
        last = max(record["checkpoints"])
        score, accuracy = scores[last], record["scores"][select.SOURCE_ACCURACY.name][str(last)]
        if score is None or accuracy is None:
            raise _FailedError(f"the rule '{self.rule.name}' gave no finite score")
        return score, accuracy

    def _scores(self, record: Record) -> dict[int, float | None]:
        """Return what the rule says of a finished run's checkpoints, by step."""
        folder = self.folder / record["run_id"]
        if not self.rule.looks_at_target_labels:
            return scores_by(self.rule, record["scores"], folder)
        shift = record["config"]["shift"]
        matrices = read_confusions(folder).checkpoints
        return {step: quality(matrix, shift) for step, matrix in matrices.items()}


@dataclass(eq=False)
class _Watch:
    """Takes the scores of a running trial, and stops the trial if it is hopeless.

    Attributes:
        reported: places on Optuna's axis that have a score already.
        place: of the run among the trial's.
        before: the scores of the runs that ended.
    """

    trial: Trial
    rule: Rule
    reported: set[int]
    place: int = 0
    before: list[float] = field(default_factory=list)

    def begin(self, place: int, before: list[float]) -> None:
        """Go on to another run."""
        self.place, self.before = place, before

    def looking_at(self, material: Material) -> Callable[[int, int, nn.Module], None]:
        """Return what a run calls with each checkpoint."""

        def look(stage: int, checkpoint: int, net: nn.Module) -> None:
            if not self.rule.looks_at_target_labels:  # the oracle learns nothing before the end
                self._report(stage, checkpoint, judge(self.rule, gather(net, material.task)))

        return look

    def finished(self, record: Record, scores: Mapping[int, float | None]) -> None:
        """Take what a run has not reported of its last stage: it came from the cache, maybe."""
        if not self.rule.looks_at_target_labels:
            stage = max(0, len(record["stages"]) - 1)
            for checkpoint, step in enumerate(sorted(scores), 1):
                self._report(stage, checkpoint, scores[step])

    def _report(self, stage: int, checkpoint: int, score: float | None) -> None:
        inside = stage * BETWEEN_STAGES + checkpoint
        at = self.place * BETWEEN_CELLS + inside
        fits = checkpoint < BETWEEN_STAGES and inside < BETWEEN_CELLS
        if score is None or not fits or at in self.reported:
            return
        self.reported.add(at)
        value = mean([*self.before, score])
        hopeless = report(self.trial, value, at)
        # After the last checkpoint of a loop there is nothing left to save of it.
        if hopeless and checkpoint % CANDIDATES:
            raise PrunedError(
                f"stopped at checkpoint {checkpoint} of stage {stage + 1}, where the mean"
                f" {self.rule.name} was {value:.4g}"
            )


def _reported_before(study: optuna.Study, trial: Trial) -> set[int]:
    """Report again what a trial had reported when its process died; return where."""
    number = trial.user_attrs.get("again")
    if number is None:
        return set()
    values = study.get_trials(deepcopy=False)[number].intermediate_values
    for at, value in values.items():
        trial.report(value, at)
    return set(values)


def _best_source_accuracy(study: optuna.Study) -> float:
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max((mean(t.user_attrs["source_accuracy"].values()) for t in done), default=0.0)


class _FailedError(Exception):
    """A run of a trial did not end well; the trial counts as failed."""


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Let a trial fail for what is wrong with its settings or its rule; missing data ends all."""
    try:
        yield
    except MissingDataError:
        raise
    except BenchError as error:
        raise _FailedError(str(error)) from error


def trained_steps(record: Record) -> int:
    """Return the training steps that a run took itself, without those of cached stages."""
    return int(record["steps"]) - sum(s["steps"] for s in record["stages"] if s["cached"])


def _trained_seconds(record: Record) -> float:
    return float(record["seconds"]) - sum(s["seconds"] for s in record["stages"] if s["cached"])
