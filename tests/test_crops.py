"""Random windows of a batch: one place for image and label map, a pure function of the step."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.context import Context
from bench.stages import StageStore
from bench.task import Images, LabeledImages, to_bytes, to_unit_range

H, W = 6, 9
N = 5


def context(folder: Path, seed: int = 0) -> Context:
    return Context(
        seed=seed,
        device=torch.device("cpu"),
        network=lambda: nn.Linear(1, 1),
        workspace=folder / "work",
        store=StageStore(folder / "stages"),
        identity="identity",
        budget=100,
    )


def numbered(role: str = "source") -> LabeledImages:
    """Return images whose every pixel has its own value, which is its label as well."""
    places = torch.arange(H * W, dtype=torch.uint8).view(H, W)
    labels = torch.stack([places + i for i in range(N)])
    return LabeledImages(labels[:, None].repeat(1, 3, 1, 1), labels, role)


def crops(
    folder: Path, images: LabeledImages | Images, size: int, crop: int | None, seed: int = 0
) -> list[tuple[Tensor, ...]]:
    found = []
    for step in context(folder, seed).steps(4):
        got = step.batch(images, size, crop)
        found.append((got,) if isinstance(got, Tensor) else got)
        again = step.batch(images, size, crop)
        assert all(
            torch.equal(a, b)
            for a, b in zip(found[-1], [again] if isinstance(again, Tensor) else again, strict=True)
        )
    return found


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 7))
def test_a_crop_is_a_window_of_image_and_label_map_alike(crop: int, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = crops(Path(folder), numbered(), size, crop)
    tall, wide = min(crop, H), min(crop, W)
    for x, y in found:
        assert tuple(x.shape) == (size, 3, tall, wide)
        assert tuple(y.shape) == (size, tall, wide)
        assert torch.equal(to_bytes(x).long(), y[:, None].repeat(1, 3, 1, 1))
        assert bool((y[:, :, 1:] - y[:, :, :-1] == 1).all())
        assert bool((y[:, 1:] - y[:, :-1] == W).all())


def test_windows_differ_between_images_steps_seeds_and_roles(tmp_path: Path) -> None:
    found = crops(tmp_path / "a", numbered(), 50, 3)
    corners = {tuple((y[:, 0, 0] % W).tolist()) for _, y in found}
    assert len(corners) == len(found), "each step has its own"
    assert len(set(found[0][1][:, 0, 0].tolist())) > 10, "each image has its own"
    other = crops(tmp_path / "b", numbered(), 50, 3, seed=1)
    assert not torch.equal(found[0][1], other[0][1])
    target = crops(tmp_path / "c", numbered("target"), 50, 3)
    assert not torch.equal(found[0][1], target[0][1])
    every = torch.cat([y[:, 0, 0] for _, y in found])
    assert len(set(every.tolist())) > (H - 2) * (W - 2), "every place is possible"


def test_no_crop_is_the_whole(tmp_path: Path) -> None:
    whole = crops(tmp_path / "a", numbered(), 4, None)
    large = crops(tmp_path / "b", numbered(), 4, 100)
    for (x, y), (x_large, y_large) in zip(whole, large, strict=True):
        assert torch.equal(x, x_large)
        assert torch.equal(y, y_large)


def test_images_without_labels_and_class_indices_are_cropped_alike(tmp_path: Path) -> None:
    images = numbered()
    indices = LabeledImages(images.pixels, torch.arange(N), "source")
    alone = crops(tmp_path / "a", images.images(), 4, 3)
    classified = crops(tmp_path / "b", indices, 4, 3)
    segmented = crops(tmp_path / "c", images, 4, 3)
    for (x,), (x_c, y_c), (x_s, _) in zip(alone, classified, segmented, strict=True):
        assert torch.equal(x, x_c)
        assert torch.equal(x, x_s)
        assert y_c.shape == (4,)


# ------------------------------------------------------------------ streams


class Stream:
    """A tensor that counts what it is asked for."""

    device = torch.device("cpu")

    def __init__(self, content: Tensor) -> None:
        self.content = content
        self.shape = content.shape
        self.asked: list[tuple[str, list[int]]] = []

    def __len__(self) -> int:
        return len(self.content)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        self.asked.append(("read", index.tolist()))
        return self.content.index_select(dim, index)

    def prefetch(self, index: Tensor) -> None:
        self.asked.append(("prefetch", index.tolist()))

    def digest(self) -> str:
        return "stream"


def test_what_comes_next_is_asked_for_ahead(tmp_path: Path) -> None:
    pixels, labels = Stream(numbered().pixels), Stream(numbered().labels)
    for step in context(tmp_path).steps(4):
        step.batch(LabeledImages(pixels, labels, "source"), 2)
    for stream in (pixels, labels):
        kinds = [kind for kind, _ in stream.asked]
        assert kinds == ["read", "prefetch"] * 4
        reads = [index for kind, index in stream.asked if kind == "read"]
        ahead = [index for kind, index in stream.asked if kind == "prefetch"]
        assert reads[1:] == ahead[:-1]
    assert pixels.asked == labels.asked


class Brighter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(0.2))
        self.noise = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.noise(x + self.by)


@pytest.mark.parametrize("pixels", [1, 2**19])
def test_translation_is_the_same_in_memory_and_streamed(
    pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.task.TRANSLATED_PIXELS", pixels)
    images, translator = numbered(), Brighter()
    stream = Stream(images.pixels)  # type: ignore[arg-type]
    in_memory = images.translated(translator)
    streamed = LabeledImages(stream, images.labels, "source").translated(translator)
    assert stream.asked == [], "nothing is translated before it is asked for"
    index = torch.tensor([3, 0, 3])
    for found, expected in zip(streamed[index], in_memory[index], strict=True):
        assert torch.equal(found, expected)
    wanted = to_bytes(to_unit_range(images.pixels) + 0.2)  # type: ignore[arg-type]
    assert torch.equal(in_memory.pixels, wanted)  # type: ignore[arg-type]
    assert translator.training
    assert len(streamed) == N
    assert streamed.pixels.shape == (N, 3, H, W)


def test_a_translated_streams_digest_knows_the_translator() -> None:
    images, translator = numbered(), Brighter()
    stream = LabeledImages(Stream(images.pixels), images.labels, "source")  # type: ignore[arg-type]
    first = stream.translated(translator).digest()
    assert first == stream.translated(translator).digest() != stream.digest()
    with torch.no_grad():
        translator.by += 0.1
    assert stream.translated(translator).digest() != first
