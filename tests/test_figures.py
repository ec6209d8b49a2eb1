"""The pictures: what they show, pixel by pixel where that can be said, and how they fail."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from bench.classes import CAMVID, CITYSCAPES, IGNORED, ClassList, Label
from bench.errors import BenchError
from bench.figures import (
    EDGE,
    FRAME,
    GAP,
    HEAD,
    TILE,
    WIDTH,
    confusion_pair,
    segmentations,
    translation_pairs,
    translation_triples,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def pixels(path: Path) -> NDArray[np.uint8]:
    """Read a PNG as uint8 (height, width, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def noise(n: int, channels: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return random images without the frame's grey: a wrong place or order would show."""
    shape = (n, channels, size, size)
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    images[images == FRAME] = 0
    return images


def framed_tiles(picture: NDArray[np.uint8], size: int) -> list[NDArray[np.uint8]]:
    """Find the images by their grey frames alone, in reading order, and shrink them back."""
    factor = -(-TILE // size)
    side = size * factor
    grey = (picture == FRAME).all(axis=2)
    found = []
    for y in range(1, picture.shape[0] - side):
        # A frame's upper edge: grey all along, and something else directly below its corner.
        for x in np.flatnonzero(grey[y - 1, :-side] & ~grey[y, :-side]):
            corner = grey[y - 1, x - 1] and grey[y, x - 1] and grey[y + side - 1, x - 1]
            whole = grey[y - 1, x : x + side].all() and grey[y + side, x : x + side].all()
            if corner and whole:
                tile = picture[y : y + side, x : x + side]
                assert (tile == tile[::factor, ::factor].repeat(factor, 0).repeat(factor, 1)).all()
                found.append(tile[::factor, ::factor])
    return found


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (1, 16)])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 12])
def test_triples_show_every_image_once_in_order_and_unsmoothed(
    tmp_path: Path, n: int, channels: int, size: int
) -> None:
    stacks = [noise(n, channels, size, seed) for seed in (1, 2, 3)]
    translation_triples(*stacks, tmp_path / "triples.png")
    tiles = framed_tiles(pixels(tmp_path / "triples.png"), size)
    assert len(tiles) == 3 * n
    for index in range(n):
        for part in range(3):
            expected = np.broadcast_to(stacks[part][index], (3, size, size)).transpose(1, 2, 0)
            np.testing.assert_array_equal(tiles[3 * index + part], expected)


def test_triples_accept_torch_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    stacks = [noise(2, 1, 28, seed) for seed in (1, 2, 3)]
    translation_triples(*stacks, tmp_path / "numpy.png")
    translation_triples(*(torch.from_numpy(s) for s in stacks), tmp_path / "torch.png")
    assert (tmp_path / "torch.png").read_bytes() == (tmp_path / "numpy.png").read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        noise(2, 1, 28).astype(np.float32),
        noise(2, 2, 28),
        noise(2, 1, 28)[0],
        noise(0, 1, 28),
        noise(3, 1, 28),
        noise(2, 1, 27),
    ],
    ids=["float", "two channels", "no batch", "empty", "another number", "another size"],
)
def test_triples_refuse_what_they_cannot_draw(tmp_path: Path, wrong: NDArray[np.uint8]) -> None:
    good = noise(2, 1, 28)
    with pytest.raises(BenchError, match="expected"):
        translation_triples(good, wrong, good, tmp_path / "triples.png")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ large images


def column_width(columns: int) -> int:
    return (WIDTH - 2 * EDGE - (columns - 1) * GAP) // columns


def tile(
    picture: NDArray[np.uint8], row: int, column: int, columns: int, height: int
) -> NDArray[np.uint8]:
    """Cut out one image of a picture whose images are all `height` high."""
    wide = column_width(columns)
    top, left = HEAD + row * (height + GAP), EDGE + column * (wide + GAP)
    return picture[top : top + height, left : left + wide]


