"""The generators against a second writing of them, and what a translation promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.errors import BenchError
from cycada.generators import ResNetGenerator, UnshuffleGenerator

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL: dict[str, Callable[[int], nn.Module]] = {
    "resnet": lambda c: ResNetGenerator(c, filters=4, blocks=2),
    "unshuffle": lambda c: UnshuffleGenerator(c, filters=8, blocks=2),
}

each = pytest.mark.parametrize("name", SMALL)


def random_images(b: int = 2, c: int = 1, h: int = 28, w: int = 28) -> Tensor:
    return torch.rand(b, c, h, w, generator=torch.Generator().manual_seed(1)) * 2 - 1


def livened(network: nn.Module) -> nn.Module:
    """Give every parameter a size at which a wrong layer shows."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.2)
    return network


def standardised(x: Tensor) -> Tensor:
    """Instance norm written out: every map of every image to mean 0, variance 1."""
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()


def reflected(x: Tensor, by: int) -> Tensor:
    """Reflection padding by indices: position -i reads i, position n-1+i reads n-1-i."""
    rows, columns = ([abs(i) if i < n else 2 * (n - 1) - i for i in range(-by, n + by)] for n in x.shape[2:])  # fmt: skip  # noqa: E501
    return x[:, :, rows][:, :, :, columns]


# ------------------------------------------------------------------ second writings


def test_the_papers_parameter_counts() -> None:
    counts = [sum(p.numel() for p in ResNetGenerator(c).parameters()) for c in (1, 3)]
    assert counts == [11_365_633, 11_378_179]


def test_resnet_shapes_by_hand() -> None:
    """Widths double where the image halves; a transposed convolution's input width is first."""
    shapes = [tuple(p.shape) for p in ResNetGenerator(3, filters=8, blocks=2).parameters()]
    block = [(32, 32, 3, 3), (32,)] * 2
    assert shapes == [
        (8, 3, 7, 7), (8,), (16, 8, 3, 3), (16,), (32, 16, 3, 3), (32,),
        *block, *block,
        (32, 16, 3, 3), (16,), (16, 8, 3, 3), (8,), (3, 8, 7, 7), (3,),
    ]  # fmt: skip


@pytest.mark.parametrize("blocks", [0, 3])
def test_resnet_computes_what_its_description_says(blocks: int) -> None:
    network = livened(ResNetGenerator(2, filters=4, blocks=blocks))
    x = random_images(2, 2, 28, 20)
    parameters = iter(network.parameters())

    def convolved(h: Tensor, **how: int) -> Tensor:
        return standardised(F.conv2d(h, next(parameters), next(parameters), **how))

    def grown(h: Tensor) -> Tensor:
        weight, bias = next(parameters), next(parameters)
        how = {"stride": 2, "padding": 1, "output_padding": 1}
        return standardised(F.conv_transpose2d(h, weight, bias, **how))

    h = F.relu(convolved(reflected(x, 3)))
    h = F.relu(convolved(h, stride=2, padding=1))
    h = F.relu(convolved(h, stride=2, padding=1))
    for _ in range(blocks):
        inner = F.relu(convolved(reflected(h, 1)))
        h = h + convolved(reflected(inner, 1))
    h = F.relu(grown(h))
    h = F.relu(grown(h))
    expected = F.conv2d(reflected(h, 3), next(parameters), next(parameters)).tanh()
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("factor", [2, 4])
def test_unshuffle_computes_what_its_description_says(factor: int) -> None:
    network = livened(UnshuffleGenerator(3, filters=6, blocks=2, factor=factor))
    b, c, h, w = 2, 3, 24, 16
    x = random_images(b, c, h, w)
    parameters = iter(network.parameters())

    def convolved(z: Tensor) -> Tensor:
        return F.conv2d(z, next(parameters), next(parameters), padding=1)

    rows, columns = h // factor, w // factor
    apart = x.view(b, c, rows, factor, columns, factor).permute(0, 1, 3, 5, 2, 4)
    z = F.relu(convolved(apart.reshape(b, c * factor**2, rows, columns)))
    for _ in range(2):
        z = z + standardised(convolved(F.relu(standardised(convolved(z)))))
    z = convolved(z).view(b, c, factor, factor, rows, columns).permute(0, 1, 4, 2, 5, 3)
    expected = z.reshape(b, c, h, w).tanh()
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


