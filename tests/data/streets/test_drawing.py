"""The geometry of generated streets: lens, faces, and what of them each pixel shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.streets import vehicles
from bench.data.streets.faces import LABEL, NOTHING, Face, Material, Place, rectangle, ring
from bench.data.streets.lens import Lens
from bench.data.streets.raster import label_map, view
from bench.data.streets.street import Street
from bench.data.streets.textures import noise_table

SIZE = (48, 96)
LENSES = st.builds(
    Lens,
    height=st.floats(1.0, 2.0),
    focal=st.floats(0.5, 1.5),
    pitch=st.floats(-0.1, 0.1),
    roll=st.floats(-0.1, 0.1),
)


def standing(z: float, label: str, half: float = 3.0, material: int = Material.STONE) -> list[Face]:
    points = Place(0.0, z).upright(rectangle(-half, half, 0, 6))
    return [Face(points, LABEL[label], material)]


def seen(*things: list[Face], bend: float = 0.0) -> Street:
    z = np.array([1.0, 400.0])
    corners = [(-300, 0, z[0]), (300, 0, z[0]), (300, 0, z[1]), (-300, 0, z[1])]
    road = Face(np.array(corners), LABEL["road"], Material.ASPHALT)
    return Street(Lens(1.5, 1.0), bend, [road], list(things))


@given(LENSES, st.integers(0, 47), st.integers(0, 95), st.floats(1.0, 500.0))
def test_a_point_on_a_pixels_ray_falls_on_that_pixel(
    lens: Lens, row: int, column: int, reach: float
) -> None:
    ray = np.array([part[row, column] for part in lens.rays(SIZE)], dtype=np.float64)
    pixels, _ = lens.project((ray * reach + [0, lens.height, 0])[None], SIZE)
    np.testing.assert_allclose(pixels[0], [column, row], atol=1e-3)


def test_a_lens_that_looks_down_sees_the_horizon_above_the_middle() -> None:
    level, down = (Lens(1.5, 1.0, pitch).rays(SIZE)[1] for pitch in (0.0, 0.1))
    assert (level > 0).sum() == level.size // 2 > (down > 0).sum() + 5 * SIZE[1]


def test_a_lens_that_leans_to_the_left_raises_the_left_of_the_horizon() -> None:
    up = Lens(1.5, 1.0, roll=0.1).rays(SIZE)[1]
    assert (up[:, 0] > 0).sum() != (up[:, -1] > 0).sum()
    point = np.array([[-3.0, 1.5, 6.0], [3.0, 1.5, 6.0]])
    pixels, _ = Lens(1.5, 1.0, roll=0.1).project(point, SIZE)
    # The picture turns against the camera: what is on the left of a camera that leans to the left
    # stands lower in its own frame of reference.
    assert pixels[0, 1] > pixels[1, 1]


def test_labels_are_painted_in_the_order_of_things() -> None:
    near, far = standing(5.0, "person", 0.5), standing(20.0, "building", 8.0)
    labels = label_map(seen(far, near), SIZE)
    assert labels[24, 48] == LABEL["person"]
    assert labels[24, 20] == LABEL["building"]
    assert labels[47, 5] == LABEL["road"]
    assert labels[0, 0] == LABEL["sky"]
    assert set(np.unique(labels)) == {7, 11, 23, 24}


def test_a_thing_beside_the_camera_is_cut_off_not_turned_over() -> None:
    wall = Face(np.array([(2.0, 0, -5), (2.0, 4, -5), (2.0, 4, 9), (2.0, 0, 9)]), LABEL["wall"], 7)
    labels = label_map(seen([wall]), SIZE)
    assert (labels[:, 95] == LABEL["wall"]).mean() > 0.9
    assert (labels[:, :48] != LABEL["wall"]).all()


def test_what_is_behind_the_camera_is_not_there() -> None:
    labels = label_map(seen(standing(-5.0, "wall")), SIZE)
    assert (labels != LABEL["wall"]).all()


def test_a_street_that_bends_takes_its_things_along() -> None:
    straight, bent = (
        label_map(seen(standing(30.0, "car", 1.0), bend=bend), SIZE) == LABEL["car"]
        for bend in (0.0, 0.005)
    )
    middle = [np.flatnonzero(each.any(0)).mean() for each in (straight, bent)]
    assert middle[1] - middle[0] == pytest.approx(96 * 0.005 * 30, abs=1)


def test_the_gaps_of_a_fence_belong_to_it_and_are_seen_through() -> None:
    fence = standing(8.0, "fence", 3.0, NOTHING)
    street = seen(standing(20.0, "building", 8.0), fence)
    assert label_map(street, SIZE)[24, 48] == LABEL["fence"]
    assert view(street, SIZE, None).z[24, 48] == pytest.approx(20, rel=1e-4)


def test_a_detail_shows_and_has_no_label() -> None:
    pane = Face(standing(9.9, "car", 0.5)[0].points, NOTHING, Material.GLASS)
    street = seen([*standing(10.0, "building"), pane])
    assert label_map(street, SIZE)[24, 48] == LABEL["building"]
    assert view(street, SIZE, None).material[24, 48] == Material.GLASS


def test_each_pixel_knows_where_in_the_street_it_is() -> None:
    shown = view(seen(standing(10.0, "building")), SIZE, None)
    assert shown.material[24, 48] == Material.STONE
    assert shown.z[24, 48] == pytest.approx(10, rel=1e-5)
    assert abs(shown.u[24, 48]) == pytest.approx(0.5 / 96 * 10, abs=1e-4)
    assert shown.v[24, 48] == shown.y[24, 48] == pytest.approx(1.5 - 0.5 / 96 * 10, abs=1e-4)
    np.testing.assert_allclose(shown.normal[:, 24, 48], [0, 0, -1], atol=1e-6)
    ground = (shown.material == Material.ASPHALT) & (shown.up < -0.01)
    np.testing.assert_allclose(shown.y[ground], 0, atol=2e-3)
    assert (shown.v == shown.z)[ground].all()
    np.testing.assert_allclose(shown.normal[1][ground], 1, atol=1e-6)
    assert (shown.material[0, :10] == Material.SKY).all()
    assert (shown.z[0, :10] > 1500).all()


def test_a_shadow_falls_on_the_ground_away_from_the_sun_and_nowhere_else() -> None:
    street = seen(standing(10.0, "building"))
    assert not view(street, SIZE, None).shadow.any()
    towards = view(street, SIZE, (0.0, -0.5))
    assert towards.shadow[(towards.material == Material.ASPHALT) & (towards.z < 9)].any()
    assert not towards.shadow[towards.material != Material.ASPHALT].any()
    away = view(street, SIZE, (0.0, 0.5))
    assert not away.shadow[away.z < 9].any()


@pytest.mark.parametrize(("yaw", "lamps"), [(0.0, "red"), (np.pi, "white")])
@pytest.mark.parametrize("x", [-4.0, 4.0])
def test_one_sees_a_cars_back_or_front_and_the_side_that_faces_the_camera(
    yaw: float, lamps: str, x: float
) -> None:
    shape = vehicles.car(np.random.default_rng(0))
    faces = vehicles.vehicle(shape, Place(x, 12.0, yaw), (0.5, 0.5, 0.5))
    lit = [face.colour for face in faces if face.material == Material.LAMP]
    assert len(lit) == 2
    assert all((blue > 0.5) == (lamps == "white") for _, _, blue in lit)
    wheels = [face.points[:, 0].mean() for face in faces if face.material == Material.RUBBER]
    inner = abs(x) - shape.width / 2
    assert sum(abs(abs(wheel) - inner) < 0.02 for wheel in wheels) == 2
    assert all(abs(wheel) < abs(x) + 0.1 for wheel in wheels)


def test_nobody_sees_the_underside_of_a_car() -> None:
    for yaw in np.linspace(0, 6, 13):
        shape = vehicles.car(np.random.default_rng(1))
        for face in vehicles.vehicle(shape, Place(3.0, 8.0, yaw), (0.5, 0.5, 0.5), plate=False):
            assert np.ptp(face.points[:, 1]) > 0.05 or face.points[0, 1] > 0.6


def test_a_ring_has_a_hole() -> None:
    points = Place(0.0, 6.0).upright(ring(0, 1.5, 1.2, 0.3))
    shown = view(seen([Face(points, LABEL["bicycle"], Material.RUBBER)]), SIZE, None)
    wheel = shown.material == Material.RUBBER
    assert not wheel[22:26, 46:50].any()
    assert wheel[24].sum() >= 6


@settings(max_examples=10)
@given(st.integers(0, 6))
def test_noise_fills_its_range_and_has_no_grid(smooth: int) -> None:
    table = noise_table(smooth)
    assert (table.min(), table.max()) == (0, 1)
    # Neighbours are alike, in both directions, and more so where lumps are larger.
    steps = [np.abs(np.diff(table, axis=axis)).mean() for axis in (0, 1)]
    assert steps[0] == pytest.approx(steps[1], rel=0.1)
    if smooth:
        assert max(steps) < np.abs(np.diff(noise_table(smooth - 1), axis=0)).mean()
