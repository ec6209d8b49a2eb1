"""The harness: batches, seeds, budgets, stops, stages and logs, one promise at a time."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.context import CANDIDATES, Context
from bench.errors import BenchError, BudgetError, DivergedError, PrunedError
from bench.stages import StageStore, load_weights
from bench.task import Images, LabeledImages

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Tiny(nn.Module):
    """A task network with dropout and batch norm, for images of 2x2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.2))
        self.head = nn.Linear(4, 3)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def classify(self, f: Tensor) -> Tensor:
        return self.head(f)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))


def context(folder: Path, **changed: Any) -> Context:
    """Return a context below `folder`; one of an equal folder goes on where this one was."""
    given_ = {
        "seed": 0,
        "device": torch.device("cpu"),
        "network": Tiny,
        "workspace": folder / "work",
        "store": StageStore(folder / "stages"),
        "identity": "identity",
        "budget": 1_000,
    }
    return Context(**(given_ | changed))


def numbered(n: int, role: str = "source") -> Images:
    """Return n <= 256 images; image i is filled with the value i."""
    values = torch.arange(n, dtype=torch.uint8)
    return Images(values.view(-1, 1, 1, 1).expand(-1, 1, 2, 2), role)


def numbers(batch: Tensor) -> list[int]:
    """Return which of the `numbered` images are in a batch."""
    return [round(v) for v in ((batch[:, 0, 0, 0] + 1) * 127.5).tolist()]


def batches(ctx: Context, images: Images, size: int, n: int, stage: str = "a") -> list[list[int]]:
    """Return the first n batches of a stage's first loop."""
    found: list[list[int]] = []

    def train(_: nn.Module) -> None:
        found.extend(numbers(step.batch(images, size)) for step in ctx.steps(n))

    ctx.stage(stage, params=n, build=ctx.network, train=train)
    return found


