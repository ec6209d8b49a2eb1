"""Tasks: pairs stay pairs, order tells nothing, and no target label is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.data import labels as sealed
from bench.data.assemble import build_task
from bench.data.assemble import test_images as images_of_test
from bench.data.order import hidden_order
from bench.errors import BenchError
from bench.suites import Shift

if TYPE_CHECKING:
    from torch import Tensor

    from bench.data.domain import Split
    from bench.task import Task

ROOT = Path("nowhere")
CPU = torch.device("cpu")
SHIFT = Shift("a2b", "a", "b", size=4, channels=1)


@dataclass
class Numbered:
    """Image i is filled with the value i, its label is i modulo 10, as in a file sorted so."""

    n: int = 100
    first: int = 0
    classes: ClassVar[int] = 10

    def images(self, root: Path, split: Split) -> Tensor:
        values = torch.arange(self.first, self.first + self.n, dtype=torch.uint8)
        return values.view(-1, 1, 1, 1).expand(-1, 1, 4, 4)

    def labels(self, root: Path, split: Split) -> Tensor:
        return torch.arange(self.first, self.first + self.n) % 10


class Sealed(Numbered):
    """A domain that does not tell its labels."""

    def labels(self, root: Path, split: Split) -> Tensor:
        raise AssertionError("somebody read the target's labels")


def values(pixels: Tensor) -> list[int]:
    return [int(v) for v in pixels[:, 0, 0, 0]]


def task_of(source: object, target: object, **options: str) -> Task:
    return build_task(SHIFT, source, target, ROOT, CPU, **options)  # type: ignore[arg-type]


@given(st.integers(0, 300), st.sampled_from(["source", "target", "test"]))
def test_the_order_is_a_permutation_and_always_the_same(n: int, role: str) -> None:
    order = hidden_order(n, role)  # type: ignore[arg-type]
    assert sorted(order.tolist()) == list(range(n))
    assert order.dtype == torch.int64
    assert torch.equal(order, hidden_order(n, role))  # type: ignore[arg-type]


def test_orders_of_roles_have_nothing_in_common() -> None:
    # Two random permutations agree at one place on average; ten would be a wonder.
    orders = [hidden_order(1000, role) for role in ("source", "target", "test")]
    for i, a in enumerate(orders):
        assert a.eq(torch.arange(1000)).sum() < 10
        assert all(a.eq(b).sum() < 10 for b in orders[:i])


def test_every_source_image_keeps_its_label() -> None:
    task = task_of(Numbered(), Sealed(50))
    for part in (task.source, task.validation):
        assert [v % 10 for v in values(part.pixels)] == part.labels.tolist()


@given(st.integers(2, 250))
def test_source_and_validation_divide_the_training_set(n: int) -> None:
    task = task_of(Numbered(n), Sealed(1))
    assert len(task.validation) == max(1, n // 10)
    assert sorted(values(task.source.pixels) + values(task.validation.pixels)) == list(range(n))


def test_the_target_is_complete_and_not_in_its_files_order() -> None:
    target = values(task_of(Numbered(), Sealed()).target.pixels)
    assert sorted(target) == list(range(100))
    assert target != list(range(100))


def test_source_and_target_of_equal_files_are_not_paired() -> None:
    task = task_of(Numbered(200), Sealed(200))
    target = torch.tensor(values(task.target.pixels))[: len(task.source)] % 10
    assert task.source.labels.eq(target).float().mean() < 0.3


def test_test_images_match_the_sealed_labels() -> None:
    test = images_of_test(SHIFT, Numbered(), ROOT, CPU)
    labels = sealed.test_labels(Numbered(), ROOT)
    assert [v % 10 for v in values(test.pixels)] == labels.tolist()


def test_an_upper_bound_learns_from_the_target_domain() -> None:
    task = task_of(Sealed(100), Numbered(60, first=150), learns_from="target")
    assert sorted(values(task.source.pixels) + values(task.validation.pixels)) == list(
        range(150, 210)
    )
    assert [v % 10 for v in values(task.source.pixels)] == task.source.labels.tolist()
    assert sorted(values(task.target.pixels)) == list(range(150, 210))


def test_the_task_depends_on_nothing_that_ran_before() -> None:
    first = task_of(Numbered(), Sealed()).digest()
    torch.rand(3)
    assert task_of(Numbered(), Sealed()).digest() == first


def test_images_are_prepared_as_the_shift_says() -> None:
    shift = Shift("a2b", "a", "b", size=9, channels=3)
    task = build_task(shift, Numbered(), Sealed(), ROOT, CPU)
    assert task.source.pixels.shape[1:] == task.target.pixels.shape[1:] == (3, 9, 9)
    assert (task.size, task.channels, task.classes) == ((9, 9), 3, 10)


class Seven(Numbered):
    classes: ClassVar[int] = 7


class Float(Numbered):
    def images(self, root: Path, split: Split) -> Tensor:
        return super().images(root, split).float()


class Flat(Numbered):
    def images(self, root: Path, split: Split) -> Tensor:
        return super().images(root, split)[:, 0]


class Short(Numbered):
    def labels(self, root: Path, split: Split) -> Tensor:
        return super().labels(root, split)[1:]


class FromOne(Numbered):
    def labels(self, root: Path, split: Split) -> Tensor:
        return super().labels(root, split) + 1


class Fractions(Numbered):
    def labels(self, root: Path, split: Split) -> Tensor:
        return super().labels(root, split).float()


class AList(Numbered):
    def labels(self, root: Path, split: Split) -> Tensor:
        return super().labels(root, split).tolist()  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Seven(), "'a' has 7 classes and target 'b' 10"),
        (Float(), "Float.*uint8.*got torch.float32"),
        (Flat(), r"Flat.*uint8 \(n, c, h, w\).*got torch.uint8 \(100, 4, 4\)"),
        (Numbered(0), "there is no image"),
        (Numbered(1), "1 training images: too few"),
        (Short(), "Short has 100 training images and 99 labels"),
        (FromOne(), r"FromOne.*0\.\.9, got 1\.\.10"),
        (Fractions(), "Fractions.*int64.*got torch.float32"),
        (AList(), "AList.*int64 tensor.*got list"),
    ],
)
def test_a_malformed_domain_is_named(source: Numbered, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        task_of(source, Sealed())


def test_malformed_test_labels_are_named() -> None:
    with pytest.raises(BenchError, match=r"FromOne.labels\(\), test"):
        sealed.test_labels(FromOne(), ROOT)
