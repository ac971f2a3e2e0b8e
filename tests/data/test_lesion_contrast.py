"""Microaneurysms keep their contrast on the way from a large photograph to the working size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from retinalab.data.decode import decode, read_mask
from retinalab.data.fov import crop_to_square, field_of_view

PHOTOGRAPHS = 6
AROUND = 8
CLEAR = 2.0
"""Grey levels: the share of a fainter lesion's contrast that is kept says nothing."""


@dataclass(frozen=True)
class Lesion:
    """Where a lesion lies in the working image, how much of each pixel it covers, and the retina about it."""

    place: tuple[slice, slice]
    cover: np.ndarray
    about: np.ndarray

    def contrast(self, green: np.ndarray) -> float:
        """Grey levels by which it is darker than what is about it."""
        patch = green[self.place].astype(np.float64)
        return float(np.median(patch[self.about]) - (patch * self.cover).sum() / self.cover.sum())


def cut(image: np.ndarray, box: tuple[int, int, int]) -> np.ndarray:
    x0, y0, side = box
    padded = np.pad(image, ((side, side), (side, side), *[(0, 0)] * (image.ndim - 2)))
    return np.ascontiguousarray(padded[y0 + side : y0 + 2 * side, x0 + side : x0 + 2 * side])


def lesions(mask: np.ndarray, size: int) -> Iterator[Lesion]:
    """Of a square mask, each piece of it as it lies in a working image of ``size`` pixels."""
    scale = size / len(mask)
    any_of_them = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    count, labels, found, _ = cv2.connectedComponentsWithStats(mask)
    for piece in range(1, count):
        x, y, width, height = found[piece, :4].tolist()
        left, top = int(x * scale) - AROUND, int(y * scale) - AROUND
        right, bottom = int((x + width) * scale) + AROUND + 1, int((y + height) * scale) + AROUND + 1
        if min(left, top) < 0 or max(right, bottom) > size:
            continue
        rows = slice(int(top / scale), int(np.ceil(bottom / scale)))
        columns = slice(int(left / scale), int(np.ceil(right / scale)))
        own = (labels[rows, columns] == piece).astype(np.float32)
        cover = cv2.resize(own, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        near = cv2.dilate((cover > 0).astype(np.uint8), np.ones((3, 3)))
        place = (slice(top, bottom), slice(left, right))
        about = (cv2.dilate(near, np.ones((9, 9))) > 0) & (near == 0) & (any_of_them[place] == 0)
        if about.sum() >= AROUND:
            yield Lesion(place, cover, about)


@pytest.fixture(scope="module")
def contrasts(shared_data: Path) -> dict[int, np.ndarray]:
    """Working size -> ``(3, n)``: by full decoding and area, as they are prepared, and by bilinear resizing."""
    root = shared_data / "idrid" / "A. Segmentation"
    masks = root / "2. All Segmentation Groundtruths" / "a. Training Set" / "1. Microaneurysms"
    found: dict[int, list[list[float]]] = {size: [] for size in (350, 512, 896, 1024)}
    for path in sorted((root / "1. Original Images" / "a. Training Set").iterdir())[:PHOTOGRAPHS]:
        whole = decode(path)
        field = field_of_view(whole)
        square = cut(whole, field.box)
        mask = cut(read_mask(masks / f"{path.stem}_MA.tif").astype(np.uint8), field.box)
        for size, rows in found.items():
            plain = torch.from_numpy(square).permute(2, 0, 1)
            pictures = [
                cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA),
                crop_to_square(decode(path, size), field, size),
                F.resize(plain, [size, size], antialias=True).permute(1, 2, 0).numpy(),
            ]
            greens = [picture[..., 1] for picture in pictures]
            rows += [[lesion.contrast(green) for green in greens] for lesion in lesions(mask, size)]
    return {size: np.array(rows).T for size, rows in found.items()}


@pytest.mark.parametrize("size", [350, 512, 896, 1024])
def test_prepared_photographs_keep_the_contrast_of_microaneurysms(
    contrasts: dict[int, np.ndarray], size: int
) -> None:
    reference, ours, bilinear = contrasts[size]
    assert len(reference) > 150
    kept = ours.sum() / reference.sum()
    assert kept >= 0.95
    assert kept > bilinear.sum() / reference.sum()
    clear = reference >= CLEAR
    tenth = np.percentile(ours[clear] / reference[clear], 10)
    assert tenth >= 0.8
    assert tenth > np.percentile(bilinear[clear] / reference[clear], 10)
