"""From faces to pixels: what each pixel shows, where that lies in the street, and its label."""

# ruff: noqa: PLR2004  a drawing is made of numbers
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from bench.data.streets.faces import LABEL, NOTHING, Face, Material
from bench.data.streets.lens import NEAR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.data.streets.lens import Floats, Singles
    from bench.data.streets.street import Street

FAR = 2000.0
"""Metres to the sky."""

STEP = 1 / 16
"""Pixels: corners are rounded to this, so that another machine's last digit moves no edge."""


@dataclass(frozen=True)
class View:
    """What is known of each pixel, arrays of (h, w).

    Attributes:
        material: uint8, a `Material`.
        colour: float32 (h, w, 3), 0..1, of the surface.
        character: float32, 0..1, of the face.
        z: float32, metres ahead.
        u: float32, metres along the surface, level.
        v: float32, metres up the surface; on the ground, ahead.
        y: float32, metres above the road.
        normal: float32 (3, h, w), of length 1, towards the camera.
        shadow: bool, whether the sun is hidden; on the ground only.
        up: float32, how far the pixel looks up; below 0 under the horizon.
        footprint: float32, metres that a pixel is wide there.
    """

    material: NDArray[np.uint8]
    colour: Singles
    character: Singles
    z: Singles
    u: Singles
    v: Singles
    y: Singles
    normal: Singles
    shadow: NDArray[np.bool_]
    up: Singles
    footprint: Singles


