"""Photographs with their lesions as boxes, read once and kept in memory for every detector alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from retinalab.data.parts import Part
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.transforms.background import subtract_background
from retinalab_clpi.detection.truth import Boxes, lesion_boxes, lesion_centres
from retinalab_clpi.generator import LESION_CLASSES, STRIDE

__all__ = ["Photographs", "read_photographs"]

_BITS = sum(1 << LESIONS.index(lesion) for lesion in LESION_CLASSES)


@dataclass(frozen=True)
class Photographs:
    """Photographs of one part.

    Attributes:
        images: ``(n, S, S, 3)`` uint8 RGB, background subtracted where asked for.
        centres: for each photograph ``(lesions, 3)`` int64: x, y, class from 1.
        lesion: ``(n, S, S)`` bool: pixels of an annotated lesion, or not to be judged.
        healthy: ``(n,)`` bool: graded as without retinopathy, and no lesion annotated.
        groups: ``(n,)`` text: patient, the unit of resampling.
    """

    images: np.ndarray
    centres: tuple[np.ndarray, ...]
    lesion: np.ndarray
    healthy: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side in pixels."""
        return int(self.images.shape[1])

    @property
    def lesions(self) -> tuple[int, ...]:
        """Number of lesions of each photograph."""
        return tuple(len(centres) for centres in self.centres)

    def truth(self, kept: Sequence[np.ndarray] | None = None) -> list[Boxes]:
        """The boxes of each photograph; with ``kept`` those of the lesions that are still annotated."""
        chosen = [np.ones(n, bool) for n in self.lesions] if kept is None else kept
        return [
            lesion_boxes(centres[keep], self.size) for centres, keep in zip(self.centres, chosen, strict=True)
        ]

    def counts(self, kept: Sequence[np.ndarray] | None = None) -> dict[str, int]:
        """Number of lesions of each class."""
        labels = torch.cat([boxes["labels"] for boxes in self.truth(kept)])
        return {lesion: int((labels == label).sum()) for label, lesion in enumerate(LESION_CLASSES, start=1)}


def read_photographs(parts: Sequence[Part], background: float | None = 1 / 60) -> Photographs:
    """Read whole parts.

    Args:
        parts: prepared with masks; taken together in the given order.
        background: deviation of the Gaussian of the local average colour that is subtracted, as a share of the side;
            None: photographs as they are.

    Raises:
        RetinalabError: a size that the generator's units do not divide.
    """
    size = parts[0].cache.size
    if size % STRIDE:
        raise RetinalabError(
            f"Lesion detection needs photographs whose side is a multiple of {STRIDE} pixels, got {size}. "
            "The paper's side is 1024."
        )
    images, planes, graded = [], [], []
    for part in parts:
        grades = part.records.table["dr"] if "dr" in part.records.table else np.full(len(part), -1)
        graded.append(np.asarray(grades) == 0)
        for row in part.rows:
            image = part.cache.images(np.array([row]))[0]
            images.append(image if background is None else _subtracted(image, background))
            planes.append(part.cache.planes(np.array([row]))[0])
    lesion = np.stack([(plane[0] | plane[1]) & _BITS > 0 for plane in planes])
    return Photographs(
        np.stack(images),
        tuple(lesion_centres(plane) for plane in planes),
        lesion,
        np.concatenate(graded) & ~lesion.any((1, 2)),
        np.concatenate([part.records.groups for part in parts]),
    )


def _subtracted(image: np.ndarray, background: float) -> np.ndarray:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    even = subtract_background(pixels, background * image.shape[0])[0].permute(1, 2, 0)
    return (even * 255).round().to(torch.uint8).numpy()
