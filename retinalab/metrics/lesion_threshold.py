"""Lesions by a threshold on one colour contrast: what is reached without learning any shape."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from retinalab.metrics.grading import Array, ratio

__all__ = [
    "CONTRASTS",
    "ColourThreshold",
    "ContrastHistograms",
    "best_threshold",
    "contrasts",
    "in_field",
    "level_counts",
]

_COLOURS = ("red", "green", "blue", "red - green", "yellow - blue")
CONTRASTS = tuple(f"{colour} above its {place} mean" for place in ("local", "field's") for colour in _COLOURS)
"""What a threshold may be set on: a colour minus its mean around the pixel, or over the field of view."""

_LEVELS = 256
_NEIGHBOURHOOD = 8
_DARK = 12


@dataclass(frozen=True)
class ColourThreshold:
    """The pixels of one lesion.

    Attributes:
        contrast: position in :data:`CONTRASTS`.
        bright: whether the lesion's pixels are those at or above the level, else those at or below it.
        level: 0 to 255; 128 is no contrast, one level two grey levels of 255.
    """

    contrast: int
    bright: bool
    level: int

    def found(self, contrasts: npt.NDArray[np.uint8], field: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """``(H, W)`` bool, from :func:`contrasts` and :func:`in_field`."""
        levels = contrasts[self.contrast]
        return np.asarray(field & (levels >= self.level if self.bright else levels <= self.level))

    def __str__(self) -> str:
        side = "at least" if self.bright else "at most"
        return f"{CONTRASTS[self.contrast]}: {side} {2 * (self.level - _LEVELS // 2):+d} of 255"


def in_field(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """``(H, W)`` bool: the pixels of an ``(H, W, 3)`` RGB photograph that are not the black around it."""
    return np.asarray(image.max(axis=2) > _DARK)


def contrasts(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Every contrast of a photograph; means are over the field of view alone, so that its border has none.

    Shape:
        - ``image``: ``(H, W, 3)`` RGB.
        - Returns: ``(10, H, W)``, in the order of :data:`CONTRASTS`.
    """
    field = in_field(image).astype(np.float32)
    red, green, blue = (image[..., k].astype(np.float32) for k in range(3))
    colours = (red, green, blue, red - green, (red + green) / 2 - blue)
    side = max(3, max(image.shape[:2]) // _NEIGHBOURHOOD | 1)
    around = np.maximum(cv2.blur(field, (side, side), borderType=cv2.BORDER_CONSTANT), 1e-6)
    count = max(1.0, float(field.sum()))
    local = [
        colour - cv2.blur(colour * field, (side, side), borderType=cv2.BORDER_CONSTANT) / around
        for colour in colours
    ]
    whole = [colour - float((colour * field).sum()) / count for colour in colours]
    levels = np.rint(np.stack([*local, *whole]) * field / 2 + _LEVELS // 2)
    return levels.clip(0, _LEVELS - 1).astype(np.uint8)


class ContrastHistograms:
    """Levels of every contrast inside and outside one lesion, summed over photographs.

    Attributes:
        inside, outside: ``(10, 256)``.
    """

    def __init__(self) -> None:
        self.inside, self.outside = (np.zeros((len(CONTRASTS), _LEVELS)) for _ in range(2))

    def add(
        self,
        contrasts: npt.NDArray[np.uint8],
        field: npt.NDArray[np.bool_],
        mask: npt.NDArray[np.uint8],
        whole: Array,
    ) -> None:
        """Count a photograph.

        Args:
            contrasts, field: of it.
            mask: of the lesion: 0 absent, 1 present, 255 ignored.
            whole: ``(10, 256)`` levels of all of its field, counted once for all lesions.
        """
        lesion, ignored = (mask == 1) & field, (mask == 255) & field
        inside = _counted(contrasts, lesion)
        self.inside += inside
        self.outside += whole - inside - (_counted(contrasts, ignored) if ignored.any() else 0)


def level_counts(contrasts: npt.NDArray[np.uint8], field: npt.NDArray[np.bool_]) -> Array:
    """``(10, 256)``: pixels of a field by level, for each contrast."""
    return _counted(contrasts, field)


def best_threshold(counted: ContrastHistograms) -> ColourThreshold | None:
    """The threshold with the highest pixel F1 on what was counted; None where no pixel showed the lesion."""
    total = counted.inside.sum(axis=1, keepdims=True)
    if not total.any():
        return None
    found: list[tuple[float, ColourThreshold]] = []
    for bright in (False, True):
        order = slice(None, None, -1) if bright else slice(None)
        hit = np.cumsum(counted.inside[:, order], axis=1)
        false = np.cumsum(counted.outside[:, order], axis=1)
        f1 = ratio(2 * hit, hit + false + total, 0.0)
        contrast, step = np.unravel_index(int(f1.argmax()), f1.shape)
        level = _LEVELS - 1 - int(step) if bright else int(step)
        found.append((float(f1.max()), ColourThreshold(int(contrast), bright, level)))
    return max(found, key=lambda one: one[0])[1]


def _counted(contrasts: npt.NDArray[np.uint8], where: npt.NDArray[np.bool_]) -> Array:
    return np.stack([np.bincount(levels[where], minlength=_LEVELS) for levels in contrasts]).astype(
        np.float64
    )
