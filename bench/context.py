"""What the harness does for every method so that none repeats it: stages, steps, resume."""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from bench.arithmetic import Arithmetic, noting, plain
from bench.digest import canonical_json, digest_of
from bench.errors import BenchError, BudgetError, DivergedError
from bench.files import atomic_path
from bench.seeding import generator_from, seed_everything
from bench.snapshots import read_snapshot
from bench.stages import StageStore, load_weights, save_weights
from bench.step import Step
from bench.watch import Event, Watch
from bench.world import Alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from bench.task import Images, LabeledImages
    from bench.world import World

M = TypeVar("M", bound="nn.Module")

CANDIDATES = 5
"""Checkpoints kept of a stage's network, evenly spaced, the last one at its end."""

SNAPSHOT_EVERY = 500
"""Upper bound, in steps, on the work that a killed run repeats; or a tenth of the loop."""


class Stateful(Protocol):
    """Anything that can be saved and restored: modules, optimisers, schedules, image pools."""

    def state_dict(self) -> dict[str, object]:
        """Return tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, object], /) -> object:
        """Restore what `state_dict` returned."""
        ...


@dataclass(eq=False)
class _Scope:
    """The stage that is running now."""

    name: str
    folder: Path
    module: nn.Module | None = None
    loops: int = 0
    steps: int = 0
    seconds: float = 0.0
    stop: str | None = None
    lines: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    nondeterministic: list[str] = field(default_factory=list)
    watches: dict[int, Watch] = field(default_factory=dict)
    position: tuple[int, int] = (0, 0)


@dataclass(eq=False)
class StageResult:
    """What one stage of a finished trial left behind."""

    name: str
    key: str
    folder: Path
    module: nn.Module
    steps: int
    seconds: float
    stop: str | None
    cached: bool
    events: list[Event] = field(default_factory=list)
    nondeterministic: list[str] = field(default_factory=list)


class Context:
    """A trial's harness: the backbone, the training loop, the stage cache and the log.

    Methods receive one and use `network`, `prepared`, `stage`, `steps`, `log`, `mean`, `warn`,
    `stop` and `device`.
    """

    def __init__(  # noqa: PLR0913  a trial has that many parts
        self,
        *,
        seed: int,
        device: torch.device,
        network: Callable[[], nn.Module],
        workspace: Path,
        store: StageStore,
        identity: str,
        budget: int,
        on_step: Callable[[str, int, int], None] | None = None,
        on_log: Callable[[Mapping[str, Any]], None] | None = None,
        on_candidate: Callable[[int, int, nn.Module], None] | None = None,
        precision: str = "float32",
        compiled: bool = False,
        world: World | None = None,
    ) -> None:
        """Set up one trial.

        Args:
            seed: the trial's seed.
            device: where networks and images live.
            network: builds the trial's backbone.
            workspace: a folder of this trial's own, for unfinished stages.
            store: the cache of finished stages, shared between trials.
            identity: digest of all that a stage depends on beside its own parameters and the
                stages before it: task, backbone, threads, numerics version, plug-in code.
            budget: training steps that the trial may take, over all stages.
            on_step: called with (stage, steps done, steps in all), for progress bars.
            on_log: called with each line of the log; those of cached stages and of an attempt that
                was killed are among them, in their place.
            on_candidate: called with (stages before this one, checkpoints of this one so far, the
                network) when a checkpoint of a task network was kept, unless it came from the
                cache. It may end the trial by raising; it must not change the network.
            precision: of what trains, "float32" or "bf16".
            compiled: whether what trains is compiled by torch.compile.
            world: the processes that train this trial together; None for this one alone.
        """
        self.device = device
        self.seed = seed
        self.stages: list[StageResult] = []
        self._arithmetic = Arithmetic(device, precision, compiled)
        self._world: World = world or Alone()
        self._network = network
        self._workspace = workspace
        self._store = store
        self._identity = identity
        self._budget = budget
        self._on_step = on_step or (lambda *_: None)
        self._on_log = on_log or (lambda _: None)
        self._on_candidate = on_candidate or (lambda *_: None)
        self._spent = 0
        self._inside_step = False
        self._stepped: set[int] = set()
        self._in_stages = 0.0
        self._outside = 0.0
        self._orders: dict[tuple[int, str, int, str, int, int], Tensor] = {}
        self._scope = _Scope("fit", workspace / "fit")
        self._unfinished: _Scope | None = None

    def network(self) -> nn.Module:
        """Return a new backbone on the device, with `features(x)` and `classify(f)`.

        ``net(x)`` is both: images float32 (b, c, h, w) in -1..1 to logits (b, k). Its initial
        weights depend on (seed, stage) alone.
        """
        return self.prepared(self._network())

    def prepared(self, module: M) -> M:
        """Return a module of the method's own, ready to train: on the device, compiled if asked.

        It is `module` itself. What `network` returns, and what `stage` builds, is prepared already.

        Example::

            discriminator = ctx.prepared(Discriminator())
        """
        return self._arithmetic.placed(module)

    def log(self, **values: float | None) -> None:
        """Append one line of plain numbers to the trial's ``metrics.jsonl``.

        None stands for a number that is not defined. What a method logs is how divergence is
        noticed while it trains; see `bench.watch` for what is an explosion.

        Raises:
            DivergedError: a number is NaN or infinite.
        """
        if self._world.rank:
            return
        scope = self._scope
        loop, step = scope.position
        line = {"stage": scope.name, "loop": loop, "step": step, **values}
        finite = {k: v if _is_finite(v) else None for k, v in line.items()}
        scope.lines.append(canonical_json(finite))
        self._on_log(finite)
        try:
            exploded = _watched(scope, loop, values)
        except DivergedError as error:
            raise DivergedError(f"{error} at step {step} of '{scope.name}'") from error
        if exploded:
            self.warn("exploding loss", exploded)

    def warn(self, kind: str, reason: str) -> None:
        """Record that something went wrong that does not end the training.

        Tables say so beside the method. Each kind counts once a stage, when it is first seen.

        Args:
            kind: a few words, the same wherever this happens, such as "collapsed generator".
            reason: a sentence with what was seen.
        """
        scope = self._scope
        if all(event["kind"] != kind for event in scope.events):
            _, step = scope.position
            scope.events.append(Event(stage=scope.name, step=step, kind=kind, reason=reason))

    def mean(self, value: float) -> float:
        """Return the mean of a number over the processes that train this trial; mostly itself.

        What decides how a method goes on, such as an accuracy on the batch, must pass through
        here: several processes see different parts of a batch, and must decide alike.
        """
        if self._world.size == 1:
            return value
        number = torch.tensor([value], dtype=torch.float32, device=self.device)
        return float(self._world.mean(number, self._where("a mean")))

    def stop(self, reason: str) -> None:
        """End the current loop after this step, and record why."""
        self._scope.stop = reason

    def stage(
        self,
        name: str,
        *,
        params: object,
        build: Callable[[], M],
        train: Callable[[M], object],
    ) -> M:
        """Return the trained module of a named piece of work, from the cache if it is there.

        Args:
            name: the stage's name; with the seed, it decides the random state.
            params: every hyperparameter that `train` and `build` use (a dataclass or plain data).
            build: makes the untrained module; may start from a copy of an earlier stage's result.
            train: trains the module in place.

        The key is a digest of `params`, of the stages that came before in this trial and of the
        trial's identity (see `Context`). The module comes back frozen and in evaluation mode, so
        that a hit and a miss leave the same behind; to train on, copy it in a later `build`.

        Example::

            f_s = ctx.stage("source", params=self.source, build=ctx.network,
                            train=lambda net: train_classifier(net, task.source, self.source, ctx))
        """
        if any(name == done.name for done in self.stages):
            message = f"stage '{name}' was used twice in one trial; give each stage its own name"
            raise BenchError(message)
        before = [done.key for done in self.stages]
        key = digest_of(self._identity, self.seed, name, canonical_json(params), before)[:32]
        seed_everything(self.seed, name)
        module = self.prepared(build())
        module.requires_grad_(requires_grad=True)
        meta = self._found(key, module, name)
        cached = meta is not None
        began = time.perf_counter()
        if meta is None:
            # Another trial may be computing it: wait, and load what it found. Nobody is charged
            # for the wait: it counts neither for the stage nor as time between stages.
            with contextlib.nullcontext() if self._world.rank else self._store.claim(key, name):
                meta = self._found(key, module, name)
                cached = meta is not None
                if meta is None:
                    meta = self._compute(name, key, module, train)
        if cached:
            self._charge(int(meta["steps"]))
            if self._spent > self._budget:
                raise self._overrun()
            log = self._store.folder(key) / "metrics.jsonl"
            self._replay(log.read_text(encoding="utf-8").splitlines())
        if self._world.rank and self._store.load(key, module) is None:
            raise BenchError(
                f"Process {self._world.rank} does not see the stage that process 0 has finished."
                " Let all processes of a trial use one runs folder."
            )
        self._in_stages += time.perf_counter() - began
        module.zero_grad(set_to_none=True)
        module.eval().requires_grad_(requires_grad=False)
        seed_everything(self.seed, name, "end")
        self.stages.append(
            StageResult(
                name,
                key,
                self._store.folder(key),
                module,
                int(meta["steps"]),
                float(meta["seconds"]),
                meta["stop"],
                cached,
                # Those of earlier versions lack them.
                list(meta.get("events", ())),
                list(meta.get("nondeterministic", ())),
            )
        )
        return module

    def _found(self, key: str, module: nn.Module, name: str) -> dict[str, Any] | None:
        """Return the description of a stage that process 0 finds in the cache, else None."""
        meta = None if self._world.rank else self._store.load(key, module)
        return self._world.broadcast(meta, f"the beginning of stage '{name}'")

    def _compute(
        self, name: str, key: str, module: M, train: Callable[[M], object]
    ) -> dict[str, Any]:
        outer, self._scope = self._scope, _Scope(name, self._workspace / key, module)
        scope = self._scope
        scope.folder.mkdir(parents=True, exist_ok=True)
        try:
            module.train()
            started, looped = time.perf_counter(), scope.seconds
            train(module)
            # What the stage hands on is its last checkpoint, however its loops ended.
            self._keep_candidate(scope.steps)
            outside = time.perf_counter() - started - (scope.seconds - looped)
            _check_finite(module, name, scope.steps)
            meta: dict[str, Any] = {
                "name": name,
                "steps": scope.steps,
                "seconds": scope.seconds + max(0.0, outside),
                "stop": scope.stop,
                "events": scope.events,
                "nondeterministic": scope.nondeterministic,
            }
            # All have written their last snapshot, before the folder moves.
            self._world.gather(None, self._where("the end of the stage"))
            if self._world.rank == 0:
                self._write_log()
                self._store.save(key, scope.folder, module, meta)
            meta = self._world.broadcast(meta, self._where("the end of the stage"))
        except BaseException:
            self._unfinished = scope
            raise
        finally:
            self._scope = outer
        return meta

    def steps(self, n: int, state: Mapping[str, Stateful] | None = None) -> Iterator[Step]:
        """Iterate over the `n` steps of a training loop, resuming where a killed run was.

        Args:
            n: number of steps; the loop may end earlier through `stop`.
            state: everything that changes while training, by name: networks, optimisers,
                schedules, image pools. The stage's own module is always included.

        Before each step every random generator is seeded from (seed, stage, step), so that a
        resumed run takes the very steps that an uninterrupted one takes.

        Raises:
            BudgetError: the trial's budget is smaller than what the method asked for.
            DivergedError: a network holds NaN or infinity.
            BenchError: the loop was begun inside a step of another one.

        Example::

            for step in ctx.steps(1000, {"optimizer": optimizer}):
                x, y = step.batch(task.source, 128)
                ...
        """
        if self._inside_step:
            raise BenchError(
                "ctx.steps was begun inside a step of another ctx.steps, and could not be resumed."
                " Use one loop after the other."
            )
        scope, loop = self._scope, self._scope.loops
        scope.loops += 1
        scope.stop = None
        saved: dict[str, Stateful] = dict(state or {})
        if scope.module is not None:
            saved["module"] = scope.module
        rank = self._world.rank
        snapshot = scope.folder / (f"loop-{loop}-{rank}.pt" if rank else f"loop-{loop}.pt")
        seconds_before = scope.seconds
        done, taken = self._restore(snapshot, saved)
        self._charge(taken)
        scope.steps += taken
        if done:
            scope.position = (loop, done - 1)
        if self._spent + n - done > self._budget:
            raise BudgetError(
                f"stage '{scope.name}' asks for {n} steps, but {self._budget - self._spent + taken}"
                f" of the trial's budget of {self._budget} are left."
                " Lower the method's steps or raise --budget."
            )
        every = max(1, min(SNAPSHOT_EVERY, n // 10))
        candidates = {math.ceil(n * (i + 1) / CANDIDATES) for i in range(CANDIDATES)}
        clock = time.perf_counter()
        elapsed = scope.seconds - seconds_before
        earlier = scope.steps - taken
        for index in range(done, n):
            if scope.stop is not None:
                break
            # Dropout is another in each process, as it is for each image of a batch.
            seed_everything(self.seed, scope.name, loop, index, *([rank] if rank else []))
            scope.position = (loop, index)
            try:
                with self._counting():
                    sources = (self._batch_order, self._crop_random)
                    yield Step(index, *sources, rank, self._world.size)
            finally:
                # Also if the loop is left by `break`: the step was taken.
                self._charge(1)
                scope.steps += 1
                done = index + 1
            if done in candidates:
                self._keep_candidate(scope.steps)
            if done % every == 0 or done == n or scope.stop is not None:
                scope.seconds = seconds_before + elapsed + time.perf_counter() - clock
                spent = (scope.steps - earlier, scope.seconds - seconds_before)
                self._snapshot(snapshot, saved, done, *spent)
            self._on_step(scope.name, done, n)
            if done in candidates:
                # After the snapshot, so that a trial that ends here can be taken up here.
                self._show_candidate()
        # A resumed run may find this loop finished: what comes next must not notice.
        seed_everything(self.seed, scope.name, loop, "end")

    def _restore(self, snapshot: Path, saved: dict[str, Stateful]) -> tuple[int, int]:
        """Load what a killed run left of this loop; return its iterations, and steps charged."""
        content = self._read_snapshot(snapshot)
        done = self._world.gather(content["done"] if content else 0, self._where("a resumed loop"))
        if content is None or set(done) != {content["done"]}:
            return 0, 0  # a kill in the middle of writing: all start the loop again
        try:
            for name, target in saved.items():
                target.load_state_dict(content["state"][name])
        except Exception as error:  # whatever the method's own objects raise
            raise BenchError(
                f"The snapshot {snapshot} is of another loop ({error}). Delete it and run again."
            ) from error
        self._replay(content["lines"][len(self._scope.lines) :])
        self._scope.lines = list(content["lines"])
        self._scope.events = list(content.get("events", ()))
        self._scope.nondeterministic = list(content.get("nondeterministic", ()))
        for line in map(json.loads, self._scope.lines):
            _watched(self._scope, line["loop"], {k: line[k] for k in line.keys() - _PLACE})
        self._scope.seconds += float(content["seconds"])
        self._scope.stop = content["stop"]
        return int(content["done"]), int(content["taken"])

    def _read_snapshot(self, path: Path) -> dict[str, Any] | None:
        """Return what a snapshot holds; None if there is none, or if it is damaged."""
        return read_snapshot(path, self.device)

    def _snapshot(
        self, path: Path, saved: dict[str, Stateful], done: int, taken: int, seconds: float
    ) -> None:
        state = {name: source.state_dict() for name, source in saved.items()}
        for name, source in saved.items():
            if isinstance(source, torch.nn.Module):
                _check_finite(source, self._scope.name, done, name)
        content = {
            "done": done,
            "taken": taken,
            "stop": self._scope.stop,
            "seconds": seconds,
            "lines": self._scope.lines,
            "events": self._scope.events,
            "nondeterministic": self._scope.nondeterministic,
            "state": state,
        }
        with atomic_path(path) as temporary:
            torch.save(content, temporary)

    def _keep_candidate(self, step: int) -> None:
        """Save the stage's network for checkpoint selection, if it is a task network."""
        module = self._scope.module
        if self._world.rank == 0 and module is not None and hasattr(module, "classify"):
            save_weights(module, self._scope.folder / "checkpoints" / f"{step:08d}.safetensors")

    def _show_candidate(self) -> None:
        module = self._scope.module
        if module is not None and hasattr(module, "classify"):
            kept = len(list((self._scope.folder / "checkpoints").glob("[0-9]*.safetensors")))
            with self._arithmetic.exact(module):
                self._on_candidate(len(self.stages), kept, module)

    def _replay(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._on_log(json.loads(line))

    def _write_log(self) -> None:
        text = "".join(line + "\n" for line in self._scope.lines)
        (self._scope.folder / "metrics.jsonl").write_text(text, encoding="utf-8")

    def _batch_order(self, images: Images | LabeledImages, step: int, size: int) -> Tensor:
        """Return positions step*size..(step+1)*size of an endless stream of permutations."""
        n = len(images)
        first, last = step * size, (step + 1) * size
        parts = []
        for epoch in range(first // n, (last - 1) // n + 1):
            order = self._permutation(images.role, epoch, n)
            parts.append(order[max(first - epoch * n, 0) : last - epoch * n])
        return torch.cat(parts)

    def _crop_random(self, role: str, step: int) -> torch.Generator:
        loop, _ = self._scope.position
        return generator_from(self.seed, self._scope.name, loop, role, step, "crop")

    def _permutation(self, role: str, epoch: int, n: int) -> Tensor:
        loop, _ = self._scope.position
        name = (self.seed, self._scope.name, loop, role, epoch, n)
        if name not in self._orders:
            stale = [k for k in self._orders if k[:4] != name[:4] or k[4] < epoch - 1]
            for old in stale:
                if old[3] == role:
                    del self._orders[old]
            order = torch.randperm(n, generator=generator_from(*name))
            self._orders[name] = order.to(self.device)
        return self._orders[name]

    def _charge(self, steps: int) -> None:
        self._spent += steps

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        self._inside_step = True
        self._stepped.clear()
        try:
            yield
        finally:
            self._inside_step = False

    @contextlib.contextmanager
    def fitting(self) -> Iterator[None]:
        """Surround a method's `fit`: arithmetic, seeds outside of stages, budget.

        A step of `steps` may move several optimisers once each. Whatever an optimiser does beyond
        that, in a step or outside of all, counts as a step of its own.
        """

        def count(optimizer: object, *_: object) -> None:
            if self._inside_step and id(optimizer) not in self._stepped:
                self._stepped.add(id(optimizer))
                return
            self._charge(1)
            self._scope.steps += 1
            if self._spent > self._budget:
                raise self._overrun()

        seed_everything(self.seed, "fit")
        began = time.perf_counter()
        hooks = [register_optimizer_step_post_hook(count)]
        if self._world.size > 1:
            hooks.append(register_optimizer_step_pre_hook(self._share_gradients))
        try:
            with noting(self._note), self._arithmetic.training():
                yield
        finally:
            for hook in hooks:
                hook.remove()
            for stage in self.stages:
                plain(stage.module)
            self._outside = max(0.0, time.perf_counter() - began - self._in_stages)

    def _share_gradients(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Give each parameter of an optimiser the mean of its gradients in all processes."""
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        sizes = [gradient.numel() for gradient in gradients]
        if not sizes:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        where = self._where(f"a {type(optimizer).__name__} step of {len(flat)} gradients")
        mean = self._world.mean(flat, where)
        for gradient, part in zip(gradients, mean.split(sizes), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def _where(self, what: str) -> str:
        loop, step = self._scope.position
        return f"{what} at step {step} of loop {loop} of stage '{self._scope.name}'"

    def _note(self, sentence: str) -> None:
        if sentence not in self._scope.nondeterministic:
            self._scope.nondeterministic.append(sentence)

    def _overrun(self) -> BudgetError:
        return BudgetError(
            f"the method kept training past its budget of {self._budget} steps."
            " Loop over ctx.steps(n), which ends by itself, or raise --budget."
        )

    @property
    def seconds(self) -> float:
        """Wall time of the trial's training so far: of all stages, cached or not, and the rest."""
        # A resumed loop outside of stages brings the time of the attempts before.
        outside = max(self._outside, self._scope.seconds)
        return sum(stage.seconds for stage in self.stages) + outside

    @property
    def steps_taken(self) -> int:
        """Training steps of the whole trial, those of cached stages included."""
        return self._spent

    @property
    def events(self) -> list[Event]:
        """What the trial was warned of, of cached stages too, in the order of training."""
        return [event for part in self._parts() for event in part.events]

    @property
    def nondeterministic(self) -> list[str]:
        """Why the same training may give other numbers elsewhere: sentences, each once."""
        met = [sentence for part in self._parts() for sentence in part.nondeterministic]
        return list(dict.fromkeys([*self._arithmetic.reservations, *met]))

    def _parts(self) -> list[StageResult | _Scope]:
        unfinished = [] if self._unfinished is None else [self._unfinished]
        return [*self.stages, *unfinished, self._scope]

    @property
    def unfinished_log(self) -> list[str]:
        """Log lines of the stage that an exception ended, if one did."""
        return [] if self._unfinished is None else self._unfinished.lines

    @property
    def unstaged_log(self) -> list[str]:
        """Log lines written outside any stage."""
        return self._scope.lines


_PLACE = frozenset({"stage", "loop", "step"})
"""What a line of the log holds beside the method's numbers."""


def _watched(scope: _Scope, loop: int, values: Mapping[str, object]) -> str | None:
    """Let the loop's watch look at what a method logs; a method may log words, too."""
    numbers = {k: v for k, v in values.items() if v is None or isinstance(v, int | float)}
    return scope.watches.setdefault(loop, Watch()).look(numbers)


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _check_finite(module: nn.Module, stage: str, step: int, name: str = "network") -> None:
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DivergedError(f"{name}.{key} holds NaN or infinity at step {step} of '{stage}'")


__all__ = ["Context", "StageResult", "Stateful", "Step", "load_weights"]
