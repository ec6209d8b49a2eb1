"""The discriminators against a second writing of them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.errors import BenchError
from cycada.discriminators import PatchDiscriminator, ScoreDiscriminator, SpatialDiscriminator
from cycada.feature_stage import SOURCE, TARGET, discriminate


def random_images(b: int, c: int, h: int, w: int) -> Tensor:
    return torch.rand(b, c, h, w, generator=torch.Generator().manual_seed(1)) * 2 - 1


def standardised(x: Tensor) -> Tensor:
    """Instance norm written out: every map of every image to mean 0, variance 1."""
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()


def livened(network: nn.Module) -> nn.Module:
    """Give every parameter a size at which a wrong layer shows."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    return network


# ------------------------------------------------------------------ patches


def test_the_papers_parameter_counts() -> None:
    """For one channel, 2 * 64 * 4 * 4 weights fewer."""
    counts = [sum(p.numel() for p in PatchDiscriminator(c).parameters()) for c in (3, 1)]
    assert counts == [2_764_737, 2_764_737 - 2048]


def test_patch_shapes_by_hand() -> None:
    widths = [(w.shape[1], w.shape[0]) for w in PatchDiscriminator(3).parameters() if w.ndim == 4]
    assert widths == [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    lean = PatchDiscriminator(1, filters=32, layers=2)
    widths = [(w.shape[1], w.shape[0]) for w in lean.parameters() if w.ndim == 4]
    assert widths == [(1, 32), (32, 64), (64, 128), (128, 1)]
    wide = PatchDiscriminator(1, filters=2, layers=5)
    assert [w.shape[0] for w in wide.parameters() if w.ndim == 4] == [2, 4, 8, 16, 16, 16, 1]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_patch_discriminator_computes_what_its_description_says(layers: int) -> None:
    """The strided layers, one more at stride 1, and the answer; no norm on the first."""
    network = livened(PatchDiscriminator(3, filters=4, layers=layers))
    x = random_images(2, 3, 32, 28)
    weights = list(network.parameters())
    h = F.leaky_relu(F.conv2d(x, *weights[:2], stride=2, padding=1), 0.2)
    for i in range(1, layers + 1):
        h = F.conv2d(h, *weights[2 * i : 2 * i + 2], stride=1 if i == layers else 2, padding=1)
        h = F.leaky_relu(standardised(h), 0.2)
    expected = F.conv2d(h, *weights[-2:], padding=1)
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(layers=st.integers(1, 3), h=st.integers(6, 40), w=st.integers(6, 40), c=st.integers(1, 3))
def test_patches(layers: int, h: int, w: int, c: int) -> None:
    assume(min(h, w) >= 3 * 2**layers)
    network = PatchDiscriminator(c, filters=2, layers=layers)
    patches = network(random_images(2, c, h, w))
    assert patches.shape == (2, 1, h // 2**layers - 2, w // 2**layers - 2)


@pytest.mark.parametrize(("size", "patches"), [(28, 1), (32, 2)])
def test_the_papers_at_the_size_of_digits(size: int, patches: int) -> None:
    network = PatchDiscriminator(1, filters=4)
    assert network(random_images(2, 1, size, size)).shape == (2, 1, patches, patches)


@settings(max_examples=20, deadline=None)
@given(layers=st.integers(1, 3), short=st.integers(1, 40), swap=st.booleans())
def test_images_that_leave_no_patch(layers: int, short: int, swap: bool) -> None:  # noqa: FBT001
    smallest = 3 * 2**layers
    assume(short < smallest)
    h, w = (40, short) if swap else (short, 40)
    message = (
        f"a patch discriminator of {layers} layers needs images of {smallest} pixels a side or"
        f" more, got {h}x{w}. Lower pixel.discriminator_layers, or set pixel.size to {smallest}"
    )
    with pytest.raises(BenchError) as caught:
        PatchDiscriminator(1, filters=2, layers=layers)(torch.zeros(1, 1, h, w))
    assert str(caught.value).startswith(message)


def test_an_image_is_judged_on_its_own() -> None:
    network = livened(PatchDiscriminator(1, filters=4, layers=2))
    x = random_images(4, 1, 28, 28)
    alone = torch.cat([network(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(network(x), alone, rtol=1e-4, atol=1e-4)
    assert torch.equal(network.eval()(x), network.train()(x)), "no statistics are kept"
    assert not list(network.buffers())


def test_initial_weights_are_cyclegans() -> None:
    torch.manual_seed(0)
    for name, parameter in PatchDiscriminator(3).named_parameters():
        if name.endswith("bias"):
            assert torch.count_nonzero(parameter) == 0, name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.06), name
            assert abs(parameter.mean().item()) < 0.002, name


# ------------------------------------------------------------------ scores


def test_the_score_discriminator_by_hand() -> None:
    """10-500-500-2: 5,500 + 250,500 + 1,002 parameters."""
    network = livened(ScoreDiscriminator(10))
    assert sum(p.numel() for p in network.parameters()) == 257_002
    w1, b1, w2, b2, w3, b3 = network.parameters()
    scores = torch.randn(4, 10)
    h = F.relu(scores @ w1.T + b1)
    h = F.relu(h @ w2.T + b2)
    torch.testing.assert_close(network(scores), h @ w3.T + b3, rtol=1e-4, atol=1e-3)


@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 8))
def test_scores_become_two_logits(b: int, k: int, hidden: int) -> None:
    assert ScoreDiscriminator(k, hidden)(torch.zeros(b, k)).shape == (b, 2)


def test_class_one_is_the_source() -> None:
    assert (SOURCE, TARGET) == (1, 0)
    torch.manual_seed(0)
    network = ScoreDiscriminator(3, hidden=16)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    source, target = torch.randn(64, 3) + 2, torch.randn(64, 3) - 2
    for _ in range(30):
        loss, accuracy = discriminate(network, source, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert accuracy > 0.9
    assert network(source).argmax(1).float().mean() > 0.9
    assert network(target).argmax(1).float().mean() < 0.1


# ------------------------------------------------------------------ score maps


def test_the_spatial_discriminators_parameters() -> None:
    """Three 1x1 convolutions, 19-512-256-2."""
    network = SpatialDiscriminator(19)
    assert sum(p.numel() for p in network.parameters()) == 142_082
    assert [tuple(w.shape) for w in network.parameters() if w.ndim > 1] == [
        *((512, 19, 1, 1), (256, 512, 1, 1), (2, 256, 1, 1))
    ]


def test_every_position_is_judged_by_itself() -> None:
    network = livened(SpatialDiscriminator(4, hidden=6))
    maps = random_images(2, 4, 3, 5)
    weights = [w.flatten(1) if w.ndim > 1 else w for w in network.parameters()]
    h = maps.movedim(1, -1)
    for layer in range(2):
        h = F.relu(h @ weights[2 * layer].T + weights[2 * layer + 1])
    expected = (h @ weights[4].T + weights[5]).movedim(-1, 1)
    assert torch.allclose(network(maps), expected, atol=1e-5)


def test_a_batch_of_score_maps_is_told_apart_by_position() -> None:
    """Accuracy is over positions: half of the source's are like the target's."""

    class FirstScore(nn.Module):
        def forward(self, scores: Tensor) -> Tensor:
            return torch.stack([-scores[:, 0], scores[:, 0]], dim=1)

    source = torch.ones(1, 3, 2, 2)
    source[..., 1] = -1
    loss, accuracy = discriminate(FirstScore(), source, -torch.ones(1, 3, 2, 2))
    assert accuracy == 0.75
    assert torch.isclose(
        loss, F.cross_entropy(torch.tensor([[-1.0, 1.0]]), torch.tensor([1])) + 0.5
    )
