"""The shapes of lesions, in disc diameters; a disc is about 1.8 mm, so 125 µm are 0.069."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from retinalab.records import LESIONS
from retinalab.synthetic.geometry import Canvas

__all__ = ["Lesion", "blobs", "draw_lesions", "lesion_masks"]

_COVERED = 40  # of 255: a pixel belongs to the mask when about a sixth to a third of it is covered
_NV_ANNOTATED = 0.045  # width at which an annotator draws a new vessel
Stroke = tuple[np.ndarray, float, float]


@dataclass(frozen=True)
class Lesion:
    """One lesion, or one cluster of spots drawn as one.

    Attributes:
        kind: one of ``retinalab.records.LESIONS``.
        form: dot, blot, flame, spot, cluster, ring, wool, cloud, boat, disc, elsewhere, band.
        x, y: its centre in retinal coordinates.
        extent: its largest diameter in disc diameters.
        polygons: outlines ``(n, 2)`` in retinal coordinates.
        values: strength of each outline in [0.5, 1].
        strokes: (line (n, 2), diameter, strength).
    """

    kind: str
    form: str
    x: float
    y: float
    extent: float
    polygons: tuple[np.ndarray, ...] = ()
    values: tuple[float, ...] = ()
    strokes: tuple[Stroke, ...] = field(default=())


def blobs(
    rng: np.random.Generator,
    centres: np.ndarray,
    radii: np.ndarray,
    rough: float,
    aspect: np.ndarray | float = 1.0,
    angle: np.ndarray | float = 0.0,
    points: int = 14,
) -> list[np.ndarray]:
    """Irregular round outlines.

    Args:
        rng: source of the irregularity.
        centres: ``(n, 2)``.
        radii: ``(n,)``, of the circle of equal area.
        rough: standard deviation of the radius round the outline, relative.
        aspect: length over width.
        angle: direction of the long axis, radians.
        points: corners of an outline.
    """
    count = len(centres)
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    orders = np.arange(1, 6)
    weights = rng.normal(0, 1, (2, count, len(orders))) / orders**0.7
    waves = weights[0] @ np.cos(orders[:, None] * turn) + weights[1] @ np.sin(orders[:, None] * turn)
    radius = np.clip(1 + rough * waves / 1.5, 0.35, 1.9) * np.asarray(radii)[:, None]
    stretch = np.sqrt(np.broadcast_to(np.asarray(aspect, float), count))[:, None]
    along, across = radius * np.cos(turn) * stretch, radius * np.sin(turn) / stretch
    tilt = np.broadcast_to(np.asarray(angle, float), count)[:, None]
    x = along * np.cos(tilt) - across * np.sin(tilt)
    y = along * np.sin(tilt) + across * np.cos(tilt)
    outlines = np.stack([x, y], axis=2) + np.asarray(centres)[:, None]
    return list(outlines)


def draw_lesions(canvas: Canvas, lesions: Sequence[Lesion]) -> dict[str, np.ndarray]:
    """``(H, W)`` uint8 strength per kind that occurs."""
    drawn: dict[str, np.ndarray] = {}
    for kind in dict.fromkeys(lesion.kind for lesion in lesions):
        plane = canvas.plane()
        alike = [lesion for lesion in lesions if lesion.kind == kind]
        outlines = [outline for lesion in alike for outline in lesion.polygons]
        canvas.fill(plane, outlines, [value for lesion in alike for value in lesion.values])
        for lesion in alike:
            for line, diameter, value in lesion.strokes:
                canvas.stroke(plane, line, diameter, value)
        drawn[kind] = canvas.coverage(plane)
    return drawn


def lesion_masks(
    canvas: Canvas, lesions: Sequence[Lesion], drawn: dict[str, np.ndarray], inside: np.ndarray
) -> np.ndarray:
    """Masks of the eight lesions.

    A pixel belongs to a lesion when about a quarter of it is covered; every outline marks at least the pixel
    at its centre, as a mask reduced from full resolution would.

    Args:
        canvas: the pixels.
        lesions: what is drawn.
        drawn: the result of :func:`draw_lesions` on the same canvas.
        inside: ``(H, W)`` bool, the field of view.

    Shape:
        - Returns: ``(8, H, W)``, bool, planes in the order of ``retinalab.records.LESIONS``.
    """
    masks = np.zeros((len(LESIONS), canvas.height, canvas.width), bool)
    for kind, plane in drawn.items():
        if kind not in LESIONS:
            continue
        mask = masks[LESIONS.index(kind)]
        if kind == "NV":
            plane = canvas.plane()
            for lesion in lesions:
                if lesion.kind == kind:
                    for line, diameter, _ in lesion.strokes:
                        canvas.stroke(plane, line, max(diameter, _NV_ANNOTATED), 1.0)
            plane = canvas.coverage(plane)
        mask |= plane >= _COVERED
        outlines = [outline for lesion in lesions if lesion.kind == kind for outline in lesion.polygons]
        if outlines:
            lengths = np.array([len(outline) for outline in outlines])
            starts = np.cumsum(lengths) - lengths
            centres = np.add.reduceat(np.concatenate(outlines), starts, axis=0) / lengths[:, None]
            columns, rows = np.round(canvas.points(centres)).astype(int).T
            seen = (columns >= 0) & (columns < canvas.width) & (rows >= 0) & (rows < canvas.height)
            mask[rows[seen], columns[seen]] = True
        mask &= inside
    return masks


def soften(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a plane, at reduced size where that changes nothing visible; sigma in pixels."""
    if sigma < 0.3:
        return plane
    if sigma < 6:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma))
    step = int(sigma / 2.5)
    height, width = plane.shape
    small = cv2.resize(plane, (max(width // step, 2), max(height // step, 2)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
