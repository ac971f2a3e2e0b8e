"""Why a network answered as it did, as maps over the photograph."""

from __future__ import annotations

from retinalab.explain.cam import check_cam, class_activation_cells, class_activation_map, weighted_sum
from retinalab.explain.framing import Framing
from retinalab.explain.grid import Grid, in_frame
from retinalab.explain.lesions import LESION_COLOURS, lesion_sheet, with_lesions
from retinalab.explain.overlay import covered, enlarged, min_max, overlay
from retinalab.explain.saliency import METHODS, Method, default_layers, saliency_maps

__all__ = [
    "LESION_COLOURS",
    "METHODS",
    "Framing",
    "Grid",
    "Method",
    "check_cam",
    "class_activation_cells",
    "class_activation_map",
    "covered",
    "default_layers",
    "enlarged",
    "in_frame",
    "lesion_sheet",
    "min_max",
    "overlay",
    "saliency_maps",
    "weighted_sum",
    "with_lesions",
]
