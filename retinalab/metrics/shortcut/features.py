"""What can be said of a photograph without looking at its retina: file, field of view, sharpness, colour.

Cameras and clinics differ in all of these and in how ill their patients are, so a network can score well by telling
cameras apart. Each group is a function of its own and gives a vector of fixed length, whose entries :data:`FEATURES`
names; ``nan`` where a feature does not apply or cannot be known. The same functions serve a photograph just decoded and
one prepared earlier, of which only the working image, the place of its crop and the file are at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from retinalab.metrics.shortcut.frame import FIELD, Frame, field_features
from retinalab.metrics.shortcut.source import FILE, file_features

__all__ = [
    "FEATURES",
    "SIDE",
    "colour_features",
    "field_of_view",
    "group_columns",
    "photograph_features",
    "sharpness_features",
]

SIDE = 256
"""Pixels a side at which photographs are measured: sharpness always, the rest where the working image is larger."""

_BINS = 16
_EDGE = 13  # pixels left out at the border of the field, whose step is sharp in any photograph
_FLOOR = 1e-6

FEATURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "file": FILE,
        "field": FIELD,
        "sharpness": ("laplacian", "gradient", "fine detail"),
        "colour": (
            *(f"mean {channel}" for channel in ("red", "green", "blue")),
            *(
                f"{channel} {16 * k}-{16 * k + 15}"
                for channel in ("red", "green", "blue")
                for k in range(_BINS)
            ),
        ),
    }
)
"""Group -> the names of its features, in order. Ranges:

- file: see :func:`~retinalab.metrics.shortcut.source.file_features`.
- field: see :func:`~retinalab.metrics.shortcut.frame.field_features`.
- sharpness: base-10 logarithms, about -6 to 0.
- colour: means in [0, 1]; shares of the field's pixels with a value in that range of 0 to 255, in [0, 1].
"""


def group_columns(group: str) -> slice:
    """Where a group stands in the vector of :func:`photograph_features`.

    Example:
        >>> group_columns("sharpness").stop - group_columns("sharpness").start
        3
    """
    names = list(FEATURES)
    start = sum(len(FEATURES[name]) for name in names[: names.index(group)])
    return slice(start, start + len(FEATURES[group]))


def photograph_features(
    image: npt.NDArray[np.uint8], frame: Frame, path: Path | None = None
) -> npt.NDArray[np.float64]:
    """All groups of one photograph, one behind the other in the order of :data:`FEATURES`.

    Args:
        image: the working image: cropped to the field of view, black around it.
        frame: where in the photograph it was cut out.
        path: its file; None where the photograph was drawn.

    Shape:
        - ``image``: ``(S, S, 3)``, uint8, RGB.
        - Returns: ``(F,)``, float64, nan where unknown.

    Raises:
        RetinalabError: the file cannot be read.
    """
    if image.shape[0] > SIDE:
        image = np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    inside = field_of_view(image)
    groups = (
        file_features(path, frame.height, frame.width),
        field_features(inside, frame),
        sharpness_features(image, inside),
        colour_features(image[None], inside[None])[0],
    )
    return np.concatenate(groups)


def field_of_view(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels neither near black nor near white, the two backgrounds; ``(..., H, W, 3)`` to ``(..., H, W)``."""
    red, green, blue = images[..., 0], images[..., 1], images[..., 2]
    brightest, darkest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    inside: npt.NDArray[np.bool_] = (brightest > 20) & (darkest < 250)
    return inside


def colour_features(
    images: npt.NDArray[np.uint8], inside: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float64]:
    """Mean and histogram of each channel inside the field of view.

    Args:
        images: photographs or working images.
        inside: their fields of view where they are known already.

    Shape:
        - ``images``: ``(n, H, W, 3)``, uint8, RGB; ``inside``: ``(n, H, W)``, bool.
        - Returns: ``(n, 51)``, float64: means in [0, 1], then the share of pixels in each of 16 bins, red
          first; zeros for a photograph without a field of view.
    """
    features = np.zeros((len(images), 3 + 3 * _BINS))
    fields = field_of_view(images) if inside is None else inside
    for row, (image, field) in enumerate(zip(images, fields, strict=True)):
        counts = np.stack(
            [cv2.calcHist([image], [c], field.astype(np.uint8), [256], [0, 256]).ravel() for c in range(3)]
        ).astype(np.float64)
        total = counts[0].sum()
        if not total:
            continue
        features[row, :3] = counts @ np.arange(256) / total / 255
        features[row, 3:] = (counts.reshape(3, _BINS, -1).sum(axis=2) / total).ravel()
    return features


def sharpness_features(
    image: npt.NDArray[np.uint8], inside: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float64]:
    """How sharp the green channel is inside the field, as base-10 logarithms, at 256 pixels a side.

    In order: variance of the Laplacian; mean squared gradient (Sobel); variance of the difference of Gaussians of 1
    and 2 pixels relative to that of the pixels. Values count from 0 to 1. Nothing coarser is taken:
    it would count haemorrhages and exudates too.

    Reference: Pech-Pacheco et al., ICPR 2000 (variance of the Laplacian); Krotkov, IJCV 1988 (Tenengrad).

    Shape:
        - ``image``: ``(S, S, 3)``, uint8, RGB; ``inside``: ``(S, S)``, bool.
        - Returns: ``(3,)``, float64; nan where no field is to be seen.
    """
    if inside is None:
        inside = field_of_view(image)
    green: npt.NDArray[Any] = image[..., 1]
    field = inside.astype(np.uint8)
    if image.shape[0] != SIDE:
        method = cv2.INTER_AREA if image.shape[0] > SIDE else cv2.INTER_LINEAR
        green = np.asarray(cv2.resize(green, (SIDE, SIDE), interpolation=method))
        field = np.asarray(cv2.resize(field, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST))
    core = _core(field)
    if not core.any():
        return np.full(len(FEATURES["sharpness"]), np.nan)
    values: npt.NDArray[Any] = green.astype(np.float32) / 255
    fine = cv2.GaussianBlur(values, (0, 0), 1) - cv2.GaussianBlur(values, (0, 0), 2)
    across, down = cv2.Sobel(values, cv2.CV_32F, 1, 0), cv2.Sobel(values, cv2.CV_32F, 0, 1)
    relative = (_variance(fine, core) + _FLOOR) / (_variance(values, core) + _FLOOR)
    slope = cv2.mean(across * across + down * down, core)[0]
    plain = [_variance(cv2.Laplacian(values, cv2.CV_32F), core), slope, relative]
    return np.asarray(np.log10(np.array(plain) + _FLOOR))


def _variance(values: npt.NDArray[Any], core: npt.NDArray[np.uint8]) -> float:
    return float(cv2.meanStdDev(values, mask=core)[1].item()) ** 2


def _core(field: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The field without its border; holes, such as black vessels in a dark picture, are filled first."""
    closed = cv2.morphologyEx(field, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    edge = np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), np.uint8)
    return np.asarray(cv2.erode(closed, edge, borderType=cv2.BORDER_CONSTANT, borderValue=0))
