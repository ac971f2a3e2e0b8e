"""One photograph with the maps of every network over it, as a page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from retinalab.report.gallery import data_uri

__all__ = ["Seen", "Shown", "Tile", "gallery_context", "tile"]

_SIDE = 240
"""Pixels of a picture on a page: half as many again as it is wide there, for screens of fine pixels."""

Tile = dict[str, Any]
"""What the template takes of a photograph; a few pictures as text, where the arrays of many would not be held."""


@dataclass(frozen=True)
class Seen:
    """One map over what its network was shown.

    Attributes:
        model: the network.
        method: that made the map.
        said: about its values, such as their range; "" where there is nothing to say.
        picture: ``(S, S, 3)`` uint8 RGB.
        field: ``(S, S)`` bool.
        values: ``(S, S)`` in [0, 1].
    """

    model: str
    method: str
    said: str
    picture: npt.NDArray[np.uint8]
    field: npt.NDArray[np.bool_]
    values: npt.NDArray[np.float32]

    @property
    def empty(self) -> bool:
        """Whether it is 0 throughout the field."""
        return not bool((self.values[self.field] > 0).any())


@dataclass(frozen=True)
class Shown:
    """One photograph of a gallery.

    Attributes:
        group: why it was chosen.
        image: its name.
        said: lines about it.
        picture: ``(S, S, 3)`` uint8 RGB; None where it cannot be shown.
        masks: ``(8, S, S)`` uint8: 0 absent, 1 present, 255 not annotated; None where nobody looked for lesions.
        maps: in the order in which they are shown, those of one network after each other.
    """

    group: str
    image: str
    said: list[str]
    picture: npt.NDArray[np.uint8] | None
    masks: npt.NDArray[np.uint8] | None
    maps: list[Seen]


def tile(one: Shown) -> Tile:
    """A photograph's pictures as the template takes them."""
    from retinalab.explain import METHODS

    found: Tile = {"group": one.group, "image": one.image, "said": one.said, "source": "", "truth": ""}
    if one.picture is not None:
        found["source"] = data_uri(_fitted(one.picture))
    found |= _truth(one)
    networks: dict[str, dict[str, dict[str, Any]]] = {}
    for seen in one.maps:
        networks.setdefault(seen.model, {})[seen.method] = _map(seen)
    asked = {seen.method for seen in one.maps}
    # a method has one column throughout, also where a network has no map of it
    columns = [name for name in METHODS if name in asked] + sorted(asked - set(METHODS))
    rows = [
        (model, [maps.get(name, {"method": name}) for name in columns]) for model, maps in networks.items()
    ]
    return found | {"networks": rows}


def gallery_context(tiles: Sequence[Tile]) -> dict[str, Any]:
    """The template's variables of photographs, in their groups."""
    groups: dict[str, list[Tile]] = {}
    for one in tiles:
        groups.setdefault(one["group"], []).append(one)
    return {"gallery": list(groups.items()), "legend": _legend()}


def _truth(one: Shown) -> dict[str, Any]:
    from retinalab.explain import LESION_COLOURS, with_lesions
    from retinalab.records import LESIONS

    if one.picture is None or one.masks is None:
        return {"truth": "", "lesions": []}
    marked = {lesion: one.masks[i] == 1 for i, lesion in enumerate(LESIONS) if (one.masks[i] == 1).any()}
    return {
        "truth": data_uri(_fitted(with_lesions(one.picture, marked)), sharp_colours=True),
        "lesions": [(lesion, "#" + bytes(LESION_COLOURS[lesion]).hex()) for lesion in marked],
    }


def _map(seen: Seen) -> dict[str, Any]:
    from retinalab.explain import covered

    under = _fitted(seen.picture)
    size = (under.shape[1], under.shape[0])
    values = cv2.resize(seen.values, size, interpolation=cv2.INTER_AREA)
    field = cv2.resize(seen.field.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
    source = data_uri(covered(under, values, field), sharp_colours=True)
    return {"method": seen.method, "said": seen.said, "source": source, "empty": seen.empty}


def _fitted(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Reduced to the side of a page's pictures; never enlarged."""
    side = max(picture.shape[:2])
    if side <= _SIDE:
        return picture
    height, width = (max(1, round(one * _SIDE / side)) for one in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def _legend() -> str:
    from retinalab.explain import covered

    grey, shape = np.full((12, 256, 3), 96, np.uint8), (12, 256)
    ramp = np.broadcast_to(np.linspace(0, 1, 256, dtype=np.float32), shape)
    return data_uri(covered(grey, ramp, np.ones(shape, bool)), sharp_colours=True)