def label_map(street: Street, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return Cityscapes label ids, uint8 (h, w): edges are sharp, nothing is mixed."""
    canvas = Image.new("L", (size[1], size[0]), LABEL["sky"])
    faces = [face for face in _in_order(street) if face.label != NOTHING]
    _draw(canvas, faces, [face.label for face in faces], street)
    return np.asarray(canvas)


def view(street: Street, size: tuple[int, int], sun: tuple[float, float] | None) -> View:
    """Return what each pixel shows.

    Args:
        street: what there is.
        size: height and width of the picture.
        sun: metres to the right and ahead that the shadow of a post of one metre reaches; None
            for no shadows.
    """
    canvas = Image.new("I", (size[1], size[0]), 0)
    faces = [face for face in _in_order(street) if face.material != NOTHING]
    _draw(canvas, faces, range(1, len(faces) + 1), street)
    shown = np.asarray(canvas)
    normal, offset = _planes(faces, street)
    rays = street.lens.rays(size)
    planes = [column[shown] for column in (*normal.T, offset)]
    facing = planes[0] * rays[0] + planes[1] * rays[1] + planes[2] * rays[2]
    # Both are negative, but for faces seen from their edge.
    reach = np.clip(planes[3] / np.minimum(facing, np.float32(-1e-6)), NEAR, FAR)
    x, y, z = rays[0] * reach, rays[1] * reach + np.float32(street.lens.height), rays[2] * reach
    level = np.abs(normal[:, 1]) > 0.9
    length = np.sqrt(normal[:, 0] ** 2 + normal[:, 2] ** 2) + np.float32(1e-9)
    tangent = np.where(level, 1, normal[:, 2] / length), np.where(level, 0, -normal[:, 0] / length)
    tables = (
        np.array([Material.SKY, *(face.material for face in faces)], dtype=np.uint8),
        np.array([(1.0, 1.0, 1.0), *(face.colour for face in faces)], dtype=np.float32),
        np.array([0.0, *(face.character for face in faces)], dtype=np.float32),
    )
    lying = level[shown]
    return View(
        material=tables[0][shown],
        colour=tables[1][shown],
        character=tables[2][shown],
        z=z,
        u=x * tangent[0].astype(np.float32)[shown] + z * tangent[1].astype(np.float32)[shown],
        v=np.where(lying, z, y),
        y=y,
        normal=np.stack(planes[:3]),
        shadow=lying & _shadow(street, size, sun),
        up=rays[1],
        footprint=z / np.float32(street.lens.focal * size[1]),
    )


def _in_order(street: Street) -> list[Face]:
    return [*street.ground, *(face for thing in street.things for face in thing)]


def _corners(faces: list[Face], bend: float) -> Floats:
    """Return the corners of all faces, where the street's bend puts them."""
    points = np.concatenate([face.points for face in faces])
    points[:, 0] += bend * points[:, 2] ** 2
    return points


def _planes(faces: list[Face], street: Street) -> tuple[Singles, Singles]:
    """Return normals (n, 3), towards the camera, and distances from it (n,); first the sky's."""
    starts = np.cumsum([0, *(len(face.points) for face in faces[:-1])])
    points = _corners(faces, street.bend)
    points[:, 1] -= street.lens.height
    after = np.arange(1, len(points) + 1)
    after[starts - 1] = np.roll(starts, 1)  # the last corner of each face is followed by its first
    after[-1] = starts[-1]
    x, y, z = points.T
    nx, ny, nz = x[after], y[after], z[after]
    terms = (y * nz - z * ny, z * nx - x * nz, x * ny - y * nx)
    normal = np.stack([np.add.reduceat(term, starts) for term in terms], axis=1)
    size = np.sqrt(normal[:, 0] ** 2 + normal[:, 1] ** 2 + normal[:, 2] ** 2)
    normal /= np.maximum(size, 1e-9)[:, None]
    offset = normal[:, 0] * x[starts] + normal[:, 1] * y[starts] + normal[:, 2] * z[starts]
    turn = np.where(offset > 0, -1.0, 1.0)
    normal, offset = normal * turn[:, None], offset * turn
    sky = np.array([[0.0, 0.0, -1.0]])
    return (
        np.concatenate([sky, normal]).astype(np.float32),
        np.concatenate([[-FAR], offset]).astype(np.float32),
    )


def _shadow(
    street: Street, size: tuple[int, int], sun: tuple[float, float] | None
) -> NDArray[np.bool_] | bool:
    """Return where things keep the sun off the ground."""
    if sun is None:
        return False
    canvas = Image.new("L", (size[1], size[0]), 0)
    faces = []
    for thing in street.things:
        for face in thing:
            if face.label not in {NOTHING, LABEL["fence"], LABEL["ego vehicle"]}:
                points = face.points.copy()
                points[:, 0] += points[:, 1] * sun[0]
                points[:, 2] += points[:, 1] * sun[1]
                points[:, 1] = 0.0
                faces.append(face._replace(points=points))
    _draw(canvas, faces, [1] * len(faces), street)
    return np.asarray(canvas).astype(bool)


def _draw(
    canvas: Image.Image, faces: list[Face], values: range | list[int], street: Street
) -> None:
    """Fill each face with its value, the later over the earlier."""
    if not faces:
        return
    size = canvas.height, canvas.width
    lengths = np.array([len(face.points) for face in faces])
    ends = np.cumsum(lengths)
    starts = ends - lengths
    lens, points = street.lens, _corners(faces, street.bend)
    pixels, depth = lens.project(points, size)
    pixels = np.round(pixels / STEP) * STEP
    near, far = np.minimum.reduceat(depth, starts), np.maximum.reduceat(depth, starts)
    low, high = np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)
    outside = (high < -1).any(1) | (low[:, 0] > size[1]) | (low[:, 1] > size[0])
    shown = np.flatnonzero((far > NEAR) & ~(outside & (near > NEAR)))
    whole = near > NEAR
    corners = pixels.ravel().tolist()
    polygon = ImageDraw.Draw(canvas).polygon
    for number in shown.tolist():
        start, end = starts[number], ends[number]
        if whole[number]:
            polygon(corners[2 * start : 2 * end], fill=values[number])
        else:
            cut = _clipped(points[start:end], depth[start:end])
            outline = np.round(lens.project(cut, size)[0] / STEP) * STEP
            polygon(outline.ravel().tolist(), fill=values[number])


def _clipped(points: Floats, depth: Floats) -> Floats:
    """Return a polygon without what is nearer than `NEAR` (Sutherland and Hodgman 1974)."""
    kept = []
    edge = NEAR * 1.001
    for number in range(len(points)):
        here, there = depth[number - 1], depth[number]
        if (here > edge) != (there > edge):
            part = (edge - here) / (there - here)
            kept.append(points[number - 1] + part * (points[number] - points[number - 1]))
        if there > edge:
            kept.append(points[number])
    return np.array(kept)
