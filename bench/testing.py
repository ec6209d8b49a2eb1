"""The checks that every method passes, ours or yours, on two tiny random tasks.

``bench check path/to/file.py:Class`` runs them. In a test suite of your own::

    @pytest.mark.parametrize("check", check_method(Mine), ids=lambda check: check.name)
    def test_contract(check):
        assert check.ok, check.detail
"""

from __future__ import annotations

import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench import backbones
from bench.classes import IGNORED
from bench.context import Context
from bench.errors import BenchError, BudgetError
from bench.hyperparameters import PRESETS, resolve
from bench.plugins import check_class
from bench.predict import predict
from bench.seeding import generator_from
from bench.stages import StageStore
from bench.task import Images, LabeledImages, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from bench.suites import TaskKind

BUDGET = 1_000
"""Training steps that a method may take with the preset "smoke"; the checks take seconds."""


@dataclass(frozen=True)
class Check:
    """The outcome of one check: `detail` says what is wrong, or what a passed check found.

    A skipped check is ok, too: it is of something that not every method does.
    """

    name: str
    ok: bool
    detail: str = ""
    skipped: bool = False


@dataclass(frozen=True)
class Shape:
    """What a tiny task's images look like, and the network for them."""

    channels: int
    size: tuple[int, int]
    classes: int
    backbone: str
    task: TaskKind = "classification"


GREY = Shape(1, (28, 28), 10, "lenet")
COLOUR = Shape(3, (32, 32), 7, "dtn")
SCENES = Shape(3, (32, 64), 5, "smp/unet/resnet18", "segmentation")


class Broken(Exception):  # noqa: N818  it names a state, and never reaches a user
    """A check found the contract broken."""


def check_method(cls: type, preset: str = "smoke") -> Iterator[Check]:
    """Yield one `Check` after another for a method's class.

    Later checks need a method that fits at all: if it does not, they are left out.
    """
    with tempfile.TemporaryDirectory(prefix="bench-check-") as folder:
        yield from MethodContract(cls, Path(folder), preset).checks()


