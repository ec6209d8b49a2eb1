"""Does jobs of one request, one after the other, in whatever process it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import loggers, plugins, world
from bench.groups import scores
from bench.run import finished_run, run_trial
from bench.runs.reuse import explained
from bench.stored import Run
from bench.trials import Materials, choose_device, make_trial, own_threads, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.executors import Outcome
    from bench.executors.order import Job
    from bench.material import Material
    from bench.records import Record
    from bench.request import Request
    from bench.run import Trial


def _ignore(*_: object) -> None:
    pass


class Worker:
    """Makes a trial of each job, runs it unless it is done, and says what came of it."""

    def __init__(self, request: Request) -> None:
        """Turn the request's names into objects, as the process that made the jobs did.

        Raises:
            BenchError: a name or a value in the request is wrong, or there is no such device.
        """
        _, shifts, self._rows = resolved(request)
        self._request = request
        self._shifts = {shift.name: shift for shift in shifts}
        self._threads = request.threads or own_threads()
        self._materials = Materials(request, choose_device(request.device))
        self._rule = plugins.load_rule(request.rule)

    def run(
        self,
        job: Job,
        *,
        on_begin: Callable[[str], None] = _ignore,
        on_note: Callable[[str], None] = _ignore,
        on_step: Callable[[str, int, int], None] = _ignore,
    ) -> Outcome:
        """Return what came of a job.

        Args:
            job: of the request's.
            on_begin: called with the run's id before anything is done for it.
            on_note: called with a sentence on why a run of before is not the one asked for.
            on_step: called with (stage, steps done, steps in all) while it trains.

        Raises:
            BenchError: a folder cannot be written, or something else that all trials would meet.
            MissingDataError: a file that the trial needs is not there.
            KeyboardInterrupt: the user stopped it.
        """
        shift = self._shifts[job.shift]
        for other in self._shifts.values():  # the jobs of a shift come together, and memory is dear
            if other is not shift:
                self._materials.forget(other)
        trial, material = make_trial(self._rows[job.row], shift, job.seed, self._materials)
        folder = self._request.runs / trial.config.run_id
        on_begin(folder.name)
        with loggers.Log(self._request.log, folder) as log:
            # Processes of one trial must answer alike, and `run_trial` sees to that.
            record = finished_run(folder) if world.size() == 1 else None
            reused = record is not None
            if record is None:
                if note := explained(trial.config, self._request.runs):
                    on_note(note)
                record = self._train(trial, material, on_step, log)
            outcome = self._outcome(job, record) | {"reused": reused}
            log.finish(record["steps"], outcome["metrics"], self._request.rule)
        return outcome

    def _train(
        self,
        trial: Trial,
        material: Material,
        on_step: Callable[[str, int, int], None],
        log: loggers.Log,
    ) -> Record:
        return run_trial(
            trial,
            material,
            runs=self._request.runs,
            device=self._materials.device,
            threads=self._threads,
            command=self._request.command,
            on_step=on_step,
            on_log=log.line,
        )

    def _outcome(self, job: Job, record: Record) -> Outcome:
        metrics: Mapping[str, float | None] = {}
        if record["status"] == "done":
            run = Run(record, self._request.runs / record["run_id"])
            metrics = scores(run, self._rule).figures
        config = record["config"]
        return {
            "place": job.place,
            "run_id": record["run_id"],
            "method": config["method"],
            "settings": config["settings"],
            "shift": config["shift"]["name"],
            "seed": config["seed"],
            "status": record["status"],
            "metrics": metrics,
            "error": record["error"],
            "seconds": record["seconds"],
        }
