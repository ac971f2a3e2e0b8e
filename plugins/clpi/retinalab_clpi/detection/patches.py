"""What the generator is trained on as a detector: patches of the lesions still annotated, and patches without any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from retinalab.data.windows import cut
from retinalab.errors import RetinalabError
from retinalab.transforms.draw import generator
from retinalab_clpi.detection.photographs import Photographs
from retinalab_clpi.generator import FIELD, STRIDE

__all__ = ["Patches", "free_windows", "training_patches"]

_FREE = 0xF4EE
_TRIES = 50


@dataclass(frozen=True)
class Patches:
    """Patches of 68×68 pixels.

    Attributes:
        images: ``(n, 68, 68, 3)`` uint8 RGB.
        labels: ``(n,)`` int64: 0 none, else the lesion's class.
        negatives: where the patches without a lesion come from, in words.
    """

    images: np.ndarray
    labels: np.ndarray
    negatives: str

    def __len__(self) -> int:
        return len(self.labels)


def training_patches(
    photographs: Photographs, kept: Sequence[np.ndarray], negatives: float, seed: int
) -> Patches:
    """One patch round each lesion still annotated, and patches without a lesion.

    Those come from photographs without retinopathy, whose every place is free of lesions whatever annotations are lost.

    Differs from the paper: a set that has no such photograph gives windows of its other photographs that are free of
    lesions in the full annotation, before any is lost. Negatives lie anywhere in the square, outside the field of view
    too, since units look there; their number does not fall with the annotations.

    Args:
        photographs: of training.
        kept: as :func:`retinalab_clpi.detection.discard.annotated`.
        negatives: how many for each lesion of the full annotation.
        seed: of the negatives' places.

    Raises:
        RetinalabError: no lesion is annotated, or no place is free of them.
    """
    lesions = sum(photographs.lesions)
    if not any(keep.any() for keep in kept):
        raise RetinalabError(
            f"None of the {lesions} lesions of {len(photographs)} training photographs is annotated. "
            "Give photographs with masks of EX, HE or MA, or a lower rate."
        )
    images, labels = [], []
    for image, centres, keep in zip(photographs.images, photographs.centres, kept, strict=True):
        for x, y, label in centres[keep]:
            images.append(cut(image, int(x), int(y), FIELD))
            labels.append(int(label))
    healthy = np.flatnonzero(photographs.healthy)
    source = healthy if len(healthy) else np.arange(len(photographs))
    free = _spread(photographs, source, max(1, round(negatives * lesions)), seed)
    if not free:
        raise RetinalabError(
            f"No window of {FIELD} pixels in {len(source)} photographs is free of lesions. "
            "Add photographs without retinopathy, or a larger working size."
        )
    origin = (
        f"{len(free)} patches of {len(healthy)} photographs without retinopathy"
        if len(healthy)
        else f"{len(free)} windows of {len(source)} photographs with retinopathy that are free of lesions in the full "
        "annotation (this set has no photograph without)"
    )
    return Patches(np.stack([*images, *free]), np.array([*labels, *[0] * len(free)], np.int64), origin)


def _spread(photographs: Photographs, source: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Free windows, as evenly many of each photograph as they have."""
    found: list[np.ndarray] = []
    for position, row in enumerate(source):
        asked = (count - len(found)) // (len(source) - position)
        for x, y in free_windows(photographs.lesion[row], asked, seed, int(row)):
            found.append(cut(photographs.images[row], int(x), int(y), FIELD))
    return found


def free_windows(lesion: np.ndarray, count: int, seed: int, row: int) -> np.ndarray:
    """Centres of up to ``count`` windows of 68 pixels without a lesion: half are units' fields, half lie anywhere.

    Fields at the border reach two pixels beyond it, into the zeros with which the generator pads a photograph: a
    generator that had never seen those would find lesions there.

    Shape:
        - ``lesion``: ``(S, S)`` bool. Returns: ``(m, 2)`` int64: x, y.
    """
    half, side = FIELD // 2, lesion.shape[0]
    rng = generator(seed, row, _FREE)
    anywhere = rng.integers(half, side - half + 1, (_TRIES * count, 2))
    fields = rng.integers(0, side // STRIDE, (_TRIES * count, 2)) * STRIDE + STRIDE // 2
    centres = np.where(rng.random((_TRIES * count, 1)) < 0.5, fields, anywhere)
    left, top = (centres - half).clip(min=0).T
    right, bottom = (centres - half + FIELD).clip(max=side).T
    summed = cv2.integral(lesion.astype(np.uint8))
    inside = summed[bottom, right] - summed[top, right] - summed[bottom, left] + summed[top, left]
    return np.asarray(centres[inside == 0][:count], np.int64)