def tiny_task(shape: Shape, images: int = 64) -> Task:
    """Return a task of random images and labels; equal calls give equal tasks."""
    random = generator_from("tiny task", shape.channels, shape.size[0], shape.classes)

    def pixels(n: int) -> Tensor:
        full = (n, shape.channels, *shape.size)
        return torch.randint(0, 256, full, generator=random, dtype=torch.uint8)

    def labelled(n: int) -> LabeledImages:
        labels = torch.arange(n) % shape.classes
        if shape.task == "segmentation":
            labels = labels.to(torch.uint8)[:, None, None].repeat(1, *shape.size)
            labels[:, 0] = IGNORED
        return LabeledImages(pixels(n), labels, "source")

    target = Images(pixels(images), "target")
    return Task(labelled(images), labelled(images // 8), target, shape.classes)


class MethodContract:
    """What holds for every method, tried on one class."""

    def __init__(self, cls: type, folder: Path, preset: str = "smoke") -> None:
        """Check `cls` with a preset's hyperparameters, writing below `folder`."""
        self._cls = cls
        self._folder = folder
        self._preset = preset
        self._expected = torch.empty(0)

    def checks(self) -> Iterator[Check]:
        """Yield the outcomes; stop early where the next checks would say nothing new."""
        first: tuple[tuple[str, Callable[[], str]], ...] = (
            ("is a frozen dataclass with fit", self.is_method),
            ("its defaults and presets are valid", self.has_valid_presets),
            ("fits a grey task of 10 classes", self.fits_grey),
        )
        for name, check in first:
            outcome = _tried(name, check)
            yield outcome
            if not outcome.ok:
                return
        yield _tried("fits a colour task of 7 classes", self.fits_colour)
        yield self.fits_scenes()
        yield _tried("leaves the task as it was", self.leaves_task_alone)
        yield _tried("equal seeds give equal logits", self.repeats)
        yield _tried("a cached stage gives what a computed one gives", self.same_from_cache)
        yield _tried("an interrupted run ends like an uninterrupted one", self.resumes)

    def is_method(self) -> str:
        """Check the class itself."""
        check_class(self._cls, self._cls.__name__)
        return ""

    def has_valid_presets(self) -> str:
        """Resolve every preset."""
        for preset in PRESETS:
            for task in ("classification", "segmentation"):
                resolve(self._cls, preset, {}, task)
        return ""

    def fits_grey(self) -> str:
        """Fit (1, 28, 28), 10 classes; keep the logits to compare with."""
        self._expected = self._logits(GREY, "first")
        return ""

    def fits_colour(self) -> str:
        """Fit (3, 32, 32), 7 classes."""
        self._logits(COLOUR, "colour")
        return ""

    def fits_scenes(self) -> Check:
        """Fit (3, 32, 64), 5 classes a pixel. Not every method can: that is no fault of it."""
        name = "fits a segmentation task of 5 classes, 255 for none"
        try:
            self._logits(SCENES, "scenes", images=8)
        except Exception as error:  # noqa: BLE001  a method may raise anything
            return Check(name, ok=True, detail=_described(error), skipped=True)
        return Check(name, ok=True)

    def leaves_task_alone(self) -> str:
        """Compare the task's content before and after."""
        task = tiny_task(GREY)
        before = task.digest()
        self._fit(task, GREY, "untouched")
        if task.digest() != before:
            message = "fit changed the task's images or labels in place; work on a copy"
            raise Broken(message)
        return ""

    def repeats(self) -> str:
        """Fit again, from another random state of torch and without the cache."""
        torch.rand(1)
        self._compare(self._logits(GREY, "again"), "a second run with the same seed")
        return ""

    def same_from_cache(self) -> str:
        """Fit again with every stage of the first run in the cache."""
        task = tiny_task(GREY)
        network, context = self._fit(task, GREY, "hit", store="first")
        computed = [stage.name for stage in context.stages if not stage.cached]
        if computed:
            message = (
                f"stage '{computed[0]}' was computed again although nothing changed;"
                " its params must be the same for the same hyperparameters"
            )
            raise Broken(message)
        self._compare(predict(network, task.target, GREY.classes), "a run from the stage cache")
        return "" if context.stages else "it uses no ctx.stage, so nothing is shared between runs"

    def resumes(self) -> str:
        """Stop at the first, middle and last step of every loop, and go on each time."""
        stopped: set[tuple[str, int]] = set()

        def stop_once(stage: str, done: int, total: int) -> None:
            if done in (1, total // 2, total) and (stage, done) not in stopped:
                stopped.add((stage, done))
                raise KeyboardInterrupt

        task = tiny_task(GREY)
        while True:
            try:
                network, _ = self._fit(task, GREY, "interrupted", on_step=stop_once)
                break
            except KeyboardInterrupt:
                continue
        if not stopped:
            return "it does not use ctx.steps, so an interrupted run starts from the beginning"
        logits = predict(network, task.target, GREY.classes)
        self._compare(logits, f"a run stopped {len(stopped)} times")
        return f"stopped {len(stopped)} times"

    def _logits(self, shape: Shape, name: str, images: int = 64) -> Tensor:
        task = tiny_task(shape, images)
        network, context = self._fit(task, shape, name)
        if not isinstance(network, torch.nn.Module):
            message = f"fit must return a torch.nn.Module, but returned a {type(network).__name__}"
            raise Broken(message)
        devices = {tensor.device.type for tensor in network.state_dict().values()}
        if devices - {context.device.type}:
            message = f"the network must stay on ctx.device, {context.device}"
            raise Broken(message)
        return predict(network, task.target, shape.classes, dense=task.dense)

    def _fit(
        self,
        task: Task,
        shape: Shape,
        name: str,
        *,
        store: str | None = None,
        on_step: Callable[[str, int, int], None] | None = None,
    ) -> tuple[nn.Module, Context]:
        """Fit once; calls of one `name` continue each other, those of one `store` share stages."""
        method: Any = resolve(self._cls, self._preset, {}, shape.task)
        context = Context(
            seed=0,
            device=torch.device("cpu"),
            network=lambda: backbones.build(
                shape.backbone, classes=shape.classes, channels=shape.channels, size=shape.size
            ),
            workspace=self._folder / name / "work",
            store=StageStore(self._folder / (store or name) / "stages"),
            identity=f"{shape}",
            budget=BUDGET,
            on_step=on_step,
        )
        with context.fitting():
            network: nn.Module = method.fit(task, context)
        return network, context

    def _compare(self, logits: Tensor, what: str) -> None:
        if not torch.equal(logits, self._expected):
            gap = (logits - self._expected).abs().max().item()
            message = (
                f"{what} gives other logits (by up to {gap:.2g}). Name all that changes while"
                " training in ctx.steps(n, state), and draw random numbers from torch only."
            )
            raise Broken(message)


def _tried(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=check())
    except BudgetError as error:
        hint = ' Checks take a preset of few steps: presets = {"smoke": {"steps": 4}}.'
        return Check(name, ok=False, detail=f"{error}{hint}")
    except (Broken, BenchError) as error:
        return Check(name, ok=False, detail=str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001  a method may raise anything
        return Check(name, ok=False, detail=_described(error))


def _described(error: BaseException) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
