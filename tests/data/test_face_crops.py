"""Crops: five points land on the template, what is shrunk is averaged, anything else is said."""

from __future__ import annotations

import cmath
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.data.crops import TEMPLATE, CropRecipe, resampled, similarity, square
from mien.data.faces import Box, Face
from mien.errors import ConfigError, DataError

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]


def moved(turn: complex, shift: complex) -> Points:
    """The template as a face in a frame: turned and scaled around its middle, then shifted."""
    there = (TEMPLATE - 0.5) @ [1, 1j] * turn + shift
    return np.stack([there.real, there.imag], axis=1)


def framed(points: Points, side: float) -> Face:
    """A face with these points, in the box that its crop is expected to have."""
    middle = points.mean(axis=0) - [0, 0.02 * side]
    wide, high = 0.6 * side, 0.8 * side
    box = (middle[0] - wide / 2, middle[1] - high / 2, wide, high)
    return Face(box=box, score=1.0, points=points.astype(np.float32))


def dots(points: Points, height: int, width: int, spread: float) -> Pixels:
    """A dark frame with a soft white dot around each point."""
    y, x = np.mgrid[:height, :width] + 0.5  # the middles of pixels
    light = np.zeros((height, width))
    for across, down in points:
        light += np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * spread**2))
    return np.repeat(np.rint(255 * light.clip(0, 1))[..., None], 3, axis=2).astype(np.uint8)


def middle_of_light(pixels: Pixels, around: NDArray[Any], reach: float) -> NDArray[np.float64]:
    """Where the light within some pixels of a point has its middle."""
    light = pixels[..., 0].astype(np.float64)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    light *= np.hypot(x - around[0], y - around[1]) < reach
    return np.asarray([(x * light).sum(), (y * light).sum()] / light.sum(), np.float64)


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# -- five points -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [112, 224])
@pytest.mark.parametrize("side", [70, 160, 224, 500])
@pytest.mark.parametrize("degrees", [0, -17, 45, 90, 180])
def test_points_land_on_the_template(size: int, side: float, degrees: float) -> None:
    turn = cmath.rect(side, math.radians(degrees))
    points = moved(turn, complex(401.3, 377.8))
    pixels = dots(points, 760, 800, spread=max(side / 60, 0.8))
    crop = CropRecipe(size=size).crop(pixels, framed(points, side))
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    for place in TEMPLATE * size:
        found = middle_of_light(crop, place, reach=0.055 * size)
        assert np.hypot(*(found - place)) < 0.5, (place, found)


@given(
    scale=st.floats(0.1, 1e3),
    angle=st.floats(-math.pi, math.pi),
    shift=st.complex_numbers(max_magnitude=1e4),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_the_similarity_is_the_one_of_least_squares(
    scale: float, angle: float, shift: complex, seed: int
) -> None:
    error = np.random.default_rng(seed).normal(0, 0.1 * scale, (5, 2))
    points, target = moved(cmath.rect(scale, angle), shift) + error, TEMPLATE * 224
    # a*x - b*y + s = u and b*x + a*y + t = v, for all five, solved by somebody else
    rows = [row for x, y in points for row in ((x, -y, 1, 0), (y, x, 0, 1))]
    a, b, s, t = np.linalg.lstsq(np.asarray(rows), target.reshape(-1), rcond=None)[0]
    found = similarity(points, target)
    assert found is not None
    unit = 224 / scale
    assert abs(found[0] - complex(a, b)) < 1e-6 * unit
    assert abs(found[1] - complex(s, t)) < 1e-6 * unit * (1 + abs(shift))


def test_a_matrix_brings_points_to_where_they_are_said_to_be() -> None:
    points = moved(cmath.rect(200, 0.4), 300 + 250j)
    matrix = CropRecipe(size=96).matrix(framed(points, 200))
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], TEMPLATE * 96, atol=1e-3)
    assert np.linalg.det(matrix[:, :2]) == pytest.approx((96 / 200) ** 2, rel=1e-4)


