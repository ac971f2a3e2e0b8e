"""Stretch by axis, offsets along the principal components of colour, and standardising by a given mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from retinalab.config import AugmentConfig, DataConfig, NormaliseConfig, PrincipalColours
from retinalab.errors import RetinalabError
from retinalab.experiment import resolve_model
from retinalab.transforms import draw_colours, draw_warps, generator
from retinalab.transforms.apply import normalise

EYEPACS_MEAN = np.array([108.64628601, 75.86886597, 54.34005737]) / 255
EYEPACS_DEVIATION = np.array([70.53946096, 51.71475228, 43.03428563]) / 255


def stretched(seed: int, **options: object) -> np.ndarray:
    augment = AugmentConfig(stretch=(1 / 1.15, 1.15), **options)  # type: ignore[arg-type]
    return draw_warps(augment, 200, 200, "whole", [generator(seed)])[0]


def test_each_axis_is_magnified_apart_and_log_uniformly() -> None:
    warps = np.stack([stretched(seed) for seed in range(2000)])
    across, down = 1 / warps[:, 0, 0], 1 / warps[:, 1, 1]
    for zooms in (across, down):
        assert 1 / 1.15 - 1e-6 <= zooms.min() <= zooms.max() <= 1.15 + 1e-6
        share = np.log(zooms * 1.15) / (2 * np.log(1.15))  # uniform in [0, 1]
        assert abs(share.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 2000)
        assert abs(share.var() - 1 / 12) < 0.01
    assert abs(np.corrcoef(np.log(across), np.log(down))[0, 1]) < 4 / np.sqrt(2000)


def test_stretch_comes_before_the_turn_and_leaves_the_centre() -> None:
    """Singular values of a turned map are those of its axes; their axes are the input's."""
    for seed in range(20):
        warp = stretched(seed, rotation=180).astype(np.float64)
        gram = warp[:, :2].T @ warp[:, :2]
        assert gram[0, 1] == pytest.approx(0, abs=1e-5)
        assert warp @ (99.5, 99.5, 1) == pytest.approx((99.5, 99.5), abs=1e-3)


def test_without_stretch_nothing_else_is_drawn_than_before() -> None:
    plain, equal = generator(4), generator(4)
    draw_warps(AugmentConfig(zoom=(0.9, 1.1)), 64, 64, "whole", [plain])[0]
    draw_warps(AugmentConfig(zoom=(0.9, 1.1), stretch=(1.0, 1.0)), 64, 64, "whole", [equal])[0]
    assert plain.random() == equal.random()


def test_the_offset_is_that_of_standardised_pixels() -> None:
    """By the other road: standardise, add the components times what was drawn, and undo the standardising."""
    colours = PrincipalColours(deviation=0.25)
    matrix = draw_colours(AugmentConfig(principal=colours), [generator(5)])[0].astype(np.float64)
    rng = generator(5)
    for _ in range(4):
        rng.uniform(-1, 1)  # brightness, contrast, saturation and hue come first
    drawn = rng.normal(0, 0.25, 3)
    eigenvectors = np.array(colours.components).T
    rgb = np.array([0.5, 0.3, 0.2])
    standardised = (rgb - EYEPACS_MEAN) / EYEPACS_DEVIATION
    shifted = standardised + eigenvectors @ (drawn * np.array(colours.lengths))
    expected = shifted * EYEPACS_DEVIATION + EYEPACS_MEAN
    assert matrix[:, :3] @ rgb + matrix[:, 3] == pytest.approx(expected, abs=1e-6)
    assert np.abs(expected - rgb).max() > 0.005


def test_the_default_components_are_those_of_standardised_pixels() -> None:
    """Orthonormal, and three variances of 1 in all, as of any three standardised channels."""
    colours = PrincipalColours(deviation=0.5)
    components = np.array(colours.components)
    assert components @ components.T == pytest.approx(np.eye(3), abs=1e-3)  # as printed by the authors
    covariance = components.T @ np.diag(np.square(colours.lengths)) @ components
    assert np.diag(covariance) == pytest.approx(np.ones(3), abs=0.002)
    assert colours.scale == pytest.approx(EYEPACS_DEVIATION, abs=1e-7)


def test_a_number_is_the_deviation_and_nothing_is_drawn_without_it() -> None:
    assert AugmentConfig.model_validate({"principal": 0.25}).principal == PrincipalColours(deviation=0.25)
    still = AugmentConfig(principal=PrincipalColours(deviation=0.0))
    assert draw_colours(still, [generator(1)])[0] == pytest.approx(np.eye(3, 4), abs=1e-6)
    assert np.array_equal(
        draw_colours(AugmentConfig(), [generator(1)])[0], draw_colours(still, [generator(1)])[0]
    )
    again = AugmentConfig.model_validate(
        AugmentConfig(principal=PrincipalColours(deviation=0.5)).model_dump(mode="json")
    )
    assert again.principal == PrincipalColours(deviation=0.5)


def test_photographs_are_standardised_by_a_given_mean_and_deviation() -> None:
    by = NormaliseConfig(mean=(0.4, 0.3, 0.2), deviation=(0.2, 0.1, 0.5))
    given = torch.tensor([0.8, 0.2, 0.7]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert normalise(given, by)[0, :, 1, 0].tolist() == pytest.approx([2.0, -1.0, 1.0])
    data = DataConfig.model_validate({"normalise": by.model_dump(mode="json")})
    assert data.normalise == by
    assert DataConfig.model_validate(data.model_dump(mode="json")) == data


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("imagenett", ["Input should be 'imagenet', 'unit', 'none' or a mapping (did you mean 'imagenet'?)"]),
        ({"mean": [0.4, 0.3, 0.2], "deviation": [70, 0.1, 0.1]}, ["data.normalise.deviation.0=70"]),
        ({"mean": [0.4, 0.3, 0.2], "deviation": [0.0, 0.1, 0.1]}, ["data.normalise.deviation.0=0.0"]),
        ({"mean": [0.4, 0.3, 0.2]}, ["data.normalise.deviation: required and not given"]),
    ],
)
def test_a_wrong_standard_is_told_in_one_line(given: object, words: list[str]) -> None:
    with pytest.raises(RetinalabError) as told:
        resolve_model(DataConfig, {"normalise": given}, "data")
    assert len(str(told.value).splitlines()) == 1
    assert all(word in str(told.value) for word in words)
