"""Which lesions an eye of a wanted severity gets, and where; the rules then say what its grade is."""

from __future__ import annotations

import numpy as np

from retinalab.synthetic.lesions import Lesion, blobs
from retinalab.synthetic.placement import DISC_MARGIN, Place, and_farther_out, draw_points, spread
from retinalab.synthetic.proliferative import (
    fibrous_proliferation,
    new_vessels,
    preretinal_haemorrhage,
    vitreous_haemorrhage,
)

__all__ = ["plan_lesions"]

_NEAR, _FAR = (
    0.85,
    1.15,
)  # exudates keep clear of the one-disc-diameter line, so that no pixel size moves a label
_CROWDED, _SPARSE = (24, 31), 14  # haemorrhages per quadrant, clear of the 20 of the rule


def plan_lesions(
    rng: np.random.Generator, target: int, disc: tuple[float, float], place: Place
) -> list[Lesion]:
    """Lesions of one eye.

    Args:
        rng: the eye's own source.
        target: wanted ICDR severity 0-4; what is made of it is decided by the rules.
        disc: centre of the disc in retinal coordinates.
        place: the field that all views share.
    """
    at = np.asarray(disc)
    if target == 0:
        return _other_disease(rng, at, place)
    if target == 1:
        return _microaneurysms(rng, at, place, 1 + int(rng.gamma(1.3, 6.0)))
    lesions: list[Lesion] = []
    four = rng.permutation(4)[: 1 + int(rng.random() < 0.35)] if target == 4 else ()
    background = target if target < 4 else int(rng.choice([1, 2, 2, 3, 3]))
    severe_by_count = background == 3 and rng.random() < 0.3
    lesions += _microaneurysms(rng, at, place, 2 + int(rng.gamma(1.5, 8.0 + 4 * background)))
    if background >= 2:
        with_blood = rng.random() < 0.85 or severe_by_count
        if with_blood:
            lesions += _haemorrhages(rng, at, place, severe_by_count)
        if not with_blood or rng.random() < 0.55:
            lesions += _exudates(rng, at, place)
    if background == 3 and (not severe_by_count or rng.random() < 0.4):
        lesions += _cotton_wool(rng, at, place, 1 + int(rng.poisson(2.2)))
    for which in four:
        lesions += (new_vessels, preretinal_haemorrhage, vitreous_haemorrhage, fibrous_proliferation)[which](
            rng, at, place
        )
    if target == 4 and rng.random() < 0.3:
        lesions += new_vessels(rng, at, place)
    return lesions


