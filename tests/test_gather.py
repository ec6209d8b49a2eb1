"""What is asked of a checkpoint for the rules: the right images, and no trace is left."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import gather as module
from bench.errors import DivergedError
from bench.gather import gather
from bench.importance import density_ratio
from bench.predict import sample_positions
from bench.task import Images, LabeledImages, Task

if TYPE_CHECKING:
    from bench.select import Evidence

K, SIDE, TALL, WIDE = 3, 6, 8, 12


class Digits(nn.Module):
    """Dropout, batch norm and a random number in each pass, so that a wrong mode shows."""

    def __init__(self) -> None:
        super().__init__()
        flat = SIDE * SIDE
        self.trunk = nn.Sequential(
            nn.Flatten(), nn.Linear(flat, 7), nn.BatchNorm1d(7), nn.Dropout(), nn.Tanh()
        )
        self.head = nn.Linear(7, K)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x) + 0.0 * torch.rand(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Scenes(nn.Module):
    """Features at half of the images' resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 5, 2, stride=2), nn.BatchNorm2d(5), nn.Dropout())
        self.head = nn.Conv2d(5, K, 1)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(self.head(self.features(x)), scale_factor=2)


class Bare(nn.Module):
    """A network whose logits are all that it shows."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Numbered(Bare):
    """One that calls something else its features."""

    features = 7


@dataclass(frozen=True)
class Stream:
    """Images or label maps that are not in memory; counts what is read."""

    content: Tensor
    read: list[int]

    shape = property(lambda self: self.content.shape)
    device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.content)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        self.read.append(len(index))
        return self.content.index_select(dim, index)

    def prefetch(self, index: Tensor) -> None:
        pass

    def digest(self) -> str:
        return "stream"


def pixels(n: int, seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)


def digits(source: int = 60, target: int = 50, validation: int = 30) -> Task:
    """Return a task whose domains differ in brightness."""
    labels = [torch.arange(n) % K for n in (source, validation)]
    bright = pixels(target, 2, 1, SIDE, SIDE) // 2 + 100
    return Task(
        LabeledImages(pixels(source, 0, 1, SIDE, SIDE), labels[0], "source"),
        LabeledImages(pixels(validation, 1, 1, SIDE, SIDE), labels[1], "source"),
        Images(bright, "target"),
        K,
    )


def scenes(unlabelled: int = 255) -> Task:
    """Return a task of label maps; two left columns have no label."""
    parts = []
    for n, seed in ((6, 0), (4, 1)):
        maps = pixels(n, 10 + seed, TALL, WIDE) % K
        maps[:, :, :2] = unlabelled
        parts.append(LabeledImages(pixels(n, seed, 3, TALL, WIDE), maps, "source"))
    return Task(parts[0], parts[1], Images(pixels(5, 2, 3, TALL, WIDE) // 2 + 90, "target"), K)


def streamed(task: Task, read: list[int]) -> Task:
    labelled = [
        LabeledImages(Stream(part.pixels, read), Stream(part.labels, read), part.role)  # type: ignore[arg-type]
        for part in (task.source, task.validation)
    ]
    target = Images(Stream(task.target.pixels, read), task.target.role)  # type: ignore[arg-type]
    return Task(labelled[0], labelled[1], target, task.classes)


def network(kind: type[nn.Module]) -> nn.Module:
    """Return a network that has seen a batch, and has one part in another mode than the rest."""
    torch.manual_seed(0)
    net: nn.Module = kind()
    shape = (9, 1, SIDE, SIDE) if kind is Digits else (9, 3, TALL, WIDE)
    net.train()(torch.randn(shape))
    net.trunk[-1].eval()  # type: ignore[index, union-attr]
    return net


CASES = {"digits": (Digits, digits), "scenes": (Scenes, scenes)}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Task]:
    """Return a network and a task that it answers for."""
    kind, task = CASES[request.param]
    return network(kind), task()


def equal(a: Evidence, b: Evidence) -> bool:
    return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in vars(a))


def states() -> tuple[Any, ...]:
    numpy = np.random.get_state()[1].tolist()
    return random.getstate(), numpy, torch.get_rng_state().tolist()


# ------------------------------------------------------------------ no trace


def test_network_task_and_random_state_are_left_as_they_were(
    case: tuple[nn.Module, Task],
) -> None:
    net, task = case
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes = [part.training for part in net.modules()]
    before, digest = states(), task.digest()
    gather(net, task)
    assert states() == before
    assert [part.training for part in net.modules()] == modes
    assert {True, False} == set(modes)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in weights.items())
    assert all(p.requires_grad and bool((p.grad == 1).all()) for p in net.parameters())
    assert task.digest() == digest


def test_it_is_the_same_each_time_whatever_was_drawn_before(
    case: tuple[nn.Module, Task],
) -> None:
    first = gather(*case)
    torch.rand(5)
    np.random.seed(3)
    assert equal(gather(*case), first)


def test_streamed_images_give_the_same(
    case: tuple[nn.Module, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, task = case
    read: list[int] = []
    assert equal(gather(net, streamed(task, read)), gather(net, task))
    monkeypatch.setattr(module, "SCENES", 2)
    monkeypatch.setattr(module, "TARGET_SCENES", 3)
    if task.dense:
        read.clear()
        gather(net, streamed(task, read))
        assert max(read) <= 3  # what is not asked is not read


# ------------------------------------------------------------------ the right images


def test_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in more batches than one."""
    net, task = network(Digits), digits()
    found = gather(net, task)
    net.eval()
    with torch.no_grad():
        everything = torch.arange(60), torch.arange(50), torch.arange(30)
        x = task.source[everything[0]][0], task.target[everything[1]], task.validation.images()
        f = [net.features(part) for part in (x[0], x[1], x[2][everything[2]])]  # type: ignore[operator]
        logits = [net.head(part).numpy() for part in f]  # type: ignore[operator]
    np.testing.assert_allclose(found.target, logits[1], atol=1e-6)
    np.testing.assert_allclose(found.validation, logits[2], atol=1e-6)
    assert found.labels.tolist() == task.validation.labels.tolist()  # type: ignore[union-attr]
    expected = density_ratio(*(part.numpy() for part in f))
    np.testing.assert_allclose(found.weights, expected, rtol=1e-4)
    kinds = [getattr(found, part).dtype for part in ("target", "validation", "labels", "weights")]
    assert kinds == [np.float32, np.float32, np.int64, np.float64]
    monkeypatch.setattr(module, "BATCH", 7)
    np.testing.assert_allclose(gather(net, task).weights, expected, rtol=1e-4)


