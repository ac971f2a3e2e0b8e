"""What the file does to working images, against the data module and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from retinalab.config import DataConfig
from retinalab.export.background import counted_median
from retinalab.export.preparation import Preparation
from retinalab.predict.prepare import Batches

BACKGROUNDS = [
    None, 0.05, {"kind": "median"}, {"kind": "gaussian", "scale": 0.1, "circle": 0.8, "outside": "black"},
]  # fmt: skip


def noise(count: int, size: int, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    pixels[:, : size // 6] = 0  # beyond the field of view
    return pixels


def from_data_module(data: DataConfig, pixels: np.ndarray) -> np.ndarray:
    from retinalab.config import Stage
    from retinalab.protocol import Protocol

    stage = Stage.model_validate({"task": {"name": "baseline"}, "data": data})
    batches = Batches(stage, Protocol(), torch.device("cpu"))
    return batches.make(pixels)["image"].numpy()


@pytest.mark.parametrize("normalise", ["imagenet", "unit", "none"])
@pytest.mark.parametrize("background", BACKGROUNDS, ids=str)
def test_where_no_pixel_is_resized_it_is_what_a_processor_prepares(
    background: object, normalise: str
) -> None:
    for size, crop in ((64, None), (64, 48)):
        data = DataConfig(
            size=size, crop=crop, view="centre" if crop else "whole", background=background, normalise=normalise
        )  # fmt: skip
        preparation = Preparation(data)
        pixels = noise(2, size)
        found = preparation(torch.from_numpy(pixels)).numpy()
        scale = 255 if normalise == "none" else 5
        assert preparation.exact
        np.testing.assert_allclose(found, from_data_module(data, pixels), atol=4e-5 * scale)


def test_a_resized_pixel_lies_within_half_a_level_of_what_a_processor_rounds() -> None:
    data = DataConfig(size=64, crop=40, view="whole", normalise="none")
    pixels = noise(2, 64)
    found = Preparation(data)(torch.from_numpy(pixels)).numpy()
    assert not Preparation(data).exact
    assert np.abs(found - from_data_module(data, pixels)).max() < 0.52


@pytest.mark.parametrize(("size", "half", "reduction"), [(48, 4, 2), (50, 3, 2), (51, 9, 3), (40, 8, 4)])
def test_the_counted_median_is_that_of_opencv(size: int, half: int, reduction: int) -> None:
    pixels = noise(2, size)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    found = (counted_median(images, half, reduction) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for picture, median in zip(pixels, found, strict=True):
        side = -(-size // reduction)
        small = np.zeros((side, side, 3), np.uint8)
        for y in range(side):
            for x in range(side):
                block = picture[y * reduction : (y + 1) * reduction, x * reduction : (x + 1) * reduction]
                small[y, x] = np.floor(block.reshape(-1, 3).mean(0, dtype=np.float64) + 0.5)
        np.testing.assert_array_equal(median, cv2.medianBlur(small, 2 * max(1, half // reduction) + 1))
