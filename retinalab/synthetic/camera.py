"""Cameras: framing, colour response, sharpness and noise; and the faults that a photograph may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np

from retinalab.errors import unknown
from retinalab.synthetic.geometry import Canvas, Pose

__all__ = [
    "CAMERAS",
    "DEVELOPMENT_CAMERAS",
    "FAULTS",
    "HELD_OUT_CAMERA",
    "Camera",
    "Frame",
    "camera_named",
    "expose",
]

FAULTS: tuple[str, ...] = ("defocus", "haze", "uneven_light", "lashes", "overexposed", "underexposed")
"""Faults of quality; each is drawn in three levels, slight to severe."""


@dataclass(frozen=True)
class Camera:
    """A camera profile.

    Attributes:
        name: what it is asked for by.
        field: diameter of the field of view in disc diameters of a mean disc.
        width, height: of the frame, in diameters of the field; a lower frame cuts the field top and bottom.
        notch: marks at the rim: none, tab (one triangle), steps (two teeth), bump (a round one).
        gain: red, green, blue response.
        mix: how much of the other colours each colour takes up.
        gamma: of the tone curves; above 1 darkens the middle.
        lift: black level outside the field.
        blur: standard deviation of the point spread in thousandths of the field's diameter.
        grain: standard deviation of the noise in grey levels.
        vignette: loss of light at the rim.
        jpeg: quality of the file.
        rim: colour cast of the rim, red, green, blue.
    """

    name: str
    field: float
    width: float
    height: float
    notch: str
    gain: tuple[float, float, float]
    mix: float
    gamma: tuple[float, float, float]
    lift: float
    blur: float
    grain: float
    vignette: float
    jpeg: int
    rim: tuple[float, float, float]


CAMERAS: Mapping[str, Camera] = MappingProxyType(
    {
        camera.name: camera
        for camera in (
            Camera(
                "clinic",
                field=6.3,
                width=1.24,
                height=0.83,
                notch="steps",
                gain=(1.18, 0.98, 0.95),
                mix=0.0,
                gamma=(1.0, 1.0, 2.1),
                lift=3,
                blur=0.7,
                grain=1.1,
                vignette=0.42,
                jpeg=93,
                rim=(0.0, 0.0, 0.05),
            ),
            Camera(
                "screening",
                field=6.455,
                width=1.03,
                height=1.02,
                notch="bump",
                gain=(1.0, 0.97, 1.05),
                mix=0.04,
                gamma=(1.0, 1.1, 1.3),
                lift=0,
                blur=1.1,
                grain=1.9,
                vignette=0.55,
                jpeg=90,
                rim=(0.03, 0.02, 0.0),
            ),
            Camera(
                "research",
                field=6.45,
                width=1.0,
                height=0.9,
                notch="tab",
                gain=(0.97, 1.08, 1.35),
                mix=0.04,
                gamma=(1.15, 1.15, 1.4),
                lift=1,
                blur=0.6,
                grain=1.2,
                vignette=0.50,
                jpeg=95,
                rim=(0.0, 0.02, 0.03),
            ),
            Camera(
                "handheld",
                field=6.3,
                width=1.33,
                height=1.0,
                notch="none",
                gain=(1.2, 0.86, 1.25),
                mix=0.10,
                gamma=(0.9, 0.95, 1.0),
                lift=6,
                blur=1.7,
                grain=3.6,
                vignette=0.55,
                jpeg=80,
                rim=(0.03, 0.0, 0.04),
            ),
        )
    }
)
"""All profiles by name."""
HELD_OUT_CAMERA = "handheld"
"""Used in no development, so that a result on it says something about a camera never seen."""
DEVELOPMENT_CAMERAS: tuple[str, ...] = tuple(name for name in CAMERAS if name != HELD_OUT_CAMERA)


def camera_named(name: str) -> Camera:
    """The profile of a name.

    Raises:
        RetinalabError: no such camera.
    """
    if name not in CAMERAS:
        raise unknown("camera", name, CAMERAS)
    return CAMERAS[name]


@dataclass(frozen=True)
class Frame:
    """How a view falls on the pixels of a photograph."""

    width: int
    height: int
    radius: float
    centre: tuple[float, float]
    matrix: np.ndarray

    @classmethod
    def of(cls, camera: Camera, pose: Pose, disc_size: float, size: int) -> Frame:
        """Frame of a photograph whose field of view is about ``size`` pixels across."""
        width, height = max(8, round(size * camera.width)), max(8, round(size * camera.height))
        radius = size / 2 - 0.5
        centre = ((width - 1) / 2, (height - 1) / 2)
        scale = 2 * radius * disc_size / camera.field
        return cls(width, height, radius, centre, pose.matrix(scale, centre))

    @property
    def scale(self) -> float:
        """Pixels per disc diameter of this eye."""
        return float(np.hypot(*self.matrix[:, 0]))

    def canvas(self) -> Canvas:
        """Canvas for retinal shapes, fine enough that a microaneurysm has several sub-pixels."""
        factor = max(1, min(6, int(np.ceil(1400 / (2 * self.radius)))))
        return Canvas(self.matrix, self.width, self.height, factor)

    def field_of_view(self, camera: Camera) -> np.ndarray:
        """``(H, W)`` uint8: 255 inside the field, with the marks at its rim."""
        plane = np.zeros((self.height, self.width), np.uint8)
        shift = 4
        cv2.circle(plane, self._fixed(self.centre), round(self.radius * 16), 255, -1, cv2.LINE_AA, shift)
        for outline in _notch(camera.notch):
            corners = np.round((np.asarray(self.centre) + self.radius * outline) * 16).astype(np.int32)
            cv2.fillPoly(plane, [corners], 255, cv2.LINE_AA, shift)
        return plane

    @staticmethod
    def _fixed(point: tuple[float, float]) -> tuple[int, int]:
        return round(point[0] * 16), round(point[1] * 16)


def _notch(kind: str) -> list[np.ndarray]:
    """Outlines relative to the field's radius."""
    if kind == "tab":
        angles = np.array([0.66, 0.72, 0.78])
        out = np.array([0.99, 1.07, 0.99])
        return [np.stack([np.cos(angles), np.sin(angles)], axis=1) * out[:, None]]
    if kind == "steps":
        teeth = []
        for first in (-0.54, -0.45):
            angles = np.array([first, first + 0.012, first + 0.05, first + 0.07])
            out = np.array([0.98, 1.05, 1.05, 0.98])
            teeth.append(np.stack([np.cos(angles), np.sin(angles)], axis=1) * out[:, None])
        return teeth
    if kind == "bump":
        turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        return [
            np.array([np.cos(-0.7), np.sin(-0.7)]) * 0.995
            + 0.035 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        ]
    return []


