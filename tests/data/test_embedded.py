"""The two domains that need no download."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from bench.data import printed
from bench.data.domain import Domain, Split
from bench.data.handwritten import Handwritten
from bench.data.preprocess import prepare
from bench.data.printed import Printed
from bench.digest import digest_of

ROOT = Path("nowhere")
SHAPES = [
    (Handwritten, "train", (1200, 1, 8, 8)),
    (Handwritten, "test", (597, 1, 8, 8)),
    (Printed, "train", (6000, 3, 32, 32)),
    (Printed, "test", (1500, 3, 32, 32)),
]


@pytest.mark.parametrize(("domain", "split", "shape"), SHAPES)
def test_shapes_types_and_classes(
    domain: type[Domain], split: Split, shape: tuple[int, ...]
) -> None:
    made = domain()
    images, labels = made.images(ROOT, split), made.labels(ROOT, split)
    assert isinstance(made, Domain)
    assert (images.dtype, tuple(images.shape)) == (torch.uint8, shape)
    assert (labels.dtype, tuple(labels.shape)) == (torch.int64, shape[:1])
    assert torch.unique(labels).tolist() == list(range(10))


@pytest.mark.parametrize("domain", [Handwritten, Printed])
def test_training_and_test_images_have_none_in_common(domain: type[Domain]) -> None:
    train, test = (
        {image.numpy().tobytes() for image in domain().images(ROOT, split)}
        for split in ("train", "test")
    )
    assert not train & test


def test_handwritten_is_all_of_scikit_learns_digits() -> None:
    digits = load_digits()
    expected = sorted(
        (label, image.astype(int).tobytes())
        for image, label in zip(digits.images, digits.target, strict=True)
    )
    got = sorted(
        (int(label), (image[0].double() * 16 / 255).round().long().numpy().tobytes())
        for split in ("train", "test")
        for image, label in zip(
            Handwritten().images(ROOT, split), Handwritten().labels(ROOT, split), strict=True
        )
    )
    assert got == expected


def test_handwriting_uses_the_whole_range() -> None:
    values = torch.unique(Handwritten().images(ROOT, "train"))
    assert (values.min(), values.max(), len(values)) == (0, 255, 17)


@pytest.mark.parametrize(("split", "each"), [("train", 600), ("test", 150)])
def test_printed_classes_are_balanced(split: Split, each: int) -> None:
    assert torch.bincount(Printed().labels(ROOT, split)).tolist() == [each] * 10


def test_a_printed_digit_depends_on_its_split_and_position_alone() -> None:
    images = Printed().images(ROOT, "test")
    for index in (1499, 3, 700):
        alone = torch.from_numpy(printed.render(index % 10, 2, index)).permute(2, 0, 1)
        assert torch.equal(images[index], alone)


@pytest.mark.parametrize("font", printed.FONTS)
def test_every_font_has_ten_different_digits_of_equal_height(font: str) -> None:
    made = printed._font(font, 30)
    masks = [made.getmask(str(digit)) for digit in range(10)]
    assert len({bytes(mask) for mask in masks}) == 10
    assert all(26 <= mask.size[1] <= 34 for mask in masks)


def test_digits_stand_out_from_the_wall() -> None:
    # The brightest tenth of a picture is paint, the darkest tenth is wall; 95 % of the pictures
    # must keep a good part of the 70 grey levels that there are before blur, light and noise.
    grey = prepare(Printed().images(ROOT, "test"), size=32, channels=1).flatten(1).float()
    low, high = grey.quantile(torch.tensor([0.1, 0.9]), dim=1)
    assert (high - low).quantile(0.05) > 60
    # Light on dark: the middle column strip of a digit is lighter than the picture's darkest part.
    assert ((grey.mean(1) - low) < 0.75 * (high - low)).float().mean() > 0.95


@pytest.mark.parametrize(
    ("module", "name"), [("handwritten", "Handwritten"), ("printed", "Printed")]
)
def test_another_process_makes_the_same_images(module: str, name: str) -> None:
    code = (
        f"from pathlib import Path; from bench.data.{module} import {name} as D;"
        "from bench.digest import digest_of; import random, torch; torch.manual_seed(5);"
        "print(digest_of(D().images(Path('x'), 'test'), D().labels(Path('x'), 'test')))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    made: Domain = Handwritten() if name == "Handwritten" else Printed()
    assert other.stdout.strip() == digest_of(made.images(ROOT, "test"), made.labels(ROOT, "test"))
