"""What is left of microaneurysms' contrast after a JPEG is decoded at a reduced scale and resized.

    python experiments/bench/lesion_contrast.py --idrid FOLDER

Of each lesion, how much darker it is than the retina about it, as a share of what full decoding and area resizing
leave.
One table for working images as they are prepared, one for each scale of the decoder and several sizes of the decoded
field of view over the working image: the contrast of all lesions in sum, and the tenth percentile over lesions of two
grey levels and more; beside it the same of full decoding and the usual bilinear resizing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from measure import FOLDER, write
from torchvision.transforms.v2 import functional as F

from retinalab.data.decode import decode, read_mask
from retinalab.data.fov import crop_to_square, field_of_view
from retinalab.data.jpeg import decode_at

AROUND = 8
CLEAR = 2.0
"""Grey levels: the share of a fainter lesion's contrast that is kept says nothing."""
SIZES = (350, 512, 896, 1024)
EIGHTHS = (2, 3, 4)
OVERSAMPLING = (1.2, 1.3, 1.4, 1.5, 1.7)


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


@dataclass(frozen=True)
class Photograph:
    """A photograph with its lesions, whole.

    Attributes:
        path: of its file.
        pixels: ``(H, W, 3)`` uint8.
        mask: ``(H, W)`` uint8, 1 on a lesion.
    """

    path: Path
    pixels: np.ndarray
    mask: np.ndarray


def photographs(idrid: Path, most: int | None = None) -> Iterator[Photograph]:
    """IDRiD's photographs of the segmentation part with their microaneurysms."""
    root = idrid / "A. Segmentation"
    masks = root / "2. All Segmentation Groundtruths" / "a. Training Set" / "1. Microaneurysms"
    for path in sorted((root / "1. Original Images" / "a. Training Set").iterdir())[:most]:
        mask = read_mask(masks / f"{path.stem}_MA.tif").astype(np.uint8)
        yield Photograph(path, decode(path), mask)


def contrasts(photograph: Photograph, size: int, decoded: np.ndarray) -> np.ndarray:
    """``(n, 3)``: each lesion's contrast by full decoding and area resizing, as prepared, by bilinear resizing.

    Args:
        photograph: whole.
        size: of the working image, pixels.
        decoded: the photograph as it is prepared from, ``(h, w, 3)`` uint8.
    """
    field = field_of_view(decoded)
    box = field.rescale(*photograph.mask.shape).box
    square, mask = _cut(photograph.pixels, box), _cut(photograph.mask, box)
    plain = torch.from_numpy(square).permute(2, 0, 1)
    pictures = [
        cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA),
        crop_to_square(decoded, field, size),
        F.resize(plain, [size, size], antialias=True).permute(1, 2, 0).numpy(),
    ]
    greens = [picture[..., 1] for picture in pictures]
    return np.array([[lesion.contrast(green) for green in greens] for lesion in _lesions(mask, size)])


def kept(found: np.ndarray) -> tuple[float, float]:
    """Of ``(n, 2)`` contrasts, reference and another: the share kept in sum, and the tenth percentile over lesions."""
    reference, other = found.T
    clear = reference >= CLEAR
    return float(other.sum() / reference.sum()), float(np.percentile(other[clear] / reference[clear], 10))


def _cut(image: np.ndarray, box: tuple[int, int, int]) -> np.ndarray:
    x0, y0, side = box
    padded = np.pad(image, ((side, side), (side, side), *[(0, 0)] * (image.ndim - 2)))
    return np.ascontiguousarray(padded[y0 + side : y0 + 2 * side, x0 + side : x0 + 2 * side])


def _lesions(mask: np.ndarray, size: int) -> Iterator[Lesion]:
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


def main(words: list[str] | None = None) -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--idrid", type=Path, required=True, help="folder of IDRiD")
    parser.add_argument("--photographs", type=int, help="so many of them; default: all")
    parser.add_argument("--out", type=Path, default=FOLDER / "lesion_contrast.json", help="JSON file")
    known = parser.parse_args(words)
    prepared: dict[str, list[np.ndarray]] = {f"{size} px": [] for size in SIZES}
    scaled: dict[str, list[np.ndarray]] = {f"{e}/8, {t}": [] for e in EIGHTHS for t in OVERSAMPLING}
    for photograph in photographs(known.idrid, known.photographs):
        for size in SIZES:
            prepared[f"{size} px"].append(contrasts(photograph, size, decode(photograph.path, size)))
        data = photograph.path.read_bytes()
        for eighths in EIGHTHS:
            decoded = decode_at(data, eighths)
            side = field_of_view(decoded).side
            for times in OVERSAMPLING:
                found = contrasts(photograph, round(side / times), decoded)
                scaled[f"{eighths}/8, {times}"].append(found)
    figures = {
        "as prepared, at": _table("as prepared, at", prepared),
        "decoded at, field over working image": _table("decoded at, field over working image", scaled),
    }
    write(known.out, figures)


def _table(title: str, rows: dict[str, list[np.ndarray]]) -> dict[str, dict[str, float]]:
    print(f"\n| {title} | lesions | in sum | tenth | bilinear: in sum | tenth |\n|---|---|---|---|---|---|")
    figures = {}
    for name, parts in rows.items():
        whole = np.concatenate(parts)
        values = (*kept(whole[:, :2]), *kept(whole[:, ::2]))
        print(f"| {name} | {len(whole)} | {' | '.join(f'{value:.3f}' for value in values)} |", flush=True)
        names = ("in sum", "tenth", "bilinear in sum", "bilinear tenth")
        figures[name] = {"lesions": len(whole), **dict(zip(names, values, strict=True))}
    return figures


if __name__ == "__main__":
    main()