def expose(
    rng: np.random.Generator, light: np.ndarray, field: np.ndarray, camera: Camera, fault: str, level: int
) -> np.ndarray:
    """Turn light into the file's pixels: colour response, exposure, sharpness, noise, field stop, JPEG.

    Shape:
        - ``light``: ``(H, W, 3)``, float32, red, green, blue, about 0-1; overwritten.
        - ``field``: ``(H, W)``, uint8, 255 inside the field of view.
        - Returns: ``(H, W, 3)``, uint8, RGB.
    """
    size = float(np.sqrt(4 / np.pi * np.count_nonzero(field)))
    exposure = rng.lognormal(0.055, 0.18)
    balance = rng.normal(0, 0.06, 3) * [0.5, 1.0, 1.6]
    if fault == "overexposed":
        exposure *= 1.25 + 0.28 * level
    if fault == "underexposed":
        exposure *= 0.72 - 0.15 * level
    response = np.diag(np.array(camera.gain) * np.exp(balance) * exposure)
    response = (1 - camera.mix) * response + camera.mix * response.mean(axis=0)
    light = cv2.transform(light, response.astype(np.float32))
    np.clip(light, 0, None, out=light)
    # a soft shoulder keeps the hue of bright tissue where a plain clip would turn it yellow
    light = light / np.sqrt(np.sqrt(1 + (light / 1.05) ** 4))
    light = np.dstack([cv2.pow(light[..., channel], camera.gamma[channel]) for channel in range(3)])
    blur = camera.blur * rng.lognormal(0.0, 0.45) * size / 1000
    if fault == "defocus":
        blur = float(np.hypot(blur, (1.3 + 1.9 * level) * size / 1000))
    if blur > 0.25:
        light = cv2.GaussianBlur(light, (0, 0), blur)
    height, width = field.shape
    noise = rng.standard_normal((height + 8, width + 8), np.float32)
    pixels = light * np.float32(255)
    for channel, (row, column, share) in enumerate(((0, 0, 0.8), (3, 5, 0.8), (7, 2, 1.3))):
        pixels[..., channel] += noise[row : row + height, column : column + width] * np.float32(
            camera.grain * share
        )
    stop = (field.astype(np.float32) / 255)[..., None]
    pixels = pixels * stop + np.float32(camera.lift) * (1 - stop)
    image = np.clip(pixels, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])