def random_numbers() -> tuple[float, float, float]:
    """Draw from every global generator."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


# ------------------------------------------------------------------ batches


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 45), st.integers(1, 8), st.integers(0, 3))
def test_every_image_comes_once_before_any_comes_again(
    n: int, size: int, steps: int, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = batches(context(Path(folder), seed=seed), numbered(n), size, steps)
    assert [len(batch) for batch in found] == [size] * steps
    stream = [number for batch in found for number in batch]
    for start in range(0, len(stream), n):
        epoch = stream[start : start + n]
        assert len(set(epoch)) == len(epoch)
        assert set(epoch) <= set(range(n))


def test_epochs_come_in_different_orders(tmp_path: Path) -> None:
    first, second, third = batches(context(tmp_path), numbered(50), 50, 3)
    assert first != second != third != first
    assert first != sorted(first)


def test_labels_stay_with_their_images(tmp_path: Path) -> None:
    images = LabeledImages(numbered(40).pixels, torch.arange(40) % 7, "source")
    for step in context(tmp_path).steps(5):
        x, y = step.batch(images, 16)
        assert [i % 7 for i in numbers(x)] == y.tolist()
        assert numbers(x) == numbers(step.batch(images.images(), 16))


def test_asking_twice_gives_the_same_batch(tmp_path: Path) -> None:
    images = numbered(40)
    for step in context(tmp_path).steps(9):
        first = step.batch(images, 16)
        torch.rand(1)
        step.batch(numbered(40, "target"), 16)
        step.batch(images, 3)
        assert torch.equal(step.batch(images, 16), first)


def test_a_batch_depends_on_nothing_that_was_asked_before(tmp_path: Path) -> None:
    """Step 7 is the same batch for one who asked for none before it, and in any random state."""
    expected = batches(context(tmp_path / "a"), numbered(40), 16, 9)
    ctx = context(tmp_path / "b")
    found = []

    def train(_: nn.Module) -> None:
        torch.manual_seed(99)
        for step in ctx.steps(9):
            torch.rand(5)
            if step.index in {4, 7}:
                found.append(numbers(step.batch(numbered(40), 16)))

    ctx.stage("before", params=0, build=ctx.network, train=lambda _: None)
    ctx.stage("a", params=0, build=ctx.network, train=train)
    assert found == [expected[4], expected[7]]


def test_seed_stage_and_loop_each_change_the_order(tmp_path: Path) -> None:
    def order(name: str, stage: str = "a", **changed: int) -> tuple[int, ...]:
        return tuple(batches(context(tmp_path / name, **changed), numbered(99), 99, 1, stage)[0])

    ctx = context(tmp_path / "loops")
    loops: list[tuple[int, ...]] = []

    def train(_: nn.Module) -> None:
        for _ in range(2):
            loops.extend(tuple(numbers(s.batch(numbered(99), 99))) for s in ctx.steps(1))

    ctx.stage("a", params=0, build=ctx.network, train=train)
    assert loops[0] == order("again")
    orders = {*loops, order("seed", seed=1), order("stage", "b")}
    assert len(orders) == 4


def test_source_and_target_of_equal_length_are_not_paired(tmp_path: Path) -> None:
    # Two random permutations of 200 agree at one place on average; ten would be a wonder.
    for step in context(tmp_path).steps(4):
        source = numbers(step.batch(numbered(200, "source"), 200))
        target = numbers(step.batch(numbered(200, "target"), 200))
        assert sum(a == b for a, b in zip(source, target, strict=True)) < 10


# ------------------------------------------------------------------ seeds


def draws(ctx: Context, *stages: str, loops: int = 2) -> list[tuple[float, float, float]]:
    """Return what each step of each loop of each stage draws."""
    found: list[tuple[float, float, float]] = []

    def train(_: nn.Module) -> None:
        for _ in range(loops):
            found.extend(random_numbers() for _ in ctx.steps(3))

    for stage in stages:
        ctx.stage(stage, params=0, build=ctx.network, train=train)
    return found


def test_every_step_seeds_every_generator(tmp_path: Path) -> None:
    first = draws(context(tmp_path / "1"), "a", "b")
    for _ in range(3):
        random_numbers()
    assert draws(context(tmp_path / "2"), "a", "b") == first
    other = draws(context(tmp_path / "3", seed=1), "a", "b")
    for library in range(3):
        assert len({row[library] for row in first + other}) == len(first + other)


def test_a_step_does_not_depend_on_what_the_one_before_it_drew(tmp_path: Path) -> None:
    expected = draws(context(tmp_path / "1"), "a", loops=1)
    ctx, found = context(tmp_path / "2"), []

    def train(_: nn.Module) -> None:
        for _ in ctx.steps(3):
            found.append(random_numbers())
            random_numbers()

    ctx.stage("a", params=0, build=ctx.network, train=train)
    assert found == expected


def test_initial_weights_depend_on_seed_and_stage_alone(tmp_path: Path) -> None:
    def initial(name: str, stage: str = "a", **changed: int) -> Tensor:
        ctx = context(tmp_path / name, **changed)
        return ctx.stage(
            stage, params=0, build=ctx.network, train=lambda _: None
        ).head.weight.detach()  # type: ignore[union-attr,no-any-return,operator]

    first = initial("1")
    torch.rand(3)
    assert torch.equal(initial("2"), first)
    assert not torch.equal(initial("3", seed=1), first)
    assert not torch.equal(initial("4", "b"), first)


# ------------------------------------------------------------------ budget


def sgd(net: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(net.parameters(), lr=0.1)


def test_asking_for_more_than_the_budget_fails_before_any_training(tmp_path: Path) -> None:
    ctx = context(tmp_path, budget=10)
    assert len(list(ctx.steps(4))) == 4
    begun = []
    with pytest.raises(BudgetError, match=r"asks for 7 steps, but 6 of the trial's budget of 10"):
        begun.extend(ctx.steps(7))
    assert not begun
    assert len(list(ctx.steps(6))) == 6
    assert ctx.steps_taken == 10


def test_an_optimiser_stepped_outside_of_steps_is_counted_and_stopped(tmp_path: Path) -> None:
    ctx = context(tmp_path, budget=10)
    optimizer, taken = sgd(Tiny()), []

    def run_away() -> None:
        while True:
            taken.append(optimizer.step())

    with ctx.fitting():
        assert len(list(ctx.steps(4))) == 4
        with pytest.raises(BudgetError, match="past its budget of 10"):
            run_away()
    assert len(taken) == 6
    for _ in range(3):
        optimizer.step()  # nobody counts any more
    assert ctx.steps_taken == 11


def test_a_step_moves_each_optimiser_once_and_what_goes_beyond_counts(tmp_path: Path) -> None:
    """A step may update several networks; one that is updated twice took two steps."""
    ctx = context(tmp_path, budget=20)
    one, two = sgd(Tiny()), sgd(Tiny())
    with ctx.fitting():
        for _ in ctx.steps(10):
            one.step()
            two.step()
            two.step()
    assert ctx.steps_taken == 20


def test_steps_of_a_cached_stage_count(tmp_path: Path) -> None:
    def trial(ctx: Context) -> Context:
        def train(net: nn.Module) -> None:
            optimizer = sgd(net)
            optimizer.step()  # outside: a seventh step
            for _ in ctx.steps(6):
                optimizer.step()

        with ctx.fitting():
            ctx.stage("a", params=0, build=ctx.network, train=train)
        return ctx

    store = StageStore(tmp_path / "stages")
    computed = trial(context(tmp_path / "1", budget=10, store=store))
    cached = trial(context(tmp_path / "2", budget=10, store=store))
    assert [s.cached for s in (*computed.stages, *cached.stages)] == [False, True]
    for ctx in (computed, cached):
        assert (ctx.steps_taken, ctx.stages[0].steps) == (7, 7)
        with pytest.raises(BudgetError, match="but 3 of"):
            list(ctx.steps(4))
        assert len(list(ctx.steps(3))) == 3


def test_steps_of_a_killed_attempt_count_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(context(tmp_path, budget=40, on_step=interrupt(("fit", 7))).steps(40))
    ctx = context(tmp_path, budget=40)
    loop = iter(ctx.steps(40))
    assert next(loop).index == 4  # a snapshot every fourth step
    assert ctx.steps_taken == 4
    again = context(tmp_path, budget=40)
    assert len(list(again.steps(40))) == 36
    assert again.steps_taken == 40
    with pytest.raises(BudgetError):
        list(again.steps(1))


# ------------------------------------------------------------------ stop and divergence


def test_stop_ends_the_loop_after_this_step_and_is_recorded(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    seen: list[tuple[int, int]] = []

    def train(net: nn.Module) -> None:
        for loop in range(2):
            for step in ctx.steps(10):
                seen.append((loop, step.index))
                sgd(net).step()
                if (loop, step.index) == (0, 1) or step.index == 3:
                    ctx.stop(f"enough in {loop}")

    ctx.stage("a", params=0, build=ctx.network, train=train)
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3)]
    (stage,) = ctx.stages
    assert (stage.stop, stage.steps, ctx.steps_taken) == ("enough in 1", 6, 6)
    assert json.loads((stage.folder / "stage.json").read_text())["stop"] == "enough in 1"
    cached = context(tmp_path)
    cached.stage("a", params=0, build=cached.network, train=train)
    assert (cached.stages[0].stop, cached.stages[0].steps) == ("enough in 1", 6)


def test_a_stopped_loop_stays_stopped_after_a_kill(tmp_path: Path) -> None:
    def run(ctx: Context) -> list[int]:
        seen = []
        for step in ctx.steps(10):
            seen.append(step.index)
            if step.index == 3:
                ctx.stop("enough")
        return seen

    with pytest.raises(KeyboardInterrupt):
        run(context(tmp_path, on_step=interrupt(("fit", 4))))
    ctx = context(tmp_path)
    assert run(ctx) == []
    assert ctx.steps_taken == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("part", ["head.weight", "trunk.1.running_var"])
def test_a_network_that_is_not_finite_names_stage_and_step(
    part: str, value: float, tmp_path: Path
) -> None:
    ctx = context(tmp_path)
    seen = []

    def train(net: nn.Module) -> None:
        for step in ctx.steps(100):
            seen.append(step.index)
            if step.index == 11:
                with torch.no_grad():
                    net.state_dict()[part].view(-1)[-1] = value

    # Looked for at every snapshot: each tenth of the loop.
    with pytest.raises(DivergedError, match=rf"module\.{part} .* at step 20 of 'bad'"):
        ctx.stage("bad", params=0, build=ctx.network, train=train)
    assert seen[-1] == 19
    assert not list((tmp_path / "stages").glob("*/stage.json"))


def test_another_network_of_the_state_that_is_not_finite(tmp_path: Path) -> None:
    ctx, critic = context(tmp_path), nn.Linear(1, 1)
    nn.init.constant_(critic.bias, float("nan"))
    with pytest.raises(DivergedError, match=r"critic\.bias holds NaN .* at step 1 of 'fit'"):
        list(ctx.steps(3, {"critic": critic}))


def test_a_network_that_is_spoilt_after_its_loop(tmp_path: Path) -> None:
    ctx = context(tmp_path)

    def train(net: nn.Module) -> None:
        list(ctx.steps(3))
        nn.init.constant_(net.head.bias, float("nan"))  # type: ignore[union-attr,arg-type]

    with pytest.raises(DivergedError, match=r"network\.head\.bias .* at step 3 of 'bad'"):
        ctx.stage("bad", params=0, build=ctx.network, train=train)
    assert not list((tmp_path / "stages").glob("*/stage.json"))


# ------------------------------------------------------------------ stages


@dataclass(frozen=True)
class How:
    lr: float = 0.1
    steps: int = 5


def trained(ctx: Context, name: str = "a", how: object = None) -> nn.Module:
    """Train a small network on random numbers in a stage."""

    def train(net: nn.Module) -> None:
        optimizer = sgd(net)
        for _ in ctx.steps(5, {"optimizer": optimizer}):
            optimizer.zero_grad()
            net(torch.randn(8, 1, 2, 2)).square().sum().backward()
            optimizer.step()

    return ctx.stage(name, params=how or How(), build=ctx.network, train=train)


def world() -> tuple[object, ...]:
    """Return the state of every global generator."""
    name, keys, *rest = np.random.get_state()
    return random.getstate(), name, keys.tolist(), *rest, torch.get_rng_state().tolist()


def test_a_hit_leaves_what_a_miss_leaves(tmp_path: Path) -> None:
    missed = trained(context(tmp_path))
    state = world()
    random_numbers()
    hit = trained(context(tmp_path))
    assert world() == state
    assert missed is not hit
    for module in (missed, hit):
        assert not any(part.training for part in module.modules())
        assert not any(p.requires_grad for p in module.parameters())
        assert all(p.grad is None for p in module.parameters())
    assert missed.state_dict().keys() == hit.state_dict().keys()
    for name, tensor in missed.state_dict().items():
        assert torch.equal(tensor, hit.state_dict()[name])
        assert tensor.stride() == hit.state_dict()[name].stride()


def test_training_begins_in_training_mode_and_with_gradients(tmp_path: Path) -> None:
    """Also where a stage starts from a copy of an earlier, frozen one."""
    ctx = context(tmp_path)
    frozen = trained(ctx)

    def train(net: nn.Module) -> None:
        assert all(part.training for part in net.modules())
        assert all(p.requires_grad for p in net.parameters())

    ctx.stage("b", params=0, build=lambda: frozen, train=train)


def keys(ctx: Context, *stages: tuple[str, object]) -> list[str]:
    for name, how in stages:
        trained(ctx, name, how)
    return [stage.key for stage in ctx.stages]


def test_a_key_depends_on_what_determines_the_stage_and_on_no_more(tmp_path: Path) -> None:
    base = keys(context(tmp_path), ("a", How()), ("b", How()))
    elsewhere = context(tmp_path / "elsewhere", budget=500, on_step=lambda *_: None)
    assert keys(elsewhere, ("a", {"steps": 5, "lr": 0.1}), ("b", {"lr": 0.1, "steps": 5})) == base
    changed = {
        "params": keys(context(tmp_path), ("a", How(lr=0.2)), ("b", How())),
        "seed": keys(context(tmp_path, seed=1), ("a", How()), ("b", How())),
        "identity": keys(context(tmp_path, identity="other"), ("a", How()), ("b", How())),
        "name": keys(context(tmp_path), ("c", How()), ("b", How())),
    }
    for what, found in changed.items():
        assert not set(found) & set(base), what  # b comes after a, so it changes with it
    first, second = keys(context(tmp_path), ("a", How()), ("b", How(steps=6)))
    assert (first, second == base[1]) == (base[0], False)
    assert keys(context(tmp_path), ("b", How()))[0] not in base
    every = [*base, second, *(key for found in changed.values() for key in found)]
    assert len(set(every)) == len(every)


def test_a_name_serves_once(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    trained(ctx)
    with pytest.raises(BenchError, match="stage 'a' was used twice"):
        trained(ctx)
    assert len(ctx.stages) == 1


# ------------------------------------------------------------------ checkpoints


@pytest.mark.parametrize(
    ("n", "expected"),
    [(100, (20, 40, 60, 80, 100)), (12, (3, 5, 8, 10, 12)), (5, (1, 2, 3, 4, 5)), (2, (1, 2))],
)
def test_candidates_lie_at_five_even_steps(
    n: int, expected: tuple[int, ...], tmp_path: Path
) -> None:
    ctx, weights = context(tmp_path), {}

    def train(net: nn.Module) -> None:
        for step in ctx.steps(n):
            nn.init.constant_(net.head.bias, step.index + 1)  # type: ignore[union-attr,arg-type]

    ctx.stage("a", params=0, build=ctx.network, train=train)
    for path in sorted((ctx.stages[0].folder / "checkpoints").iterdir()):
        net = Tiny()
        load_weights(net, path)
        weights[path.name] = net.head.bias[0].item()
    assert weights == {f"{step:08d}.safetensors": step for step in expected}
    assert len(expected) == min(n, CANDIDATES)


def test_a_stopped_stage_keeps_its_last_step(tmp_path: Path) -> None:
    ctx = context(tmp_path)

    def train(_: nn.Module) -> None:
        for step in ctx.steps(10):
            if step.index == 4:
                ctx.stop("enough")

    ctx.stage("a", params=0, build=ctx.network, train=train)
    kept = sorted(path.stem for path in (ctx.stages[0].folder / "checkpoints").iterdir())
    assert [int(name) for name in kept] == [2, 4, 5]


def test_only_a_task_network_is_kept_for_selection(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    ctx.stage("a", params=0, build=lambda: nn.Linear(2, 2), train=lambda _: list(ctx.steps(9)))
    assert not (ctx.stages[0].folder / "checkpoints").exists()


# ------------------------------------------------------------------ logs and resume


def interrupt(*points: tuple[str, int]) -> Callable[[str, int, int], None]:
    """Return an `on_step` that interrupts after given steps of given stages."""

    def on_step(stage: str, done: int, _: int) -> None:
        if (stage, done) in points:
            raise KeyboardInterrupt

    return on_step


class Counter:
    """Something of a method's own that changes while training."""

    def __init__(self) -> None:
        self.total = 0.0

    def state_dict(self) -> dict[str, object]:
        return {"total": self.total}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.total = float(state["total"])  # type: ignore[arg-type]


