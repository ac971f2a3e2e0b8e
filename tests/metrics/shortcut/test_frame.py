"""Shape and border of the field on pictures whose geometry is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from retinalab.data.fov import crop_to_square, field_of_view
from retinalab.metrics.shortcut import Frame, field_features, frame_of
from retinalab.metrics.shortcut import field_of_view as inside_of
from retinalab.metrics.shortcut.frame import FIELD


def drawn(
    height: int = 300,
    width: int = 400,
    radii: tuple[int, int] = (120, 120),
    background: int = 0,
    shift: int = 0,
) -> np.ndarray:
    image = np.full((height, width, 3), background, np.uint8)
    cv2.ellipse(image, (width // 2 + shift, height // 2), radii, 0, 0, 360, (170, 90, 50), cv2.FILLED)
    return image


def measured(image: np.ndarray, known: bool = True) -> dict[str, float]:
    field = field_of_view(image)
    frame = frame_of(image, field)
    if not known:
        frame = Frame(frame.height, frame.width, frame.box)
    working = crop_to_square(image, field, 256)
    return dict(zip(FIELD, field_features(inside_of(working), frame).tolist(), strict=True))


def test_a_whole_circle() -> None:
    found = measured(drawn(shift=40))
    assert found["share of the frame"] == pytest.approx(np.pi * 120**2 / (300 * 400), rel=0.03)
    assert found["width in the frame"] == pytest.approx(0.6, abs=0.015)
    assert found["height in the frame"] == pytest.approx(0.8, abs=0.015)
    assert found["off centre horizontally"] == pytest.approx(0.1, abs=0.01)
    assert found["off centre vertically"] == pytest.approx(0, abs=0.01)
    assert found["ellipticity"] == pytest.approx(1, abs=0.02)
    assert found["roundness"] > 0.95
    assert max(found[f"cut {side}"] for side in ("top", "bottom", "left", "right")) < 0.3
    assert (found["background"], found["notch"]) == (0, 0)


def test_a_squeezed_circle_and_a_white_background() -> None:
    found = measured(drawn(radii=(110, 130), background=255))
    assert found["ellipticity"] == pytest.approx(110 / 130, abs=0.03)
    assert found["background"] == 1
    assert found["notch"] < 0.02


@pytest.mark.parametrize(("side", "other"), [("top", "left"), ("left", "top")])
def test_a_circle_that_the_frame_cuts(side: str, other: str) -> None:
    image = drawn(400, 400, (180, 180))
    image = image[100:] if side == "top" else image[:, 100:]
    found = measured(np.ascontiguousarray(image))
    chord = 2 * np.sqrt(180**2 - 100**2) / 360
    assert found[f"cut {side}"] == pytest.approx(chord, abs=0.06)
    assert found[f"cut {other}"] < 0.3
    assert found["ellipticity"] == pytest.approx(1, abs=0.03)
    assert found["height in the frame" if side == "top" else "width in the frame"] > 0.9


@pytest.mark.parametrize("background", [0, 255])
def test_a_notch_outside_the_circle(background: int) -> None:
    image = drawn(background=background)
    cv2.rectangle(image, (200 + 105, 140), (200 + 140, 160), (170, 90, 50), cv2.FILLED)
    plain, notched = measured(drawn(background=background))["notch"], measured(image)["notch"]
    assert plain < 0.01
    assert 0.01 < notched < 0.08


def test_the_prepared_photograph_gives_the_same_but_for_what_was_blackened() -> None:
    image = drawn(radii=(110, 130), background=255)
    decoded, prepared = measured(image), measured(image, known=False)
    assert {name for name in FIELD if not np.isnan(prepared[name])} == set(FIELD) - {"background", "notch"}
    assert {n: v for n, v in decoded.items() if n not in ("background", "notch")} == {
        n: v for n, v in prepared.items() if n not in ("background", "notch")
    }


def test_a_photograph_decoded_at_half_the_size_has_the_frame_of_its_file() -> None:
    image = drawn()
    half = cv2.resize(image, (200, 150), interpolation=cv2.INTER_AREA)
    whole, small = frame_of(image, field_of_view(image)), frame_of(half, field_of_view(half), 300, 400)
    assert (small.height, small.width) == (300, 400)
    np.testing.assert_allclose(small.box, whole.box, atol=4)
