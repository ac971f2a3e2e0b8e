"""Small pictures of the photographs that something was found out about."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from retinalab.data.check.findings import Finding
from retinalab.data.check.photographs import threaded
from retinalab.data.decode import FORMATS, decode_bytes
from retinalab.data.refusal import FAULTS
from retinalab.errors import RetinalabError

__all__ = ["thumbnails"]


def thumbnails(
    findings: Sequence[Finding], roots: Mapping[str, Path], set_: str, side: int = 192, most: int = 12
) -> dict[str, np.ndarray]:
    """Pictures of the photographs named in findings, as far as any decoder shows them.

    Args:
        findings: of one check.
        roots: set -> its folder: the set that was checked and those it was compared with.
        set_: the set that was checked.
        side: longer side in pixels.
        most: findings of a kind that get pictures, the first ones.

    Shape:
        - Returns: image as the finding names it -> ``(H, W, 3)``, uint8, RGB.
    """
    names = list(dict.fromkeys(_wanted(findings, most)))
    pictures = threaded(lambda name: _picture(_path(name, roots, set_), side), names, "thumbnails")
    return {name: picture for name, picture in zip(names, pictures, strict=True) if picture is not None}


def _wanted(findings: Sequence[Finding], most: int) -> Iterator[str]:
    number: Counter[str] = Counter()
    for found in findings:
        number[found.kind] += 1
        if number[found.kind] <= most and found.kind != "checksum":
            yield from found.images


def _path(name: str, roots: Mapping[str, Path], set_: str) -> Path:
    other, colon, image = name.partition(":")
    return roots[other] / image if colon and other in roots else roots[set_] / name


def _picture(path: Path, side: int) -> np.ndarray | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        image = decode_bytes(data, path, side)
    except RetinalabError:
        shown = _shown_by_others(data)
        if shown is None:
            return None
        image = shown
    scale = side / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _shown_by_others(data: bytes) -> np.ndarray | None:
    """What a decoder that is not strict makes of a damaged file."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            return np.asarray(opened.convert("RGB"))
    except (*FAULTS, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
