"""`prepare`: sizes, channels, values; compared with Pillow, an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.data.preprocess import prepare
from bench.errors import BenchError

# Not 1: PyTorch 2.14's antialiased resize of RGB bytes to a single pixel fails an assertion.
SIZES = st.integers(2, 40)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@given(
    n=st.integers(1, 5),
    c=st.sampled_from([1, 3]),
    h=st.integers(1, 40),
    w=st.integers(1, 40),
    size=SIZES,
    channels=st.sampled_from([1, 3]),
    interpolation=st.sampled_from(["bilinear", "nearest"]),
)
def test_the_result_has_the_shape_and_type_asked_for(
    n: int, c: int, h: int, w: int, size: int, channels: int, interpolation: str
) -> None:
    out = prepare(noise(n, c, h, w), size=size, channels=channels, interpolation=interpolation)
    assert out.shape == (n, channels, size, size)
    assert out.dtype == torch.uint8


@given(
    value=st.integers(0, 255),
    c=st.sampled_from([1, 3]),
    channels=st.sampled_from([1, 3]),
    size=SIZES,
)
def test_a_uniform_grey_picture_stays_as_it_is(
    value: int, c: int, channels: int, size: int
) -> None:
    out = prepare(
        torch.full((2, c, 16, 16), value, dtype=torch.uint8), size=size, channels=channels
    )
    assert out.eq(value).all()


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_grey_is_the_rounded_luma_of_itu_r_601(red: int, green: int, blue: int) -> None:
    image = torch.tensor([red, green, blue], dtype=torch.uint8).view(1, 3, 1, 1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    assert abs(prepare(image, size=1, channels=1).item() - luma) <= 0.5 + 1e-9


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 20, 28, 45])
def test_the_resize_agrees_with_pillow(size: int, channels: int) -> None:
    images = noise(4, channels, 28, 28)
    planes = images.flatten(0, 1).numpy()
    expected = [
        np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR))
        for plane in planes
    ]
    got = prepare(images, size=size, channels=channels).flatten(0, 1).numpy()
    assert np.abs(got.astype(int) - np.stack(expected)).max() <= 1


def test_downscaling_is_antialiased() -> None:
    stripes = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    stripes[..., ::2] = 255
    out = prepare(stripes, size=8, channels=1)
    assert out.float().sub(127.5).abs().max() < 20


def test_grey_to_colour_repeats() -> None:
    out = prepare(noise(3, 1, 16, 16), size=20, channels=3)
    assert torch.equal(out[:, 0], out[:, 1])
    assert torch.equal(out[:, 0], out[:, 2])


def test_each_image_is_prepared_by_itself() -> None:
    # Above the internal chunk size, so that a wrong seam would show.
    images = noise(5_003, 1, 4, 4)
    out = prepare(images, size=6, channels=1)
    for index in (0, 4_999, 5_000, 5_002):
        assert torch.equal(out[index : index + 1], prepare(images[[index]], size=6, channels=1))


def test_what_is_right_already_stays_untouched() -> None:
    images = noise(3, 3, 32, 32)
    assert torch.equal(prepare(images, size=32, channels=3), images)


def test_an_unknown_interpolation_is_named() -> None:
    with pytest.raises(BenchError, match=r"'bilinaer'.*Did you mean 'bilinear'"):
        prepare(noise(1, 1, 4, 4), size=8, channels=1, interpolation="bilinaer")