GOOD = moved(160 + 0j, 200 + 190j)
ORTHOGONAL = np.asarray([[6, 0], [-6, 0], [0, 0], [-7, 0], [7, 0]]) * 8 + 200.0
DEGENERATE = {
    "one place": np.full((5, 2), 200.0),
    "not a number": np.where(np.arange(10).reshape(5, 2) == 3, np.nan, GOOD),
    "infinite": np.where(np.arange(10).reshape(5, 2) == 3, np.inf, GOOD),
    "huge": GOOD * 1e20,
    "elsewhere": GOOD + 150,
    "much smaller": moved(40 + 0j, 200 + 190j),
    "much larger": moved(640 + 0j, 200 + 190j),
    "of no direction": ORTHOGONAL,
}


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("size", [16, 224])
def test_points_that_do_not_fit_the_box_are_left_aside(kind: str, size: int) -> None:
    pixels, face = noise(400, 400), framed(GOOD, 160)
    odd = replace(face, points=DEGENERATE[kind].astype(np.float32))
    recipe = CropRecipe(size=size)
    expected = CropRecipe(size=size, by="box").crop(pixels, face)
    np.testing.assert_array_equal(recipe.crop(pixels, odd), expected)
    np.testing.assert_array_equal(recipe.crop(pixels, replace(face, points=None)), expected)
    assert not np.array_equal(recipe.crop(pixels, framed(moved(160j, 200 + 190j), 160)), expected)


def test_points_that_do_not_turn_or_scale_at_all_divide_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mien.data.crops.similarity", lambda *_: (0j, 5 + 5j))
    pixels, face = noise(400, 400), framed(GOOD, 160)
    expected = CropRecipe(by="box").crop(pixels, face)
    np.testing.assert_array_equal(CropRecipe().crop(pixels, face), expected)


# -- by the box ------------------------------------------------------------------------------------


def test_a_box_and_its_points_cut_alike() -> None:
    points = moved(200 + 0j, 300 + 260j)
    # A box as detectors draw it around this face: from the forehead to the chin.
    face = Face(box=(238, 190, 124, 154), score=1.0, points=points.astype(np.float32))
    aligned, boxed = CropRecipe().matrix(face), CropRecipe(by="box").matrix(face)
    assert boxed[0, 0] == pytest.approx(aligned[0, 0], rel=0.1)
    middle = np.asarray([300, 260])
    apart = (boxed - aligned) @ [*middle, 1]
    assert np.hypot(*apart) < 0.1 * 224


@pytest.mark.parametrize("shape", [(100, 100), (80, 125), (125, 80)])
def test_the_square_of_a_box_has_its_area_not_its_shape(shape: tuple[float, float]) -> None:
    scale, middle = square((50, 60, *shape), 224)
    assert 224 / scale == pytest.approx(145)
    assert middle.real == 50 + shape[0] / 2
    assert 0 <= middle.imag - (60 + shape[1] / 2) < 5


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 0, 20),
        (10, 10, 20, -1),
        (10, 10, -5, -5),
        (10, 10, 0.1, 0.1),
        (math.nan, 10, 20, 20),
        (10, 10, math.nan, 20),
        (10, 10, math.inf, 20),
        (-math.inf, 10, 20, 20),
        (1e300, 1e300, 1e300, 1e300),
        (500, 10, 20, 20),
        (10, -500, 20, 20),
        (-1e7, 10, 20, 20),
        (-5e4, -5e4, 1e5, 1e5),
    ],
    ids=str,
)
def test_a_box_that_holds_nothing_is_said(box: Box) -> None:
    for by in ("points", "box"):
        with pytest.raises(DataError, match=r"nothing to cut|outside of the frame|no part of"):
            CropRecipe(by=by).crop(noise(90, 120), Face(box=box, score=1.0))


@pytest.mark.parametrize(("across", "down"), [(-1, 0), (1, 0), (0, -1), (0, 1), (1, 1), (-1, -1)])
@pytest.mark.parametrize("side", [40, 145, 400])
def test_half_a_face_continues_the_edge_of_the_frame(across: int, down: int, side: int) -> None:
    pixels = np.full((600, 600, 3), 80, np.uint8)
    pixels[:1], pixels[-1:], pixels[:, :1], pixels[:, -1:] = 200, 200, 200, 200
    middle = 300 + 300 * across, 300 + 300 * down
    wide = side / 1.45
    face = Face(box=(middle[0] - wide / 2, middle[1] - wide / 2, wide, wide), score=1.0)
    crop = CropRecipe(size=64).crop(pixels, face)
    matrix = CropRecipe(size=64).matrix(face)
    y, x = np.mgrid[:64, :64] + 0.5
    frame_x, frame_y = (x - matrix[0, 2]) / matrix[0, 0], (y - matrix[1, 2]) / matrix[1, 1]
    away = 2 + 2 * side / 64  # from the edge: two pixels of the frame, and two of the crop
    outside = np.maximum.reduce([-frame_x, frame_x - 600, -frame_y, frame_y - 600])
    assert (outside > away).sum() > 500
    assert np.all(crop[outside > away] >= 195 if side < 100 else crop[outside > away] > 80)
    assert np.all(crop[outside < -away] == 80)


