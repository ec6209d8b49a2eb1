"""What determines a result, and nothing else: the run's configuration and its name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.digest import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PRECISIONS: Mapping[str, str] = {"32": "float32", "bf16": "bf16"}
"""What ``--precision`` takes, and what a configuration calls it."""

NUMERICS = 1
"""Raised by hand when a change of our code changes numbers; tests/test_golden.py says when."""


@dataclass(frozen=True)
class RunConfig:
    """All that determines one trial's result. Never a path, a device name or a date.

    Attributes:
        method: the method's name.
        settings: dotted hyperparameters that differ from the preset.
        params: every hyperparameter, resolved.
        preset: "paper", "fast" or "smoke".
        code: "builtin-<numerics version>", or a digest of a plug-in's own modules.
        learns_from: "source", or "target" for a supervised upper bound.
        shift: the fields of `bench.suites.Shift`.
        seed: the trial's seed.
        backbone: name of the task network.
        weights: its initial weights; "random" for all of ours so far.
        budget: training steps that the trial may take.
        data: digest of all training images, the source's labels, and the images that score.
        precision: of the arithmetic while training, "float32" or "bf16".
        tuned: how `settings` were found if a search found them: the "rule" that compared trials,
            their number "trials", and the name of the "study"; None if nobody searched.
        compile: whether networks trained as kernels of torch.compile's.
        processes: that trained together, each on its share of every batch.
    """

    method: str
    settings: Mapping[str, Any]
    params: Mapping[str, Any]
    preset: str
    code: str
    learns_from: str
    shift: Mapping[str, Any]
    seed: int
    backbone: str
    budget: int
    data: str
    weights: str = "random"
    precision: str = "float32"
    tuned: Mapping[str, Any] | None = None
    compile: bool = False
    processes: int = 1

    def described(self) -> dict[str, Any]:
        """Return the fields as a record holds them.

        What was added after the first records is left out where it has its default, so that the
        names of older runs still hold.
        """
        fields = asdict(self)
        return {k: v for k, v in fields.items() if k not in _LATER or v != _LATER[k]}

    @property
    def run_id(self) -> str:
        """The run folder's name: method, shift and seed for the reader, a digest for the rest."""
        return f"{self.method}-{self.shift['name']}-{self.seed}-{digest_of(self.described())[:12]}"

    def stage_identity(self, task: str, threads: int) -> str:
        """Return the digest of all that a stage depends on beside itself and earlier stages.

        Args:
            task: digest of the task that the method sees.
            threads: a different number of threads adds up in a different order.
        """
        # Two methods of one plug-in file may use equal names and parameters for different work.
        code = self.code if self.code.startswith("builtin-") else f"{self.code}:{self.method}"
        # Left out where they are as they always were, so that older stages hold.
        later = {k: v for k, v in self.described().items() if k in ("compile", "processes")}
        parts = (task, self.backbone, self.weights, self.precision, code, threads)
        return digest_of(*parts, later) if later else digest_of(*parts)


_LATER: Mapping[str, Any] = {"tuned": None, "compile": False, "processes": 1}
"""Defaults of the fields that the first records lack."""


def arithmetic_of(config: Mapping[str, Any]) -> str:
    """Return how a record's configuration was computed, in words that tables show.

    >>> arithmetic_of({"precision": "float32"})
    'float32'
    >>> arithmetic_of({"precision": "bf16", "compile": True, "processes": 2})
    'bf16, compiled, 2 processes'
    """
    processes = config.get("processes", 1)
    parts = (
        config["precision"],
        "compiled" if config.get("compile") else "",
        f"{processes} processes" if processes > 1 else "",
    )
    return ", ".join(filter(None, parts))
