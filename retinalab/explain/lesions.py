"""Lesion masks laid over their photograph in one fixed palette, with a legend."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from retinalab.explain.overlay import fitting
from retinalab.records import LESION_NAMES, LESIONS

__all__ = ["LESION_COLOURS", "lesion_sheet", "with_lesions"]

LESION_COLOURS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "MA": (255, 255, 255),
        "HE": (213, 94, 0),
        "EX": (240, 228, 66),
        "SE": (86, 180, 233),
        "VH": (204, 121, 167),
        "PH": (0, 114, 178),
        "NV": (0, 158, 115),
        "FP": (230, 159, 0),
    }
)
"""RGB of each lesion, the same in every picture: the eight colours of Okabe and Ito, which readers with any of the
common colour deficiencies tell apart, with white in the place of black, which would not show on grey."""

_FIRST = ("VH", "PH", "FP", "NV", "SE", "HE", "EX", "MA")
"""Large lesions are drawn first, so that small ones lie above them."""

_FILL = 0.5
_GAP, _LINE, _TEXT, _SWATCH = 8, 22, 15, 14
_COLUMNS = 4


def with_lesions(photograph: np.ndarray, masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """The photograph in grey, every lesion tinted and outlined in its colour.

    The outline lies around the lesion, so that one of a single pixel can be seen and the lesion itself is not hidden.

    Args:
        photograph: RGB.
        masks: lesion -> its pixels; a lesion may be left out.

    Shape:
        - ``photograph``: ``(H, W, 3)`` uint8. ``masks``: ``(H, W)`` bool each.
        - Returns: ``(H, W, 3)`` uint8.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(photograph), cv2.COLOR_RGB2GRAY)
    out = np.repeat(grey.astype(np.float32)[..., None], 3, axis=2)
    width = max(1, max(photograph.shape[:2]) // 500)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    for lesion in (name for name in _FIRST if name in masks):
        colour = np.array(LESION_COLOURS[lesion], np.float32)
        mask = masks[lesion].astype(bool)
        around = cv2.dilate(mask.astype(np.uint8), disc).astype(bool) & ~mask
        out[mask] = (1 - _FILL) * out[mask] + _FILL * colour
        out[around] = colour
    return np.asarray(out.round().clip(0, 255).astype(np.uint8))


def lesion_sheet(
    photograph: np.ndarray, masks: Mapping[str, np.ndarray], said: Mapping[str, str], captions: list[str]
) -> Image.Image:
    """The photograph, and beside it the same in grey under its lesions; below, the legend of all eight and captions.

    Args:
        photograph: RGB, ``(H, W, 3)`` uint8.
        masks: lesion -> ``(H, W)`` bool.
        said: lesion -> what the legend says of it, such as its probability; ``not taught`` where it has no mask.
        captions: lines below the legend.
    """
    height, width = photograph.shape[:2]
    rows = -(-len(LESIONS) // _COLUMNS)
    below = (rows + len(captions)) * _LINE + 2 * _GAP
    sheet = Image.new("RGB", (2 * width + _GAP, height + below), "white")
    sheet.paste(Image.fromarray(np.ascontiguousarray(photograph)), (0, 0))
    sheet.paste(Image.fromarray(with_lesions(photograph, masks)), (width + _GAP, 0))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    column = (sheet.width - _GAP) // _COLUMNS
    for number, lesion in enumerate(LESIONS):
        x = _GAP // 2 + number % _COLUMNS * column
        y = height + _GAP + number // _COLUMNS * _LINE
        _swatch(pen, x, y + 2, LESION_COLOURS[lesion] if lesion in masks else None)
        text = _legend(lesion, said.get(lesion, ""), pen, font, column - _SWATCH - 3 * _GAP)
        pen.text((x + _SWATCH + _GAP, y), text, "black", font)
    for number, line in enumerate(captions):
        y = height + _GAP + (rows + number) * _LINE
        pen.text((_GAP // 2, y), fitting(line, pen, font, sheet.width - _GAP), "black", font)
    return sheet


def _swatch(pen: ImageDraw.ImageDraw, x: int, y: int, colour: tuple[int, int, int] | None) -> None:
    pen.rectangle((x, y, x + _SWATCH, y + _SWATCH), fill=colour or "white", outline="black")
    if colour is None:
        pen.line((x, y, x + _SWATCH, y + _SWATCH), fill="black")


def _legend(
    lesion: str,
    said: str,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> str:
    """The longest of three wordings that fits."""
    name = LESION_NAMES[lesion].split(" (")[0]
    choices = [f"{lesion} {name} {said}", f"{lesion} {said}", lesion]
    return next((text for text in choices if pen.textlength(text, font) <= width), lesion)
