"""Faults that photographs of the fundus have, at five severities, laid over a working image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from retinalab.errors import RetinalabError, unknown
from retinalab.robustness.field import Field
from retinalab.robustness.obstacles import cropped_field, lashes
from retinalab.robustness.optics import defocus, haze, uneven_light
from retinalab.robustness.recording import compressed, other_camera

__all__ = ["CORRUPTIONS", "SEVERITIES", "Change", "Corruption", "corrupt"]

Change = Callable[[np.ndarray, Field, float, np.random.Generator], np.ndarray]
"""Photograph, field of view, level and draws to the changed photograph, levels of 255."""

SEVERITIES = (1, 2, 3, 4, 5)
"""From barely visible to heavy; 0 is the photograph as it is."""


@dataclass(frozen=True)
class Corruption:
    """One fault.

    Attributes:
        name: as the command line has it.
        imitates: what it looks like in a clinic.
        parameter: what the levels are.
        levels: of the five severities.
        change: lays it over a photograph.
        fine: whether it is seen in details rather than in the whole.
        beyond: whether it takes away what lies outside the field too, such as marks at the rim.
    """

    name: str
    imitates: str
    parameter: str
    levels: tuple[float, float, float, float, float]
    change: Change
    fine: bool = False
    beyond: bool = False


_ALL = (
    Corruption(
        "defocus", "an eye or a camera out of focus",
        "radius of the circle of confusion, share of the field's diameter",
        (0.003, 0.006, 0.010, 0.016, 0.025), defocus, fine=True,
    ),
    Corruption(
        "haze", "cloudy media, such as a cataract", "share of scattered light where the veil is densest",
        (0.12, 0.25, 0.4, 0.55, 0.7), haze,
    ),
    Corruption(
        "light", "uneven light: a camera out of line with the pupil, or a small pupil",
        "share of the light lost at the dark rim",
        (0.25, 0.42, 0.58, 0.74, 0.9), uneven_light,
    ),
    Corruption(
        "lash", "lashes and lid in the way of the light", "reach from the rim, share of the field's diameter",
        (0.08, 0.14, 0.21, 0.29, 0.38), lashes,
    ),
    Corruption(
        "jpeg", "a file compressed too far", "quality of JPEG at the working size",
        (60, 35, 20, 11, 5), compressed, fine=True,
    ),
    Corruption(
        "crop", "a rim cut off by the iris, a mask or a smaller field", "share of the field's radius lost",
        (0.05, 0.12, 0.2, 0.3, 0.42), cropped_field, beyond=True,
    ),
    Corruption(
        "camera", "the colours of another camera", "share of the way to another data set's colours",
        (0.2, 0.4, 0.6, 0.8, 1.0), other_camera,
    ),
)  # fmt: skip

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({one.name: one for one in _ALL})
"""All faults by name."""


def corrupt(
    image: np.ndarray, field: Field, name: str, severity: int, rng: np.random.Generator
) -> np.ndarray:
    """A photograph with a fault; at severity 0 it is the photograph as it was.

    Outside the field of view nothing changes, but that a cut field loses the marks at its rim too: black stays black.

    Draws (the side that is dark, the place of lashes) do not depend on the severity: with generators of one key the
    same fault grows.

    Args:
        image: a working image.
        field: its field of view.
        name: one of :data:`CORRUPTIONS`.
        severity: 0 to 5.
        rng: of this photograph.

    Shape:
        - ``image``: ``(S, S, 3)`` uint8 RGB. Returns: the same.

    Raises:
        RetinalabError: no such fault or severity.
    """
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    if severity not in (0, *SEVERITIES):
        raise RetinalabError(
            f"Severity {severity} of {name} is none. Give one of 0 to {SEVERITIES[-1]}; 0 changes nothing."
        )
    if severity == 0:
        return image.copy()
    kind = CORRUPTIONS[name]
    changed = kind.change(image, field, kind.levels[severity - 1], rng)
    levels = changed if changed.dtype == np.uint8 else np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return levels if kind.beyond else np.where(field.inside[..., None], levels, image)
