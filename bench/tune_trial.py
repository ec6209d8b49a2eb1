"""One set of hyperparameters of a study: run on every shift with every seed, and judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from bench import select
from bench.context import CANDIDATES
from bench.errors import BenchError, PrunedError
from bench.evidence import scores_by
from bench.gather import gather
from bench.headline import quality
from bench.records import read_confusions
from bench.run import finished_run, run_trial
from bench.select import judge
from bench.trials import make_trial, own_threads
from bench.tried import GUARD, mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import optuna
    from optuna.trial import Trial
    from torch import nn

    from bench.material import Material
    from bench.records import Record
    from bench.run import Trial as Run
    from bench.select import Rule
    from bench.suites import Shift
    from bench.trials import Materials, Row

    Cell = tuple[Shift, int]
    Report = Callable[[int, int, float | None], None]

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
        try:
            for place, cell in enumerate(self.cells):
                self._run_cell(trial, place, cell, notes)
            value = mean(notes["scores"].values())
            best = max(self._best_source_accuracy(study), mean(notes["source_accuracy"].values()))
            lost = best - mean(notes["source_accuracy"].values())
            trial.set_constraint("source accuracy", lost - GUARD)
        except PrunedError as error:
            state, notes["reason"] = TrialState.PRUNED, str(error)
        except _FailedError as error:
            state, notes["reason"] = TrialState.FAIL, str(error)
        for key, note in notes.items():
            trial.set_user_attr(key, note)
        study.tell(trial, value, state=state)

    def _best_source_accuracy(self, study: optuna.Study) -> float:
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return max((mean(t.user_attrs["source_accuracy"].values()) for t in done), default=0.0)

    def _run_cell(self, trial: Trial, place: int, cell: Cell, notes: dict[str, Any]) -> None:
        (shift, seed), name = cell, f"{cell[0].name}, seed {cell[1]}"
        request = self.materials.request
        row = replace(self.row, asked={**self.row.asked, **trial.params})
        try:
            run, material = make_trial(row, shift, seed, self.materials)
        except BenchError as error:
            raise _FailedError(f"{name}: {error}") from error
        before = list(notes["scores"].values())
        report = self._reporter(trial, place, before)
        record = finished_run(self.folder / run.config.run_id)
        if record is None:
            record = run_trial(
                run,
                material,
                runs=self.folder,
                device=self.materials.device,
                threads=request.threads or own_threads(),
                on_candidate=self._watch(material, report),
                stages=request.runs / "stages",
            )
        else:
            self._report_recorded(record, report)
        notes["steps"] += trained_steps(record)
        notes["seconds"] += _trained_seconds(record)
        if record["status"] == "pruned":
            raise PrunedError(f"{name}: {record['error']}")
        if record["status"] != "done":
            raise _FailedError(f"{name}: {record['status']}: {record['error']}")
        score, accuracy = self._final(record, run)
        if score is None or accuracy is None:
            message = f"{name}: the rule '{self.rule.name}' gave no finite score"
            raise _FailedError(message)
        notes["scores"][name] = score
        notes["source_accuracy"][name] = accuracy

    def _final(self, record: Record, run: Run) -> tuple[float | None, float | None]:
        """Return score and source accuracy of the network at the end of training."""
        last = str(max(record["checkpoints"]))
        accuracy = record["scores"][select.SOURCE_ACCURACY.name][last]
        if self.rule.looks_at_target_labels:
            matrix = read_confusions(self.folder / run.config.run_id).checkpoints[int(last)]
            return quality(matrix, record["config"]["shift"]), accuracy
        return self._recorded(record)[last], accuracy

    def _recorded(self, record: Record) -> Mapping[str, float | None]:
        """Return the rule's scores of a finished run's checkpoints, by step as text."""
        found = scores_by(self.rule, record["scores"], self.folder / record["run_id"])
        return {str(step): value for step, value in found.items()}

    def _reporter(self, trial: Trial, place: int, before: list[float]) -> Report:
        """Return what takes a score of the running trial, and stops the trial if it is hopeless."""

        def report(stage: int, checkpoint: int, score: float | None) -> None:
            value = float("nan") if score is None else mean([*before, score])
            at = place * BETWEEN_CELLS + stage * BETWEEN_STAGES + checkpoint
            trial.report(value, at)
            # After the last checkpoint of a run there is nothing left to save of it.
            if checkpoint < CANDIDATES and trial.should_prune():
                raise PrunedError(
                    f"stopped at checkpoint {checkpoint} of stage {stage + 1}, where"
                    f" {self.rule.name} was {value:.4g}"
                )

        return report

    def _watch(self, material: Material, report: Report) -> Callable[[int, int, nn.Module], None]:
        """Return what a run calls with each checkpoint."""

        def look(stage: int, checkpoint: int, net: nn.Module) -> None:
            if self.rule.score is not None:  # the oracle learns nothing before the end
                report(stage, checkpoint, judge(self.rule, gather(net, material.task)))

        return look

    def _report_recorded(self, record: Record, report: Report) -> None:
        """Report what a run that was finished before would have reported in its last stage."""
        if record["status"] != "done" or self.rule.score is None:
            return
        stage = max(0, len(record["stages"]) - 1)
        scores = sorted((int(step), score) for step, score in self._recorded(record).items())
        for checkpoint, (_, score) in enumerate(scores, 1):
            report(stage, checkpoint, score)


class _FailedError(Exception):
    """A run of a trial did not end well; the trial counts as failed."""


def trained_steps(record: Record) -> int:
    """Return the training steps that a run took itself, without those of cached stages."""
    return int(record["steps"]) - sum(s["steps"] for s in record["stages"] if s["cached"])


def _trained_seconds(record: Record) -> float:
    return float(record["seconds"]) - sum(s["seconds"] for s in record["stages"] if s["cached"])
