"""What is asked of a trial's networks once training has ended: predictions, logits, pictures."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bench import figures
from bench.api import Translator
from bench.classes import protocol
from bench.errors import BenchError
from bench.evidence import CHECKPOINT, arrays
from bench.gather import gather
from bench.predict import predict, predict_maps
from bench.records import Confusions
from bench.score import read_map, save_maps, save_outputs, score_maps, score_outputs
from bench.stages import load_weights
from bench.task import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from torch import Tensor, nn

    from bench.context import Context
    from bench.material import Material
    from bench.select import Evidence
    from bench.suites import Shift
    from bench.task import Task

    Judged = dict[int, Evidence]

PICTURED = 12
"""Images a translation figure shows in each direction."""

PICTURED_SCENES = 4
"""The same for large images, and how many predictions are shown beside the ground truth."""


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks of a finished trial that are scored."""

    folder: Path
    context: Context
    network: nn.Module

    def all(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield (name, network): checkpoints of the last stage, then each stage's own result.

        Checkpoints are one network with changing weights: use each before asking for the next.
        """
        for step, weights in self._candidates().items():
            if weights is not None:
                load_weights(self.network, weights)
            yield f"{CHECKPOINT}{step:08d}", self.network
        for stage in self.context.stages:
            if hasattr(stage.module, "classify"):
                yield f"stage-{stage.name}", stage.module

    @property
    def twice(self) -> tuple[str, str] | None:
        """The stage that `all` yields again as a checkpoint, and that checkpoint; None if none."""
        final = self.context.stages[-1] if self.context.stages else None
        steps = max(self._candidates())
        if final is None or final.module is not self.network or steps != final.steps:
            return None
        return f"stage-{final.name}", f"{CHECKPOINT}{steps:08d}"

    def _candidates(self) -> dict[int, Path | None]:
        """Return {step: weights} of the checkpoints; None for the network as it is."""
        final = self.context.stages[-1] if self.context.stages else None
        if final is None or final.module is not self.network:
            return {self.context.steps_taken: None}
        if not final.folder.is_dir():
            message = f"{final.folder} is gone, and with it the checkpoints of stage '{final.name}'"
            raise BenchError(f"{message}. Something deleted it; run the same command again.")
        # Not "*": a kill may have left a hidden temporary file.
        found = {int(p.stem): p for p in (final.folder / "checkpoints").glob("[0-9]*.safetensors")}
        if not found:
            return {final.steps: None}
        copied: dict[int, Path | None] = {}
        for step, path in sorted(found.items()):
            copied[step] = self.folder / "checkpoints" / path.name
            _link(path, self.folder / "checkpoints" / path.name)
        return copied


def score_images(networks: Networks, material: Material) -> tuple[Confusions, Judged]:
    """Save every network's predictions of the test images, one class an image, and score them.

    Returns also what rules judge each checkpoint by.
    """
    outputs: dict[str, np.ndarray] = {}
    judged: dict[int, Evidence] = {}
    task = material.task
    for name, network in networks.all():
        logits = predict(network, material.test, task.classes)
        outputs[f"predictions/{name}"] = logits.argmax(1).to(torch.int16).numpy()
        if name.startswith(CHECKPOINT):
            judged[_step(name)] = gather(network, task)
    save_outputs(networks.folder, outputs | arrays(judged))
    matrices = score_outputs(networks.folder, material.target, material.root)  # type: ignore[arg-type]
    return _sorted(matrices), judged


def score_scenes(
    networks: Networks, material: Material, shift: Shift
) -> tuple[Confusions, Judged, list[np.ndarray]]:
    """Do the same with one class a pixel; return also the ground truths for pictures."""
    judged: dict[int, Evidence] = {}
    task, classes = material.task, protocol(shift.protocol).classes
    names = []
    stage, checkpoint = networks.twice or ("", "")
    for name, network in networks.all():
        if name == stage:
            continue
        sizes = material.sizes or []
        maps = predict_maps(network, material.test, task.classes, sizes)
        save_maps(networks.folder, name, maps, classes)
        names.append(name)
        if name.startswith(CHECKPOINT):
            judged[_step(name)] = gather(network, task)
    save_outputs(networks.folder, arrays(judged))
    matrices, truths = score_maps(
        networks.folder,
        names,
        material.target,  # type: ignore[arg-type]
        material.root,
        shift.protocol,
        keep=PICTURED_SCENES,
    )
    if stage:
        matrices[stage] = matrices[checkpoint]
    return _sorted(matrices), judged, truths


def _step(name: str) -> int:
    return int(name.removeprefix(CHECKPOINT))


def _sorted(scored: Mapping[str, np.ndarray]) -> Confusions:
    """Return confusion matrices by where their networks come from."""
    return Confusions(
        {_step(n): m for n, m in scored.items() if n[0] == "c"},
        {n.removeprefix("stage-"): m for n, m in scored.items() if n[0] == "s"},
    )


def _link(source: Path, target: Path) -> None:
    """Make `source` available at `target` without a second copy where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


# ------------------------------------------------------------------ pictures


def draw(
    networks: Networks,
    confusions: Confusions,
    material: Material,
    shift: Shift,
    truths: list[np.ndarray],
) -> None:
    """Draw the run's pictures: before and after adaptation, and any translations."""
    pictures = networks.folder / "figures"
    stages = networks.context.stages
    scored = [s.name for s in stages if s.name in confusions.stages]
    before = scored[0] if len(scored) > 1 else None
    last = max(confusions.checkpoints)
    figures.confusion_pair(
        None if before is None else confusions.stages[before],
        confusions.checkpoints[last],
        pictures / "confusion.png",
    )
    if material.task.dense:
        maps = {} if before is None else {f"stage {before}": f"stage-{before}"}
        maps["prediction"] = f"{CHECKPOINT}{last:08d}"
        _draw_scenes(networks.folder, maps, material, shift, truths)
    for stage in stages:
        if isinstance(stage.module, Translator):
            count = PICTURED_SCENES if material.task.dense else PICTURED
            triples = translations(stage.module, material.task, count)
            if material.task.dense:
                domains = (shift.source, shift.target)
                pairs = {d: t[:2] for d, t in zip(domains, triples.values(), strict=True)}
                figures.translation_pairs(pairs, pictures / "translations.png")
                continue
            for name, triple in triples.items():
                figures.translation_triples(*triple, pictures / f"{name}.png")


def _draw_scenes(
    folder: Path,
    maps: Mapping[str, str],
    material: Material,
    shift: Shift,
    truths: list[np.ndarray],
) -> None:
    few = torch.arange(len(truths), device=material.test.pixels.device)
    images = to_bytes(material.test[few]).cpu()
    predictions = {
        title: [read_map(folder, name, number) for number in range(len(truths))]
        for title, name in maps.items()
    }
    classes = protocol(shift.protocol).classes
    figures.segmentations(images, predictions, truths, classes, folder / "figures" / "scenes.png")


@torch.no_grad()
def translations(
    translator: Any,  # noqa: ANN401
    task: Task,
    count: int,
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Return uint8 (original, translated, reconstructed) of a few images, for both directions."""
    device = next(translator.parameters()).device
    x_s, x_t = (
        images[torch.arange(min(count, len(images)), device=images.pixels.device)].to(device)
        for images in (task.source.images(), task.target)
    )
    fake_t, fake_s = translator(x_s), translator.back(x_t)
    source = (x_s, fake_t, translator.back(fake_t))
    target = (x_t, fake_s, translator(fake_s))
    return {
        "source-to-target": tuple(to_bytes(x).cpu() for x in source),  # type: ignore[dict-item]
        "target-to-source": tuple(to_bytes(x).cpu() for x in target),  # type: ignore[dict-item]
    }