# -- what a pixel is -------------------------------------------------------------------------------


def covered_means(pixels: Pixels, matrix: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The mean of 16 x 16 places in each pixel of the crop, the frame's pixels taken as squares."""
    fine = (np.arange(size * 16) + 0.5) / 16
    x, y = np.meshgrid(fine, fine)
    back = np.linalg.inv(matrix[:, :2])
    column, row = np.tensordot(back, np.stack([x - matrix[0, 2], y - matrix[1, 2]]), axes=1)
    column = np.floor(column).astype(int).clip(0, pixels.shape[1] - 1)
    row = np.floor(row).astype(int).clip(0, pixels.shape[0] - 1)
    values = pixels[row, column].astype(np.float64)  # (16 size, 16 size, 3)
    return np.asarray(values.reshape(size, 16, size, 16, 3).mean(axis=(1, 3)))


@pytest.mark.parametrize("side", [64, 80, 110, 150, 187, 200, 340])
@pytest.mark.parametrize("degrees", [0, 12, -30])
def test_a_pixel_is_the_mean_of_what_it_covers(side: float, degrees: float) -> None:
    pixels = noise(420, 420, seed=3)
    face = framed(moved(cmath.rect(side, math.radians(degrees)), 210.7 + 209.2j), side)
    recipe = CropRecipe(size=48)
    expected = covered_means(pixels, recipe.matrix(face), 48)
    found = recipe.crop(pixels, face).astype(np.float64)
    # Noise is the hardest case: one sample a pixel would be off by about 70 at every scale. Below a
    # quarter whole blocks are averaged, wherever they begin: a little blur.
    error = np.sqrt(np.square(found - expected).mean())
    assert error < (0.2 if side < 4 * 48 else 0.6) * expected.std() + 0.5
    assert abs(found.mean() - expected.mean()) < 1


@pytest.mark.parametrize("times", [2.2, 2.6, 3, 3.3, 3.9, 4.1, 7, 16.3])
@pytest.mark.parametrize("degrees", [0, 20, 45])
def test_a_fine_checkerboard_becomes_grey(times: float, degrees: float) -> None:
    y, x = np.mgrid[:900, :900]
    board = np.repeat(((x + y) % 2 * 255)[..., None], 3, axis=2).astype(np.uint8)
    side = 32 * times
    face = framed(moved(cmath.rect(side, math.radians(degrees)), 450.3 + 449.6j), side)
    crop = CropRecipe(size=32).crop(board, face).astype(np.float64)
    assert abs(crop - 127.5).max() < 45
    assert crop.std() < 15


def test_what_is_not_scaled_stays_as_it_is() -> None:
    pixels = noise(300, 300)
    matrix = np.asarray([[1, 0, -20], [0, 1, -31]], np.float64)
    np.testing.assert_array_equal(resampled(pixels, matrix, 224), pixels[31:255, 20:244])
    half = resampled(pixels, matrix / 2, 100)
    means = pixels[31:231, 20:220].reshape(100, 2, 100, 2, 3).mean(axis=(1, 3))
    assert abs(half - means).max() <= 1


def test_one_colour_stays_that_colour_however_it_is_cut() -> None:
    pixels = np.full((333, 217, 3), (10, 200, 77), np.uint8)
    for side in (3, 50, 217, 1000, 4000):
        face = framed(moved(cmath.rect(side, 0.7), 108 + 166j), side)
        for by in ("points", "box", "whole"):
            crop = CropRecipe(by=by, size=40).crop(pixels, face)
            assert np.all(crop == (10, 200, 77))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40_000), (40_000, 1), (3, 100_000), (2, 5)])
@pytest.mark.parametrize("side", [1, 30, 3000, 40_000, 300_000])
def test_frames_of_every_shape_can_be_cut(shape: tuple[int, int], side: int) -> None:
    pixels = np.full((*shape, 3), 66, np.uint8)
    box = (shape[1] / 2 - side / 2, shape[0] / 2 - side / 2, side, side)
    try:
        crop = CropRecipe(size=32).crop(pixels, Face(box=box, score=1.0))
    except DataError:
        assert side * 1.45 > 16 * max(shape)  # a square that is no part of so small a frame
    else:
        assert crop.shape == (32, 32, 3)
        assert np.all(crop == 66)


