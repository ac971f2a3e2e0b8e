"""Lesion masks and overlays of photographs as pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from retinalab.errors import RetinalabError
from retinalab.explain.lesions import lesion_sheet
from retinalab.predict.maps import reduced, said_of
from retinalab.predict.pixels import size_of
from retinalab.predict.predictor import LesionMaps, Prediction
from retinalab.predict.rows import USE
from retinalab.protocol import Scale
from retinalab.records import LESIONS

__all__ = ["PRESENT", "masks_on_photograph", "write_masks", "write_overlay"]

PRESENT = 0.5
"""From which probability on a pixel is a lesion's, and a lesion is in the photograph."""

_MASKS, _OVERLAYS = "masks", "overlays"


def masks_on_photograph(found: LesionMaps, height: int, width: int) -> dict[str, np.ndarray]:
    """The pixels of each lesion, in the photograph at the given size.

    Probabilities are interpolated before they are cut at one half, so that outlines are smooth at any size.

    Shape:
        - Returns: lesion -> ``(height, width)`` bool; False where the network saw nothing.
    """
    return {x: found.framing.on_photograph(v, height, width) >= PRESENT for x, v in found.values.items()}


def write_masks(prediction: Prediction, folder: Path, row: int) -> dict[str, str]:
    """Write a PNG for each lesion, 0 or 255, at the size of the photograph's file as it is meant to be looked at.

    Args:
        prediction: with its lesion maps.
        folder: that the table lies in; pictures go to its ``masks``.
        row: of the table, from 1; names the pictures.

    Returns:
        Lesion -> path relative to the folder, also of a lesion that was looked for and not found.

    Raises:
        RetinalabError: a picture cannot be written.
    """
    if prediction.lesion_maps is None:
        return {}
    height, width = size_of(prediction.photograph.path)
    written = {}
    for lesion, mask in masks_on_photograph(prediction.lesion_maps, height, width).items():
        picture = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
        written[lesion] = f"{_MASKS}/{_stem(prediction, row)}-{lesion}.png"
        _save(picture, folder, written[lesion])
    return written


def write_overlay(prediction: Prediction, scales: dict[str, Scale], folder: Path, row: int) -> str:
    """Write the photograph, and beside it the same under its lesions, with the legend of all eight.

    Args:
        prediction: with its lesion maps.
        scales: of the diseases.
        folder: that the table lies in; pictures go to its ``overlays``.
        row: of the table, from 1; names the picture.

    Returns:
        Path relative to the folder; "" where the photograph was not looked at.

    Raises:
        RetinalabError: the picture cannot be written.
    """
    found = prediction.lesion_maps
    if found is None:
        return ""
    photograph = reduced(prediction.photograph)
    height, width = photograph.shape[:2]
    said = dict.fromkeys(LESIONS, "not taught") | {x: f"{p:.2f}" for x, p in prediction.lesions.items()}
    grades = [said_of(d, answer, scales[d]) for d, answer in prediction.answers.items()]
    captions = [
        prediction.photograph.image,
        *grades,
        f"probability in the photograph; coloured where at least {PRESENT:g}; {USE}",
    ]
    shown = {x: _small(found, values, height, width) for x, values in found.values.items()}
    name = f"{_OVERLAYS}/{_stem(prediction, row)}.png"
    _save(lesion_sheet(photograph, shown, said, captions), folder, name)
    return name


def _small(found: LesionMaps, values: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask in a smaller photograph, where a pixel stands for several: present if any of them is."""
    step = round(values.shape[0] / found.framing.fov.rescale(height, width).side)
    peaks = cv2.dilate(values, np.ones((step, step), np.uint8)) if step > 1 else values
    return np.asarray(found.framing.on_photograph(peaks, height, width) >= PRESENT)


def _stem(prediction: Prediction, row: int) -> str:
    return f"{row:06d}-{prediction.photograph.path.stem[:80]}"


def _save(picture: Image.Image, folder: Path, name: str) -> None:
    note = PngInfo()
    note.add_itxt("Comment", USE)
    try:
        (folder / name).parent.mkdir(exist_ok=True)
        picture.save(folder / name, pnginfo=note)
    except OSError as error:
        raise RetinalabError(
            f"Cannot write {folder / name}: {error.strerror or error}. Free space, or name another folder with --out."
        ) from error
