"""A map laid over its photograph, as a picture for the eye."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from retinalab.explain.gradient_maps import normalised

__all__ = ["covered", "enlarged", "fitting", "min_max", "overlay"]

_OPACITY = 0.45
_GAP, _LINE, _TEXT = 8, 22, 15


def min_max(values: np.ndarray) -> np.ndarray:
    """:func:`~retinalab.explain.gradient_maps.normalised` of one map that is an array.

    Shape:
        - ``values``: ``(h, w)`` float. Returns: ``(h, w)`` float32.

    Example:
        >>> min_max(np.array([[-1.0, 1.0, 3.0]])).tolist()
        [[0.0, 0.5, 1.0]]
    """
    exact = torch.from_numpy(np.asarray(values, np.float64))[None]
    return np.asarray(normalised(exact)[0].numpy().astype(np.float32))


def enlarged(values: np.ndarray, side: int) -> np.ndarray:
    """A map in [0, 1] brought to the size of the network's input by Lanczos' filter, cut to [0, 1].

    Shape:
        - ``values``: ``(h, w)`` float32. Returns: ``(side, side)`` float32.
    """
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS)).clip(0, 1)


def covered(photograph: np.ndarray, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The photograph in grey under the map, violet low and yellow high.

    The colours are viridis, which is perceptually uniform and read alike by the colour-blind.

    Args:
        photograph: RGB.
        values: the map in [0, 1], on the photograph's pixels.
        seen: where the network looked; elsewhere the photograph is darkened.

    Shape:
        - ``photograph``: ``(H, W, 3)`` uint8. ``values``: ``(H, W)`` float32. ``seen``: ``(H, W)`` bool.
        - Returns: ``(H, W, 3)`` uint8.
    """
    levels = (values.clip(0, 1) * 255).round().astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(np.ascontiguousarray(photograph), cv2.COLOR_RGB2GRAY)[..., None]
    mixed = (1 - _OPACITY) * grey + _OPACITY * colours
    return np.asarray(np.where(seen[..., None], mixed, 0.5 * grey).round().astype(np.uint8))


def overlay(photograph: np.ndarray, values: np.ndarray, seen: np.ndarray, captions: list[str]) -> Image.Image:
    """The photograph, and beside it the same in grey under the map (:func:`covered`).

    Args:
        photograph: RGB.
        values: the map in [0, 1], on the photograph's pixels.
        seen: where the network looked; elsewhere the photograph is darkened.
        captions: lines below the pictures.

    Shape:
        - ``photograph``: ``(H, W, 3)`` uint8. ``values``: ``(H, W)`` float32. ``seen``: ``(H, W)`` bool.
    """
    height, width = photograph.shape[:2]
    sheet = Image.new("RGB", (2 * width + _GAP, height + _LINE * len(captions) + _GAP), "white")
    sheet.paste(Image.fromarray(np.ascontiguousarray(photograph)), (0, 0))
    sheet.paste(Image.fromarray(covered(photograph, values, seen)), (width + _GAP, 0))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for number, line in enumerate(captions):
        pen.text((4, height + 4 + number * _LINE), fitting(line, pen, font, sheet.width - 8), "black", font)
    return sheet


def fitting(
    line: str, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    """The line, its beginning left out where it is longer than ``width`` pixels."""
    shown = line
    while len(shown) > 1 and pen.textlength(shown, font) > width:
        shown = "…" + shown[max(2, len(shown) // 20) :]
    return shown
