"""Maps over photographs as a run keeps them: reduced by area, one byte for each place.

A table of kind ``maps`` has a row for each evaluated photograph and map:

- ``image, set, part, fold, seed``: which photograph and network, as in the predictions;
- ``map``: its name;
- ``values``: ``height`` × ``width`` bytes, row by row, value = byte / 255;
- ``native_height, native_width``: the size that the network gave it;
- ``extent``: side of the network's input square as a share of the working image's side; the square lies in its centre;
- ``peak``: the largest value at the native size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from retinalab.config import DataConfig
from retinalab.errors import RetinalabError
from retinalab.transforms.draw import evaluation_warp

__all__ = ["LONGEST", "Reduced", "extent_of", "map_frame", "reduced"]

LONGEST = 32
"""A map larger than this many places a side is reduced to it."""

_KEYS = ["image", "set", "part", "fold", "seed"]
_ROUNDING = 0.01
"""By how much half precision may leave [0, 1]."""


@dataclass(frozen=True)
class Reduced:
    """One map of the photographs of a batch.

    Attributes:
        values: ``(B, h, w)`` uint8, 255 for 1; what is no number is 0.
        peaks: ``(B,)`` float32, the largest value before the reduction; nan where a value is no number.
        height, width: before the reduction.
    """

    values: np.ndarray
    peaks: np.ndarray
    height: int
    width: int


def reduced(maps: Mapping[str, Tensor], longest: int = LONGEST) -> dict[str, Reduced]:
    """Reduce maps to the mean over each place's area, on the device that they are on.

    Shape:
        - ``maps``: each ``(B, H, W)`` float in [0, 1].

    Raises:
        RetinalabError: a map of another shape, or with values outside [0, 1].

    Example:
        >>> kept = reduced({"one": torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])}, longest=1)["one"]
        >>> kept.values.tolist(), kept.peaks.tolist()
        ([[[191]]], [1.0])
    """
    return {name: _reduced(name, values.detach().float(), longest) for name, values in maps.items()}


def _reduced(name: str, values: Tensor, longest: int) -> Reduced:
    if values.ndim != 3:
        raise RetinalabError(
            f"Map {name!r} has shape {tuple(values.shape)}, not (photographs, height, width). Give one map of each "
            "photograph in Outputs.maps."
        )
    height, width = values.shape[1:]
    peaks = values.amax((1, 2)).cpu().numpy()
    least = float(values.nan_to_num(0).min())
    if least < -_ROUNDING or (peaks > 1 + _ROUNDING).any():
        raise RetinalabError(
            f"Map {name!r} has values from {least:.3g} to {np.nanmax(peaks):.3g}, not within 0 to 1. Scale it before "
            "it is given in Outputs.maps."
        )
    share = min(1.0, longest / max(height, width))
    rows = _area_weights(height, max(1, round(height * share)), values.device)
    columns = _area_weights(width, max(1, round(width * share)), values.device)
    means = rows @ values.nan_to_num(0).clamp(0, 1) @ columns.T
    return Reduced(
        (means * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy(), peaks.clip(max=1), height, width
    )


def _area_weights(size: int, places: int, device: torch.device) -> Tensor:
    """``(places, size)``: the share of each place that each pixel covers."""
    edges = torch.arange(places + 1, dtype=torch.float64) * (size / places)
    pixels = torch.arange(size, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (overlap.clamp(min=0) * (places / size)).float().to(device)


def extent_of(data: DataConfig) -> float:
    """Side of the evaluated input square as a share of the working image's side.

    Example:
        >>> extent_of(DataConfig(set="synthetic", size=512, crop=448, view="centre"))
        0.875
    """
    warp = evaluation_warp(data.size, data.input_size, data.view)
    return float(warp[0, 0]) * data.input_size / data.size


def map_frame(named: pd.DataFrame, maps: Mapping[str, Reduced], extent: float) -> pd.DataFrame:
    """The rows of a batch's maps, photograph by photograph.

    Args:
        named: identity of each photograph, in the batch's order, indexed from 0.
        maps: name -> map.
        extent: as :func:`extent_of`.
    """
    rows = [
        {
            **named.loc[i, _KEYS].to_dict(),
            "map": name,
            "height": found.values.shape[1],
            "width": found.values.shape[2],
            "native_height": found.height,
            "native_width": found.width,
            "extent": extent,
            "peak": found.peaks[i],
            "values": found.values[i].tobytes(),
        }
        for i in range(len(named))
        for name, found in maps.items()
    ]
    return pd.DataFrame(rows)
