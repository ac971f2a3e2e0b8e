"""What a saliency map finds of the lesions in one photograph, and what a map without any knowledge would find.

Everything is counted inside the field of view, on the pixels of the masks. A map is *empty* where it is 0 throughout
the field: it then finds nothing, is never a hit, and is counted. Equal values are never broken by the order of pixels:
each figure is its expectation over all ways of breaking the tie, so that a uniform map gets exactly what chance gives.
"""

from __future__ import annotations

from typing import TypedDict

import cv2
import numpy as np
import numpy.typing as npt

from retinalab.errors import RetinalabError
from retinalab.metrics.lesion_recall import AREAS, chance_of_finding, found_at, lesion_labels

__all__ = [
    "RING",
    "TOLERANCE",
    "MapFigures",
    "judged",
    "map_figures",
    "mass_share",
    "pointing_game",
    "ring_of",
    "within",
]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

TOLERANCE = 0.03
"""How far the map's maximum may lie from a lesion, as a share of the field's diameter: the 15 pixels of the pointing
game's first users in photographs of about 500."""

RING = 0.05
"""Width of the border of the field as a share of its diameter."""


class MapFigures(TypedDict):
    """The numeric columns that one map of one photograph gives to a table of saliency.

    ``field`` pixels that are judged, ``lesion_pixels`` of them on lesions, ``lesions`` connected components.
    ``found_*`` are expected numbers of lesions found in that many percent of the field
    (:func:`~retinalab.metrics.lesion_recall.found_at`). Each ``*_chance`` is what a map of one value throughout the
    picture gets. A photograph without lesions has 0 wherever lesions are asked for.
    """

    field: int
    lesion_pixels: int
    lesions: int
    empty: int
    pointing: float
    pointing_chance: float
    mass: float
    mass_chance: float
    border: float
    border_chance: float
    outside: float
    outside_chance: float
    found_1: float
    found_1_chance: float
    found_5: float
    found_5_chance: float
    found_10: float
    found_10_chance: float


def map_figures(
    saliency: npt.NDArray[np.floating],
    masks: npt.NDArray[np.uint8],
    field: Bools,
    tolerance: float = TOLERANCE,
    ring: float = RING,
) -> MapFigures:
    """Every figure of one map of one photograph.

    Pixels that the mask of a class annotated in this photograph leaves open are taken out of the field unless another
    class marks them; they remain in it for leakage, which asks for no lesions.

    Args:
        saliency: the map, at least 0.
        masks: of the classes of lesions: 0 absent, 1 present, 255 not annotated or not to be judged.
        field: the field of view.
        tolerance: of the pointing game, as a share of the field's diameter.
        ring: width of the border, as a share of the field's diameter.

    Shape:
        - ``saliency``, ``field``: ``(h, w)``. ``masks``: ``(L, h, w)``.

    Raises:
        RetinalabError: sizes differ, nothing can be judged, a mask has another value, or the map is negative or not
            finite.
    """
    _check(saliency, masks, field)
    values = saliency.astype(np.float64)
    inside = judged(masks, field)
    lesion = (masks == 1).any(0) & inside
    diameter = _diameter(field)
    border = ring_of(field, ring * diameter)
    near = within(lesion, tolerance * diameter)
    labels, sizes = lesion_labels(masks, inside)
    found = found_at(values, labels, sizes, inside, AREAS).sum(1)
    chance = chance_of_finding(sizes, int(inside.sum()), AREAS).sum(1)
    everywhere = np.ones_like(field)
    return MapFigures(
        field=int(inside.sum()),
        lesion_pixels=int(lesion.sum()),
        lesions=len(sizes),
        empty=int(not (values[inside] > 0).any()),
        pointing=pointing_game(values, near, inside),
        pointing_chance=_share(near, inside),
        mass=mass_share(values, lesion, inside),
        mass_chance=_share(lesion, inside),
        border=mass_share(values, border, field),
        border_chance=_share(border, field),
        outside=mass_share(values, ~field, everywhere),
        outside_chance=_share(~field, everywhere),
        found_1=float(found[0]),
        found_1_chance=float(chance[0]),
        found_5=float(found[1]),
        found_5_chance=float(chance[1]),
        found_10=float(found[2]),
        found_10_chance=float(chance[2]),
    )


def pointing_game(saliency: npt.NDArray[np.floating], target: Bools, field: Bools) -> float:
    """Probability that the map's maximum in the field, one of several equal ones by lot, lies on the target.

    Reference: J. Zhang et al., Top-Down Neural Attention by Excitation Backprop, IJCV 2018, section 4.2.

    Example:
        >>> values = np.array([[0.0, 2.0, 2.0]])
        >>> pointing_game(values, np.array([[False, True, False]]), np.ones((1, 3), bool))
        0.5
    """
    inside = saliency[field]
    highest = inside.max(initial=0.0)
    if not highest > 0:
        return 0.0
    at = inside == highest
    return float((at & target[field]).sum() / at.sum())


def mass_share(saliency: npt.NDArray[np.floating], region: Bools, among: Bools) -> float:
    """Share of the map's sum over ``among`` that lies in ``region``; 0 where that sum is 0.

    Example:
        >>> mass_share(np.array([1.0, 3.0, 4.0]), np.array([True, True, False]), np.array([True, True, True]))
        0.5
    """
    total = float(saliency[among].sum(dtype=np.float64))
    return float(saliency[region & among].sum(dtype=np.float64)) / total if total > 0 else 0.0


def judged(masks: npt.NDArray[np.uint8], field: Bools) -> Bools:
    """The field without pixels that an annotated class leaves open and no class marks."""
    annotated = (masks != 255).any((1, 2))
    known: Bools = field & ((masks == 1).any(0) | (masks[annotated] != 255).all(0))
    return known


def within(target: Bools, distance: float) -> Bools:
    """Pixels at most so far (Euclidean, between centres) from a pixel of the target; none without one."""
    if not target.any():
        return np.zeros_like(target)
    away = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near: Bools = away <= distance + 1e-4
    return near


def ring_of(field: Bools, width: float) -> Bools:
    """Pixels of the field at most so far from one outside of it; beyond the picture is outside."""
    wider = np.pad(field, 1)
    edge: Bools = (within(~wider, width) & wider)[1:-1, 1:-1]
    return edge


def _share(region: Bools, among: Bools) -> float:
    return float((region & among).sum() / among.sum())


def _diameter(field: Bools) -> float:
    rows, columns = np.flatnonzero(field.any(1)), np.flatnonzero(field.any(0))
    return float(max(np.ptp(rows), np.ptp(columns)) + 1)


def _check(saliency: npt.NDArray[np.floating], masks: npt.NDArray[np.uint8], field: Bools) -> None:
    if masks.ndim != 3 or saliency.shape != field.shape or masks.shape[1:] != field.shape:
        raise RetinalabError(
            f"A saliency map of {saliency.shape} for masks of {masks.shape} and a field of {field.shape}. Bring all "
            "three to one size."
        )
    if not np.isfinite(saliency).all() or (saliency < 0).any():
        raise RetinalabError(
            "A saliency map is negative or not a number somewhere. Scale it to 0 to 1 first."
        )
    wrong = masks[(masks > 1) & (masks != 255)]
    if wrong.size:
        raise RetinalabError(f"A lesion mask holds {int(wrong[0])}. Give 0, 1 and 255 only.")
    if not judged(masks, field).any():
        raise RetinalabError("No pixel of the field of view can be judged. Leave this photograph out.")
