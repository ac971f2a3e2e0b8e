"""The photographs that the network was most certain about, right and wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from retinalab.metrics.tables import probabilities_of
from retinalab.protocol import Scale

__all__ = ["Gallery", "Picture", "Tile", "WithLesions", "data_uri", "gallery", "small", "thumbnail"]

Picture = Callable[[str, str], "npt.NDArray[np.uint8] | None"]
"""Working image of (set, image), ``(S, S, 3)`` uint8 RGB; None where it cannot be had."""


@runtime_checkable
class WithLesions(Protocol):
    """A source of pictures that also knows the lesions which a reader marked in them."""

    def lesions(self, name: str, image: str) -> Mapping[str, npt.NDArray[np.bool_]] | None:
        """Lesion -> ``(S, S)`` bool in the working image of (set, image), those present; None where none was marked."""


_SIDE, _QUALITY, _COUNT = 160, 82, 8


@dataclass(frozen=True)
class Tile:
    """One photograph with its caption; ``source`` is a data URI, "" where no picture could be had.

    ``fold`` is the network's that predicted it.
    """

    image: str
    set: str
    source: str
    reference: str
    predicted: str
    certainty: str
    fold: int = -1


@dataclass(frozen=True)
class Gallery:
    """The tiles of one disease, most certain first, and how many photographs they were chosen from."""

    disease: str
    right: list[Tile]
    wrong: list[Tile]
    right_of: int
    wrong_of: int
    regression: bool


def gallery(
    rows: pd.DataFrame, disease: str, scale: Scale, picture: Picture | None, count: int = _COUNT
) -> Gallery:
    """Choose the photographs of one disease.

    Certainty is the probability of the predicted grade. A regression has none: its right answers are ordered
    by nearness of the score to the reference, its wrong ones by distance from it.

    Args:
        rows: predictions of one seed whose reference is known.
        picture: RGB working image of (set, image), or None where it cannot be had.
        count: photographs of each kind.
    """
    right = rows[disease].to_numpy() == rows[f"{disease}_grade"].to_numpy()
    ranked = rows.assign(_rank=_rank(rows, disease, right), _right=right).sort_values(
        ["_rank", "set", "image"], ascending=[False, True, True], kind="stable"
    )

    def tiles(chosen: pd.DataFrame) -> list[Tile]:
        shown = chosen.drop_duplicates(["set", "image"]).head(count)
        return [_tile(row, disease, scale, picture) for _, row in shown.iterrows()]

    return Gallery(
        disease,
        right=tiles(ranked[ranked["_right"]]),
        wrong=tiles(ranked[~ranked["_right"]]),
        right_of=int(right.sum()),
        wrong_of=int((~right).sum()),
        regression=f"{disease}_score" in rows,
    )


def thumbnail(image: npt.NDArray[np.uint8]) -> str:
    """Data URI of a photograph, ``(H, W, 3)`` uint8 RGB, reduced to at most 160 pixels a side."""
    return data_uri(small(image))


def small(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A photograph, ``(H, W, 3)`` uint8 RGB, reduced to at most 160 pixels a side."""
    reduced = Image.fromarray(np.ascontiguousarray(image))
    reduced.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return np.asarray(reduced)


def data_uri(image: npt.NDArray[np.uint8], sharp_colours: bool = False) -> str:
    """A picture as a JPEG in a data URI.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        sharp_colours: keep colours at full resolution, as edges between them need.
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_QUALITY, subsampling=0 if sharp_colours else 2)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _rank(rows: pd.DataFrame, disease: str, right: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    if f"{disease}_score" in rows:
        distance = (rows[f"{disease}_score"] - rows[disease]).abs().to_numpy(dtype=np.float64)
        return np.where(right, -distance, distance)
    probabilities = rows[probabilities_of(rows, f"{disease}_p")].to_numpy(dtype=np.float64)
    given: npt.NDArray[np.float64] = probabilities[np.arange(len(rows)), rows[f"{disease}_grade"].to_numpy()]
    return given


def _tile(row: pd.Series, disease: str, scale: Scale, picture: Picture | None) -> Tile:
    image, name = str(row["image"]), str(row["set"])
    found = None if picture is None else picture(name, image)
    reference, predicted = int(row[disease]), int(row[f"{disease}_grade"])
    regression = f"{disease}_score" in row
    value = row[f"{disease}_score"] if regression else row[f"{disease}_p{predicted}"]
    return Tile(
        image=image,
        set=name,
        source="" if found is None else thumbnail(found),
        reference=f"{reference} {scale.levels[reference]}",
        predicted=f"{predicted} {scale.levels[predicted]}",
        certainty=f"{'score' if regression else 'probability'} {value:.2f}".replace("-", "−"),
        fold=int(row.get("fold", -1)),
    )
