"""FCN8s and DRN-26 against other people's or a second writing, and what segmentation promises."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import vgg16

from bench import backbones
from bench.backbones.dense import IMAGENET, enlarged
from bench.backbones.weights import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.backbones.dense import Dense

SMALL = ("drn26", "lean", "smp/unet/resnet18", "smp/deeplabv3plus/mobilenet_v2", "timm/resnet10t")
NAMES = ("fcn8s", *SMALL)
CACHE: dict[str, Dense] = {}
START: dict[str, dict[str, float]] = {}
"""Of a network as it was built: each parameter's root mean square."""

each = pytest.mark.parametrize("name", NAMES)


def built(name: str, classes: int = 5) -> Dense:
    """Return a network whose batch norms have seen something, in evaluation mode; one a name."""
    if name not in CACHE:
        torch.manual_seed(0)
        network = backbones.build(name, classes=classes, channels=3, size=(32, 64))
        START[name] = {
            key: p.detach().square().mean().sqrt().item() for key, p in network.named_parameters()
        }
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.5)
        # Scoring that starts at zero would hide what it scores.
        for key, parameter in network.named_parameters():
            if key.startswith("score_pool"):
                nn.init.normal_(parameter, std=10.0)
        CACHE[name] = network.eval()
    return CACHE[name]


@pytest.fixture(scope="module", autouse=True)
def free() -> Iterator[None]:
    """Give the memory back: FCN8s alone takes half a gigabyte."""
    yield
    CACHE.clear()


