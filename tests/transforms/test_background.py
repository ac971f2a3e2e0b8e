"""The local average colour against a direct masked Gaussian in float64."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from retinalab.transforms.apply import apply_colour, apply_image
from retinalab.transforms.background import subtract_background


def _photograph(size: int) -> np.ndarray:
    """A disc of smooth colour with spots, on black: ``(size, size, 3)`` float64 in [0, 1]."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size]
    image = np.stack([0.6 + 0.2 * x / size, 0.3 + 0.1 * y / size, 0.2 + 0.05 * np.sin(x / 9)], 2)
    for _ in range(20):
        cx, cy = rng.integers(size // 4, 3 * size // 4, 2)
        image[(x - cx) ** 2 + (y - cy) ** 2 < 9] *= rng.choice([0.6, 1.2])
    inside = (x - size / 2) ** 2 + (y - size / 2) ** 2 < (0.47 * size) ** 2
    return image * inside[..., None]


def _direct(image: np.ndarray, sigma: float, gain: float) -> np.ndarray:
    inside = (image.max(2) > 0.04).astype(np.float64)
    border = cv2.BORDER_CONSTANT
    weight = cv2.GaussianBlur(inside, (0, 0), sigma, borderType=border)
    average = cv2.GaussianBlur(image * inside[..., None], (0, 0), sigma, borderType=border) / weight[
        ..., None
    ].clip(1e-6)
    return np.where(inside[..., None] > 0, np.clip(gain * (image - average) + 0.5, 0, 1), 0.5)


@pytest.mark.parametrize(("size", "sigma"), [(192, 3.2), (256, 8.5), (300, 10.0)])
def test_it_equals_a_direct_blur_over_the_field_of_view(size: int, sigma: float) -> None:
    image = _photograph(size)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    found = subtract_background(tensor, sigma)[0].permute(1, 2, 0).numpy()
    error = np.abs(found - _direct(image, sigma, 4.0)) * 255
    inside = image.max(2) > 0
    assert error[inside].mean() < 1.0
    assert np.percentile(error[inside], 99) < 12


def test_pixels_outside_the_field_become_mid_grey_and_stay_out_of_the_average() -> None:
    image = torch.zeros(1, 3, 128, 128)
    image[:, :, 32:96, 32:96] = 0.5
    found = subtract_background(image, 6.0)
    assert torch.equal(found[0, :, :32], torch.full((3, 32, 128), 0.5))
    # a field of one colour differs nowhere from its own average, its border included
    assert torch.allclose(found, torch.full_like(found, 0.5), atol=2e-3)


def test_a_dark_spot_stays_dark_and_a_bright_one_bright() -> None:
    image = torch.full((1, 3, 96, 96), 0.4)
    image[:, :, 30:33, 30:33] = 0.2
    image[:, :, 60:63, 60:63] = 0.6
    found = subtract_background(image, 5.0)
    assert float(found[0, 0, 31, 31]) < 0.1
    assert float(found[0, 0, 61, 61]) > 0.9


def test_augmented_contrast_leaves_the_black_border_outside_the_field() -> None:
    image = (_photograph(128) * 255).astype(np.uint8)
    matrix = np.eye(3, 4, dtype=np.float32) * 0.8
    matrix[:, 3] = 0.1
    plain = np.eye(2, 3, dtype=np.float32)
    changed = apply_image(image, plain, matrix, 128)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    batch = apply_colour(tensor, torch.from_numpy(matrix)[None])[0].permute(1, 2, 0).numpy() * 255
    outside = image.max(2) == 0
    assert changed[outside].max() == 0
    assert batch[outside].max() == 0
    assert np.abs(changed.astype(float) - batch)[~outside].max() <= 1.5
