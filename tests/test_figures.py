"""The pictures: what they show, pixel by pixel where that can be said, and how they fail."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bench.errors import BenchError
from bench.figures import FRAME, TILE, confusion_pair, translation_triples

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