def images(b: int = 2, h: int = 32, w: int = 64, seed: int = 1) -> Tensor:
    return torch.rand(b, 3, h, w, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# ------------------------------------------------------------------ other writings


@torch.no_grad()
def test_fcn8s_is_torchvisions_vgg16_made_convolutional() -> None:
    """On 224x224 its 7x7 convolution sees in the middle what VGG16's linear layer sees."""
    ours = built("fcn8s")
    with torch.device("meta"):
        theirs = vgg16(init_weights=False).eval()
    theirs.to_empty(device="cpu")
    nn.init.zeros_(theirs.classifier[6].bias)
    state = theirs.state_dict()
    for key, value in state.items():
        for part, name in (("features", "trunk"), ("classifier.0", "fc6"), ("classifier.3", "fc7")):
            if key.startswith(f"{part}."):
                own = ours.get_parameter(key.replace(part, name, 1))
                value.copy_(own.reshape(value.shape))
                own.zero_()
    before = ours.score_fc7.weight.clone()
    load(ours, state, "torchvision")
    x = images(1, 224, 224)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in IMAGENET)
    normal = ((x + 1) / 2 - mean) / std
    pool3 = theirs.features[:17](normal)
    pool4 = theirs.features[17:24](pool3)
    fc7 = theirs.classifier[:5](theirs.features[24:](pool4).flatten(1))
    f3, f4, f7 = ours.features(x).split([4096, 2048, 4096], 1)
    torch.testing.assert_close(F.pixel_shuffle(f3, 4), pool3, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(F.pixel_shuffle(f4, 2), pool4, rtol=1e-4, atol=1e-5)
    assert f7.shape == (1, 4096, 7, 7)
    torch.testing.assert_close(f7[:, :, 3, 3], fc7, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours.score_fc7.weight, before), "scoring stays as it was"


@torch.no_grad()
def test_fcn8s_adds_scores_of_three_strides_as_released() -> None:
    """Away from the border, its upsampling is a transposed convolution with a bilinear kernel."""
    network = built("fcn8s")
    torch.manual_seed(1)
    pool3, pool4, fc7 = torch.rand(1, 256, 24, 24), torch.rand(1, 512, 12, 12), torch.rand(1, 4096, 6, 6)  # fmt: skip  # noqa: E501
    features = torch.cat([F.pixel_unshuffle(pool3, 4), F.pixel_unshuffle(pool4, 2), fc7], 1)
    up = transposed(F.conv2d(fc7, network.score_fc7.weight, network.score_fc7.bias), 2)
    up = up + F.conv2d(0.01 * pool4, network.score_pool4.weight, network.score_pool4.bias)
    up = transposed(up, 2)
    up = up + F.conv2d(0.0001 * pool3, network.score_pool3.weight, network.score_pool3.bias)
    expected, inside = transposed(up, 8), slice(48, -48)
    logits = network.classify(features)
    assert logits.shape == expected.shape == (1, 5, 192, 192)
    torch.testing.assert_close(logits[..., inside, inside], expected[..., inside, inside])


def transposed(x: Tensor, factor: int) -> Tensor:
    """Upsample as Long et al. do: each channel by itself, kernel 2 factor, falling linearly."""
    side = 1 - (torch.arange(2 * factor) - factor + 0.5).abs() / factor
    kernel = (side[:, None] * side).expand(x.shape[1], 1, -1, -1)
    return F.conv_transpose2d(x, kernel, stride=factor, padding=factor // 2, groups=x.shape[1])


def test_enlarging_is_a_transposed_convolution_inside() -> None:
    x = torch.rand(2, 3, 6, 7)
    for factor in (2, 8):
        inside = (..., slice(factor, -factor), slice(factor, -factor))
        torch.testing.assert_close(enlarged(x, factor)[inside], transposed(x, factor)[inside])


@torch.no_grad()
def test_drn26_computes_what_its_description_says() -> None:
    network = built("drn26")
    state = {k.removeprefix("trunk."): v for k, v in network.state_dict().items()}
    x = images(2, 40, 24)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in IMAGENET)
    h = ((x + 1) / 2 - mean) / std
    h = F.relu(normalised(F.conv2d(h, state["conv1.weight"], padding=3), state, "bn1"))
    blocks = [  # layer, block, stride, dilation, is the input added
        (1, 0, 1, 1, True), (2, 0, 2, 1, True), (3, 0, 2, 1, True), (3, 1, 1, 1, True),
        (4, 0, 2, 1, True), (4, 1, 1, 1, True), (5, 0, 1, 2, True), (5, 1, 1, 2, True),
        (6, 0, 1, 4, True), (6, 1, 1, 4, True), (7, 0, 1, 2, False), (8, 0, 1, 1, False),
    ]  # fmt: skip
    for layer, block, stride, d, added in blocks:
        at = f"layer{layer}.{block}."
        out = F.conv2d(h, state[f"{at}conv1.weight"], None, stride, d, d)
        out = F.relu(normalised(out, state, f"{at}bn1"))
        out = normalised(
            F.conv2d(out, state[f"{at}conv2.weight"], None, 1, d, d), state, f"{at}bn2"
        )
        if f"{at}downsample.0.weight" in state:
            h = F.conv2d(h, state[f"{at}downsample.0.weight"], stride=stride)
            h = normalised(h, state, f"{at}downsample.1")
        h = F.relu(out + h if added else out)
    torch.testing.assert_close(network.features(x), h, rtol=1e-4, atol=1e-4)
    scores = F.conv2d(h, state["head.weight"], state["head.bias"])
    inside = (..., slice(8, -8), slice(8, -8))
    logits = network(x)
    assert logits.shape == (2, 5, 40, 24)
    torch.testing.assert_close(logits[inside], transposed(scores, 8)[inside], rtol=1e-4, atol=1e-4)


def normalised(x: Tensor, state: dict[str, Tensor], at: str) -> Tensor:
    mean, variance, gain, shift = (
        state[f"{at}.{part}"].view(-1, 1, 1)
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * gain + shift


def test_dropout_drops_maps_in_both_halves_of_fcn8s() -> None:
    """As in the released code, after fc6 (in the features) and after fc7 (in classifying)."""
    network = built("fcn8s").train()
    try:
        with torch.no_grad():
            x = images(1)
            assert not torch.equal(network.features(x), network.features(x))
            ones = torch.ones(1, 10240, 2, 2)
            assert not torch.equal(network.classify(ones), network.classify(ones))
            maps = network.dropout(torch.ones(1, 1000, 2, 2)).flatten(2)
    finally:
        network.eval()
    assert torch.equal(maps.amin(2), maps.amax(2)), "whole maps"
    assert 0.4 < (maps[..., 0] == 0).float().mean() < 0.6


# ------------------------------------------------------------------ what each promises


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=8, deadline=None)
@given(b=st.integers(1, 2), h=st.integers(1, 70), w=st.integers(1, 70))
@torch.no_grad()
def test_any_size_in_the_same_size_out(name: str, b: int, h: int, w: int) -> None:
    network = built(name)
    x = images(b, h, w)
    logits, whole = network(x), network.classify(network.features(x))
    assert logits.shape == (b, 5, h, w)
    assert logits.dtype == torch.float32
    s = network.stride
    assert whole.shape == (b, 5, -(-h // s) * s, -(-w // s) * s)
    assert torch.equal(logits, whole[..., :h, :w])


@torch.no_grad()
@pytest.mark.parametrize(("h", "w"), [(32, 32), (33, 31), (1, 65)])
def test_fcn8s_takes_any_size_too(h: int, w: int) -> None:
    network = built("fcn8s")
    assert network(images(1, h, w)).shape == (1, 5, h, w)


@each
@torch.no_grad()
def test_features_are_one_tensor_that_classify_reads_alone(name: str) -> None:
    network = built(name)
    x = images()
    features = network.features(x)
    assert isinstance(features, Tensor)
    assert features.ndim == 4
    assert torch.equal(network(x), network.classify(features.clone()))


@each
@torch.no_grad()
def test_padding_goes_on_with_the_edge(name: str) -> None:
    network = built(name)
    x = images(1, 27, 57)
    below, right = -27 % network.stride, -57 % network.stride
    padded = F.pad(x, (0, right, 0, below), mode="replicate")
    torch.testing.assert_close(network(x), network(padded)[..., :27, :57])


@each
@torch.no_grad()
def test_in_evaluation_an_answer_depends_on_its_own_image_alone(name: str) -> None:
    network = built(name)
    x = images(b=2)
    alone = torch.cat([network(x[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(network(x), alone, rtol=1e-3, atol=1e-4)
    assert (alone[0] - alone[1]).abs().max() > 1e-3, "nor does it ignore the image"


@each
@torch.no_grad()
def test_evaluation_is_repeatable_and_leaves_no_trace(name: str) -> None:
    network = built(name)
    before = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    random_state = torch.get_rng_state()
    first = network(images(1))
    assert torch.equal(first, network(images(1)))
    assert torch.equal(torch.get_rng_state(), random_state)
    state = network.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in before.items())


@each
@torch.no_grad()
def test_black_and_white_arrive_as_imagenet_networks_expect(name: str) -> None:
    network = built(name)
    folded = 4 if name == "lean" else 1  # 2x2 pixels become channels there
    first = next(m for m in network.modules() if getattr(m, "in_channels", None) == 3 * folded)
    seen: list[Tensor] = []
    handle = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        for value in (-1.0, 1.0):
            network(torch.full((1, 3, 32, 32), value))
    finally:
        handle.remove()
    for level, found in zip((0.0, 1.0), seen, strict=True):
        expected = (level - torch.tensor(IMAGENET[0])) / torch.tensor(IMAGENET[1])
        torch.testing.assert_close(found[0, :, 8, 8], expected.repeat_interleave(folded))


@each
def test_every_parameter_learns(name: str) -> None:
    network = built(name).train()
    try:
        x = images(2, 32, 64)
        labels = torch.randint(0, 5, (2, 32, 64), generator=torch.Generator().manual_seed(0))
        F.cross_entropy(network(x), labels).backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            assert parameter.grad.abs().max() > 0, key
    finally:
        network.zero_grad(set_to_none=True)
        network.eval()


@pytest.mark.parametrize("name", SMALL)
def test_random_weights_come_from_torchs_seed_alone(name: str) -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        network = backbones.build(name, classes=3, channels=3, size=(32, 64))
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    others = random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index]
    first = weights(5)
    assert random.getstate() == others[0]
    assert (np.random.get_state()[1] == others[1]).all()  # type: ignore[index]
    random.seed(1)
    np.random.seed(1)
    assert torch.equal(first, weights(5))
    assert not torch.equal(first, weights(6))


def test_normalisation_is_no_weight() -> None:
    assert not {"mean", "std"} & set(built("drn26").state_dict())


def test_fcn8s_starts_as_released() -> None:
    """VGG16 after He et al., by outputs; scoring of pool3 and pool4 at zero, of fc7 not."""
    built("fcn8s")
    start = START["fcn8s"]
    assert not any(value for key, value in start.items() if key.startswith("score_pool"))
    assert start["score_fc7.weight"] > 0
    assert start["trunk.2.weight"] == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert start["fc6.weight"] == pytest.approx((2 / (4096 * 49)) ** 0.5, rel=0.02)
    assert not start["fc6.bias"]


def test_drn26_starts_as_its_authors_start_it() -> None:
    built("drn26")
    start = START["drn26"]
    for key, width in (("trunk.layer6.1.conv1", 512), ("trunk.layer2.0.conv1", 32)):
        assert start[f"{key}.weight"] == pytest.approx((2 / (width * 9)) ** 0.5, rel=0.02)
