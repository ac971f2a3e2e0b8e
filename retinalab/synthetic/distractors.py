"""What catches the eye without being a sign of retinopathy: drusen, scars, reflections, dust, lashes."""

from __future__ import annotations

import cv2
import numpy as np

from retinalab.synthetic.anatomy import Eye, Patient
from retinalab.synthetic.camera import Frame
from retinalab.synthetic.lesions import Lesion, blobs, soften

__all__ = ["add_reflections", "draw_distractors", "shadow"]


def draw_distractors(rng: np.random.Generator, patient: Patient, eye: Eye) -> list[Lesion]:
    """Drusen, laser scars and pigment spots of an eye; independent of its grade."""
    found: list[Lesion] = []
    if patient.drusen:
        count = int(8 + 40 * min(patient.drusen, 2))
        points = rng.normal(0, 0.75, (count, 2)) * [1.2, 0.9]
        radii = np.clip(rng.lognormal(np.log(0.045), 0.45, count), 0.02, 0.16) / 2
        outlines = blobs(rng, points, radii, 0.1, points=12)
        found.append(_group("drusen", outlines, rng.uniform(0.35, 0.9, count)))
    if eye.laser:
        turn = rng.uniform(0, 2 * np.pi, eye.laser)
        distance = np.sqrt(rng.uniform(1.9**2, 3.9**2, eye.laser))
        points = np.stack([np.cos(turn), np.sin(turn)], axis=1) * distance[:, None] + [0.6, 0]
        points = points[np.hypot(*(points - np.asarray(eye.disc)).T) > 1.0]
        radii = rng.uniform(0.06, 0.13, len(points))
        strength = rng.uniform(0.4, 1.0, len(points))
        found.append(_group("scar", blobs(rng, points, radii, 0.12), strength))
        dark = rng.random(len(points)) < 0.6
        core = blobs(rng, points[dark], radii[dark] * rng.uniform(0.3, 0.7, int(dark.sum())), 0.3)
        found.append(_group("pigment", core, strength[dark]))
    if rng.random() < 0.12:
        points = rng.uniform(-3, 3, (int(rng.integers(1, 4)), 2))
        found.append(
            _group(
                "pigment", blobs(rng, points, rng.uniform(0.03, 0.12, len(points)), 0.3), [0.7] * len(points)
            )
        )
    return [group for group in found if group.polygons]


def _group(kind: str, outlines: list[np.ndarray], values: np.ndarray | list[float]) -> Lesion:
    return Lesion(kind, "", 0.0, 0.0, 0.0, tuple(outlines), tuple(float(value) for value in values))


def add_reflections(rng: np.random.Generator, light: np.ndarray, frame: Frame, strength: float) -> None:
    """Add reflexes of the optics, dust and scattered crescents to the light, in place."""
    size = 2 * frame.radius
    if rng.random() < 0.3:  # the pale blot near the middle that non-mydriatic cameras leave
        centre = np.array(frame.centre) + rng.normal(0, 0.07, 2) * size
        axes = np.array([rng.uniform(0.012, 0.04), rng.uniform(0.03, 0.08)]) * size
        _glow(
            light,
            frame,
            centre,
            axes,
            rng.normal(0, 0.4),
            rng.uniform(0.05, 0.32) * strength,
            (0.85, 0.9, 1.0),
        )
    if rng.random() < 0.22:  # a crescent of stray light at the rim
        turn = rng.uniform(0, 2 * np.pi)
        centre = np.array(frame.centre) + np.array([np.cos(turn), np.sin(turn)]) * size * rng.uniform(
            0.44, 0.56
        )
        tint = (1.0, *rng.uniform(0.6, 1.0, 2))
        axes = np.array([rng.uniform(0.05, 0.13), rng.uniform(0.15, 0.4)]) * size
        _glow(light, frame, centre, axes, turn, rng.uniform(0.08, 0.45) * strength, tint)
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(1, 7))):
            centre = np.array(frame.centre) + rng.uniform(-0.45, 0.45, 2) * size
            radius = rng.uniform(0.003, 0.014) * size
            sign = rng.choice([-0.18, 0.12, 0.2])
            _glow(
                light,
                frame,
                centre,
                np.array([radius, radius]),
                0.0,
                sign * rng.uniform(0.4, 1),
                (1.0, 1.0, 0.95),
            )


def _glow(
    light: np.ndarray,
    frame: Frame,
    centre: np.ndarray,
    axes: np.ndarray,
    turn: float,
    strength: float,
    tint: tuple[float, ...],
) -> None:
    reach = 3 * float(axes.max()) + 1
    left, right = int(max(0, centre[0] - reach)), int(min(frame.width, centre[0] + reach + 1))
    top, bottom = int(max(0, centre[1] - reach)), int(min(frame.height, centre[1] + reach + 1))
    if right <= left or bottom <= top:
        return
    x = np.arange(left, right, dtype=np.float32)[None] - np.float32(centre[0])
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre[1])
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    glow = np.exp(-0.5 * ((along / axes[0]) ** 2 + (across / axes[1]) ** 2), dtype=np.float32)
    part = light[top:bottom, left:right]
    part += glow[..., None] * np.asarray(tint, np.float32) * np.float32(strength)
    np.maximum(part, 0, out=part)


def shadow(rng: np.random.Generator, frame: Frame, fault: str, level: int) -> np.ndarray | None:
    """``(H, W)`` float32 transmission of lashes or of uneven light; None without such a fault."""
    if fault == "lashes":
        plane = np.zeros((frame.height, frame.width), np.uint8)
        top = rng.random() < 0.5
        size = 2 * frame.radius
        for _ in range(2 + 4 * level):
            start = np.array([rng.uniform(0.1, 0.9) * frame.width, 0.0])
            lean, bend = rng.normal(0, 0.25), rng.normal(0, 0.2)
            t = np.linspace(0, 1, 12)
            length = size * rng.uniform(0.12, 0.2 + 0.09 * level)
            line = start + np.stack([(lean * t + bend * t**2) * length, t * length], axis=1)
            if not top:
                line[:, 1] = frame.height - line[:, 1]
            thickness = max(1, round(size * rng.uniform(0.008, 0.016)))
            cv2.polylines(
                plane, [np.round(line * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4
            )
        lid = np.zeros_like(plane)
        depth = size * (0.02 + 0.05 * level) * rng.uniform(0.5, 1.2)
        centre = (
            frame.width / 2,
            -frame.width * 1.2 + depth if top else frame.height + frame.width * 1.2 - depth,
        )
        cv2.circle(lid, (round(centre[0]), round(centre[1])), round(frame.width * 1.2), 255, -1, cv2.LINE_AA)
        hidden = 0.75 * soften(plane, 0.011 * size) / 255.0 + 0.9 * soften(lid, 0.05 * size) / 255.0
        return np.clip(1 - hidden, 0.05, 1).astype(np.float32)
    if fault == "uneven_light":
        turn, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.45)
        small = 32
        y, x = np.mgrid[0:small, 0:small].astype(np.float32) / (small - 1) - 0.5
        across = x * np.cos(turn) + y * np.sin(turn)
        dark = 1 / (1 + np.exp(-(across - 0.42 + reach) * 9))
        small_map = (1 - (0.28 + 0.2 * level) * dark).astype(np.float32)
        return np.asarray(cv2.resize(small_map, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR))
    return None
