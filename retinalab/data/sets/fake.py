"""Drawn stand-ins in official layouts: plain discs, for tests of the way of the data and of nothing else."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

__all__ = ["fake_image", "fake_mask", "fake_photograph", "write_csv"]

_SHAPE = (72, 96)


def fake_image(seed: int, grade: int = 0, shape: tuple[int, int] = _SHAPE) -> np.ndarray:
    """An orange disc on black with a pale optic disc, a few vessels of its own and ``3 * grade`` dark dots.

    The vessels make each a picture of its own: without them two would be near copies.

    Shape:
        - Returns: ``(H, W, 3)``, uint8, RGB.
    """
    generator = np.random.default_rng(seed)
    height, width = shape
    radius = int(0.46 * height)
    image = np.zeros((height, width, 3), np.uint8)
    centre = (width // 2, height // 2)
    colour = (170 + int(generator.integers(40)), 80 + int(generator.integers(30)), 40)
    cv2.circle(image, centre, radius, colour, cv2.FILLED)
    cv2.circle(image, (centre[0] + radius // 2, centre[1]), radius // 7, (240, 220, 150), cv2.FILLED)
    _vessels(image, centre, radius, np.random.default_rng([seed, 1]))
    for _ in range(3 * grade):
        angle, distance = generator.uniform(0, 2 * np.pi), generator.uniform(0, 0.7 * radius)
        spot = (int(centre[0] + distance * np.cos(angle)), int(centre[1] + distance * np.sin(angle)))
        cv2.circle(image, spot, max(1, height // 50), (90, 15, 10), cv2.FILLED)
    return image


def _vessels(image: np.ndarray, centre: tuple[int, int], radius: int, generator: np.random.Generator) -> None:
    for _ in range(7):
        start, end = generator.uniform(0, 2 * np.pi, 2)
        bend = generator.uniform(-0.6, 0.6, 2)
        share = np.linspace(-1, 1, 20)[:, None]
        ends = 0.9 * np.array([[np.cos(start), np.sin(start)], [np.cos(end), np.sin(end)]])
        line = (ends[0] * (1 - share) + ends[1] * (1 + share)) / 2 + bend * (1 - share**2)
        inside = line * np.minimum(1, 0.9 / np.maximum(np.hypot(*line.T), 1e-9))[:, None]
        points = np.rint(inside * radius + centre).astype(np.int32)
        cv2.polylines(image, [points], False, (120, 40, 25), max(1, radius // 16))


def fake_photograph(path: Path, seed: int, grade: int = 0, shape: tuple[int, int] = _SHAPE) -> None:
    """Write :func:`fake_image` in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(fake_image(seed, grade, shape))
    if path.suffix.lower() in (".jpg", ".jpeg"):
        image.save(path, quality=95)
    else:
        image.save(path)


def fake_mask(path: Path, centre: tuple[int, int], radius: int = 3, shape: tuple[int, int] = _SHAPE) -> None:
    """Write a one-bit mask with one disc in it; ``centre`` is x and y."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(shape, np.uint8)
    cv2.circle(mask, centre, radius, 1, cv2.FILLED)
    Image.fromarray(mask.astype(bool)).save(path)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
