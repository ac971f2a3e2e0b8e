"""Maps on photographs: scaling, and the way back to the pixels that they speak of."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from retinalab.data.decode import decode
from retinalab.data.fov import Fov, crop_to_square, field_of_view
from retinalab.data.sets.fake import fake_image
from retinalab.explain import Framing, covered, enlarged, min_max, overlay
from retinalab.transforms import evaluation_warp
from retinalab.transforms.apply import IDENTITY_COLOUR, apply_image

DOT = (0, 0, 255)


def test_scaled_from_least_to_greatest() -> None:
    values = np.array([[-3.0, 1.0], [0.0, 5.0]])
    assert min_max(values).tolist() == [[0.0, 0.5], [0.375, 1.0]]
    assert min_max(np.full((3, 3), -2.5)).tolist() == [[0.0] * 3] * 3


def test_enlarged_keeps_places_and_range() -> None:
    cells = np.zeros((9, 9), np.float32)
    cells[4, 4] = 1
    large = enlarged(cells, 144)
    assert large.shape == (144, 144)
    assert large.min() == 0  # the negative lobes of the filter are cut
    assert 0.99 < large.max() <= 1
    assert centre(large) == pytest.approx((71.5, 71.5), abs=1e-3)  # the middle of the fifth block of 16
    corner = np.zeros((4, 4), np.float32)
    corner[1, 3] = 1
    y, x = np.unravel_index(int(enlarged(corner, 64).argmax()), (64, 64))
    assert 16 <= y < 32
    assert 48 <= x < 64
    constant = enlarged(np.full((3, 3), 0.25, np.float32), 50)
    assert np.allclose(constant, 0.25)


def photograph(place: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    image = fake_image(1, shape=shape)
    cv2.circle(image, place, shape[0] // 60, DOT, cv2.FILLED)
    return image


def blue(image: np.ndarray) -> np.ndarray:
    """Where the dot is: blue beyond red."""
    return np.clip(image[..., 2].astype(np.float32) - image[..., 0], 0, None)


def centre(values: np.ndarray) -> tuple[float, float]:
    found = cv2.moments(values)
    return found["m10"] / found["m00"], found["m01"] / found["m00"]


@pytest.mark.parametrize(("side", "view"), [(256, "whole"), (96, "whole"), (160, "centre")])
@pytest.mark.parametrize("shape", [(480, 640), (700, 520)])
@pytest.mark.parametrize("factor", [1.0, 0.37])
def test_a_dot_in_the_input_goes_back_to_where_it_is_in_the_photograph(
    side: int, view: str, shape: tuple[int, int], factor: float
) -> None:
    place = (shape[1] // 2 + 50, shape[0] // 2 - 33)
    image = photograph(place, shape)
    fov = field_of_view(image)
    working = crop_to_square(image, fov, 256)
    given = apply_image(working, evaluation_warp(256, side, view), IDENTITY_COLOUR, side)
    height, width = round(shape[0] * factor), round(shape[1] * factor)
    back = Framing(fov, 256, side, view).on_photograph(blue(given), height, width)
    x, y = centre(back)
    assert (x + 0.5) / width * shape[1] - 0.5 == pytest.approx(place[0], abs=1.5)
    assert (y + 0.5) / height * shape[0] - 0.5 == pytest.approx(place[1], abs=1.5)


def test_a_photograph_decoded_at_a_reduced_scale_has_its_map_in_the_same_place(tmp_path: Path) -> None:
    place, shape = (1150, 700), (1500, 2000)
    Image.fromarray(photograph(place, shape)).save(tmp_path / "large.jpg", quality=95, subsampling=0)
    decoded = decode(tmp_path / "large.jpg", 128)
    assert decoded.shape[0] < 400
    fov = field_of_view(decoded)
    back = Framing(fov, 128, 128, "whole").on_photograph(blue(crop_to_square(decoded, fov, 128)), *shape)
    assert centre(np.where(back > 20, back, 0)) == pytest.approx(
        place, abs=6
    )  # half a pixel of the working image


def test_what_the_network_saw_is_the_field_of_view() -> None:
    image = fake_image(1, shape=(480, 640))
    fov = field_of_view(image)
    seen = Framing(fov, 256, 256, "whole").seen(480, 640)
    inside = image.max(2) > 0
    assert (seen & inside).sum() / (seen | inside).sum() > 0.98
    central = Framing(fov, 256, 128, "centre").seen(480, 640)
    assert central.sum() == pytest.approx((0.5 * fov.side) ** 2, rel=0.03)
    square = Fov(480, 640, 100.0, 0.0, 480.0, None, "none")
    assert Framing(square, 256, 256, "whole").seen(480, 640).sum() == pytest.approx(480 * 480, rel=0.01)


def test_the_picture_shows_both_and_its_captions() -> None:
    image = np.full((100, 300, 3), 90, np.uint8)
    values = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (100, 1))
    seen = np.ones((100, 300), bool)
    seen[:10] = False
    sheet = np.asarray(overlay(image, values, seen, ["one", "a caption " * 40]))
    assert sheet.shape[1] > 600
    assert (sheet[:100, :300] == 90).all()
    right = sheet[:100, -300:].astype(int)
    assert right[50, 5, 2] > right[50, 5, 1]  # violet where the map is least
    assert right[50, 294, 1] > right[50, 294, 2]  # yellow where it is greatest
    assert (right[5] == 45).all()
    assert (sheet[100:] < 100).any()  # captions are written
    assert (sheet[100:, -4:] == 255).all()  # and end within the sheet


@pytest.mark.parametrize(
    ("shape", "cells"), [((160, 160), (4, 4)), ((100, 100), (3, 7)), ((37, 37), (16, 16))]
)
@pytest.mark.parametrize("share", [1.0, 0.75])
def test_every_pixel_takes_the_value_of_the_cell_that_its_centre_lies_in(
    shape: tuple[int, int], cells: tuple[int, int], share: float
) -> None:
    values = np.random.default_rng(0).random(cells).astype(np.float32) + 1
    laid = Framing.of_working(320, share).cells(values, *shape)
    first = (1 - share) / 2
    for row in range(shape[0]):
        for column in range(shape[1]):
            y = ((row + 0.5) / shape[0] - first) / share * cells[0]
            x = ((column + 0.5) / shape[1] - first) / share * cells[1]
            if min(abs(y - round(y)), abs(x - round(x))) < 1e-6:
                continue  # on an edge
            inside = 0 <= y < cells[0] and 0 <= x < cells[1]
            assert laid[row, column] == (values[int(y), int(x)] if inside else 0)


@pytest.mark.parametrize(
    ("side", "view", "share"), [(256, "whole", 1.0), (96, "whole", 1.0), (160, "centre", 0.625)]
)
def test_the_working_image_is_covered_where_the_evaluation_reads_it(
    side: int, view: str, share: float
) -> None:
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    places = np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8)
    given = apply_image(places, evaluation_warp(256, side, view), IDENTITY_COLOUR, side)
    framing = Framing.of_working(256, share)
    back = framing.cells(given[..., 0].astype(np.float32), 256, 256)
    seen = framing.seen(256, 256)
    assert seen.mean() == pytest.approx(share**2, abs=0.01)
    assert np.abs(back - x)[seen].max() <= 0.5 * 256 * share / side + 1


def test_colours_are_those_of_matplotlib_over_grey() -> None:
    image = np.full((2, 5, 3), 120, np.uint8)
    values = np.tile(np.linspace(0, 1, 5, dtype=np.float32), (2, 1))
    seen = np.array([[True] * 5, [False] * 5])
    drawn = covered(image, values, seen)
    for column, value in enumerate(np.linspace(0, 1, 5)):
        colour = np.array(mpl.colormaps["viridis"](round(255 * value))[:3]) * 255
        assert np.abs(drawn[0, column] - (0.55 * 120 + 0.45 * colour)).max() <= 2
    assert (drawn[1] == 60).all()


def test_the_scale_grows_lighter_throughout() -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32)[None]
    drawn = covered(np.full((1, 64, 3), 120, np.uint8), values, np.ones((1, 64), bool))
    lightness = cv2.cvtColor(drawn, cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(lightness) >= 0).all()
    assert lightness[-1] - lightness[0] > 60
