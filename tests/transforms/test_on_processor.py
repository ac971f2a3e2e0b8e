"""Local averages by OpenCV against SciPy's filters of block means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from retinalab.transforms.on_processor import enlarged, gaussian_average, halved_median

HEIGHT, WIDTH, DARK = 48, 64, 0.04


def photographs(planar: bool) -> torch.Tensor:
    """Two drawn ones with a black border, as they come from a loader (pixels together) or planar."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, HEIGHT, WIDTH, 3)).astype(np.float32) / 255
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels[:, (x - 30) ** 2 + (y - 25) ** 2 > 22**2] = 0
    tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return tensor.contiguous() if planar else tensor


def blocks(plane: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(plane.reshape(HEIGHT // side, side, WIDTH // side, side).mean((1, 3)))


@pytest.mark.parametrize("planar", [True, False])
def test_the_gaussian_counts_the_field_alone(planar: bool) -> None:
    images = photographs(planar)
    sigma, reach = 1.7, 5
    found = gaussian_average(images, sigma, reach, 4, DARK).numpy()
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()

    def blurred(plane: np.ndarray) -> np.ndarray:
        small = blocks(plane.astype(np.float64), 4)
        for axis in (0, 1):
            small = ndimage.correlate1d(small, kernel, axis, mode="constant")
        return np.asarray(small)

    for image, averages in zip(images.numpy(), found, strict=True):
        inside = image.max(0) > DARK
        for plane, average in zip(image, averages, strict=True):
            expected = blurred(plane * inside) / np.maximum(blurred(inside), 1e-3)
            assert average == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("planar", [True, False])
def test_the_median_is_that_of_whole_levels_at_half_the_size(planar: bool) -> None:
    images = photographs(planar)
    found = halved_median(images, 3).numpy()
    for image, medians in zip(images.numpy(), found, strict=True):
        for plane, median in zip(image, medians, strict=True):
            small = np.floor(blocks(np.round(plane.astype(np.float64) * 255), 2) + 0.5)
            assert np.array_equal(median, ndimage.median_filter(small, 7, mode="nearest"))


def test_enlargement_is_bilinear() -> None:
    small = torch.rand(2, 3, 12, 16)
    expected = torch.nn.functional.interpolate(small, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    assert torch.allclose(enlarged(small, HEIGHT, WIDTH), expected, atol=1e-6)
