"""Why a network answered as it did, as maps over the photograph."""

from __future__ import annotations

from retinalab.explain.cam import check_cam, class_activation_map, weighted_sum
from retinalab.explain.framing import Framing
from retinalab.explain.overlay import Palette, covered, enlarged, min_max, overlay

__all__ = [
    "Framing",
    "Palette",
    "check_cam",
    "class_activation_map",
    "covered",
    "enlarged",
    "min_max",
    "overlay",
    "weighted_sum",
]