def two_loops(ctx: Context) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Train in two loops of 60 steps, log at every step and between the loops."""

    def train(net: nn.Module) -> None:
        optimizer, counter = torch.optim.Adam(net.parameters(), lr=0.01), Counter()
        ctx.log(event=0)
        for loop in range(2):
            for step in ctx.steps(60, {"optimizer": optimizer, "counter": counter}):
                loss = net(step.batch(numbered(50), 8)).square().sum() + torch.rand(())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                counter.total += loss.item()
                ctx.log(loss=loss.item(), total=counter.total)
            ctx.log(event=loop + 1)

    net = ctx.stage("a", params=0, build=ctx.network, train=train)
    text = (ctx.stages[0].folder / "metrics.jsonl").read_text()
    return net, [json.loads(line) for line in text.splitlines()]


def without_place(line: dict[str, Any]) -> dict[str, Any]:
    """Drop where an event between loops happened: see the known faults below."""
    return {"event": line["event"]} if "event" in line else line


# Snapshots are made every third step: before the first, at one, between two, after the last.
@pytest.mark.parametrize("points", [(1,), (30,), (31,), (60,), (1, 2, 7, 8, 30, 59, 60)])
def test_a_resumed_stage_is_the_uninterrupted_one_and_logs_each_line_once(
    points: tuple[int, ...], tmp_path: Path
) -> None:
    expected, lines = two_loops(context(tmp_path / "never"))
    assert [(line["loop"], line["step"]) for line in lines if "loss" in line] == [
        (loop, step) for loop in range(2) for step in range(60)
    ]
    assert [line["event"] for line in lines if "event" in line] == [0, 1, 2]
    pending = [(loop, point) for loop in range(2) for point in points]
    seen, finished = 0, None

    def on_step(_: str, done: int, __: int) -> None:
        nonlocal seen
        if pending and pending[0][1] == done and (pending[0][0] == 0 or seen >= len(points)):
            seen += 1
            pending.pop(0)
            raise KeyboardInterrupt

    while finished is None:
        try:
            finished = two_loops(context(tmp_path / "killed", on_step=on_step))
        except KeyboardInterrupt:
            continue
    assert not pending
    assert [without_place(line) for line in finished[1]] == [without_place(line) for line in lines]
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, finished[0].state_dict()[name]), name


def test_log_lines_say_where_they_come_from(tmp_path: Path) -> None:
    ctx = context(tmp_path)

    def train(_: nn.Module) -> None:
        for step in ctx.steps(2):
            ctx.log(loss=0.5 if step.index else None)

    ctx.log(outside=1.0)
    ctx.stage("a", params=0, build=ctx.network, train=train)
    lines = (ctx.stages[0].folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"stage": "a", "loop": 0, "step": 0, "loss": None},
        {"stage": "a", "loop": 0, "step": 1, "loss": 0.5},
    ]
    assert [json.loads(line) for line in ctx.unstaged_log] == [
        {"stage": "fit", "loop": 0, "step": 0, "outside": 1.0}
    ]


# ------------------------------------------------------------------ who watches checkpoints


class Watcher:
    """Notes what it is shown; ends the trial at one call, if it is told to."""

    def __init__(self, end: int | None = None) -> None:
        self.seen: list[tuple[int, int]] = []
        self.weights: list[dict[str, Tensor]] = []
        self._end = end

    def __call__(self, stage: int, checkpoint: int, net: nn.Module) -> None:
        self.seen.append((stage, checkpoint))
        self.weights.append({k: v.clone() for k, v in net.state_dict().items()})
        if len(self.seen) == self._end:
            raise PrunedError("behind")


def test_a_watcher_sees_every_checkpoint_of_a_task_network_once(tmp_path: Path) -> None:
    """By the stages before it, and its number in its stage, over all of the stage's loops."""

    def fit(ctx: Context) -> None:
        ctx.stage(
            "aside", params=0, build=lambda: nn.Linear(2, 2), train=lambda _: list(ctx.steps(10))
        )
        two_loops(ctx)
        trained(ctx, "b")
        list(ctx.steps(5))  # outside of stages there is no network to show

    watcher = Watcher()
    ctx = context(tmp_path, on_candidate=watcher)
    fit(ctx)
    assert watcher.seen == [(1, n) for n in range(1, 11)] + [(2, n) for n in range(1, 6)]
    for seen, stage in zip(watcher.weights[9::5], ctx.stages[1:], strict=True):
        assert all(torch.equal(seen[k], v) for k, v in stage.module.state_dict().items())
    # What comes from the cache was shown to somebody before.
    again = Watcher()
    fit(context(tmp_path, on_candidate=again))
    assert not again.seen


