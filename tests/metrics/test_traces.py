"""Energies of tiles against SciPy, and what they see of a photograph that another was blended into."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.fft import idctn
from scipy.ndimage import gaussian_filter

from retinalab.metrics.review import picture_features, told_apart
from retinalab.metrics.traces import TILE_FEATURES, tile_features

SIDE = 256
FIGURES = 9  # six quantiles of tiles, three of steps between them


def noise(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """A textured field that fills the square."""
    coarse = cv2.resize(rng.normal(0, 1, (8, 8, 3)), (side, side), interpolation=cv2.INTER_CUBIC)
    return (120 + 15 * coarse + rng.normal(0, 8, (side, side, 3))).clip(30, 240)


def test_energies_are_those_of_scipys_gaussians() -> None:
    image = noise(np.random.default_rng(0)).astype(np.uint8)
    found = tile_features(image[None])[0]
    assert found.shape == (TILE_FEATURES,) == (12 * FIGURES,)
    levels = [image.astype(float) / 255]
    levels += [gaussian_filter(levels[0], (s, s, 0), mode="mirror") for s in (1, 2, 4)]
    for band in range(3):
        for channel in range(3):
            square = (levels[band] - levels[band + 1])[..., channel] ** 2
            tiles = np.array(
                [
                    [square[16 * r : 16 * r + 16, 16 * c : 16 * c + 16].mean() for c in range(16)]
                    for r in range(16)
                ]
            )
            inner = np.log10(tiles[1:-1, 1:-1] + 1e-7)
            steps = np.abs(np.concatenate([np.diff(inner, axis=0).ravel(), np.diff(inner, axis=1).ravel()]))
            expected = [
                *np.quantile(inner, [0.05, 0.25, 0.5, 0.75, 0.95, 1]),
                *np.quantile(steps, [0.5, 0.95, 1]),
            ]
            first = FIGURES * (3 * band + channel)
            assert found[first : first + FIGURES] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("order", "band"), [((1, 2), 0), ((3, 3), 1), ((7, 6), 2)])
def test_a_wave_of_the_cosine_transform_is_in_its_band_alone(order: tuple[int, int], band: int) -> None:
    spectrum = np.zeros((8, 8))
    spectrum[order] = 200.0
    block = idctn(spectrum, norm="ortho")
    image = np.repeat((120 + np.tile(block, (16, 16)))[..., None], 3, axis=2).round().astype(np.uint8)
    found = tile_features(image[None])[0][9 * FIGURES :].reshape(3, FIGURES)
    assert found[band, 2] == pytest.approx(np.log10((200 / 255) ** 2 / 64), abs=0.02)
    assert (np.delete(found[:, 2], band) < found[band, 2] - 2).all()
    assert found[:, 6:] == pytest.approx(0, abs=1e-6)  # all tiles are alike


def test_a_photograph_without_a_field_has_no_figure() -> None:
    black, flat = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 100, np.uint8)
    found = tile_features(np.stack([black, flat]))
    assert np.isnan(found[0]).all()
    assert found[1] == pytest.approx(np.tile([-7.0] * 6 + [0.0] * 3, 12), abs=1e-3)
    assert tile_features(np.empty((0, 64, 64, 3), np.uint8)).shape == (0, TILE_FEATURES)


def test_tiles_see_a_blended_part_that_the_whole_does_not() -> None:
    """Of each pair one has a square of 32 pixels averaged with another photograph: half its noise is gone."""
    rng = np.random.default_rng(3)
    images, made = [], []
    for k in range(60):
        image, other = noise(rng, 128), noise(rng, 128)
        if k % 2:
            y, x = rng.integers(20, 70, 2)
            piece = (slice(y, y + 32), slice(x, x + 32))
            mean = other[piece] + image[piece].mean((0, 1)) - other[piece].mean((0, 1))
            image[piece] = 0.5 * image[piece] + 0.5 * mean
        images.append(image.astype(np.uint8))
        made.append(bool(k % 2))
    groups = np.array([f"p{k}" for k in range(60)])
    told = {
        kind.__name__: told_apart(kind(np.stack(images)), np.array(made), groups, resamples=200)
        for kind in (picture_features, tile_features)
    }
    tiles, whole = told["tile_features"], told["picture_features"]
    assert tiles["value"] is not None
    assert tiles["value"] > 0.9
    assert tiles["low"] is not None
    assert tiles["low"] > 0.5
    assert whole["value"] is not None
    assert whole["value"] < tiles["value"]