def test_of_many_digits_the_first_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    net, task = network(Digits), digits()
    limits = {"TARGET_IMAGES": 20, "VALIDATION_IMAGES": 11, "FEATURE_IMAGES": 16}
    for name, limit in limits.items():
        monkeypatch.setattr(module, name, limit)
    found = gather(net, task)
    assert [len(part) for part in vars(found).values()] == [20, 11, 11, 11]
    few = Task(
        LabeledImages(task.source.pixels[:16], task.source.labels[:16], "source"),  # type: ignore[index]
        LabeledImages(task.validation.pixels[:11], task.validation.labels[:11], "source"),  # type: ignore[index]
        Images(task.target.pixels[:20], "target"),  # type: ignore[index]
        K,
    )
    assert equal(found, gather(net, few))
    # The last of the target images are asked for logits, but not for features.
    few.target.pixels[16:] //= 2  # type: ignore[index]
    other = gather(net, few)
    assert np.array_equal(other.weights, found.weights)
    assert not np.array_equal(other.target[16:], found.target[16:])


def test_of_many_scenes_the_first_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCENES", 2)
    monkeypatch.setattr(module, "TARGET_SCENES", 4)
    monkeypatch.setattr(module, "POSITIONS", 10)
    found = gather(network(Scenes), scenes())
    assert len(found.target) == 4 * 512
    assert 10 < len(found.labels) == len(found.weights) == len(found.validation) <= 20


@pytest.mark.parametrize("unlabelled", [255, K])
def test_scenes(unlabelled: int) -> None:
    """By a loop over pixels: logits, labels and features of the same place belong together."""
    net, task = network(Scenes), scenes(unlabelled)
    found = gather(net, task)
    net.eval()
    domains = task.source.images(), task.target, task.validation.images()
    maps: Tensor = task.validation.labels  # type: ignore[assignment]
    features: list[list[list[float]]] = [[], [], []]
    validation, labels, target = [], [], []
    with torch.no_grad():
        for domain, images in enumerate(domains):
            x = images[torch.arange(len(images))]
            f, logits = net.features(x), net(x)  # type: ignore[operator]
            for image, places in enumerate(sample_positions(images, 64).tolist()):
                for place in places:
                    row, column = divmod(place, WIDE)
                    if domain == 2 and maps[image, row, column] == unlabelled:
                        continue
                    features[domain].append(f[image, :, row // 2, column // 2].tolist())
                    if domain == 2:
                        validation.append(logits[image, :, row, column].tolist())
                        labels.append(int(maps[image, row, column]))
            if domain == 1:
                for image, places in enumerate(sample_positions(images).tolist()):
                    target += [logits[image, :, p // WIDE, p % WIDE].tolist() for p in places]
    np.testing.assert_allclose(found.target, target, atol=1e-5)
    np.testing.assert_allclose(found.validation, validation, atol=1e-5)
    assert found.labels.tolist() == labels
    assert 0 < len(labels) < 4 * 64
    expected = density_ratio(*(np.array(part, np.float32) for part in features))
    np.testing.assert_allclose(found.weights, expected, rtol=1e-3)


def test_scenes_without_any_label_leave_nothing_to_validate() -> None:
    task = scenes()
    nothing = torch.full_like(task.validation.labels, 255)  # type: ignore[arg-type]
    validation = LabeledImages(task.validation.pixels, nothing, "source")
    found = gather(network(Scenes), Task(task.source, validation, task.target, K))
    assert (found.validation.shape, found.labels.shape, found.weights.shape) == ((0, K), (0,), (0,))
    assert len(found.target) == 5 * 512


# ------------------------------------------------------------------ networks of other shapes


@pytest.mark.parametrize("wrapper", [Bare, Numbered])
def test_a_network_without_features_is_judged_by_its_logits(
    wrapper: type[nn.Module], case: tuple[nn.Module, Task]
) -> None:
    net, task = case
    plain, bare = gather(net, task), gather(wrapper(net), task)
    assert np.array_equal(bare.target, plain.target)
    assert np.array_equal(bare.validation, plain.validation)
    assert not np.array_equal(bare.weights, plain.weights)
    if not task.dense:
        images = (task.source, task.target, task.validation)
        parts = [module.predict(net, Images(i.pixels, ""), K).numpy() for i in images]
        np.testing.assert_allclose(bare.weights, density_ratio(*parts), rtol=1e-5)


def test_a_network_that_diverged_says_so(case: tuple[nn.Module, Task]) -> None:
    net, task = case
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    with pytest.raises(DivergedError, match="NaN"):
        gather(net, task)