def test_looking_changes_nothing(tmp_path: Path) -> None:
    watched, _ = two_loops(context(tmp_path / "a", on_candidate=lambda *_: random_numbers()))
    alone, _ = two_loops(context(tmp_path / "b"))
    assert all(torch.equal(v, alone.state_dict()[k]) for k, v in watched.state_dict().items())


@pytest.mark.parametrize("end", [1, 4, 5, 6, 10])
def test_a_trial_that_a_watcher_ends_can_be_taken_up(tmp_path: Path, end: int) -> None:
    expected, lines = two_loops(context(tmp_path / "never"))
    with pytest.raises(PrunedError):
        two_loops(context(tmp_path / "ended", on_candidate=Watcher(end)))
    later = Watcher()
    ctx = context(tmp_path / "ended", on_candidate=later)
    net, said = two_loops(ctx)
    assert all(torch.equal(v, expected.state_dict()[k]) for k, v in net.state_dict().items())
    assert [without_place(line) for line in said] == [without_place(line) for line in lines]
    # 60 steps with a snapshot at each sixth: it goes on exactly where it was ended.
    assert later.seen == [(0, n) for n in range(end + 1, 11)]
    assert ctx.steps_taken == 120


# ------------------------------------------------------------------ known faults


def test_a_line_after_a_resumed_loop_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        two_loops(context(tmp_path, on_step=interrupt(("a", 60))))
    _, lines = two_loops(context(tmp_path))
    (event,) = (line for line in lines if line.get("event") == 1)
    assert (event["loop"], event["step"]) == (0, 59)


