"""Photographs with their lesions as boxes, read once and kept in memory for every detector alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from retinalab.config import BackgroundConfig
from retinalab.data.parts import Part
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.transforms.background import even_out
from retinalab_clpi.detection.truth import Boxes, lesion_boxes, lesion_centres
from retinalab_clpi.generator import LESION_CLASSES, STRIDE

__all__ = ["Photographs", "read_photographs"]

_BITS = np.uint8(sum(1 << LESIONS.index(lesion) for lesion in LESION_CLASSES))
_NONE_AT_0 = ("icdr5", "messidor4", "any")


@dataclass(frozen=True)
class Photographs:
    """Photographs of one part.

    Attributes:
        images: ``(n, S, S, 3)`` uint8 RGB, background subtracted where asked for.
        centres: for each photograph ``(lesions, 3)`` int64: x, y, class from 1.
        lesion: ``(n, S, S)`` bool: pixels of an annotated lesion, or not to be judged.
        healthy: ``(n,)`` bool: graded as without retinopathy, and no lesion marked.
        groups: ``(n,)`` text: patient, the unit of resampling.
        left_out: how many photographs are missing here since nothing tells whether they show each of the lesions.
    """

    images: np.ndarray
    centres: tuple[np.ndarray, ...]
    lesion: np.ndarray
    healthy: np.ndarray
    groups: np.ndarray
    left_out: int = 0

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

    Photographs are left out, and counted, where a lesion was not annotated, unless they are graded as without
    retinopathy: what they show would be taken for background.

    Args:
        parts: prepared with masks; taken together in the given order.
        background: deviation of the Gaussian of the local average colour that is subtracted, as a share of the side;
            None: photographs as they are.

    Raises:
        RetinalabError: a size that the generator's units do not divide, or no photograph with masks.
    """
    size = parts[0].cache.size
    if size % STRIDE:
        raise RetinalabError(
            f"Lesion detection needs photographs whose side is a multiple of {STRIDE} pixels, got {size}. "
            "The paper's side is 1024."
        )
    images, centres, lesion, healthy, groups = [], [], [], [], []
    for part in parts:
        for row, graded, group in zip(
            part.rows, _without_retinopathy(part), part.records.groups, strict=True
        ):
            marked, unsure = part.cache.planes(np.array([row]))[0] & _BITS
            free = bool(graded) and not marked.any()
            if np.bitwise_and.reduce(unsure, axis=None) and not free:
                continue
            image = part.cache.images(np.array([row]))[0]
            images.append(image if background is None else _subtracted(image, background))
            centres.append(lesion_centres(np.stack([marked, unsure])))
            lesion.append((marked | unsure) > 0 if not free else np.zeros(marked.shape, bool))
            healthy.append(free)
            groups.append(group)
    asked = sum(map(len, parts))
    if not images:
        raise RetinalabError(
            f"None of {asked} photographs is annotated for {', '.join(LESION_CLASSES)}. "
            "Name a data set with their masks."
        )
    left_out = asked - len(images)
    return Photographs(
        np.stack(images), tuple(centres), np.stack(lesion), np.array(healthy), np.array(groups), left_out
    )


def _without_retinopathy(part: Part) -> np.ndarray:
    """Photographs of grade 0 on a scale where it means no retinopathy (below referable is not none)."""
    table = part.records.table
    if "dr" not in table:
        return np.zeros(len(part), bool)
    scales = {name: info.scales.get("dr") for name, info in part.records.info.items()}
    return np.asarray((table["dr"] == 0) & table["set"].map(scales).isin(_NONE_AT_0))


def _subtracted(image: np.ndarray, background: float) -> np.ndarray:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    even = even_out(pixels, BackgroundConfig(scale=background))[0].permute(1, 2, 0)
    return (even * 255).round().to(torch.uint8).numpy()
