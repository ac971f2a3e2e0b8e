"""A contact sheet of faults: every severity on one photograph."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import cv2
import numpy as np

from retinalab.report.gallery import data_uri
from retinalab.robustness.conditions import ORIGINAL, Condition, Shown
from retinalab.robustness.corruptions import CORRUPTIONS, SEVERITIES

__all__ = ["contact_sheet"]

_THUMBNAIL = 200


def contact_sheet(photograph: Shown, faults: Collection[str], seed: int) -> list[dict[str, Any]]:
    """Each fault at all severities on one photograph; what is seen in details only, in the middle third of it.

    Args:
        photograph: that is changed.
        faults: that are shown.
        seed: of what is drawn.

    Returns:
        For each fault its name, what it imitates, its parameter, and (severity, level, data URI) of its pictures.
    """
    rows = []
    for name, kind in CORRUPTIONS.items():
        if name not in faults:
            continue
        shown = photograph.under([Condition(ORIGINAL), *(Condition(name, s) for s in SEVERITIES)], seed)
        levels = ["", *(f"{level:g}" for level in kind.levels)]
        rows.append(
            {
                "name": name,
                "imitates": kind.imitates,
                "parameter": kind.parameter,
                "part": "middle third of the photograph" if kind.fine else "",
                "pictures": [
                    (severity, level, _picture(image, kind.fine))
                    for severity, (level, image) in enumerate(zip(levels, shown, strict=True))
                ],
            }
        )
    return rows


def _picture(image: np.ndarray, fine: bool) -> str:
    if fine:
        third = len(image) // 3
        image = image[third : 2 * third, third : 2 * third]
    how = cv2.INTER_AREA if len(image) > _THUMBNAIL else cv2.INTER_CUBIC
    small = cv2.resize(np.ascontiguousarray(image), (_THUMBNAIL, _THUMBNAIL), interpolation=how)
    return data_uri(np.asarray(small, np.uint8), sharp_colours=fine)