def test_unshuffle_takes_a_seventieth_of_the_papers_arithmetic() -> None:
    """By hand, in multiplications at 28x28 grey: 582,944,768 and 8,128,512."""
    flops = []
    for make in (ResNetGenerator, UnshuffleGenerator):
        with torch.device("meta"):
            network, x = make(1), torch.zeros(1, 1, 28, 28)
        with FlopCounterMode(display=False) as counter:
            network(x)
        flops.append(counter.get_total_flops())
    assert flops == [2 * 582_944_768, 2 * 8_128_512]
    assert 65 < flops[0] / flops[1] < 75


# ------------------------------------------------------------------ what a translation promises


@each
@settings(max_examples=15, deadline=None)
@given(b=st.integers(1, 3), c=st.integers(1, 3), rows=st.integers(2, 9), columns=st.integers(2, 9))
def test_a_translation_has_its_images_shape_and_range(
    name: str, b: int, c: int, rows: int, columns: int
) -> None:
    x = random_images(b, c, 4 * rows, 4 * columns)
    before = x.clone()
    translated = livened(SMALL[name](c))(x)
    assert translated.shape == x.shape
    assert translated.dtype == torch.float32
    assert translated.abs().max() <= 1
    assert torch.equal(x, before), "the images themselves are left alone"


@each
def test_a_translation_depends_on_its_own_image_alone(name: str) -> None:
    network = livened(SMALL[name](1))
    x = random_images(b=4)
    alone = torch.cat([network(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(network(x), alone, rtol=1e-4, atol=1e-4)
    assert (alone[0] - alone[1]).abs().max() > 1e-2, "nor does it ignore the image"


@each
def test_training_and_evaluation_translate_alike(name: str) -> None:
    """No statistics and no dropout: images translated for the classifier are those judged."""
    network, x = livened(SMALL[name](1)), random_images()
    assert not list(network.buffers())
    assert torch.equal(network.train()(x), network.eval()(x))


@each
def test_the_norm_has_no_parameters(name: str) -> None:
    norms = [m for m in SMALL[name](1).modules() if isinstance(m, nn.InstanceNorm2d)]
    assert norms
    assert not [p for norm in norms for p in norm.parameters()]


@each
def test_every_weight_is_trained_and_the_gradient_reaches_the_image(name: str) -> None:
    network, x = SMALL[name](1), random_images().requires_grad_()
    (network(x) - 1).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        if key.endswith("weight"):
            assert parameter.grad.abs().max() > 0, key
    assert x.grad is not None
    assert x.grad.abs().max() > 0


@each
def test_it_can_learn_a_translation(name: str) -> None:
    """The negative of an image: far from where training starts, and learned within 80 steps."""
    torch.manual_seed(0)
    network = SMALL[name](1)
    x = F.interpolate(random_images(16, 1, 4, 4), size=(16, 16), mode="bilinear")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(80):
        loss = F.l1_loss(network(x), -x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_initial_weights_of_resnet_are_cyclegans() -> None:
    torch.manual_seed(0)
    for name, parameter in ResNetGenerator(3, blocks=1).named_parameters():
        if name.endswith("bias"):
            assert torch.count_nonzero(parameter) == 0, name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.06), name
            assert abs(parameter.mean().item()) < 0.002, name


# ------------------------------------------------------------------ sizes it cannot take


@each
@settings(max_examples=25, deadline=None)
@given(h=st.integers(1, 40), w=st.integers(1, 40))
def test_sizes_it_cannot_take(name: str, h: int, w: int) -> None:
    assume(h % 4 or w % 4 or min(h, w) < 8)
    with pytest.raises(BenchError) as caught:
        SMALL[name](1)(torch.zeros(1, 1, h, w))
    assert str(caught.value) == (
        f"the {name} generator needs a height and width that 4 divides, 8 or more, got {h}x{w}."
        " Set pixel.size to such a number."
    )


def test_the_factor_decides_which_sizes() -> None:
    network = UnshuffleGenerator(1, filters=4, blocks=1, factor=3)
    assert network(torch.zeros(1, 1, 9, 6)).shape == (1, 1, 9, 6)
    for size in (3, 8):
        with pytest.raises(BenchError, match=f"that 3 divides, 6 or more, got {size}x{size}"):
            network(torch.zeros(1, 1, size, size))
