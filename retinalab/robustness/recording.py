"""Faults after the lens: a compressed file, and the colours of another camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import torch

from retinalab.robustness.field import Field
from retinalab.transforms.reinhard import Statistics, recoloured, statistics, to_lab

__all__ = ["CAMERAS", "Tones", "compressed", "in_colours_of", "other_camera", "tones_of"]


@dataclass(frozen=True)
class Tones:
    """Mean and deviation of l, α and β inside the field of view.

    Reference: Reinhard et al. 2001.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


CAMERAS: Mapping[str, Tones] = MappingProxyType(
    {
        "deepdrid": Tones((-1.007, 0.209, 0.037), (0.412, 0.055, 0.012)),
        "dr600": Tones((-1.243, 0.472, 0.062), (0.317, 0.078, 0.012)),
        "hei_med": Tones((-0.916, 0.156, 0.016), (0.343, 0.034, 0.007)),
        "idrid": Tones((-1.038, 0.524, 0.063), (0.323, 0.076, 0.010)),
    }
)
"""Data set -> the medians over its photographs (150 by lot; HEI-MED 127, IDRiD 16), each at 256 pixels."""


def compressed(image: np.ndarray, field: Field, level: float, rng: np.random.Generator) -> np.ndarray:
    """Store as JPEG at the working size, with colours at half resolution, and read again.

    Args:
        image: the photograph.
        field: not used.
        level: quality of the file, 1 to 100.
        rng: not used.

    Shape:
        - ``image``: ``(S, S, 3)`` uint8 RGB. Returns: the same, uint8.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, round(level)]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


def other_camera(image: np.ndarray, field: Field, level: float, rng: np.random.Generator) -> np.ndarray:
    """Move the colours towards those that the photographs of another data set have (:data:`CAMERAS`).

    The set whose colours are nearest to the photograph's may be of its own camera and is not drawn.

    Args:
        image: the photograph.
        field: its field of view.
        level: share of the way.
        rng: draws the set.

    Shape:
        - as :func:`compressed`.
    """
    own = tones_of(image, field)
    distances = {name: _distance(own, other) for name, other in CAMERAS.items()}
    others = sorted(distances, key=lambda name: distances[name])[1:]
    return in_colours_of(image, field, CAMERAS[others[int(rng.integers(len(others)))]], level)


def tones_of(image: np.ndarray, field: Field) -> Tones:
    """Mean and deviation of a photograph's colours.

    Shape:
        - ``image``: ``(S, S, 3)`` uint8 RGB.
    """
    pixels, inside = _batch(image, field)
    found = statistics(to_lab(pixels.float() / 255), inside)
    mean, deviation = found.mean[0].tolist(), found.deviation[0].tolist()
    return Tones((mean[0], mean[1], mean[2]), (deviation[0], deviation[1], deviation[2]))


def in_colours_of(image: np.ndarray, field: Field, other: Tones, share: float = 1.0) -> np.ndarray:
    """The photograph with another's colours, by Reinhard's transfer inside the field of view.

    Shape:
        - ``image``: ``(S, S, 3)`` uint8 RGB. Returns: the same, uint8.
    """
    pixels, inside = _batch(image, field)
    wanted = Statistics(*(torch.tensor([values]).double() for values in (other.mean, other.deviation)))
    changed = recoloured(pixels, inside, wanted, share)
    return np.ascontiguousarray(changed[0].permute(1, 2, 0).numpy())


def _batch(image: np.ndarray, field: Field) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return pixels, torch.from_numpy(np.ascontiguousarray(field.inside))[None]


def _distance(own: Tones, other: Tones) -> float:
    """Between means, in deviations of the photograph that each belongs to."""
    each = zip(own.mean, other.mean, own.deviation, other.deviation, strict=True)
    return sum(((a - b) / max(s + t, 1e-3)) ** 2 for a, b, s, t in each)
