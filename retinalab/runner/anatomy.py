"""Optic disc and vessels of photographs that were drawn, on their working images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from retinalab.config import DataConfig
from retinalab.data.fov import crop_mask, field_of_view
from retinalab.data.part import Part
from retinalab.synthetic import World, WorldOptions

__all__ = ["Anatomy", "DrawnAnatomy"]

_DRAWN = "synthetic"
_HALF = 0.5


class Anatomy(NamedTuple):
    """Where what is, on a working image.

    Shape:
        - ``field``, ``disc``, ``vessels``: ``(S, S)``, bool: a pixel of which at least half lies in it.
    """

    field: np.ndarray
    disc: np.ndarray
    vessels: np.ndarray


class DrawnAnatomy:
    """Draws photographs of a part again, for what is known of their pixels.

    Args:
        data: the section that the part was read by.
        part: photographs, some of which may be drawn.
    """

    def __init__(self, data: DataConfig, part: Part) -> None:
        options = data.options if data.set == _DRAWN else data.mix.options.get(_DRAWN, {})
        self._world = World(WorldOptions.model_validate(options)) if self.any_in(part) else None
        self._part = part

    @staticmethod
    def any_in(part: Part) -> bool:
        """Whether any of its photographs is drawn."""
        return bool((part.records.table["set"] == _DRAWN).any())

    def of(self, position: int) -> Anatomy | None:
        """Of the photograph at a position in the part; None where it is not drawn.

        The crop is the one that the working image was cut by, found in the same drawing.
        """
        row = self._part.records.table.iloc[position]
        if self._world is None or row["set"] != _DRAWN:
            return None
        size = self._part.cache.size
        drawn = self._world.render(int(Path(str(row["image"])).stem), size)
        fov = field_of_view(drawn.image)
        planes = (drawn.field, drawn.disc, drawn.vessels)
        return Anatomy(*(crop_mask(plane, fov, size, _HALF) for plane in planes))
