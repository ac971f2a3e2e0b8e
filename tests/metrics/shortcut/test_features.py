"""Colour and sharpness: hand-worked pictures, SciPy, and what a blur does."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from retinalab.metrics.shortcut import (
    FEATURES,
    Frame,
    colour_features,
    field_of_view,
    group_columns,
    photograph_features,
    sharpness_features,
)

WHOLE = Frame(256, 256, (0, 0, 256))


def disc(size: int = 256, seed: int = 0, colour: tuple[int, int, int] = (180, 90, 40)) -> np.ndarray:
    """A textured disc on black that fills the picture."""
    noise = np.random.default_rng(seed).normal(0, 12, (size, size, 1))
    image = np.clip(np.array(colour) + noise, 25, 245)
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    image[np.hypot(x, y) > size / 2] = 0
    return image.astype(np.uint8)


def test_colours_are_means_and_shares_inside_the_field_of_view() -> None:
    image = np.zeros((1, 2, 3, 3), dtype=np.uint8)
    image[0, 0, 0] = image[0, 0, 1] = (100, 50, 30)
    image[0, 0, 2] = (200, 50, 0)
    image[0, 1] = [(255, 255, 255), (5, 5, 5), (0, 0, 0)]
    assert field_of_view(image)[0].tolist() == [[True, True, True], [False, False, False]]
    features = colour_features(image)[0]
    np.testing.assert_allclose(features[:3], np.array([400 / 3, 50, 20]) / 255)
    red, green, blue = features[3:].reshape(3, 16)
    assert np.flatnonzero(red).tolist() == [100 // 16, 200 // 16]
    assert red[6] == pytest.approx(2 / 3)
    assert green[3] == 1
    assert blue[0] == pytest.approx(1 / 3)
    assert not colour_features(np.zeros((1, 4, 4, 3), dtype=np.uint8)).any()


def test_colours_agree_with_numpys_histograms() -> None:
    image = disc(64)
    pixels = image[field_of_view(image)]
    shares = [np.histogram(pixels[:, c], 16, (0, 256))[0] / len(pixels) for c in range(3)]
    np.testing.assert_allclose(colour_features(image[None])[0, 3:], np.concatenate(shares))
    np.testing.assert_allclose(colour_features(image[None])[0, :3], pixels.mean(axis=0) / 255)


def test_sharpness_agrees_with_scipy_far_from_the_border() -> None:
    image = disc()
    inside = np.zeros((256, 256), bool)
    inside[60:200, 50:190] = True
    core = np.s_[73:187, 63:177]  # 13 pixels of the border are left out
    values = image[..., 1].astype(np.float64) / 255
    laplacian = ndimage.laplace(values)[core].var()
    slope = (ndimage.sobel(values, 0) ** 2 + ndimage.sobel(values, 1) ** 2)[core].mean()
    fine = (ndimage.gaussian_filter(values, 1) - ndimage.gaussian_filter(values, 2))[core].var()
    expected = np.log10([laplacian, slope, fine / values[core].var()])
    np.testing.assert_allclose(sharpness_features(image, inside), expected, atol=0.01)


def test_a_blurred_photograph_is_less_sharp_and_a_black_one_has_no_sharpness() -> None:
    shade = np.linspace(0.5, 1.5, 256)[:, None, None]
    sharp = np.clip(disc() * shade, 0, 249).astype(np.uint8)
    blurred = np.where(sharp > 0, cv2.GaussianBlur(sharp, (0, 0), 2), 0).astype(np.uint8)
    assert (sharpness_features(blurred) < sharpness_features(sharp)).all()
    assert np.isnan(sharpness_features(np.zeros((64, 64, 3), np.uint8))).all()
    assert np.isfinite(sharpness_features(cv2.resize(sharp, (96, 96)))).all()


def test_the_vector_holds_the_groups_in_order_with_a_name_for_each(tmp_path: Path) -> None:
    image = disc()
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image)
    vector = photograph_features(image, WHOLE, path)
    assert list(FEATURES) == ["file", "field", "sharpness", "colour"]
    assert vector.shape == (sum(map(len, FEATURES.values())),)
    for names in FEATURES.values():
        assert len(set(names)) == len(names)
    np.testing.assert_array_equal(vector[group_columns("colour")], colour_features(image[None])[0])
    np.testing.assert_array_equal(vector[group_columns("sharpness")], sharpness_features(image))
    unknown = [
        n for g in FEATURES for n, v in zip(FEATURES[g], vector[group_columns(g)], strict=True) if np.isnan(v)
    ]
    assert unknown == ["JPEG quality", "background", "notch"]


def test_larger_working_images_are_measured_at_256_pixels() -> None:
    large = disc(512)
    small = cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA)
    frame = Frame(512, 512, (0, 0, 512))
    np.testing.assert_array_equal(photograph_features(large, frame), photograph_features(small, frame))


def test_a_photograph_without_a_field_gives_a_vector_too() -> None:
    for level in (0, 255):
        vector = photograph_features(np.full((32, 32, 3), level, np.uint8), WHOLE)
        assert np.isnan(vector[group_columns("field")]).all()
        assert not vector[group_columns("colour")].any()
