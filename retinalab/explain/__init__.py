"""Why a network answered as it did, as maps over the photograph."""

from __future__ import annotations

from retinalab.explain.cam import check_cam, class_activation_map, weighted_sum
from retinalab.explain.framing import Framing
from retinalab.explain.lesions import LESION_COLOURS, lesion_sheet, with_lesions
from retinalab.explain.overlay import Palette, covered, enlarged, min_max, overlay

__all__ = [
    "LESION_COLOURS",
    "Framing",
    "Palette",
    "check_cam",
    "class_activation_map",
    "covered",
    "enlarged",
    "lesion_sheet",
    "min_max",
    "overlay",
    "weighted_sum",
    "with_lesions",
]