def counted(net: nn.Module, value: int) -> None:
    """Give a network a weight that tells when it was saved."""
    nn.init.constant_(net.head.bias, value)  # type: ignore[union-attr,arg-type]


def breaks_off(net: nn.Module, ctx: Context) -> None:
    for step in ctx.steps(10):
        counted(net, step.index + 1)
        if step.index == 6:
            break


def has_a_short_second_loop(net: nn.Module, ctx: Context) -> None:
    for n in (10, 5):
        for step in ctx.steps(n):
            counted(net, 100 * n + step.index)


def changes_weights_after_its_loop(net: nn.Module, ctx: Context) -> None:
    for step in ctx.steps(10):
        counted(net, step.index)
    counted(net, 77)  # say, an average of the weights on the way


@pytest.mark.parametrize(
    "train", [breaks_off, has_a_short_second_loop, changes_weights_after_its_loop]
)
def test_the_last_candidate_is_what_the_stage_returns(
    train: Callable[[nn.Module, Context], None], tmp_path: Path
) -> None:
    """Rule `last` scores the last candidate: it must be the network that the method made."""
    ctx = context(tmp_path)
    net = ctx.stage("a", params=0, build=ctx.network, train=lambda module: train(module, ctx))
    last = max((ctx.stages[0].folder / "checkpoints").iterdir())
    kept = Tiny()
    load_weights(kept, last)
    assert torch.equal(kept.head.bias, net.head.bias)  # type: ignore[arg-type]


