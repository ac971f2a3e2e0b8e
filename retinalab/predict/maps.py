"""Class activation maps as pictures, one for each photograph and disease."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL.PngImagePlugin import PngInfo

from retinalab.errors import RetinalabError
from retinalab.explain.overlay import enlarged, min_max, overlay
from retinalab.predict.photograph import Photograph
from retinalab.predict.pixels import pixels_of
from retinalab.predict.predictor import Answer, Map, Prediction
from retinalab.predict.rows import USE
from retinalab.protocol import Scale

__all__ = ["map_on_photograph", "reduced", "said_of", "write_maps"]

_FOLDER = "maps"
_LONGEST = 1024


def map_on_photograph(found: Map, height: int, width: int) -> np.ndarray:
    """A map in the coordinates of its photograph, scaled from its least value (0) to its greatest (1).

    Args:
        found: the map.
        height, width: of the photograph, at its own or any other size.

    Shape:
        - Returns: ``(height, width)`` float32; 0 where the network saw nothing.
    """
    return found.framing.on_photograph(enlarged(min_max(found.values), found.framing.side), height, width)


def write_maps(prediction: Prediction, scales: dict[str, Scale], folder: Path, row: int) -> dict[str, str]:
    """Write the pictures of one photograph: the photograph, and beside it the same under the map.

    Args:
        prediction: with its maps.
        scales: of the diseases.
        folder: that the table lies in; pictures go to its ``maps``.
        row: of the table, from 1; names the pictures.

    Returns:
        Disease -> path relative to the folder.

    Raises:
        RetinalabError: a picture cannot be written.
    """
    if not prediction.maps:
        return {}
    photograph = reduced(prediction.photograph)
    height, width = photograph.shape[:2]
    written = {}
    for disease, found in prediction.maps.items():
        answer = prediction.answers[disease]
        values, seen = map_on_photograph(found, height, width), found.framing.seen(height, width)
        captions = [
            prediction.photograph.image,
            said_of(disease, answer, scales[disease]),
            _LEGEND,
            USE,
        ]
        name = f"{_FOLDER}/{row:06d}-{prediction.photograph.path.stem[:80]}-{disease}.png"
        note = PngInfo()
        note.add_itxt("Comment", USE)
        try:
            (folder / _FOLDER).mkdir(exist_ok=True)
            overlay(photograph, values, seen, captions).save(folder / name, pnginfo=note)
        except OSError as error:
            raise RetinalabError(
                f"Cannot write {folder / name}: {error.strerror or error}. Free space, or name another "
                "folder with --out."
            ) from error
        written[disease] = name
    return written


_LEGEND = "class activation map, violet least to yellow most of this photograph"


def said_of(disease: str, answer: Answer, scale: Scale) -> str:
    """A grade in words, with how sure the network is."""
    if answer.score is not None:
        surety = f"severity {answer.score:.2f}"
    else:
        surety = f"probability {answer.probabilities[answer.grade]:.2f}"
    return f"{disease}: grade {answer.grade} ({scale.levels[answer.grade]}), {surety}"


def reduced(photograph: Photograph) -> np.ndarray:
    """The photograph with its longer side at most ``_LONGEST`` pixels."""
    image = pixels_of(photograph.path, _LONGEST // 2)
    factor = _LONGEST / max(image.shape[:2])
    if factor >= 1:
        return image
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
