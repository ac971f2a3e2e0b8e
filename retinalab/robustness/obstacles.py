"""What hides the retina: lashes and lid at the rim, and a field that is cut."""

from __future__ import annotations

import math

import cv2
import numpy as np

from retinalab.robustness.field import Field
from retinalab.robustness.optics import smooth_step

__all__ = ["cropped_field", "lashes"]

_STRANDS = 16
_POINTS = 24
_BITS = 4


def lashes(image: np.ndarray, field: Field, level: float, rng: np.random.Generator) -> np.ndarray:
    """Shadows of lashes, blurred since they are near the lens, and of the lid that they stand on.

    At a higher level the same lashes reach further and are darker, and more join them.

    Args:
        image: the photograph.
        field: its field of view.
        level: how far the longest reaches in from the rim, in shares of the diameter.
        rng: draws above or below, and the lashes.

    Shape:
        - ``image``: ``(S, S, 3)`` uint8 RGB. Returns: ``(S, S, 3)`` float32, levels of 255.
    """
    side = (0.5 if rng.uniform() < 0.5 else -0.5) * math.pi + rng.uniform(-0.35, 0.35)
    drawn = rng.uniform(size=(_STRANDS, 4))
    count = min(_STRANDS, round(2 + 32 * level))
    towards = field.towards(side)
    rim = float(towards[field.inside].max())  # nearer than the radius where the camera cut the field
    plane = np.zeros(field.inside.shape, np.uint8)
    for one in drawn[:count]:
        _strand(plane, field, (side, rim), level, one)
    soft = cv2.GaussianBlur(plane, (0, 0), max(0.6, 0.018 * field.radius)).astype(np.float32) / 255
    opacity = min(0.95, 0.6 + level)
    lid = opacity * smooth_step((towards - (rim - 1.4 * level)) / (1.4 * level))
    return np.asarray(image * ((1 - opacity * soft) * (1 - lid))[..., None].astype(np.float32))


def _strand(
    plane: np.ndarray, field: Field, side: tuple[float, float], level: float, drawn: np.ndarray
) -> None:
    """One lash: an arc from beyond the rim (its direction and distance) inwards that grows thinner."""
    place, length, bend, width = drawn
    root = side[0] + (place - 0.5) * 2.0
    out = min(1.06, (side[1] + 0.06) / math.cos(root - side[0]))
    inward = side[0] + math.pi + (place - 0.5) * 1.2
    reach = 2 * level * (0.55 + 0.45 * length) + 0.12
    along = np.linspace(0, 1, _POINTS)
    turn = inward + (bend - 0.5) * 1.8 * along
    steps = reach / _POINTS
    x = out * math.cos(root) + np.cumsum(np.cos(turn)) * steps
    y = out * math.sin(root) + np.cumsum(np.sin(turn)) * steps
    points = np.stack([field.x + x * field.radius, field.y + y * field.radius], axis=1)
    fixed = np.round(points * 2**_BITS).astype(np.int32)
    widest = (0.024 + 0.034 * width) * field.radius
    for start in range(_POINTS - 1):
        thickness = max(1, round(widest * (1 - 0.75 * along[start])))
        ends = tuple(map(int, fixed[start])), tuple(map(int, fixed[start + 1]))
        cv2.line(plane, *ends, 255, thickness, cv2.LINE_AA, _BITS)


def cropped_field(image: np.ndarray, field: Field, level: float, rng: np.random.Generator) -> np.ndarray:
    """Blacken the rim, more of it on one side; the retina keeps its scale.

    Args:
        image: the photograph.
        field: its field of view.
        level: share of the radius that is lost; the centre of what is left moves by half of it.
        rng: draws where to.

    Shape:
        - as :func:`lashes`.
    """
    angle = rng.uniform(0, 2 * math.pi)
    across, down = field.polar()
    off = 0.5 * level
    distance = np.hypot(across - off * math.cos(angle), down - off * math.sin(angle))
    kept = np.clip((1 - level - distance) * field.radius + 0.5, 0, 1)
    return np.asarray(image * kept[..., None].astype(np.float32))
