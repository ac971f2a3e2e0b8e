"""From a scene to a photograph with its masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from retinalab.synthetic.camera import Camera, Frame, camera_named, expose
from retinalab.synthetic.distractors import add_reflections, draw_distractors, shadow
from retinalab.synthetic.geometry import Canvas, generator
from retinalab.synthetic.lesions import draw_lesions, lesion_masks
from retinalab.synthetic.retina import paint_retina
from retinalab.synthetic.vessels import draw_vessels, grow_vessels

if TYPE_CHECKING:
    from retinalab.synthetic.world import Scene

__all__ = ["Photograph", "render_photograph"]

_VESSELS, _TEXTURE, _DISTRACTORS, _OPTICS, _SENSOR = range(100, 105)


@dataclass(frozen=True)
class Photograph:
    """A photograph and everything that is known about its pixels.

    Shape:
        - ``image``: ``(H, W, 3)``, uint8, RGB.
        - ``masks``: ``(8, H, W)``, bool, planes in the order of ``retinalab.records.LESIONS``.
        - ``field``, ``disc``, ``vessels``: ``(H, W)``, bool: field of view, optic disc, blood vessels.
        - ``fovea``, ``disc_centre``: pixel (x, y); ``disc_diameter``: pixels.
    """

    image: np.ndarray
    masks: np.ndarray
    field: np.ndarray
    disc: np.ndarray
    vessels: np.ndarray
    fovea: tuple[float, float]
    disc_centre: tuple[float, float]
    disc_diameter: float


def render_photograph(scene: Scene, size: int) -> Photograph:
    """Draw a scene; the same bytes for the same scene and size, wherever and whenever."""
    camera = camera_named(scene.camera)
    frame = scene.frame(size)
    canvas = frame.canvas()
    person, eye = scene.person, scene.anatomy
    left = int(eye.left)
    field = frame.field_of_view(camera)
    trees = grow_vessels(generator(scene.seed, _VESSELS, scene.patient, left), eye.disc, person.tortuosity)
    depth, vessels = draw_vessels(canvas, trees)
    others = draw_distractors(generator(scene.seed, _DISTRACTORS, scene.patient, left), person, eye)
    drawn = draw_lesions(canvas, scene.lesions)
    masks = lesion_masks(canvas, scene.lesions, drawn, field > 127)
    drawn |= draw_lesions(canvas, others)
    light = paint_retina(
        generator(scene.seed, _TEXTURE, scene.patient, left), person, eye, frame, depth, drawn
    )
    _illuminate(generator(scene.seed, _OPTICS, scene.index), scene, camera, frame, light)
    image = expose(
        generator(scene.seed, _SENSOR, scene.index), light, field, camera, scene.fault, scene.fault_level
    )
    disc = _disc_mask(canvas, scene)
    return Photograph(
        image, masks, field > 127, disc & (field > 127), vessels & (field > 127),
        scene.position(size, "fovea"), scene.position(size, "disc"), frame.scale,
    )  # fmt: skip


def _disc_mask(canvas: Canvas, scene: Scene) -> np.ndarray:
    eye = scene.anatomy
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    stretch = np.sqrt(eye.disc_aspect)
    u, v = 0.5 * np.cos(turn) / stretch, 0.5 * np.sin(turn) * stretch
    cos, sin = np.cos(eye.disc_tilt), np.sin(eye.disc_tilt)
    outline = np.stack([u * cos + v * sin, v * cos - u * sin], axis=1) + np.asarray(eye.disc)
    plane = np.zeros((canvas.height, canvas.width), np.uint8)
    cv2.fillPoly(plane, [np.round(canvas.points(outline) * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    return plane > 0


def _illuminate(
    rng: np.random.Generator, scene: Scene, camera: Camera, frame: Frame, light: np.ndarray
) -> None:
    """Lamp, vignette, scatter in the media, and what lies between lamp and retina; in place."""
    step = 8
    width, height = max(2, frame.width // step), max(2, frame.height // step)
    x = (np.linspace(-0.5, 0.5, width, dtype=np.float32) * frame.width / frame.radius)[None]
    y = (np.linspace(-0.5, 0.5, height, dtype=np.float32) * frame.height / frame.radius)[:, None]
    off = rng.normal(0, 0.34, 2)
    distance = (x - np.float32(off[0])) ** 2 + (y - np.float32(off[1])) ** 2
    lamp = 1.0 - np.float32(camera.vignette * rng.uniform(0.6, 1.3)) * distance * np.float32(0.72)
    slope = rng.normal(0, 0.17, 2)
    lamp = lamp * (1 + np.float32(slope[0]) * x + np.float32(slope[1]) * y)
    lamp = np.minimum(np.logaddexp(6 * lamp, np.float32(1.5)) / 6, 1.5)  # dim, but never quite dark
    radius = np.sqrt(x**2 + y**2)
    haze = np.float32(0.06 * scene.person.haze) * (0.6 + 0.4 * lamp)
    veil = rng.uniform(0.4, 1.0)
    if scene.fault == "haze":
        haze = haze + np.float32((0.10 + 0.13 * scene.fault_level) * veil) * (0.75 + 0.25 * lamp)
    rim = np.exp(-(((radius - 1.0) / np.float32(0.10)) ** 2)) * np.float32(rng.uniform(0, 2.2))
    size = (frame.width, frame.height)
    lamp_full = cv2.resize(lamp, size, interpolation=cv2.INTER_LINEAR)
    hidden = shadow(rng, frame, scene.fault, scene.fault_level)
    if hidden is not None:
        lamp_full *= hidden
    clear = cv2.resize(1 - np.minimum(1.6 * haze, 0.85), size, interpolation=cv2.INTER_LINEAR) * lamp_full
    tint = np.array([0.62, 0.50, 0.40], np.float32) * np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    added = haze[..., None] * tint * np.float32(1.3) + rim[..., None] * np.asarray(camera.rim, np.float32)
    light *= clear[..., None]
    light += cv2.resize(added, size, interpolation=cv2.INTER_LINEAR)
    add_reflections(rng, light, frame, 1.0)
