"""Traces that changing a part of a photograph may leave: how fine detail differs from tile to tile."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.fft import dctn

from retinalab.metrics.shortcut.features import field_of_view

__all__ = ["TILE_FEATURES", "tile_features"]

_TILES = 16
_SIGMAS = (0.0, 1.0, 2.0, 4.0)
_BLOCK = 8
_ORDERS = ((2, 5), (5, 9), (9, 15))  # u + v of an 8 x 8 cosine transform: coarse, middle, fine
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_STEPS = (0.5, 0.95, 1.0)
_FLOOR = 1e-7
_WHOLE = 0.95

_BANDS = 3 * (len(_SIGMAS) - 1) + len(_ORDERS)
TILE_FEATURES = _BANDS * (len(_LEVELS) + len(_STEPS))
"""How many figures :func:`tile_features` gives of a photograph."""


def tile_features(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """How much detail the tiles of each photograph hold, and how much it steps from a tile to the one beside it.

    A blended part has less noise than its surroundings, a seam more detail, colours brought from elsewhere other noise
    in each channel. At the working size, in each band of detail: energies of tiles (base-10 logarithms), of which
    quantiles are taken, and so of their differences between neighbours. Bands: of each channel, differences of
    Gaussians of 0, 1, 2 and 4 pixels in 16 tiles a side, of 8 pixels at least; of green, coarse, middle and fine
    orders of the cosine transform in blocks of 8 pixels. Tiles at the border of the field are left out.

    Reference: Burt and Adelson, IEEE Trans. Commun. 1983 (differences of Gaussians); Farid, IEEE Signal Process. Mag.
        2009 (uneven noise and spectra as traces of what was put into a picture).

    Shape:
        - ``images``: ``(n, S, S, 3)``, uint8, RGB.
        - Returns: ``(n, TILE_FEATURES)``, float64; nan where no tile lies in the field.
    """
    return np.stack([_features(image) for image in images]) if len(images) else np.empty((0, TILE_FEATURES))


def _features(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    field = cv2.morphologyEx(
        field_of_view(image).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)
    )
    values: npt.NDArray[Any] = image.astype(np.float32) / 255
    side = max(_BLOCK, len(image) // _TILES)
    coarse, fine = _inner(field, side), _inner(field, _BLOCK)
    blurred = [values, *(cv2.GaussianBlur(values, (0, 0), sigma) for sigma in _SIGMAS[1:])]
    found = []
    for sharper, softer in pairwise(blurred):
        energy = _tiled((sharper - softer) ** 2, side).mean(axis=(1, 3))
        found += [_summary(energy[..., channel], coarse) for channel in range(3)]
    spectrum = dctn(_tiled(values[..., 1], _BLOCK), axes=(1, 3), norm="ortho") ** 2
    order = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK))
    for first, last in _ORDERS:
        chosen = (order >= first) & (order < last)
        energy = (spectrum * chosen[None, :, None, :]).sum(axis=(1, 3)) / _BLOCK**2
        found.append(_summary(energy, fine))
    return np.concatenate(found)


def _tiled(plane: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """``(H, W, ...)`` as ``(rows, side, columns, side, ...)``; what is over is left out."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    whole = plane[: rows * side, : columns * side]
    return whole.reshape(rows, side, columns, side, *plane.shape[2:])


def _inner(field: npt.NDArray[Any], side: int) -> npt.NDArray[np.bool_]:
    """Tiles that lie in the field with all that surround them."""
    inside = (_tiled(field, side).mean(axis=(1, 3)) >= _WHOLE).astype(np.uint8)
    eroded = cv2.erode(inside, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(eroded, dtype=bool)


def _summary(energy: npt.NDArray[Any], inner: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    level = np.log10(energy.astype(np.float64) + _FLOOR)
    across = np.abs(np.diff(level, axis=1))[inner[:, 1:] & inner[:, :-1]]
    down = np.abs(np.diff(level, axis=0))[inner[1:] & inner[:-1]]
    steps = np.concatenate([across, down])
    if not inner.any() or not steps.size:
        return np.full(len(_LEVELS) + len(_STEPS), np.nan)
    return np.concatenate([np.quantile(level[inner], _LEVELS), np.quantile(steps, _STEPS)])
