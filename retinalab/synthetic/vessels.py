"""Arteries and veins: branching trees from the disc, arcades round the macula."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from retinalab.synthetic.geometry import Canvas

__all__ = ["Vessel", "draw_vessels", "grow_vessels"]

_STEP = 0.06  # disc diameters between two points of a vessel
_SMALLEST = 0.0065  # radius at which a branch ends, 12 µm
_AVASCULAR = 0.28  # radius of the foveal avascular zone


@dataclass(frozen=True)
class Vessel:
    """One unbranched course: ``points`` (n, 2) and ``radius`` (n,) in disc diameters."""

    points: np.ndarray
    radius: np.ndarray
    artery: bool


def grow_vessels(rng: np.random.Generator, disc: tuple[float, float], tortuosity: float) -> list[Vessel]:
    """Grow the vessels of one eye in retinal coordinates.

    Four pairs of trunks leave the disc, two of them as arcades round the macula. At each branching the cubes
    of the daughters' radii sum to that of the parent (Murray's law), so a trunk tapers as it branches.

    Reference: Murray, The physiological principle of minimum work, PNAS 1926.
    """
    grown: list[Vessel] = []
    trunks = _trunks(rng, np.asarray(disc), tortuosity)
    parents = []
    for points, radius, artery in trunks:
        vessel, buds = _branch_off(rng, points, radius, artery, spacing=0.62)
        grown.append(vessel)
        parents.extend(buds)
    for level in range(2):
        children = []
        for points, radius, artery in _extend(rng, parents, tortuosity):
            vessel, buds = _branch_off(rng, points, radius, artery, spacing=0.7 + 0.2 * level)
            grown.append(vessel)
            children.extend(buds)
        parents = children
    return grown


def _spline(knots: np.ndarray) -> np.ndarray:
    """Catmull-Rom curve through knots ``(n, 2)``, resampled at equal steps."""
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    t = np.linspace(0, 1, 16, endpoint=False)[:, None, None]
    a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.transpose(1, 0, 2).reshape(-1, 2)
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    where = np.arange(0, along[-1], _STEP)
    return np.stack([np.interp(where, along, curve[:, 0]), np.interp(where, along, curve[:, 1])], axis=1)


def _wave(rng: np.random.Generator, shape: tuple[int, int], width: int) -> np.ndarray:
    """Smooth noise along the last axis, unit variance."""
    noise = rng.standard_normal((shape[0], shape[1] + width))
    total = np.cumsum(noise, axis=1)
    return np.asarray((total[:, width:] - total[:, :-width]) / np.sqrt(width))


def _trunks(
    rng: np.random.Generator, disc: np.ndarray, tortuosity: float
) -> list[tuple[np.ndarray, float, bool]]:
    trunks = []
    roots = {artery: rng.normal([0.05, 0.0], 0.03) for artery in (False, True)}
    for side in (-1.0, 1.0):
        high = rng.uniform(1.55, 2.3)
        for artery in (False, True):
            h = high + (rng.uniform(-0.38, -0.14) if artery else 0.0) * rng.choice([1, 1, -1])
            lean = rng.uniform(-0.12, 0.12) + (0.08 if artery else 0.0)
            far, tilt = rng.uniform(0.55, 1.0), rng.uniform(0.5, 1.15)
            arcade = [[0.02 + lean, 0.42], [-0.28 + lean, 0.55 * h], [-1.05 + lean, 0.88 * h], [-2.2, h]]
            arcade += [
                [-3.6, h * rng.uniform(0.9, 1.05)],
                [-4.9, h * (0.45 + 0.5 * far)],
                [-6.4, h * (0.1 + 0.7 * far)],
            ]
            nasal = [
                [0.22 + lean, 0.45],
                [0.65, 0.55 + 0.55 * tilt],
                [1.6, 0.8 + 1.1 * tilt],
                [3.2, 1.0 + 1.9 * tilt],
            ]
            radius = rng.uniform(0.025, 0.033) if artery else rng.uniform(0.034, 0.046)
            for course, width in ((arcade, radius), (nasal, radius * rng.uniform(0.62, 0.85))):
                knots = np.vstack([roots[artery], np.array(course) * [1.0, side]])
                knots[2:] += rng.normal(0, 0.11, (len(knots) - 2, 2))
                trunks.append((_spline(disc + knots), width, artery))
    for _ in range(int(rng.integers(3, 7))):
        turn = rng.choice([np.pi, 0.0], p=[0.6, 0.4]) + rng.normal(0, 0.5)
        heading = np.array([np.cos(turn), np.sin(turn)])
        artery = bool(rng.integers(2))
        reach = rng.uniform(1.2, 2.0) if heading[0] < 0 else rng.uniform(1.5, 3.0)
        bend = np.array([-heading[1], heading[0]]) * rng.normal(0, 0.25)
        knots = np.array([roots[artery], heading * 0.6 + bend * 0.4, heading * reach + bend])
        trunks.append((_spline(disc + knots), rng.uniform(0.011, 0.019), artery))
    wavy = []
    for points, radius, artery in trunks:
        tangent = np.gradient(points, axis=0)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / np.hypot(*tangent.T)[:, None]
        swing = _wave(rng, (1, len(points)), 15)[0] * 0.022 * tortuosity * np.linspace(0.3, 1.3, len(points))
        points = points + normal * swing[:, None] * (1.3 if artery else 1.0)
        outside = np.hypot(*points.T) > _AVASCULAR
        if not outside.all():
            points = points[: int(np.argmin(outside))]
        wavy.append((points, radius, artery))
    return wavy


_Bud = tuple[np.ndarray, float, float, float, bool]


def _branch_off(
    rng: np.random.Generator, points: np.ndarray, radius: float, artery: bool, spacing: float
) -> tuple[Vessel, list[_Bud]]:
    """The vessel tapered by its branches, and their buds (place, heading, radius, side, artery)."""
    count = len(points)
    cube = np.full(count, radius**3)
    buds: list[_Bud] = []
    place = int(rng.uniform(0.4, 1.2) * spacing / _STEP) + 3
    side = float(rng.choice([-1.0, 1.0]))
    while place < count - 2:
        here = cube[place] ** (1 / 3)
        if here < _SMALLEST * 1.15:
            break
        ratio = rng.beta(1.2, 2.2) * 0.68 + 0.22
        child = here * ratio
        if child > _SMALLEST * 0.9:
            step = points[place + 1] - points[place - 1]
            buds.append((points[place], float(np.arctan2(step[1], step[0])), float(child), side, artery))
            cube[place:] -= child**3
        side = -side if rng.random() < 0.75 else side
        place += 1 + int(rng.uniform(0.5, 1.6) * spacing / _STEP)
    taper = np.linspace(1.0, 0.72 if radius > 0.025 else 0.4, count)
    taper = np.minimum(taper, 0.15 + np.arange(count)[::-1] / 10)
    return Vessel(points, np.maximum(np.cbrt(np.maximum(cube, 1e-9)) * taper, _SMALLEST * 0.6), artery), buds


def _extend(
    rng: np.random.Generator, buds: list[_Bud], tortuosity: float
) -> list[tuple[np.ndarray, float, bool]]:
    """Courses of branches: they leave at an angle, then turn towards the macula or away from it."""
    if not buds:
        return []
    start = np.array([bud[0] for bud in buds])
    heading, radius, side = (np.array([bud[k] for bud in buds]) for k in (1, 2, 3))
    length = np.clip(rng.uniform(0.7, 1.5, len(buds)) * 1.9 * (radius / 0.02) ** 0.75, 0.25, 4.0)
    steps = int(length.max() / _STEP) + 2
    leave = heading + side * rng.uniform(0.45, 1.0, len(buds))
    inward = np.arctan2(-start[:, 1], -start[:, 0])
    outward = heading + side * rng.uniform(0.1, 0.7, len(buds))
    towards = np.cos(leave - inward) > 0.25
    goal = np.where(towards, inward + rng.normal(0, 0.35, len(buds)), outward)
    turn = (goal - leave + np.pi) % (2 * np.pi) - np.pi
    along = np.arange(steps) * _STEP
    bend = 1 - np.exp(-along / rng.uniform(0.35, 0.9, len(buds))[:, None])
    wander = _wave(rng, (len(buds), steps), 7) * 0.10 * tortuosity + _wave(rng, (len(buds), steps), 16) * 0.30
    angle = leave[:, None] + turn[:, None] * bend + wander
    course = np.stack([np.cos(angle), np.sin(angle)], axis=2) * _STEP
    course = start[:, None] + np.cumsum(course, axis=1) - course[:, :1]
    near = np.hypot(course[..., 0], course[..., 1]) < _AVASCULAR
    stop = np.where(near.any(axis=1), near.argmax(axis=1), steps)
    stop = np.minimum(stop, (length / _STEP).astype(int))
    return [(course[k, : stop[k]], float(radius[k]), bud[4]) for k, bud in enumerate(buds) if stop[k] >= 4]


def draw_vessels(canvas: Canvas, vessels: list[Vessel]) -> tuple[np.ndarray, np.ndarray]:
    """Draw the trees.

    Returns:
        ``(H, W)`` uint8 optical depth of blood (255 the widest vein), and ``(H, W)`` bool mask.
    """
    plane = canvas.plane()
    for vessel in sorted(vessels, key=lambda vessel: float(vessel.radius[0])):
        count = len(vessel.points)
        pieces = max(1, min(count // 5, 7))
        edges = np.linspace(0, count - 1, pieces + 1).astype(int)
        for first, last in pairwise(edges):
            radius = float(vessel.radius[(first + last) // 2])
            depth = min(1.0, (radius / 0.046) ** 0.95) * (0.60 if vessel.artery else 0.95)
            line = vessel.points[first : last + 1]
            canvas.stroke(plane, line, 2 * radius, depth)
            if radius > 0.014 and 2 * radius * canvas.scale * canvas.factor > 4:
                canvas.stroke(plane, line, 0.6 * radius, depth * (0.6 if vessel.artery else 0.82))
    mask = canvas.coverage((plane > 0).view(np.uint8) * np.uint8(255)) > 127
    return canvas.coverage(plane), mask
