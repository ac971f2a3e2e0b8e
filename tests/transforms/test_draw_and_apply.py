"""One warp and one colour map: their convention, their limits, and the same picture by either road."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retinalab.config import AugmentConfig
from retinalab.data.sets.fake import fake_image
from retinalab.transforms import draw_colours, draw_warps, evaluation_warp, generator
from retinalab.transforms.apply import apply_batch, apply_colour, apply_image, apply_mask, normalise
from retinalab.transforms.draw import IDENTITY_COLOUR

RICH = AugmentConfig(
    crop_area=(0.5, 1.0),
    zoom=(0.8, 1.25),
    rotation=180,
    shift=0.1,
    flip_horizontal=0.5,
    flip_vertical=0.5,
    brightness=0.2,
    contrast=0.2,
    saturation=0.3,
    hue=0.05,
)


def photograph(size: int = 128) -> np.ndarray:
    """A drawn fundus, softened and grained like a photograph."""
    image = cv2.GaussianBlur(fake_image(5, 4, (size, size)), (0, 0), 1.5).astype(float)
    grain = np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(image + cv2.GaussianBlur(grain, (0, 0), 1), 0, 255).astype(np.uint8)


def drawn(seed: int, size: int, crop: int, **options: Any) -> np.ndarray:
    return draw_warps(AugmentConfig(**options), size, crop, "whole", [generator(seed)])[0]


def moved(image: np.ndarray, warp: np.ndarray, crop: int) -> np.ndarray:
    return apply_image(image, warp, IDENTITY_COLOUR, crop)


def test_nothing_drawn_changes_nothing() -> None:
    image = photograph(32)
    warp = drawn(0, 32, 32)
    assert warp.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert np.array_equal(moved(image, warp, 32), image)


def test_flips_reverse_columns_and_rows() -> None:
    image = photograph(32)
    across = drawn(0, 32, 32, flip_horizontal=1.0)
    assert across.tolist() == [[-1, 0, 31], [0, 1, 0]]
    assert np.array_equal(moved(image, across, 32), image[:, ::-1])
    assert np.array_equal(moved(image, drawn(0, 32, 32, flip_vertical=1.0), 32), image[::-1])


def test_a_quarter_turn_by_hand() -> None:
    """Output (x, y) takes from input R(x - c) + c, with R = [[0, -1], [1, 0]]: input (c - (y - c), x)."""
    image = photograph(33)
    from retinalab.transforms.draw import _warps

    (warp,) = _warps(
        np.full((1, 2), 33.0), np.array([math.pi / 2]), np.ones((1, 2)), np.zeros((1, 2)), 33, 33
    )
    expected = np.empty_like(image)
    for y in range(33):
        for x in range(33):
            expected[y, x] = image[x, 32 - y]
    assert np.array_equal(moved(image, warp, 33), expected)
    assert np.array_equal(moved(image, warp, 33), np.rot90(image, 1))


@pytest.mark.parametrize(
    ("size", "crop", "view", "corners"),
    [
        (64, 32, "whole", ((0.5, 0.5), (62.5, 62.5))),  # pixels of side 2: the first covers 0 and 1
        (64, 32, "centre", ((16, 16), (47, 47))),
        (32, 64, "whole", ((-0.25, -0.25), (31.25, 31.25))),
        (9, 9, "centre", ((0, 0), (8, 8))),
    ],
)
def test_evaluation_sees_the_whole_or_the_centre(
    size: int, crop: int, view: str, corners: tuple[tuple[float, float], tuple[float, float]]
) -> None:
    warp = evaluation_warp(size, crop, view)
    for at, expected in zip((0, crop - 1), corners, strict=True):
        assert warp @ (at, at, 1) == pytest.approx(expected)


def test_the_central_view_is_the_central_crop() -> None:
    image = photograph(40)
    assert np.array_equal(moved(image, evaluation_warp(40, 20, "centre"), 20), image[10:30, 10:30])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.1, 1), st.floats(1, 2), st.floats(0.5, 1), st.floats(1, 2))
def test_crops_and_zooms_stay_within_their_ranges(
    seed: int, smallest: float, aspect: float, low: float, high: float
) -> None:
    warp = drawn(
        seed, 200, 100, crop_area=(smallest, 1.0), crop_aspect=(1 / aspect, aspect), flip_vertical=0.5
    )
    width, height = 100 * abs(warp[0, 0]), 100 * abs(warp[1, 1])
    assert width <= 200.001
    assert height <= 200.001
    assert width * height >= smallest * 200**2 / aspect - 1  # a side that is cut at the border loses area
    corners = np.array([warp @ (x - 0.5, y - 0.5, 1) for x in (0, 100) for y in (0, 100)])
    assert corners.min() >= -0.501
    assert corners.max() <= 199.501
    zoomed = drawn(seed, 200, 200, zoom=(low, high), rotation=180)
    assert low - 1e-5 <= 1 / np.sqrt(np.linalg.det(zoomed[:, :2])) <= high + 1e-5


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.floats(0, 180), st.floats(0, 0.5))
def test_turns_and_shifts_stay_within_their_ranges(seed: int, rotation: float, shift: float) -> None:
    warp = drawn(seed, 100, 100, rotation=rotation, shift=shift)
    angle = math.degrees(math.atan2(warp[1, 0], warp[0, 0]))
    assert abs(angle) <= rotation + 1e-3
    centre = warp @ (49.5, 49.5, 1)
    assert np.abs(centre - 49.5).max() <= shift * 100 + 1e-3


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_colour_is_brightness_after_contrast_after_saturation(
    seed: int, brightness: float, contrast: float, saturation: float, pixel: list[float]
) -> None:
    augment = AugmentConfig(brightness=brightness, contrast=contrast, saturation=saturation)
    matrix = draw_colours(augment, [generator(seed)])[0]
    rng = generator(seed)
    b, c, s = (1 + rng.uniform(-limit, limit) for limit in (brightness, contrast, saturation))
    rgb = np.array(pixel)
    grey = rgb @ (0.299, 0.587, 0.114)
    by_hand = b * (c * (grey + s * (rgb - grey) - 0.5) + 0.5)
    assert matrix[:, :3] @ rgb + matrix[:, 3] == pytest.approx(by_hand, abs=2e-4)


def test_hue_turns_colours_and_leaves_grey_and_brightness() -> None:
    matrix = draw_colours(AugmentConfig(hue=0.5), [generator(7)])[0]
    for value in (0.0, 0.3, 1.0):
        assert matrix[:, :3] @ np.full(3, value) == pytest.approx(np.full(3, value), abs=1e-3)
    rgb = np.array([0.6, 0.3, 0.2])
    turned = matrix[:, :3] @ rgb
    assert turned @ (0.299, 0.587, 0.114) == pytest.approx(rgb @ (0.299, 0.587, 0.114), abs=1e-3)
    assert np.abs(turned - rgb).max() > 0.02


def test_draws_follow_from_their_key_alone() -> None:
    one, same, other = (
        draw_warps(RICH, 64, 48, "whole", [generator(*key)])[0] for key in ((1, 2), (1, 2), (1, 3))
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, draw_warps(RICH, 64, 48, "whole", [generator(2, 1)])[0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("crop", [96, 128])
def test_opencv_and_kornia_give_the_same_picture_and_the_same_masks(seed: int, crop: int) -> None:
    image = photograph()
    rng = generator(seed)
    warp, colour = draw_warps(RICH, 128, crop, "whole", [rng])[0], draw_colours(RICH, [rng])[0]
    on_cpu = apply_image(image, warp, colour, crop).astype(float)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    batch = apply_batch(tensor, torch.from_numpy(warp)[None], crop)
    on_device = 255 * apply_colour(batch, torch.from_numpy(colour)[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(on_cpu - on_device).mean() < 1.5
    mask = np.zeros((128, 128), np.uint8)
    for x, y, radius in ((40, 40, 9), (80, 60, 5), (60, 90, 14)):
        cv2.circle(mask, (x, y), radius, 1, cv2.FILLED)
    near = apply_mask(mask, warp, crop)
    far = apply_batch(
        torch.from_numpy(mask)[None, None].float(), torch.from_numpy(warp)[None], crop, "nearest"
    )
    differing = near != far[0, 0].numpy().astype(np.uint8)
    edge = cv2.morphologyEx(near, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    assert not (differing & ~edge).any()
    assert differing.sum() <= 0.05 * edge.sum()


@pytest.mark.parametrize(("size", "crop"), [(96, 48), (96, 24), (64, 128), (97, 33)])
def test_masks_are_the_same_on_both_where_pixels_lie_halfway_between_two(size: int, crop: int) -> None:
    mask = (generator(size, crop).random((size, size)) < 0.3).astype(np.uint8)
    turned = [
        drawn(seed, size, crop, flip_horizontal=float(seed % 2), flip_vertical=float(seed // 2))
        for seed in range(4)
    ]
    for warp in (evaluation_warp(size, crop, "whole"), *turned):
        far = apply_batch(
            torch.from_numpy(mask)[None, None].float(), torch.from_numpy(warp)[None], crop, "nearest"
        )
        assert np.array_equal(apply_mask(mask, warp, crop), far[0, 0].numpy())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(50, 78), st.integers(50, 78))
def test_a_mask_moves_with_its_picture(seed: int, x: int, y: int) -> None:
    """A white spot's centroid in the picture and in the mask is where the inverse map carries its centre."""
    mask = np.zeros((128, 128), np.uint8)
    cv2.circle(mask, (x, y), 7, 1, cv2.FILLED)
    warp = drawn(seed, 128, 112, zoom=(0.8, 1.1), rotation=180, shift=0.05, flip_horizontal=0.5)
    expected = np.linalg.solve(warp[:, :2], np.array([x, y]) - warp[:, 2])
    picture = moved(np.repeat(mask[..., None] * 255, 3, 2), warp, 112)[..., 0].astype(float)
    for plane in (apply_mask(mask, warp, 112).astype(float), picture):
        ys, xs = np.mgrid[:112, :112]
        centre = (xs * plane).sum() / plane.sum(), (ys * plane).sum() / plane.sum()
        assert centre == pytest.approx(tuple(expected), abs=0.75)


def test_outside_the_photograph_is_black_and_of_no_known_label() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    warp = drawn(0, 64, 64, zoom=(0.5, 0.5))
    shrunk = moved(white, warp, 64)
    assert shrunk[32, 32].tolist() == [255] * 3
    assert shrunk[2, 2].tolist() == [0] * 3
    assert apply_mask(np.zeros((64, 64), np.uint8), warp, 64, 255)[2, 2] == 255


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("unit", [0.5, 0.5, 0.5]),
        ("none", [127.5] * 3),
        ("imagenet", [0.015 / 0.229, 0.044 / 0.224, 0.094 / 0.225]),
    ],
)
def test_normalisation(how: str, expected: list[float]) -> None:
    assert normalise(torch.full((1, 3, 2, 2), 0.5), how)[0, :, 1, 0].tolist() == pytest.approx(
        expected, rel=1e-4
    )