def test_a_loop_that_is_broken_off_counts_its_steps(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    ctx.stage("a", params=0, build=ctx.network, train=lambda net: breaks_off(net, ctx))
    assert (ctx.steps_taken, ctx.stages[0].steps) == (7, 7)


def test_a_loop_inside_a_loop_resumes_or_is_refused(tmp_path: Path) -> None:
    def run(ctx: Context) -> Tensor:
        def train(net: nn.Module) -> None:
            optimizer = sgd(net)
            for _ in ctx.steps(4, {"optimizer": optimizer}):
                for _ in ctx.steps(2, {"optimizer": optimizer}):
                    optimizer.zero_grad()
                    net(torch.randn(8, 1, 2, 2)).square().sum().backward()
                    optimizer.step()

        net = ctx.stage("a", params=0, build=ctx.network, train=train)
        return net.head.weight  # type: ignore[union-attr,return-value]

    try:
        expected = run(context(tmp_path / "never"))
    except BenchError:
        return
    pending = [2]

    def on_step(_: str, done: int, n: int) -> None:
        if n == 4 and done in pending:
            pending.remove(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(context(tmp_path / "killed", on_step=on_step))
    assert torch.equal(run(context(tmp_path / "killed")), expected)


def test_what_is_made_between_two_loops_is_the_same_after_a_resume(tmp_path: Path) -> None:
    def run(ctx: Context) -> Tensor:
        def train(net: nn.Module) -> None:
            optimizer = sgd(net)
            for _ in ctx.steps(20, {"optimizer": optimizer}):
                optimizer.step()
            helper = nn.Linear(3, 3)  # draws from the global generator
            net.head.weight.data[:] = 0
            net.head.bias.data[:] = helper.bias.data
            for _ in ctx.steps(20):
                pass

        return ctx.stage("a", params=0, build=ctx.network, train=train).head.bias

    expected = run(context(tmp_path / "undisturbed"))
    with pytest.raises(KeyboardInterrupt):
        run(context(tmp_path / "killed", on_step=interrupt(("a", 20))))
    assert torch.equal(run(context(tmp_path / "killed")), expected)


def test_code_outside_of_stages_is_seeded(tmp_path: Path) -> None:
    drawn = []
    for before in (1, 2):
        torch.manual_seed(before)
        with context(tmp_path).fitting():
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_a_cached_stage_beyond_the_budget_is_refused_like_a_computed_one(tmp_path: Path) -> None:
    def trial(ctx: Context) -> None:
        def train(_: nn.Module) -> None:
            for _ in ctx.steps(6):
                pass

        ctx.stage("a", params=0, build=ctx.network, train=train)

    store = StageStore(tmp_path / "stages")
    trial(context(tmp_path / "1", store=store))
    with pytest.raises(BudgetError, match="budget of 5"):
        trial(context(tmp_path / "2", budget=5, store=store))
