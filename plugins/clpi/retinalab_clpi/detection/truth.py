"""Lesions as boxes: the square round each lesion's centre, and the squares that the generator's units see."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from retinalab.data.windows import find_lesions
from retinalab.transforms.draw import generator
from retinalab_clpi.generator import FIELD, LESION_CLASSES, STRIDE

__all__ = [
    "Boxes",
    "any_score",
    "best_possible",
    "lesion_boxes",
    "lesion_centres",
    "unit_detections",
    "unit_fields",
]

Boxes = dict[str, Tensor]
"""``boxes`` (n, 4) float32: left, top, right, bottom in pixels, right and bottom not included; ``labels`` (n,)
int64: 1, 2, ... as ``LESION_CLASSES``; of detections also ``scores`` (n,) float32. torchvision's own format."""

_HALF = FIELD // 2
_BEFORE = (FIELD - STRIDE) // 2
_CHANCE = 0xC4A2


def lesion_centres(planes: np.ndarray) -> np.ndarray:
    """Centres and classes of the lesions of one photograph: the very windows that the generator is trained on.

    One for each connected component of each class, at the component's pixel nearest its centroid; its class is the
    gravest at that pixel, and a place that two components share counts once.

    Reference: section IV-A.

    Shape:
        - ``planes``: ``(2, S, S)`` uint8, as :meth:`retinalab.data.cache.Cache.planes`.
        - Returns: ``(n, 3)`` int64: x, y, class from 1.
    """
    found = find_lesions(planes[0], LESION_CLASSES)
    return np.array([(lesion.x, lesion.y, lesion.label) for lesion in found], np.int64).reshape(-1, 3)


def lesion_boxes(centres: np.ndarray, size: int) -> Boxes:
    """The 68×68 square round each centre, cut at the photograph's border.

    Shape:
        - ``centres``: ``(n, 3)`` int64 as :func:`lesion_centres`.

    Example:
        >>> lesion_boxes(np.array([[100, 50, 1], [10, 50, 3]]), 512)["boxes"].tolist()
        [[66.0, 16.0, 134.0, 84.0], [0.0, 16.0, 44.0, 84.0]]
    """
    corner = torch.from_numpy(centres[:, :2]).float() - _HALF
    return {
        "boxes": torch.cat([corner, corner + FIELD], 1).clamp(0, size),
        "labels": torch.from_numpy(centres[:, 2].copy()),
    }


def unit_fields(rows: int, columns: int) -> Tensor:
    """What each unit of the generator sees of a photograph of 64·rows × 64·columns pixels, cut at its border.

    Unit (i, j) sees rows 64i-2 to 64i+65 and columns 64j-2 to 64j+65.

    Shape:
        - Returns: ``(rows * columns, 4)`` float32, row by row.

    Example:
        >>> unit_fields(3, 4)[[0, 5]].tolist()
        [[0.0, 0.0, 66.0, 66.0], [62.0, 62.0, 130.0, 130.0]]
    """
    top, left = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    corner = torch.stack([left.flatten(), top.flatten()], 1).float() * STRIDE - _BEFORE
    border = torch.tensor([columns, rows]).repeat(2) * float(STRIDE)
    return torch.cat([corner, corner + FIELD], 1).clamp(min=0).minimum(border)


def unit_detections(probabilities: Tensor) -> Boxes:
    """The generator as a detector: every unit's field, once for each lesion class, with its probability.

    Reference: section V: the generator "served as a lesion detector".

    Shape:
        - ``probabilities``: ``(classes, h, w)`` float32, channel 0 none.
    """
    classes, rows, columns = probabilities.shape
    fields = unit_fields(rows, columns)
    return {
        "boxes": fields.repeat(classes - 1, 1),
        "labels": torch.arange(1, classes).repeat_interleave(len(fields)),
        "scores": probabilities[1:].flatten().float().cpu(),
    }


def best_possible(truth: Boxes, size: int) -> Boxes:
    """What a generator that knew the truth would detect: each field scored by its overlap with the nearest lesion.

    Fields lie on a grid and are never moved, so that most lesions overlap none of them well: this is how high the
    average precision of any generator can be.
    """
    rows = size // STRIDE
    fields = unit_fields(rows, rows)
    scores = torch.zeros(len(LESION_CLASSES) + 1, len(fields))
    for label in set(truth["labels"].tolist()):
        scores[label] = box_iou(fields, truth["boxes"][truth["labels"] == label]).amax(1)
    return unit_detections(scores.reshape(-1, rows, rows))


def any_score(size: int, seed: int) -> Boxes:
    """What a generator that knew nothing would detect: its fields in random order.

    Shape:
        - ``size``: side of the photograph, pixels.
    """
    rows = size // STRIDE
    drawn = generator(seed, _CHANCE).random((len(LESION_CLASSES) + 1, rows, rows), np.float32)
    return unit_detections(torch.from_numpy(drawn))
