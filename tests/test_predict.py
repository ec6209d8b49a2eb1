"""Predictions of score maps: resized before the largest is taken, one image at a time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bench import predict as module
from bench.errors import BenchError, DivergedError
from bench.predict import predict, predict_maps, sample_positions, sample_scores
from bench.task import Images

N, K, SIZE = 7, 4, (6, 10)


class Maps(nn.Module):
    """A convolution with dropout, so that a wrong mode shows."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, K, 3, padding=1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def images() -> Images:
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (N, 3, *SIZE), generator=random, dtype=torch.uint8)
    return Images(pixels, "test")


@pytest.fixture
def net() -> Maps:
    torch.manual_seed(0)
    return Maps()


def test_dense_logits(net: Maps) -> None:
    x = images()[torch.arange(N)]
    assert torch.allclose(predict(net, images(), K, dense=True), net.body[0](x), atol=1e-6)


@pytest.mark.parametrize("pixels", [1, 2 * 60, 10**6])
def test_maps_are_those_of_resized_logits(
    net: Maps, pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_PIXELS", pixels)
    sizes = [SIZE, (12, 20), (6, 11), (3, 5), SIZE, (7, 10), (60, 100)]
    logits = net.body[0](images()[torch.arange(N)])
    maps = list(predict_maps(net, images(), K, sizes))
    for found, size, one in zip(maps, sizes, logits, strict=True):
        wanted = F.interpolate(one[None], size=size, mode="bilinear")[0].argmax(0)
        assert (found.dtype, tuple(found.shape)) == (torch.uint8, size)
        assert (found == wanted).float().mean() > 0.99  # rounding may turn a tie
    assert net.training


@pytest.mark.parametrize("count", [1, 9, module.SAMPLED])
@pytest.mark.parametrize("pixels", [1, 2 * 60, 10**6])
def test_sampled_scores_are_those_at_the_sampled_positions(
    net: Maps, count: int, pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_PIXELS", pixels)
    logits = net.body[0](images()[torch.arange(N)])
    places = sample_positions(images(), count).tolist()
    expected = [logits[n, :, p // SIZE[1], p % SIZE[1]] for n in range(N) for p in places[n]]
    found = sample_scores(net, images(), K, count)
    assert found.shape == (N * count, K)
    assert torch.allclose(found, torch.stack(expected), atol=1e-6)
    assert torch.equal(found, sample_scores(net, images(), K, count))


def test_sampled_positions_depend_on_number_and_size_alone() -> None:
    first = sample_positions(images(), 40)
    assert (first.dtype, first.shape) == (torch.int64, (N, 40))
    assert 0 <= first.min() < 10
    assert 50 < first.max() < 60
    torch.manual_seed(9)
    state = torch.get_rng_state()
    other = Images(255 - images().pixels, "source")  # type: ignore[operator]
    assert torch.equal(sample_positions(other, 40), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert len({tuple(row) for row in first.tolist()}) == N
    turned = Images(images().pixels.transpose(2, 3), "test")  # type: ignore[union-attr]
    assert not torch.equal(sample_positions(turned, 40), first)


def test_a_wrong_shape_is_named(net: Maps) -> None:
    with pytest.raises(BenchError, match=r"logits \(b, 5, 6, 10\), got \(7, 4, 6, 10\)"):
        predict(net, images(), 5, dense=True)
    with pytest.raises(BenchError, match=r"logits \(b, 4\), got \(7, 4, 6, 10\)"):
        predict(net, images(), 4)


def test_nan_is_noticed(net: Maps) -> None:
    with torch.no_grad():
        net.body[0].weight[0] = float("nan")
    with pytest.raises(DivergedError, match="NaN"):
        list(predict_maps(net, images(), K, [SIZE] * N))
