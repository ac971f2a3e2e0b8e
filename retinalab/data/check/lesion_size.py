"""How many pixels a microaneurysm has at an input size: measured from masks, or else from anatomy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from retinalab.data.check.findings import Finding
from retinalab.data.fov import field_of_view
from retinalab.data.sets.base import PhotographSet
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS, Records, SetInfo

__all__ = [
    "DISC_MM", "FEWEST_PIXELS", "MICROANEURYSM_MM", "MM_PER_DEGREE", "SIZES", "USUAL_FIELD",
    "diameters", "field_mm", "lesion_pixels", "vanishing",
]  # fmt: skip

SIZES: tuple[int, ...] = (128, 224, 256, 350, 512, 896, 1024)
"""Input sizes that are listed beside the chosen one, in pixels."""
FEWEST_PIXELS = 2.0
"""Diameter in pixels under which a microaneurysm cannot be told from noise."""
MICROANEURYSM_MM = 0.125
"""A microaneurysm is smaller than this across; anything larger is a haemorrhage.

Reference: ETDRS report 10, Ophthalmology 98(5 Suppl):786-806, 1991. Its grids take a disc of 1.5 mm; on that
scale 125 µm are a twelfth of a disc, a fifth more than the same share of :data:`DISC_MM`.
"""
DISC_MM = 1.8
"""Diameter of a mean optic disc."""
MM_PER_DEGREE = 0.288
"""Retina per degree of the field at the posterior pole of a schematic eye.

Reference: Drasdo and Fowler, British Journal of Ophthalmology 58(8):709-714, 1974, figure 4. Towards the rim of
a field of 45 degrees it is a few per cent less, and it grows with the length of the eye.
"""
USUAL_FIELD = 45.0
"""Degrees of the field that are taken where the owners of a set state none."""

_THUMBNAIL = 256
_MOST = 50


def lesion_pixels(
    source: PhotographSet, records: Records, size: int | None = None, most: int = _MOST
) -> list[dict[str, Any]]:
    r"""Diameter of a microaneurysm in pixels at usual input sizes.

    Where the set has masks of microaneurysms: the median over their connected pieces (8 neighbours) of

    .. math:: d = 2 \sqrt{A / \pi} \cdot S / s

    with area A in the file's pixels, input size S, and the side s of the square that the photograph is cropped
    to. Else the largest diameter that anatomy allows, by the width of the camera's field.

    Args:
        source: the data set.
        records: of it.
        size: the chosen input size, listed with :data:`SIZES`.
        most: masks to measure; where there are more, they are taken at even distances in the list. 0
            opens no file and takes the figure from anatomy.

    Returns:
        Rows of ``{"size", "pixels", "source"}`` by size; ``source`` says where the figure comes from.
    """
    share, origin = _measured(source, records, most) or _from_anatomy(next(iter(records.info.values())))
    sizes = sorted({*SIZES, *([] if size is None else [size])})
    return [{"size": one, "pixels": round(one * share, 3), "source": origin} for one in sizes]


def vanishing(rows: Sequence[Mapping[str, Any]], size: int | None) -> list[Finding]:
    """A warning where a microaneurysm has under two pixels at the chosen input size; none where none was chosen.

    Args:
        rows: of :func:`lesion_pixels`, made with the same ``size``.
        size: the chosen input size.
    """
    chosen = next((row for row in rows if row["size"] == size), None)
    if chosen is None or chosen["pixels"] >= FEWEST_PIXELS:
        return []
    enough = math.ceil(FEWEST_PIXELS * chosen["size"] / chosen["pixels"])
    message = (
        f"at {chosen['size']} pixels a microaneurysm is {chosen['pixels']:.1f} pixels wide; it has "
        f"{FEWEST_PIXELS:.0f} from {enough} on ({chosen['source']})"
    )
    return [Finding("lesion-size", (), message)]


def field_mm(degrees: float) -> float:
    """Width of a field of view on the retina.

    Example:
        >>> round(field_mm(45), 2)
        12.96
    """
    return degrees * MM_PER_DEGREE


def diameters(mask: np.ndarray) -> np.ndarray:
    """Diameters of the discs that have the areas of a mask's connected pieces.

    Shape:
        - ``mask``: ``(H, W)``, bool.
        - Returns: ``(n,)``, float64, pixels of the mask.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return np.asarray(2 * np.sqrt(stats[1:, cv2.CC_STAT_AREA] / np.pi))


def _measured(source: PhotographSet, records: Records, most: int) -> tuple[float, str] | None:
    """Median diameter as a share of the crop's side, and its origin; None where no mask shows one."""
    table = records.table
    marked = np.flatnonzero(table["annotated_MA"].to_numpy(bool) & (table["present_MA"] == 1).to_numpy())
    if not len(marked) or most == 0:
        return None
    chosen = marked[np.unique(np.linspace(0, len(marked) - 1, min(most, len(marked))).round().astype(int))]
    alone = _alone(records.take(chosen), "MA")
    shortest = None if source.drawn else _THUMBNAIL  # drawn ones are kept from the mask, at its size
    shares, unread = [], 0
    for row in range(len(alone)):
        try:
            mask = source.masks(alone, row)["MA"]
            fov = field_of_view(source.photograph(alone, row, shortest), str(alone.path(row)))
        except RetinalabError:
            unread += 1
            continue
        shares.append(diameters(mask) / fov.rescale(*mask.shape).side)
    found = np.concatenate(shares) if shares else np.empty(0)
    if not len(found):
        return None
    masks = f"{len(shares)} of {len(marked)} masks" if len(shares) < len(marked) else f"{len(marked)} masks"
    left_out = f"; {unread} could not be read" if unread else ""
    return float(np.median(found)), f"median of {len(found):,} microaneurysms in {masks}{left_out}"


def _alone(records: Records, lesion: str) -> Records:
    """The records as if one lesion only were annotated, so that no other mask is read."""
    others = {f"annotated_{name}": False for name in LESIONS if name != lesion}
    return replace(records, table=records.table.assign(**others))


def _from_anatomy(info: SetInfo) -> tuple[float, str]:
    stated = info.field is not None
    degrees = info.field if info.field is not None else USUAL_FIELD
    width = field_mm(degrees)
    assumed = "" if stated else " (assumed: the owners state none)"
    origin = (
        f"at most, from anatomy: under {1000 * MICROANEURYSM_MM:.0f} µm in a field of {degrees:g}°{assumed}, "
        f"{width:.1f} mm or {width / DISC_MM:.1f} disc diameters wide"
    )
    return MICROANEURYSM_MM / width, origin