def _other_disease(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    chance = rng.random()
    if chance < 0.10:
        return _exudates(rng, disc, place)
    if chance < 0.15:
        return _cotton_wool(rng, disc, place, 1 + int(rng.poisson(0.8)))
    if chance < 0.18:
        return fibrous_proliferation(rng, disc, place)
    return []


def _microaneurysms(rng: np.random.Generator, disc: np.ndarray, place: Place, count: int) -> list[Lesion]:
    points = draw_points(rng, disc, place, min(count, 130), 0.1)
    points = and_farther_out(rng, disc, points, 0.4)
    points = points[np.hypot(*points.T) > 0.12]
    radii = np.clip(rng.lognormal(np.log(0.0290), 0.40, len(points)), 0.012, 0.066) / 2
    keep = spread(points, radii, 0.03)
    outlines = blobs(rng, points[keep], radii[keep], 0.16, points=10)
    values = rng.uniform(0.35, 0.95, len(keep))
    return [
        Lesion(
            "MA",
            "dot",
            float(points[i, 0]),
            float(points[i, 1]),
            float(2 * radii[i]),
            (outline,),
            (float(value),),
        )
        for i, outline, value in zip(keep, outlines, values, strict=True)
    ]


def _quadrants(points: np.ndarray, disc: np.ndarray) -> np.ndarray:
    axis = disc / np.hypot(*disc)
    return np.asarray(2 * (points @ axis >= 0) + (points @ np.array([-axis[1], axis[0]]) >= 0))


def _haemorrhages(rng: np.random.Generator, disc: np.ndarray, place: Place, crowded: bool) -> list[Lesion]:
    if crowded:
        points = draw_points(rng, disc, place, 480, 0.15)
        radii = np.clip(rng.lognormal(np.log(0.058), 0.58, len(points)), 0.028, 0.30) / 2
    else:
        points = and_farther_out(
            rng, disc, draw_points(rng, disc, place, 2 + int(rng.gamma(1.2, 8.0)), 0.2), 0.4
        )
        radii = np.clip(rng.lognormal(np.log(0.082), 0.67, len(points)), 0.030, 0.42) / 2
        radii[: 1 + int(rng.integers(3))] *= 1.5
    flame = rng.random(len(points)) < np.where(radii > 0.045, 0.4, 0.1) * (np.hypot(*points.T) > 0.8)
    aspect = np.where(flame, rng.uniform(2.2, 4.5, len(points)), rng.uniform(1.0, 1.9, len(points)))
    reach = radii * np.sqrt(aspect) * 1.15
    axis = disc / np.hypot(*disc)
    off_axes = np.minimum(np.abs(points @ axis), np.abs(points @ np.array([-axis[1], axis[0]]))) > 0.1
    keep = np.flatnonzero((np.hypot(*points.T) > 0.15) & (off_axes | (not crowded)))
    keep = keep[spread(points[keep], reach[keep], 0.06)]
    quadrant = _quadrants(points[keep], disc)
    limits = rng.integers(*_CROWDED, 4) if crowded else np.full(4, 60)
    if not crowded:
        limits[int(rng.integers(4))] = _SPARSE
    rank = np.array([int(np.sum(quadrant[:k] == q)) for k, q in enumerate(quadrant)], int)
    keep = keep[rank < limits[quadrant]]
    radial = np.arctan2(points[:, 1] - disc[1], points[:, 0] - disc[0])
    # nerve fibres arch from the disc round the fovea: temporal ones lie flatter than the radius
    angle = np.where(flame, radial + rng.normal(0, 0.2, len(points)), rng.uniform(0, np.pi, len(points)))
    values = rng.uniform(0.55, 1.0, len(points))
    outlines = blobs(rng, points, radii, 0.3, aspect, angle, 18)
    cores = rng.uniform(0.4, 0.8, len(points)), rng.normal(0, 0.1, (len(points), 2)) * radii[:, None]
    lesions = []
    for i in keep:
        form = "flame" if flame[i] else "dot" if radii[i] < 0.04 else "blot"
        outline = _flame(rng, points[i], radii[i], aspect[i], angle[i]) if flame[i] else outlines[i]
        # the middle is denser than the margin
        core = points[i] + (outline - points[i]) * cores[0][i] + cores[1][i]
        x, y, extent = float(points[i, 0]), float(points[i, 1]), float(2 * reach[i])
        lesions.append(Lesion("HE", form, x, y, extent, (outline, core), (0.72 * values[i], values[i])))
    return lesions


def _flame(
    rng: np.random.Generator, centre: np.ndarray, radius: float, aspect: float, angle: float
) -> np.ndarray:
    """A streak along the nerve fibres with feathered ends."""
    t = np.linspace(-1, 1, 12)
    half = radius / np.sqrt(aspect) * np.sqrt(np.clip(1 - np.abs(t) ** 1.7, 0, 1)) * 1.15
    top, bottom = (half * rng.uniform(0.45, 1.25, len(t)) for _ in range(2))
    x = np.concatenate([t, t[::-1]]) * radius * np.sqrt(aspect) * 1.15
    y = np.concatenate([top, -bottom[::-1]])
    x = x + np.tile(rng.normal(0, 0.06 * radius, len(t)), 2)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(np.stack([x * cos - y * sin, x * sin + y * cos], axis=1) + centre)


def _exudates(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    near = rng.random() < 0.5
    lesions: list[Lesion] = []
    amount = rng.lognormal(-0.2, 0.9)
    for number in range(1 + min(int(rng.poisson(1.6 * np.sqrt(amount))), 7)):
        centre = _exudate_centre(rng, disc, place, near and number == 0)
        if centre is None:
            continue
        count = 2 + min(int(rng.gamma(0.8, 60.0 * amount)), 260)
        ring = rng.random() < 0.25
        size = rng.uniform(0.15, 0.6)
        turn = rng.uniform(0, 2 * np.pi, count)
        if ring:
            arc = rng.uniform(0.5, 1.0)
            offset = np.stack([np.cos(turn * arc), np.sin(turn * arc)], axis=1) * size
            offset += rng.normal(0, 0.045, offset.shape)
        else:
            offset = rng.normal(0, size / 2, (count, 2)) * [1.0, rng.uniform(0.5, 1.0)]
            offset *= rng.lognormal(-0.3, 0.6, (count, 1))
        offset[0] *= 0.1 if not ring else 1.0
        points = centre + offset
        radii = np.clip(rng.lognormal(np.log(0.0324), 0.57, count), 0.012, 0.26) / 2
        # plaques grow together in the middle of a cluster, specks surround it
        radii *= 0.85 + 0.8 * np.exp(-((np.hypot(*offset.T) / (0.35 * size)) ** 2))
        clear = np.hypot(*(points - disc).T) - radii > DISC_MARGIN
        distance = np.hypot(*points.T)
        if near and number == 0:
            points[0] = centre
            clear[0] = True
        elif not near:
            clear &= distance - 1.7 * radii > _FAR
        clear &= distance > 0.06
        if not clear.any():
            continue
        points, radii = points[clear], radii[clear]
        outlines = blobs(rng, points, radii, 0.22, rng.uniform(1, 1.8, len(points)), turn[clear], 12)
        values = np.clip(rng.normal(0.85, 0.12, len(points)), 0.5, 1.0)
        extent = float(np.hypot(*(points - centre).T).max() * 2 + 0.05)
        form = "ring" if ring else "cluster" if len(points) > 1 else "spot"
        lesions.append(
            Lesion(
                "EX",
                form,
                float(centre[0]),
                float(centre[1]),
                extent,
                tuple(outlines),
                tuple(values.tolist()),
            )
        )
    return lesions


def _exudate_centre(
    rng: np.random.Generator, disc: np.ndarray, place: Place, near: bool
) -> np.ndarray | None:
    if near:
        turn, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, _NEAR - 0.03)
        return np.asarray(np.array([np.cos(turn), np.sin(turn)]) * distance)
    points = draw_points(rng, disc, place, 12, 0.3, 0.9)
    points = points[np.hypot(*points.T) > 1.5]
    return points[0] if len(points) else None


def _cotton_wool(rng: np.random.Generator, disc: np.ndarray, place: Place, count: int) -> list[Lesion]:
    points = draw_points(rng, disc, place, 6 * count, 0.25, 0.95)
    points = points[np.hypot(*points.T) > 0.9][:count]
    radii = np.clip(rng.lognormal(np.log(0.19), 0.27, len(points)), 0.12, 0.27) / 2
    lesions = []
    for point, radius in zip(points, radii, strict=True):
        parts = int(rng.integers(2, 5))
        angle = np.arctan2(*(point - disc)[::-1]) + np.pi / 2
        centres = point + rng.normal(0, radius * 0.3, (parts, 2))
        outlines = blobs(rng, centres, radius * rng.uniform(0.55, 0.85, parts), 0.25, 1.4, angle, 18)
        values = tuple(rng.uniform(0.6, 1.0, parts).tolist())
        lesions.append(
            Lesion(
                "SE", "wool", float(point[0]), float(point[1]), float(2.4 * radius), tuple(outlines), values
            )
        )
    return lesions
