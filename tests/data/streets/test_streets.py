"""What generated streets show: all classes, plausible proportions, two renderings apart."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bench.classes import CITYSCAPES
from bench.data.streets import camera, game
from bench.data.streets.faces import LABEL, NOTHING
from bench.data.streets.picture import SIZE, Rendering, scene
from bench.data.streets.raster import label_map
from bench.data.streets.street import street

if TYPE_CHECKING:
    from bench.data.streets.plan import Manner

RENDERINGS: list[Rendering] = ["game", "camera"]

# Label maps depend on geometry alone, so they are the same everywhere. If these change, so does
# every result on these scenes: raise `write.GENERATOR`.
PINNED: dict[tuple[Rendering, str, int], tuple[str, list[int]]] = {
    ("game", "train", 0): ("cc04d38c2184", [74, 124, 110, 97, 86, 88, 86, 92]),
    ("game", "train", 599): ("1fc2f254a770", [119, 143, 176, 138, 97, 95, 91, 67]),
    ("camera", "train", 0): ("aec1a507b3ac", [104, 130, 167, 120, 128, 144, 142, 128]),
    ("camera", "train", 311): ("e09aabc26ffb", [166, 199, 201, 154, 166, 174, 166, 131]),
    ("camera", "val", 149): ("bf2ccf0a3f69", [83, 149, 148, 98, 74, 120, 123, 94]),
}
"""Digests of label maps, and the grey levels of 4x2 parts of the pictures."""


def digest(labels: np.ndarray) -> str:
    return hashlib.sha256(labels.tobytes()).hexdigest()[:12]


@pytest.mark.parametrize("manner", [game.MANNER, camera.MANNER], ids=RENDERINGS)
def test_all_nineteen_classes_occur_in_about_their_usual_proportions(manner: Manner) -> None:
    pixels, pictures = np.zeros(256), np.zeros(256)
    count = 60
    for number in range(count):
        labels = label_map(street(np.random.default_rng((5, number)), manner), (64, 128))
        found = np.bincount(labels.ravel(), minlength=256)
        pixels += found
        pictures += found > 5
    known = np.zeros(256, dtype=bool)
    known[[label.id for label in CITYSCAPES.labels if label.id >= 0]] = True
    assert not pixels[~known].any()
    for label in CITYSCAPES.evaluated:
        assert pictures[label.id] >= 0.03 * count, label.name
    share = {label.name: pixels[label.id] / pixels.sum() for label in CITYSCAPES.labels}
    for name, low, high in [
        ("road", 0.22, 0.38),
        ("building", 0.15, 0.32),
        ("sky", 0.07, 0.2),
        ("vegetation", 0.05, 0.16),
        ("sidewalk", 0.03, 0.1),
        ("car", 0.04, 0.14),
        ("person", 0.005, 0.03),
        ("pole", 0.01, 0.04),
    ]:
        assert low < share[name] < high, (name, share[name])
    void = sum(share[label.name] for label in CITYSCAPES.labels if not label.evaluated)
    assert 0.01 < void < 0.08


@pytest.mark.parametrize("manner", [game.MANNER, camera.MANNER], ids=RENDERINGS)
def test_the_far_is_painted_before_the_near(manner: Manner) -> None:
    for number in range(5):
        made = street(np.random.default_rng((6, number)), manner)
        farthest = [max(face.points[:, 2].max() for face in thing) for thing in made.things]
        assert farthest == sorted(farthest, reverse=True)
        faces = [*made.ground, *(face for thing in made.things for face in thing)]
        assert all(np.isfinite(face.points).all() for face in faces)
        assert {face.label for face in faces} <= {NOTHING, *LABEL.values()}


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_a_scene_depends_on_its_arguments_alone(rendering: Rendering) -> None:
    first = scene(rendering, "train", 7)
    scene(rendering, "train", 8)
    random.seed(1)
    np.random.seed(1)
    again = scene(rendering, "train", 7)
    assert first[0].tobytes() == again[0].tobytes()
    assert np.array_equal(first[1], again[1])


def test_another_process_draws_the_same_pictures() -> None:
    code = (
        "from bench.data.streets.picture import scene; import hashlib;"
        "print(*(hashlib.sha256(scene(r, 'train', 2)[0].tobytes()).hexdigest()"
        " for r in ('game', 'camera')))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = (scene(rendering, "train", 2)[0].tobytes() for rendering in RENDERINGS)
    assert other.stdout.split() == [hashlib.sha256(each).hexdigest() for each in ours]


def test_no_two_scenes_are_alike() -> None:
    keys: list[tuple[Rendering, str]] = [("game", "train"), ("camera", "train"), ("camera", "val")]
    made = [scene(rendering, split, n) for rendering, split in keys for n in range(4)]
    assert len({image.tobytes() for image, _ in made}) == len(made)
    assert len({labels.tobytes() for _, labels in made}) == len(made)


@pytest.mark.parametrize("key", PINNED, ids=str)
def test_scenes_are_those_that_results_were_measured_on(
    key: tuple[Rendering, str, int],
) -> None:
    image, labels = scene(*key)
    assert (image.size, image.mode) == (SIZE[::-1], "RGB")
    assert labels.shape == SIZE
    assert labels.dtype == np.uint8
    expected, levels = PINNED[key]
    assert digest(labels) == expected
    # Another JPEG library or another processor may change a pixel, not the picture.
    small = np.asarray(image.resize((4, 2), Image.Resampling.BOX), dtype=int)
    assert np.abs(small.mean(2).round() - np.reshape(levels, (2, 4))).max() <= 3


def grain(image: np.ndarray, where: np.ndarray) -> float:
    """Return how much pixels differ from the mean of their neighbours, where all are wanted."""
    around = sum(np.roll(image, step, axis) for axis in (0, 1) for step in (-1, 1)) / 4
    inside = where.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inside &= np.roll(where, step, axis)
    return float(np.abs(image - around)[inside].mean())


@pytest.fixture(scope="module")
def some() -> dict[Rendering, list[tuple[np.ndarray, np.ndarray]]]:
    made = {r: [scene(r, "train", number) for number in range(8)] for r in RENDERINGS}
    return {
        rendering: [(np.asarray(image.convert("L"), dtype=float), labels) for image, labels in each]
        for rendering, each in made.items()
    }


@pytest.mark.parametrize("name", ["road", "building", "vegetation"])
def test_surfaces_differ_in_more_than_their_colours(
    name: str, some: dict[Rendering, list[tuple[np.ndarray, np.ndarray]]]
) -> None:
    # Whatever a curve does to the levels of a surface, their ranks stay. So what still differs
    # here, no matching of means, deviations or histograms can remove.
    grains = {}
    for rendering, pictures in some.items():
        values = []
        for grey, labels in pictures:
            where = labels == LABEL[name]
            if where.sum() > 300:
                ranks = np.zeros_like(grey)
                ranks[where] = grey[where].argsort().argsort() / where.sum()
                values.append(grain(ranks, where))
        grains[rendering] = np.median(values)
    assert grains["game"] / grains["camera"] > 1.3