def test_a_strip_is_averaged_along_itself() -> None:
    strip = np.zeros((1, 60_000, 3), np.uint8)
    strip[:, 1::2] = 255
    crop = CropRecipe(size=32).crop(strip, Face(box=(0, -30_000, 60_000, 60_000), score=1.0))
    assert abs(crop[:, 6:26].astype(int) - 127).max() <= 2  # what lies beyond has the edge's colour


@pytest.mark.parametrize(
    "bad",
    [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3)), None],
    ids=["grey", "RGBA", "float", "None"],
)
def test_what_is_no_frame_is_said(bad: Any) -> None:
    with pytest.raises(DataError, match="a frame is"):
        CropRecipe().crop(bad, framed(GOOD, 160))
    with pytest.raises(DataError, match="a frame is"):
        CropRecipe().whole(bad)


def test_cutting_changes_nothing_and_gives_the_same_again() -> None:
    pixels, face = noise(400, 400), framed(GOOD, 160)
    before = pixels.copy()
    crops = [CropRecipe().crop(pixels, face) for _ in range(2)]
    turned = CropRecipe().crop(pixels[::-1].copy()[::-1], face)  # a view, rows from below
    np.testing.assert_array_equal(crops[0], crops[1])
    np.testing.assert_array_equal(crops[0], turned)
    np.testing.assert_array_equal(pixels, before)
    assert not np.shares_memory(crops[0], pixels)


# -- the whole frame -------------------------------------------------------------------------------


def test_the_whole_frame_is_its_middle_square() -> None:
    pixels = noise(64, 100)
    recipe = CropRecipe(by="whole", size=64)
    np.testing.assert_array_equal(recipe.whole(pixels), pixels[:, 18:82])
    np.testing.assert_array_equal(recipe.whole(pixels.swapaxes(0, 1)), pixels.swapaxes(0, 1)[18:82])
    np.testing.assert_array_equal(recipe.crop(pixels, framed(GOOD, 160)), pixels[:, 18:82])
    np.testing.assert_array_equal(CropRecipe(size=64).whole(pixels), recipe.whole(pixels))
    for shape in ((1, 1), (1, 50_000), (4320, 7680)):
        whole = CropRecipe(size=32).whole(np.full((*shape, 3), 9, np.uint8))
        assert whole.shape == (32, 32, 3)
        assert np.all(whole == 9)


# -- the recipe as data ----------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["points", "box", "whole"])
@pytest.mark.parametrize("size", [16, 224, 2048])
def test_a_recipe_survives_being_written_down(by: Any, size: int) -> None:
    recipe = CropRecipe(by=by, size=size)
    again = CropRecipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe
    assert again.digest == recipe.digest
    assert recipe.name == f"{by}-1/{size}"
    assert CropRecipe(by=by, size=size - 1 if size > 16 else 17).digest != recipe.digest


def test_recipes_differ_by_all_they_say() -> None:
    recipes = [CropRecipe(by=by, size=n) for by in ("points", "box", "whole") for n in (64, 65)]
    assert len({recipe.digest for recipe in recipes}) == len({r.name for r in recipes}) == 6
    assert all(len(recipe.digest) == 16 for recipe in recipes)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"siez": 224}, "no 'siez'.*\n.*\n.*did you mean 'size'"),
        ({"by": "point"}, "cannot go by 'point'\n.*did you mean 'points'"),
        ({"by": None}, "cannot go by None"),
        ({"by": ["box"]}, "cannot go by"),
        ({"size": 15}, "16 to 2048 pixels wide, not 15"),
        ({"size": 2049}, "not 2049"),
        ({"size": 10**30}, "not 1000"),
        ({"size": 224.0}, "not 224.0"),
        ({"size": True}, "not True"),
        ({"size": "224"}, "not '224'"),
        ({"size": None}, "not None"),
        ({"version": 2}, "version 2 of the crops.*\n.*upgrade"),
        ({"version": True}, "version True"),
    ],
    ids=str,
)
def test_what_a_recipe_cannot_be_is_said(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CropRecipe.from_dict(values)
