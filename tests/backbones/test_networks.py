"""LeNet and DTN against a second writing of them, and what every classifier promises."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench import backbones
from bench.backbones.dtn import DTN
from bench.backbones.lenet import LeNet
from bench.errors import BenchError

FEATURES = {"lenet": 500, "dtn": 512}

each = pytest.mark.parametrize("name", FEATURES)


def built(name: str, *, classes: int = 10, channels: int = 3, size: int = 28) -> nn.Module:
    """Return a backbone whose batch norms have seen something, in evaluation mode."""
    torch.manual_seed(0)
    network = backbones.build(name, classes=classes, channels=channels, size=size)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network.eval()


def random_images(b: int = 4, c: int = 3, size: int = 28, seed: int = 1) -> Tensor:
    return torch.rand(b, c, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# ------------------------------------------------------------------ second writings


def test_lenet_shapes_by_hand() -> None:
    """28 -conv-> 24 -pool-> 12 -conv-> 8 -pool-> 4, so that 50 * 4 * 4 = 800 enter."""
    shapes = [tuple(p.shape) for p in LeNet().parameters()]
    assert shapes == [
        (20, 1, 5, 5), (20,), (50, 20, 5, 5), (50,), (500, 800), (500,), (10, 500), (10,),
    ]  # fmt: skip


def test_dtn_shapes_by_hand() -> None:
    """32 -> 16 -> 8 -> 4, so that 256 * 4 * 4 = 4096 enter; two numbers a channel in a norm."""
    shapes = [tuple(p.shape) for p in DTN().parameters()]
    assert shapes == [
        (64, 3, 5, 5), (64,), (64,), (64,),
        (128, 64, 5, 5), (128,), (128,), (128,),
        (256, 128, 5, 5), (256,), (256,), (256,),
        (512, 4096), (512,), (512,), (512,),
        (10, 512), (10,),
    ]  # fmt: skip


def test_lenet_computes_what_its_description_says() -> None:
    network = built("lenet", channels=1)
    c1, b1, c2, b2, w1, v1, w2, v2 = network.parameters()
    x = random_images(c=1)
    h = F.relu(F.max_pool2d(F.conv2d(x, c1, b1), 2))
    h = F.relu(F.max_pool2d(F.conv2d(h, c2, b2), 2))
    features = F.relu(h.reshape(len(h), -1) @ w1.T + v1)
    torch.testing.assert_close(network.features(x), features)
    torch.testing.assert_close(network(x), features @ w2.T + v2)


def test_dtn_computes_what_its_description_says() -> None:
    network = built("dtn", size=32)
    x = h = random_images(size=32)
    state = list(network.state_dict().values())
    for layer in range(3):
        weight, bias, *norm = state[7 * layer : 7 * layer + 6]
        h = F.relu(normalised(F.conv2d(h, weight, bias, stride=2, padding=2), *norm))
    weight, bias, *norm = state[21:27]
    features = F.relu(normalised(h.reshape(len(h), -1) @ weight.T + bias, *norm))
    torch.testing.assert_close(network.features(x), features, rtol=1e-4, atol=1e-4)
    weight, bias = state[28:]
    torch.testing.assert_close(network(x), features @ weight.T + bias, rtol=1e-4, atol=1e-4)


def normalised(x: Tensor, gain: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Batch norm in evaluation mode, written out; channels are the second dimension."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    centred = (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
    return centred * gain.view(shape) + shift.view(shape)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("lenet", [(2, 0.5), (1, 0.5)]),
        ("dtn", [(2, 0.1), (2, 0.3), (2, 0.5), (1, 0.5)]),
    ],
)  # fmt: skip
def test_dropout_is_the_papers(name: str, rates: list[tuple[int, float]]) -> None:
    """(2, p) drops whole feature maps, (1, p) single features."""
    kinds = {nn.Dropout2d: 2, nn.Dropout: 1}
    found = [(kinds[type(m)], m.p) for m in built(name).modules() if type(m) in kinds]
    assert found == rates


# ------------------------------------------------------------------ what each promises


@each
@settings(max_examples=15, deadline=None)
@given(
    b=st.integers(1, 3),
    classes=st.integers(1, 12),
    channels=st.sampled_from([1, 3]),
    size=st.integers(16, 40),
)
def test_it_is_features_then_classify_at_any_size(
    name: str, b: int, classes: int, channels: int, size: int
) -> None:
    network = built(name, classes=classes, channels=channels, size=size)
    x = random_images(b, channels, size)
    features = network.features(x)
    logits = network(x)
    assert features.shape == (b, FEATURES[name])
    assert logits.shape == (b, classes)
    assert logits.dtype == torch.float32
    assert features.min() >= 0, "features come out of a rectifier"
    assert torch.equal(logits, network.classify(features))


@each
def test_classify_is_linear(name: str) -> None:
    network = built(name)
    f, g = torch.rand(2, 3, FEATURES[name])
    middle = network.classify((f + g) / 2)
    torch.testing.assert_close(middle, (network.classify(f) + network.classify(g)) / 2)


@each
def test_in_evaluation_an_answer_depends_on_its_own_image_alone(name: str) -> None:
    network = built(name)
    x = random_images(b=5)
    alone = torch.cat([network(x[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(network(x), alone, rtol=1e-4, atol=1e-4)
    assert (alone[0] - alone[1]).abs().max() > 1e-3, "nor does it ignore the image"


@each
def test_evaluation_is_repeatable_and_leaves_no_trace(name: str) -> None:
    network = built(name)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    random_state = torch.get_rng_state()
    first = network(random_images())
    assert torch.equal(first, network(random_images()))
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@each
def test_training_drops_out_in_both_halves(name: str) -> None:
    network = built(name).train()
    for part, x in ((network.features, random_images()), (network.classify, torch.rand(4, FEATURES[name]))):  # fmt: skip  # noqa: E501
        torch.manual_seed(0)
        first, second = part(x), part(x)
        assert not torch.equal(first, second)
        torch.manual_seed(0)
        assert torch.equal(part(x), first), "from torch's global generator"


def test_only_dtn_learns_statistics() -> None:
    """Its batch norms move in training; LeNet has none, so an ablation may share its stages."""
    assert not list(built("lenet").buffers())
    network = built("dtn").train()
    before = [b.clone() for b in network.buffers()]
    network(random_images())
    assert len(before) == 4 * 3
    assert all(not torch.equal(a, b) for a, b in zip(before, network.buffers(), strict=True))


@each
def test_every_parameter_is_trained(name: str) -> None:
    network = built(name).train()
    F.cross_entropy(network(random_images(b=8)), torch.arange(8)).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    heaviest = max(network.parameters(), key=Tensor.numel)
    assert heaviest.grad is not None
    assert heaviest.grad.abs().max() > 0


@pytest.mark.parametrize("size", [1, 8, 15])
def test_images_too_small_for_lenet(size: int) -> None:
    message = rf"'lenet' needs images of 16 pixels a side or more, got {size}\. .*--backbone dtn"
    with pytest.raises(BenchError, match=message):
        LeNet(size=size)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 15])
def test_dtn_takes_them(size: int) -> None:
    assert DTN(size=size).eval()(torch.zeros(2, 3, size, size)).shape == (2, 10)
