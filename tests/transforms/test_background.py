"""The local average colour against direct filters: SciPy's Gaussian over the field in float64, the full-size median."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from retinalab.config import BackgroundConfig
from retinalab.transforms import background as module
from retinalab.transforms.apply import apply_colour, apply_image
from retinalab.transforms.background import average_side, even_out, local_average


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


def _average(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian over the field of view alone: what lies outside has no weight."""
    inside = (image.max(2) > 0.04).astype(np.float64)
    weight = ndimage.gaussian_filter(inside, sigma, mode="constant")
    blurred = ndimage.gaussian_filter(image * inside[..., None], (sigma, sigma, 0), mode="constant")
    return np.asarray(blurred / weight[..., None].clip(1e-6))


def _direct(image: np.ndarray, sigma: float, gain: float) -> np.ndarray:
    inside = image.max(2, keepdims=True) > 0.04
    return np.where(inside, np.clip(gain * (image - _average(image, sigma)) + 0.5, 0, 1), 0.5)


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()


def _even(image: np.ndarray, **options: object) -> np.ndarray:
    found = even_out(_tensor(image), BackgroundConfig.model_validate(options))
    return np.asarray(found[0].permute(1, 2, 0))


def _distance(size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.asarray(np.hypot(x - (size - 1) / 2, y - (size - 1) / 2) / (size / 2))


@pytest.mark.parametrize(("size", "sigma"), [(192, 3.2), (256, 8.5), (300, 10.0)])
def test_it_equals_a_direct_blur_over_the_field_of_view(size: int, sigma: float) -> None:
    image = _photograph(size)
    found = _even(image, scale=sigma / size)
    error = np.abs(found - _direct(image, sigma, 4.0)) * 255
    inside = image.max(2) > 0
    assert error[inside].mean() < 1.0
    assert np.percentile(error[inside], 99) < 12


def test_pixels_outside_the_field_become_mid_grey_and_stay_out_of_the_average() -> None:
    image = torch.zeros(1, 3, 128, 128)
    image[:, :, 32:96, 32:96] = 0.5
    found = even_out(image, BackgroundConfig(scale=6 / 128))
    assert torch.equal(found[0, :, :32], torch.full((3, 32, 128), 0.5))
    # a field of one colour differs nowhere from its own average, its border included
    assert torch.allclose(found, torch.full_like(found, 0.5), atol=2e-3)


def test_a_dark_spot_stays_dark_and_a_bright_one_bright() -> None:
    image = torch.full((1, 3, 96, 96), 0.4)
    image[:, :, 30:33, 30:33] = 0.2
    image[:, :, 60:63, 60:63] = 0.6
    found = even_out(image, BackgroundConfig(scale=5 / 96))
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


@pytest.mark.parametrize("gain", [1.0, 4.0])
@pytest.mark.parametrize(
    ("circle", "outside"), [(None, "mid"), (None, "black"), (0.7, "mid"), (0.7, "black")]
)
def test_the_gaussian_variant_with_its_gain_circle_and_outside(
    gain: float, circle: float | None, outside: str
) -> None:
    size = 240
    image = _photograph(size)
    found = _even(image, scale=1 / 60, gain=gain, circle=circle, outside=outside)
    kept = image.max(2) > 0.04
    if circle is not None:
        kept &= _distance(size) <= circle
    error = np.abs(found - _direct(image, size / 60, gain)) * 255
    assert error[kept].mean() < 0.25 * gain
    assert np.percentile(error[kept], 99) < 3 * gain
    assert (found[~kept] == (0.5 if outside == "mid" else 0)).all()


@pytest.mark.parametrize("size", [256, 512, 600])
def test_the_median_variant_is_the_released_codes_within_two_levels_of_the_photograph(size: int) -> None:
    """OpenCV's median of the whole photograph, 4 · image - 4 · median + 128, black outside 0.9 of the radius."""
    noise = np.random.default_rng(0).normal(scale=0.02, size=(size, size, 3))
    image = (_photograph(size) * (1 + noise) * 255).round().clip(0, 255).astype(np.uint8)
    median = cv2.medianBlur(image, size // 20 * 2 + 1).astype(float)
    direct = (4 * image.astype(float) - 4 * median + 128).clip(0, 255)
    found = _even(image / 255, kind="median") * 255
    kept = _distance(size) <= 0.9
    error = np.abs(found - direct)[kept]
    assert error.mean() < 2.0
    assert np.percentile(error, 99) <= 8  # the gain is 4
    assert not found[~kept].any()


@pytest.mark.parametrize(("kind", "mid"), [("gaussian", 0.5), ("median", 128 / 255)])
def test_without_a_circle_the_field_of_view_is_kept(kind: str, mid: float) -> None:
    image = _photograph(128)
    found = _even(image, kind=kind, scale=0.05, circle=None, outside="mid")
    outside = image.max(2) <= 0.04
    assert np.allclose(found[outside], mid)
    assert found[~outside].std() > 0.05


@settings(deadline=None, max_examples=15)
@given(
    st.integers(24, 90), st.integers(24, 90), st.integers(1, 9), st.sampled_from([2, 4]), st.integers(0, 99)
)
def test_the_device_counts_the_medians_that_opencv_sorts(
    height: int, width: int, reach: int, reduction: int, seed: int
) -> None:
    levels = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (2, 3, height, width))).float()
    levels[:, :, : height // 3] = 0
    levels[0, :, :, : width // 3] = 255
    counted = module._counted_median(levels, reach, reduction)
    assert torch.equal(counted, module._sorted_median(levels, reach, reduction))
    small = module._reduced(levels, reduction).numpy()
    expected = ndimage.median_filter(small, size=(1, 1, 2 * reach + 1, 2 * reach + 1), mode="nearest")
    assert np.array_equal(counted.numpy(), expected)


def test_a_block_is_reduced_to_its_mean_halves_upwards() -> None:
    levels = torch.tensor([[0, 1, 255], [1, 0, 254], [7, 8, 3]]).float().expand(1, 3, 3, 3)
    assert module._reduced(levels, 2)[0, 0].tolist() == [[1, 255], [8, 3]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("size", [512, 1022])
def test_a_gpu_gives_the_same_medians(size: int) -> None:
    images = _tensor((_photograph(size) * 255).round() / 255)
    background = BackgroundConfig.model_validate({"kind": "median"})
    near, far = local_average(images, background), local_average(images.cuda(), background).cpu()
    assert torch.equal(near, far)


@pytest.mark.parametrize("size", [96, 130, 257, 1024])
@pytest.mark.parametrize("options", [{}, {"kind": "median"}, {"kind": "median", "scale": 0.25}], ids=str)
def test_averages_have_the_side_that_is_announced(size: int, options: dict[str, object]) -> None:
    background = BackgroundConfig.model_validate(options)
    side = average_side(size, background)
    assert local_average(torch.rand(1, 3, size, size), background).shape == (1, 3, side, side)


def test_the_circle_is_that_of_the_photograph_wherever_a_window_lies() -> None:
    """A window is told its place; the shift and the turn of that place move the circle."""
    image = _tensor(_photograph(96))
    background = BackgroundConfig(scale=0.05, circle=0.6, outside="black")
    whole = even_out(image, background)
    average = torch.nn.functional.interpolate(local_average(image, background), (96, 96), mode="bilinear")
    turned = torch.tensor([[[0.0, 1.0, 10.0], [1.0, 0.0, 30.0]]])  # transposed, from column 10 and row 30 on
    cut = (slice(None), slice(None), slice(30, 70), slice(10, 50))
    window = even_out(image[cut].mT, background, average[cut].mT, turned, 96)
    assert torch.allclose(window, whole[cut].mT, atol=1e-6)
    assert (window == 0).any()
    assert (window > 0).any()
