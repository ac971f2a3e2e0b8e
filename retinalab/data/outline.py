"""A circle or upright ellipse through the outline of the field of view, whatever is cut off or in the way."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Ellipse", "fit_outline"]

_TRIALS = 120
_VOTERS = 96
_TOLERANCE = 0.012
_FEWEST = 24
_SUPPORT = 0.5
_SQUEEZE = 1.3
_PREFER_CIRCLE = 0.9


@dataclass(frozen=True)
class Ellipse:
    """An upright ellipse in continuous image coordinates (the first pixel spans 0 to 1)."""

    cx: float
    cy: float
    rx: float
    ry: float

    def rescale(self, fx: float, fy: float) -> Ellipse:
        """The same outline after the image was stretched by ``fx`` and ``fy``."""
        return Ellipse(self.cx * fx, self.cy * fy, self.rx * fx, self.ry * fy)

    def shift(self, dx: float, dy: float) -> Ellipse:
        """The same outline moved."""
        return Ellipse(self.cx + dx, self.cy + dy, self.rx, self.ry)

    def draw(self, height: int, width: int, margin: float = 1.0) -> np.ndarray:
        """``(height, width)`` uint8: 255 where a pixel's centre lies within ``margin`` times the ellipse."""
        mask = np.zeros((height, width), np.uint8)
        bits = 4
        centre = (round((self.cx - 0.5) * 2**bits), round((self.cy - 0.5) * 2**bits))
        axes = (round(self.rx * margin * 2**bits), round(self.ry * margin * 2**bits))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, cv2.FILLED, cv2.LINE_8, bits)
        return mask


def fit_outline(piece: np.ndarray) -> tuple[Ellipse | None, float]:
    """Fit a circle or, where that explains clearly more of the outline, an upright ellipse.

    Random triples (circle) and quadruples (ellipse) of outline points propose shapes; the one that most of
    the outline agrees with is refined by least squares over those points. Points on the image's border are no
    outline but a cut. The draws are seeded: the same image gives the same fit.

    Shape:
        - ``piece``: ``(H, W)``, bool, the connected field.
        - Returns: the shape, None where too little outline is visible or no shape explains half of it; and the
          share of the outline that lies on it.
    """
    points = _outline(piece)
    if len(points) < _FEWEST:
        return None, 0.0
    generator = np.random.default_rng(0)
    circle, of_circle = _best(points, 3, generator)
    if of_circle >= _PREFER_CIRCLE:  # no ellipse can explain clearly more
        return circle, of_circle
    ellipse, of_ellipse = _best(points, 4, generator)
    best, support = (circle, of_circle) if of_circle >= _PREFER_CIRCLE * of_ellipse else (ellipse, of_ellipse)
    return (best, support) if support >= _SUPPORT else (None, support)


def _outline(piece: np.ndarray) -> np.ndarray:
    height, width = piece.shape
    contours, _ = cv2.findContours(piece.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=len)
    hull = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(contour), 1)
    contours, _ = cv2.findContours(hull, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(contours, key=len)[:, 0, :].astype(np.float64)
    free = (points[:, 0] > 1) & (points[:, 0] < width - 2) & (points[:, 1] > 1) & (points[:, 1] < height - 2)
    return np.asarray(points[free] + 0.5)


def _best(points: np.ndarray, unknowns: int, generator: np.random.Generator) -> tuple[Ellipse | None, float]:
    picks = generator.integers(0, len(points), (_TRIALS, unknowns))
    shapes = _circles(points[picks]) if unknowns == 3 else _solve(points[picks])
    if len(shapes) == 0:
        return None, 0.0
    voters = points[:: max(1, len(points) // _VOTERS)]
    winner = int((_distance(voters, shapes) < _TOLERANCE).sum(axis=1).argmax())
    refined = shapes[winner]
    agreeing = points[_distance(points, refined[None])[0] < _TOLERANCE]
    for _ in range(2):
        candidate = _solve(agreeing[None], unknowns)
        if len(candidate) == 0:
            break
        refined = candidate[0]
        agreeing = points[_distance(points, candidate)[0] < _TOLERANCE]
        if len(agreeing) < _FEWEST:
            break
    share = float((_distance(points, refined[None])[0] < _TOLERANCE).mean())
    cx, cy, rx, ry = (float(value) for value in refined)
    return Ellipse(cx, cy, rx + 0.5, ry + 0.5), share  # contours run through pixel centres


def _circles(points: np.ndarray) -> np.ndarray:
    """Circles through ``(n, 3, 2)`` points as ``(k, 4)`` rows cx, cy, r, r; points on one line have none."""
    first = points[:, 0]
    ax, ay = (points[:, 1] - first).T
    bx, by = (points[:, 2] - first).T
    twice = 2 * (ax * by - ay * bx)
    a, b = ax**2 + ay**2, bx**2 + by**2
    good = np.abs(twice) > 1e-6 * (a + b)
    x = (by * a - ay * b)[good] / twice[good]
    y = (ax * b - bx * a)[good] / twice[good]
    radius = np.hypot(x, y)
    return np.stack([first[good, 0] + x, first[good, 1] + y, radius, radius], axis=1)


def _solve(points: np.ndarray, unknowns: int | None = None) -> np.ndarray:
    """Shapes through ``(n, m, 2)`` points as ``(k, 4)`` rows cx, cy, rx, ry; impossible ones are left out.

    Solves ``x^2 + q y^2 + a x + b y + c = 0``, with q = 1 for a circle.
    """
    unknowns = unknowns or points.shape[1]
    centre = points.mean(axis=1, keepdims=True)
    scale = np.abs(points - centre).max(axis=(1, 2), keepdims=True) + 1e-9
    x, y = np.moveaxis((points - centre) / scale, 2, 0)
    columns = [x, y, np.ones_like(x)]
    target = -(x**2)
    if unknowns == 3:
        target = target - y**2
    else:
        columns.append(y**2)
    design = np.stack(columns, axis=2)
    normal = design.transpose(0, 2, 1) @ design
    good = np.abs(np.linalg.det(normal)) > 1e-12
    if not good.any():
        return np.empty((0, 4))
    right = design[good].transpose(0, 2, 1) @ target[good][..., None]
    solved = np.linalg.solve(normal[good], right)[..., 0]
    a, b, c = solved[:, 0], solved[:, 1], solved[:, 2]
    q = solved[:, 3] if unknowns == 4 else np.ones_like(a)
    with np.errstate(invalid="ignore", divide="ignore"):
        cx, cy = -a / 2, -b / (2 * q)
        square = cx**2 + q * cy**2 - c
        rx, ry = np.sqrt(square), np.sqrt(square / q)
    shapes = np.stack([cx, cy, rx, ry], axis=1) * scale[good][:, 0]
    shapes[:, :2] += centre[good][:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = shapes[:, 2] / shapes[:, 3]
        kept = np.isfinite(shapes).all(axis=1) & (ratio < _SQUEEZE) & (ratio > 1 / _SQUEEZE)
    return np.asarray(shapes[kept])


def _distance(points: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """``(k, n)``: how far each point lies from each outline, in shares of the radius."""
    dx = (points[None, :, 0] - shapes[:, 0:1]) / shapes[:, 2:3]
    dy = (points[None, :, 1] - shapes[:, 1:2]) / shapes[:, 3:4]
    return np.asarray(np.abs(np.hypot(dx, dy) - 1))
