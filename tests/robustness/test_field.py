"""Where the field of view lies and how large it is."""

from __future__ import annotations

import numpy as np
import pytest

from retinalab.errors import RetinalabError
from retinalab.robustness.field import Field


def test_a_cut_field_keeps_centre_and_radius(retina: tuple[np.ndarray, Field]) -> None:
    image, field = retina
    assert (field.x, field.y) == (79.5, 79.5)
    assert field.radius == pytest.approx(76, abs=1)
    found = Field.seen(image)
    assert (found.inside ^ field.inside).mean() < 0.02
    assert found.radius == pytest.approx(field.radius, abs=2)
    assert field.towards(0)[79, [4, 155]] == pytest.approx([-1, 1], abs=0.02)
    assert field.towards(np.pi / 2)[[4, 155], 79] == pytest.approx([-1, 1], abs=0.02)


def test_without_an_outline_the_hull_of_what_is_bright() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    image[20:80, 10:90] = 90
    image[48, 48] = 0  # a dark lesion is inside
    expected = np.zeros((96, 96), bool)
    expected[20:80, 10:90] = True
    assert (Field.seen(image).inside ^ expected).mean() < 0.05
    assert Field.seen(image).inside[48, 48]


def test_an_empty_field() -> None:
    with pytest.raises(RetinalabError, match="The field of view is empty"):
        Field.of(np.zeros((8, 8), bool))