def photos(n: int, width: int, height: int = 60, seed: int = 0) -> NDArray[np.uint8]:
    shape = (n, 3, height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def maps(n: int, width: int, classes: ClassList, height: int = 60, seed: int = 0) -> Any:
    """Return random class indices, some of them ignored."""
    made = np.random.default_rng(seed).integers(0, len(classes) + 1, (n, height, width))
    return np.where(made == len(classes), IGNORED, made).astype(np.uint8)


def coloured(indices: Any, classes: ClassList) -> NDArray[np.uint8]:
    """Colour a map pixel by pixel."""
    colours = {**dict(enumerate(classes.colours)), IGNORED: (0, 0, 0)}
    return np.array([[colours[int(i)] for i in line] for line in indices], dtype=np.uint8)


@pytest.mark.parametrize("classes", [CITYSCAPES, CAMVID], ids=lambda classes: classes.name)
@pytest.mark.parametrize("names", [("prediction",), ("before", "after")], ids=len)
def test_scenes_stand_beside_their_predictions_and_truth_in_the_palette(
    tmp_path: Path, names: tuple[str, ...], classes: ClassList
) -> None:
    columns = 2 + len(names)
    wide = column_width(columns)
    images, truths = photos(2, wide), maps(2, wide, classes, seed=9)
    predictions = {name: maps(2, wide, classes, seed=i) for i, name in enumerate(names)}
    given = predictions if len(names) > 1 else predictions["prediction"]
    segmentations(images, given, truths, classes, tmp_path / "scenes.png")
    picture = pixels(tmp_path / "scenes.png")
    assert picture.shape[1] == WIDTH
    for row in range(2):
        shown = [tile(picture, row, column, columns, 60) for column in range(columns)]
        np.testing.assert_array_equal(shown[0], images[row].transpose(1, 2, 0))
        for part, name in zip(shown[1:-1], names, strict=True):
            np.testing.assert_array_equal(part, coloured(predictions[name][row], classes))
        np.testing.assert_array_equal(shown[-1], coloured(truths[row], classes))


@pytest.mark.parametrize("classes", [CITYSCAPES, CAMVID], ids=lambda classes: classes.name)
def test_the_legend_shows_every_colour_beside_a_name(tmp_path: Path, classes: ClassList) -> None:
    white = np.full((1, 3, 60, column_width(3)), 255, dtype=np.uint8)
    nothing = np.full((1, 60, column_width(3)), IGNORED)
    segmentations(white, nothing, nothing, classes, tmp_path / "scenes.png")
    legend = pixels(tmp_path / "scenes.png")[HEAD + 60 + 2 :]
    # A class has a swatch 16 pixels square, at the left of 24 pixels or more of paper and text.
    for colour in (*classes.colours, (0, 0, 0)):
        hit = (legend == np.array(colour)).all(axis=2)
        rows, columns = np.nonzero(hit)
        assert hit.sum() == 16 * 16
        top, left = rows.min(), columns.min()
        assert hit[top : top + 16, left : left + 16].all()
        beside = legend[top : top + 16, left + 20 : left + 100]
        assert (beside < 160).all(axis=2).any()
    assert (legend[:, -EDGE:] == 255).all()
    assert (legend[-4:] == 255).all()


def test_labels_are_never_smoothed_and_take_the_size_of_the_image(tmp_path: Path) -> None:
    images, indices = photos(1, 300, 200), maps(1, 37, CITYSCAPES, 25)
    segmentations(images, indices, indices, CITYSCAPES, tmp_path / "scenes.png")
    wide = column_width(3)
    height = round(200 * wide / 300)
    picture = pixels(tmp_path / "scenes.png")
    shown = tile(picture, 0, 1, 3, height)
    palette = {*CITYSCAPES.colours, (0, 0, 0)}
    assert {tuple(map(int, colour)) for colour in shown.reshape(-1, 3)} <= palette
    np.testing.assert_array_equal(shown, tile(picture, 0, 2, 3, height))
    # Each pixel is the nearest of the map: look at the middles of its cells.
    ys, xs = ((np.arange(n) + 0.5) / n * size for n, size in ((25, height), (37, wide)))
    middles = shown[ys.astype(int)][:, xs.astype(int)]
    np.testing.assert_array_equal(middles, coloured(indices[0], CITYSCAPES))


def test_large_images_are_reduced_to_the_same_width(tmp_path: Path) -> None:
    flat = np.full((1, 3, 512, 1024), 77, dtype=np.uint8)
    truth = np.zeros((1, 1024, 2048), dtype=np.uint8)
    segmentations(flat, {"a": truth, "b": truth}, truth, CITYSCAPES, tmp_path / "scenes.png")
    picture = pixels(tmp_path / "scenes.png")
    height = round(column_width(4) / 2)
    assert picture.shape[1] == WIDTH
    assert (tile(picture, 0, 0, 4, height) == 77).all()
    assert (tile(picture, 0, 3, 4, height) == CITYSCAPES.colours[0]).all()


@pytest.mark.parametrize("n", [1, 3])
def test_both_directions_of_a_translation_are_in_one_picture(tmp_path: Path, n: int) -> None:
    wide = column_width(4)
    stacks = [photos(n, wide, seed=i) for i in range(4)]
    pairs = {"game": (stacks[0], stacks[1]), "camera": (stacks[2], stacks[3])}
    translation_pairs(pairs, tmp_path / "pairs.png")
    picture = pixels(tmp_path / "pairs.png")
    assert picture.shape[1] == WIDTH
    for column, stack in enumerate(stacks):
        for row in range(n):
            expected = stack[row].transpose(1, 2, 0)
            np.testing.assert_array_equal(tile(picture, row, column, 4, 60), expected)


def test_one_direction_and_unequal_numbers_can_be_drawn_too(tmp_path: Path) -> None:
    wide = column_width(2)
    one, other = photos(2, wide), photos(2, wide, seed=1)
    translation_pairs({"game": (one, other)}, tmp_path / "one.png")
    picture = pixels(tmp_path / "one.png")
    np.testing.assert_array_equal(tile(picture, 1, 1, 2, 60), other[1].transpose(1, 2, 0))
    translation_pairs({"a": (one, other), "b": (one[:1], other[:1])}, tmp_path / "two.png")
    grey = photos(1, 50)[:, :1]
    translation_pairs({"a": (grey, grey), "b": (one, other)}, tmp_path / "grey.png")


PHOTOS, MAPS = photos(2, 60), maps(2, 60, CITYSCAPES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": PHOTOS / 255}, "input: expected uint8 images"),
        ({"images": PHOTOS[:1]}, "prediction: expected integers .* for each of 1 images"),
        ({"predictions": MAPS.astype(float)}, "prediction: expected integers"),
        ({"predictions": MAPS[0]}, "prediction: expected integers"),
        ({"predictions": {"after": np.full_like(MAPS, 19)}}, r"after: expected classes 0\.\.18"),
        ({"truths": np.full_like(MAPS, 254)}, "ground truth: expected classes .* got 254"),
        ({"truths": -np.ones((2, 60, 60), dtype=np.int64)}, "ground truth: expected .* got -1"),
        ({"titles": ("one", "two")}, "a title for each of the 3 columns, got 2"),
    ],
)
def test_scenes_that_cannot_be_drawn_are_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    good = {"images": PHOTOS, "predictions": MAPS, "truths": MAPS, "titles": None}
    with pytest.raises(BenchError, match=said):
        segmentations(**good | change, classes=CITYSCAPES, path=tmp_path / "scenes.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ({}, "one or two domains, got 0"),
        (dict.fromkeys("abc", (PHOTOS, PHOTOS)), "one or two domains, got 3"),
        ({"a": (PHOTOS, PHOTOS[:1])}, "a, translated: expected 2 translations, got 1"),
        ({"a": (PHOTOS, PHOTOS), "b": (PHOTOS, MAPS)}, "b \u2192 a: expected uint8 images"),
    ],
)
def test_translations_that_cannot_be_drawn_are_refused(
    tmp_path: Path, pairs: dict[str, Any], said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        translation_pairs(pairs, tmp_path / "pairs.png")
    assert list(tmp_path.iterdir()) == []


def test_scenes_and_pairs_are_equal_bytes_for_equal_input_also_as_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for name, made in (("a", np.array), ("b", np.array), ("torch", torch.from_numpy)):
        images, indices = made(PHOTOS), made(MAPS)
        segmentations(images, indices, indices, CITYSCAPES, tmp_path / f"scenes-{name}.png")
        translation_pairs({"x": (images, images)}, tmp_path / f"pairs-{name}.png")
    for kind in ("scenes", "pairs"):
        first, *others = (tmp_path / f"{kind}-{name}.png" for name in ("a", "b", "torch"))
        assert [other.read_bytes() == first.read_bytes() for other in others] == [True, True]
        with Image.open(first) as image:
            assert not {"Software", "Creation Time"} & image.info.keys()


def test_a_long_class_name_gets_its_room(tmp_path: Path) -> None:
    labels = [Label("a name that is a good deal longer than others", 0, 0, (9, 9, 9))]
    labels += [Label(f"class {i}", i, i, (9 + i, 9, 9)) for i in range(1, 5)]
    long = ClassList("long", tuple(labels))
    white = np.full((1, 3, 60, column_width(3)), 255, dtype=np.uint8)
    nothing = np.full((1, 60, column_width(3)), IGNORED)
    segmentations(white, nothing, nothing, long, tmp_path / "scenes.png")
    legend = pixels(tmp_path / "scenes.png")[HEAD + 60 + 2 :]
    for index in range(5):
        rows, columns = np.nonzero((legend == (9 + index, 9, 9)).all(axis=2))
        # Nothing is written right before a class, and its own name has no class on it.
        assert (legend[rows.min() : rows.max() + 1, columns.min() - 8 : columns.min()] == 255).all()
        assert len(rows) == 16 * 16


# ------------------------------------------------------------------ confusion matrices


def cell_colours(picture: NDArray[np.uint8], panels: int, classes: int) -> NDArray[np.float64]:
    """Return how dark each cell is, (panels, k, k) in 0..1, read near each cell's corner."""
    ink = picture.astype(float).mean(axis=2)
    found = []
    for panel in range(panels):
        rows = []
        for row in range(classes):
            cells = []
            for column in range(classes):
                # Layout in inches at 120 pixels each: see `confusion_pair`.
                x = 120 * (0.65 + panel * 5.35 + 4.9 * (column + 0.12) / classes)
                y = 120 * (0.75 + 4.9 * (row + 0.12) / classes)
                cells.append(1 - ink[round(y), round(x)] / 255)
            rows.append(cells)
        found.append(rows)
    return np.asarray(found)


def test_confusions_put_truth_in_rows_and_before_on_the_left(tmp_path: Path) -> None:
    before, after = np.eye(10, dtype=np.int64) * 50, np.eye(10, dtype=np.int64) * 7
    before[2, 8] = 50
    after[4, 1] = 7
    confusion_pair(before, after, tmp_path / "pair.png")
    dark = cell_colours(pixels(tmp_path / "pair.png"), panels=2, classes=10)
    for shown, matrix in zip(dark, (before, after), strict=True):
        np.testing.assert_array_equal(shown > 0.2, matrix > 0)
    # Rows are normalised: half of a row is lighter than all of it, whatever the counts.
    assert dark[0, 2, 8] == dark[0, 2, 2] == dark[1, 4, 1] < dark[0, 3, 3] == dark[1, 3, 3]


def test_without_a_before_only_one_matrix_is_drawn(tmp_path: Path) -> None:
    matrix = np.eye(10, dtype=np.int64)
    confusion_pair(None, matrix, tmp_path / "one.png")
    confusion_pair(matrix, matrix, tmp_path / "two.png")
    one, two = pixels(tmp_path / "one.png"), pixels(tmp_path / "two.png")
    assert one.shape[0] == two.shape[0]
    assert two.shape[1] > 1.8 * one.shape[1]


def test_a_number_stands_in_every_cell_that_counts_something_and_can_be_read(
    tmp_path: Path,
) -> None:
    matrix = np.diag(np.arange(1, 11)).astype(np.int64) * 20
    matrix[2, 8], matrix[7, 0], matrix[9, 1] = 3, 60, 300
    confusion_pair(None, matrix, tmp_path / "one.png")
    picture = pixels(tmp_path / "one.png").astype(float).mean(axis=2)
    for (row, column), value in np.ndenumerate(matrix):
        top, left = (0.75 + 0.49 * row) * 120, (0.65 + 0.49 * column) * 120
        # The middle of the cell, away from the white grid around it.
        cell = picture[round(top) + 10 : round(top) + 49, round(left) + 6 : round(left) + 53]
        contrast = cell.max() - cell.min()
        assert contrast > 100 if value else contrast == 0, (row, column)


def test_titles_and_axis_names_are_whole(tmp_path: Path) -> None:
    matrix = np.full((10, 10), 5, dtype=np.int64)
    confusion_pair(matrix, matrix, tmp_path / "pair.png")
    inked = (pixels(tmp_path / "pair.png") < 250).any(axis=2)
    assert not inked[:4].any()
    assert not inked[-4:].any()
    assert not inked[:, :4].any()
    assert not inked[:, -4:].any()
    # Lines of text, from the top: a title, its accuracy, (the matrix,) classes, the axis' name.
    rows = inked[:, round(0.7 * 120) : round(5.5 * 120)].any(axis=1)
    starts, ends = (np.flatnonzero(np.diff(rows.astype(int)) == sign) for sign in (1, -1))
    assert len(starts) == 5
    heights = ends - starts
    assert min(*heights[:2], *heights[-2:]) >= 9


@pytest.mark.parametrize("classes", [1, 2, 19, 150])
def test_any_number_of_classes_and_empty_rows_can_be_drawn(tmp_path: Path, classes: int) -> None:
    matrix = np.zeros((classes, classes), dtype=np.int64)
    confusion_pair(matrix, matrix, tmp_path / "empty.png")
    matrix[0, 0] = 1
    confusion_pair(matrix, matrix, tmp_path / "nearly.png")


def test_equal_input_gives_equal_bytes_and_no_version_stamp(tmp_path: Path) -> None:
    matrix, images = np.eye(10, dtype=np.int64), noise(4, 1, 28)
    for name in ("a", "b"):
        confusion_pair(matrix, matrix, tmp_path / f"confusion-{name}.png")
        translation_triples(images, images, images, tmp_path / f"triples-{name}.png")
    for kind in ("confusion", "triples"):
        first, second = (tmp_path / f"{kind}-{name}.png" for name in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()
        with Image.open(first) as image:
            assert not {"Software", "Creation Time"} & image.info.keys()


def test_a_file_in_the_way_of_the_folder_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(BenchError, match=r"cannot write .*confusion\.png.*Choose a folder"):
        confusion_pair(None, np.eye(2, dtype=np.int64), tmp_path / "figures" / "confusion.png")


def test_drawing_leaves_pyplot_alone() -> None:
    code = "import sys, bench.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
