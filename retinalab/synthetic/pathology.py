"""Which lesions an eye of a wanted severity gets, and where; the rules then say what its grade is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from retinalab.synthetic.lesions import Lesion, blobs

__all__ = ["Place", "plan_lesions"]

Place = Callable[[np.ndarray, float], np.ndarray]
"""Which of the points (n, 2) lie at least a margin inside the field that every view of the eye shows."""

_REACH = 3.9  # lesions beyond what every camera shows lie within this distance of the fovea
_DISC = 0.62  # no intraretinal lesion closer to the disc's centre
_NEAR, _FAR = (
    0.85,
    1.15,
)  # exudates keep clear of the one-disc-diameter line, so that no pixel size moves a label
_CROWDED, _SPARSE = (24, 31), 14  # haemorrhages per quadrant, clear of the 20 of the rule
_DEGREE = np.pi / 180


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
        lesions += (_new_vessels, _preretinal, _vitreous, _fibrosis)[which](rng, at, place)
    if target == 4 and rng.random() < 0.3:
        lesions += _new_vessels(rng, at, place)
    return lesions


def _other_disease(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    chance = rng.random()
    if chance < 0.10:
        return _exudates(rng, disc, place)
    if chance < 0.15:
        return _cotton_wool(rng, disc, place, 1 + int(rng.poisson(0.8)))
    if chance < 0.18:
        return _fibrosis(rng, disc, place)
    return []


def _draw_points(
    rng: np.random.Generator, disc: np.ndarray, place: Place, count: int, margin: float, clear: float = _DISC
) -> np.ndarray:
    """Up to ``count`` points of the shared field, off the disc by ``clear``; denser towards the macula."""
    found = np.empty((0, 2))
    for _ in range(6):
        points = rng.uniform(-1, 1, (6 * count + 40, 2)) * [3.6, 3.0]
        near = rng.random(len(points)) < 0.35 + 0.65 * np.exp(-((np.hypot(*points.T) / 2.2) ** 2))
        ok = place(points, margin) & near & (np.hypot(*(points - disc).T) > clear)
        found = np.vstack([found, points[ok]])
        if len(found) >= count:
            break
    return found[:count]


def _spread(points: np.ndarray, reach: np.ndarray, gap: float) -> np.ndarray:
    """Positions of the points that keep a gap to all earlier ones (reach is a radius each)."""
    apart = np.hypot(points[:, None, 0] - points[:, 0], points[:, None, 1] - points[:, 1])
    clash = apart < reach[:, None] + reach + gap
    blocked = np.zeros(len(points), bool)
    kept: list[int] = []
    for k in range(len(points)):
        if not blocked[k]:
            kept.append(k)
            blocked |= clash[k]
    return np.array(kept, int)


def _more(rng: np.random.Generator, disc: np.ndarray, points: np.ndarray, share: float) -> np.ndarray:
    """The points, and some farther out, where only some cameras look."""
    extra = rng.uniform(-_REACH, _REACH, (int(share * len(points)), 2))
    extra[:, 0] += 0.8
    return np.vstack([points, extra[np.hypot(*(extra - disc).T) > _DISC]])


def _microaneurysms(rng: np.random.Generator, disc: np.ndarray, place: Place, count: int) -> list[Lesion]:
    points = _draw_points(rng, disc, place, min(count, 130), 0.1)
    points = _more(rng, disc, points, 0.4)
    points = points[np.hypot(*points.T) > 0.12]
    radii = np.clip(rng.lognormal(np.log(0.0290), 0.42, len(points)), 0.012, 0.066) / 2
    keep = _spread(points, radii, 0.03)
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
        points = _draw_points(rng, disc, place, 480, 0.15)
        radii = np.clip(rng.lognormal(np.log(0.058), 0.58, len(points)), 0.028, 0.30) / 2
    else:
        points = _more(rng, disc, _draw_points(rng, disc, place, 2 + int(rng.gamma(1.2, 8.0)), 0.2), 0.4)
        radii = np.clip(rng.lognormal(np.log(0.082), 0.67, len(points)), 0.030, 0.42) / 2
        radii[: 1 + int(rng.integers(3))] *= 1.5
    flame = rng.random(len(points)) < np.where(radii > 0.045, 0.4, 0.1) * (np.hypot(*points.T) > 0.8)
    aspect = np.where(flame, rng.uniform(2.2, 4.5, len(points)), rng.uniform(1.0, 1.9, len(points)))
    reach = radii * np.sqrt(aspect) * 1.15
    axis = disc / np.hypot(*disc)
    off_axes = np.minimum(np.abs(points @ axis), np.abs(points @ np.array([-axis[1], axis[0]]))) > 0.1
    keep = np.flatnonzero((np.hypot(*points.T) > 0.15) & (off_axes | (not crowded)))
    keep = keep[_spread(points[keep], reach[keep], 0.06)]
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
        radii = np.clip(rng.lognormal(np.log(0.0308), 0.60, count), 0.012, 0.26) / 2
        # plaques grow together in the middle of a cluster, specks surround it
        radii *= 0.85 + 0.8 * np.exp(-((np.hypot(*offset.T) / (0.35 * size)) ** 2))
        clear = np.hypot(*(points - disc).T) - radii > _DISC
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
    points = _draw_points(rng, disc, place, 12, 0.3, 0.9)
    points = points[np.hypot(*points.T) > 1.5]
    return points[0] if len(points) else None


def _cotton_wool(rng: np.random.Generator, disc: np.ndarray, place: Place, count: int) -> list[Lesion]:
    points = _draw_points(rng, disc, place, 6 * count, 0.25, 0.95)
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


def _new_vessels(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    if rng.random() < 0.4:
        root = disc + rng.normal(0, 0.12, 2)
        size, form, spread = rng.uniform(0.45, 0.95), "disc", 2 * np.pi
    else:
        points = _draw_points(rng, disc, place, 30, 0.4, 0.9)
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


def _preretinal(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    points = _draw_points(rng, disc, place, 20, 0.5, 0.7)
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


def _vitreous(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    points = _draw_points(rng, disc, place, 5, 0.4, 0.0)
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


def _fibrosis(rng: np.random.Generator, disc: np.ndarray, place: Place) -> list[Lesion]:
    points = _draw_points(rng, disc, place, 20, 0.4, 0.5)
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
