"""The lesions of proliferative retinopathy: new vessels, bleeding in front of the retina, fibrous tissue."""

from __future__ import annotations

import numpy as np

from retinalab.synthetic.lesions import Lesion, blobs
from retinalab.synthetic.placement import Place, draw_points

__all__ = ["fibrous_proliferation", "new_vessels", "preretinal_haemorrhage", "vitreous_haemorrhage"]


def new_vessels(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    if rng.random() < 0.4:
        root = disc + rng.normal(0, 0.12, 2)
        size, form, spread = rng.uniform(0.45, 0.95), "disc", 2 * np.pi
    else:
        points = draw_points(rng, disc, place, 30, 0.4, 0.9)
        points = points[np.hypot(*points.T) > 1.2]
        if not len(points):
            return []
        root, size, form, spread = points[0], rng.uniform(0.35, 0.8), "elsewhere", rng.uniform(2.0, 4.5)
    heading = rng.uniform(0, 2 * np.pi)
    count = int(rng.integers(12, 24))
    steps = 16
    start = heading + rng.uniform(-spread / 2, spread / 2, count)
    curl = rng.normal(0, 0.16, (count, 1)) + rng.normal(0, 0.28, (count, steps))
    angle = start[:, None] + np.cumsum(curl, axis=1)
    length = size * rng.uniform(0.45, 1.0, count) / steps
    course = np.stack([np.cos(angle), np.sin(angle)], axis=2) * length[:, None, None]
    lines = root + rng.normal(0, size * 0.09, (count, 1, 2)) + np.cumsum(course, axis=1)
    arcs = []
    for _ in range(int(rng.integers(4, 9))):  # loops that join the tips
        first, second = lines[int(rng.integers(count)), -1], lines[int(rng.integers(count)), -1]
        middle = (first + second) / 2 + (((first + second) / 2) - root) * 0.3
        t = np.linspace(0, 1, 10)[:, None]
        if np.hypot(*(first - second)) < size:
            arcs.append((1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * second)
    strokes = tuple(
        (line, float(rng.uniform(0.008, 0.017)), float(rng.uniform(0.45, 0.85))) for line in [*lines, *arcs]
    )
    return [Lesion("NV", form, float(root[0]), float(root[1]), float(2 * size), strokes=strokes)]


def preretinal_haemorrhage(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    points = draw_points(rng, disc, place, 20, 0.5, 0.7)
    points = points[np.hypot(*points.T) > 0.7]
    if not len(points):
        return []
    centre, width = points[0], rng.uniform(0.4, 1.5)
    depth = width * rng.uniform(0.3, 0.75)
    t = np.linspace(0, np.pi, 22)
    ripple = (
        1 + 0.10 * np.sin(np.arange(22) * rng.uniform(0.3, 0.9) + rng.uniform(0, 6)) + rng.normal(0, 0.02, 22)
    )
    hull = np.stack([-np.cos(t) * 0.5 * width, np.sin(t) ** rng.uniform(0.6, 1.1) * depth], axis=1)
    hull *= ripple[:, None]
    sag = rng.normal(0, 0.05) * width  # the level of settled blood is flat, or nearly so
    top = np.stack([np.linspace(0.5, -0.5, 10) * width, sag * np.sin(np.linspace(0, np.pi, 10))], axis=1)
    top[1:-1] += rng.normal(0, 0.008 * width, (8, 2))
    lean = rng.normal(0, 0.12)
    turn = np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]])
    outline = np.vstack([hull, top]) @ turn + centre - [0, depth / 2]
    return [Lesion("PH", "boat", float(centre[0]), float(centre[1]), float(width), (outline,), (1.0,))]


def vitreous_haemorrhage(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    points = draw_points(rng, disc, place, 5, 0.4, 0.0)
    if not len(points):
        return []
    centre, size = points[0], rng.uniform(0.5, 1.3)
    parts = int(rng.integers(3, 7))
    centres = centre + rng.normal(0, size * 0.55, (parts, 2))
    outlines = blobs(
        rng,
        centres,
        size * rng.uniform(0.3, 0.65, parts),
        0.3,
        rng.uniform(1, 2.5, parts),
        rng.uniform(0, np.pi, parts),
        24,
    )
    values = tuple(rng.uniform(0.5, 1.0, parts).tolist())
    return [
        Lesion("VH", "cloud", float(centre[0]), float(centre[1]), float(2.2 * size), tuple(outlines), values)
    ]


def fibrous_proliferation(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    points = draw_points(rng, disc, place, 20, 0.4, 0.5)
    points = points[np.hypot(*points.T) > 0.8]
    if not len(points):
        return []
    centre = points[0]
    along = np.arctan2(*(centre - disc)[::-1]) + np.pi / 2 + rng.normal(0, 0.4)
    length, steps = rng.uniform(0.6, 1.5), 16
    angle = along + np.cumsum(rng.normal(0, 0.09, steps))
    spine = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=1) * length / steps, axis=0)
    spine += centre - spine.mean(axis=0)
    normal = np.array([-np.sin(along), np.cos(along)])
    half = (
        rng.uniform(0.08, 0.2) * np.sin(np.linspace(0.25, np.pi - 0.1, steps)) * rng.uniform(0.6, 1.3, steps)
    )
    sheet = np.vstack([spine + half[:, None] * normal, (spine - half[:, None] * normal)[::-1]])
    strokes = []
    for _ in range(int(rng.integers(3, 8))):  # strands that run along the sheet and out of it
        first = int(rng.integers(0, steps // 2))
        strand = spine[first : first + int(rng.integers(6, steps))] + normal * rng.normal(0, 0.06)
        fan = np.linspace(0, rng.normal(0, 0.25), len(strand))[:, None] * normal
        strokes.append((strand + fan, float(rng.uniform(0.025, 0.07)), float(rng.uniform(0.6, 1.0))))
    return [
        Lesion(
            "FP", "band", float(centre[0]), float(centre[1]), float(length), (sheet,), (0.55,), tuple(strokes)
        )
    ]
