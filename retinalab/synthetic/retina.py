"""Paints the retina: pigment, choroid, disc, macula, blood and deposits, as light that leaves the eye."""

from __future__ import annotations

import cv2
import numpy as np

from retinalab.synthetic.anatomy import Eye, Patient
from retinalab.synthetic.camera import Frame
from retinalab.synthetic.lesions import soften

__all__ = ["Texture", "paint_retina"]

_BLOOD = (0.27, 0.80, 0.62)  # optical density of the widest vein in red, green, blue
_HAEMORRHAGE = (0.30, 0.86, 0.55)
_MELANIN = (0.62, 0.95, 1.15)
_EXTENT = 5.4


class Texture:
    """Smooth noise fixed to the retina, so that two views of one eye show the same.

    Args:
        rng: the eye's source.
        frame: the pixels that it is sampled on.
        step: pixels are sampled every ``step`` and enlarged afterwards.
    """

    def __init__(self, rng: np.random.Generator, frame: Frame, step: int) -> None:
        self.rng, self.step = rng, step
        self.width, self.height = max(2, round(frame.width / step)), max(2, round(frame.height / step))
        self.matrix = frame.matrix / np.array([[frame.width / self.width], [frame.height / self.height]])
        self.frame = frame

    def noise(self, cell: float) -> np.ndarray:
        """``(h, w)`` float32 of about unit variance whose spots are ``cell`` disc diameters wide."""
        count = int(2 * _EXTENT / cell) + 2
        tile = min(count, 420)
        grid = self.rng.standard_normal((tile, tile), np.float32)
        to_retina = np.array([[cell, 0, -_EXTENT + 0.8], [0, cell, -_EXTENT]])
        linear = self.matrix[:, :2] @ to_retina
        linear[:, 2] += self.matrix[:, 2]
        warped = cv2.warpAffine(
            grid, linear, (self.width, self.height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP
        )
        return np.asarray(warped)

    def retinal(self) -> tuple[np.ndarray, np.ndarray]:
        """Retinal x and y of every sample, float32 ``(h, w)`` each."""
        inverse = cv2.invertAffineTransform(self.matrix)
        columns = np.arange(self.width, dtype=np.float32)[None]
        rows = np.arange(self.height, dtype=np.float32)[:, None]
        x, y = (a * columns + b * rows + c for a, b, c in inverse.astype(np.float32))
        return x, y

    def enlarge(self, plane: np.ndarray) -> np.ndarray:
        """To the size of the photograph."""
        if self.step == 1:
            return plane
        size = (self.frame.width, self.frame.height)
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR))


def paint_retina(
    rng: np.random.Generator,
    patient: Patient,
    eye: Eye,
    frame: Frame,
    vessels: np.ndarray,
    drawn: dict[str, np.ndarray],
) -> np.ndarray:
    """Light that leaves the eye under even illumination.

    Args:
        rng: the eye's source, the same for all its views.
        patient: what the eyes share.
        eye: the eye.
        frame: where it falls.
        vessels: optical depth of the vessels.
        drawn: strength per kind of lesion and distractor.

    Shape:
        - ``vessels``, and every plane of ``drawn``: ``(H, W)``, uint8.
        - Returns: ``(H, W, 3)``, float32, red, green, blue, about 0-1.
    """
    light = _fundus(rng, patient, eye, frame)
    _disc(rng, patient, eye, frame, light)
    scale = frame.scale
    for kind, colour, opacity, blur in (
        ("drusen", (0.98, 0.72, 0.34), 0.42, 0.012),
        ("scar", (0.95, 0.78, 0.50), 0.55, 0.018),
        ("pigment", (0.15, 0.12, 0.10), 0.72, 0.010),
        ("EX", (1.02, 0.86, 0.46), 0.88, 0.008),
    ):
        _cover(light, drawn.get(kind), colour, opacity, blur * scale)
    depth = soften(vessels, 0.006 * scale)
    _absorb(light, depth, _BLOOD, 0.97 * patient.filling)
    for kind, strength, blur in (("NV", 0.80, 0.005), ("HE", 0.95, 0.014), ("MA", 0.85, 0.004)):
        if kind in drawn:
            _absorb(light, soften(drawn[kind], blur * scale), _HAEMORRHAGE, strength)
    _cover(light, drawn.get("SE"), (0.98, 0.86, 0.62), 0.78, 0.045 * scale)
    _cover(light, drawn.get("FP"), (0.85, 0.78, 0.62), 0.75, 0.040 * scale)
    if "VH" in drawn:
        cloud = soften(drawn["VH"], 0.15 * scale)
        _absorb(light, cloud, (0.50, 1.10, 0.90), 1.15)
    if "PH" in drawn:
        pool = soften(drawn["PH"], 0.012 * scale)
        _cover(light, pool, (0.36, 0.045, 0.03), 0.93, 0)
    return light


def _absorb(light: np.ndarray, depth: np.ndarray, extinction: tuple[float, ...], strength: float) -> None:
    """Beer-Lambert: light times exp(-extinction * depth), by a table over the 256 depths."""
    levels = np.arange(256, dtype=np.float32)[:, None] * np.float32(strength / 255)
    table = np.exp(-levels * np.asarray(extinction, np.float32)).reshape(1, 256, 3)
    left, top, width, height = cv2.boundingRect(depth)
    if width:
        part = light[top : top + height, left : left + width]
        gray = depth[top : top + height, left : left + width]
        np.multiply(part, cv2.LUT(cv2.merge([gray, gray, gray]), table), out=part)


def _cover(
    light: np.ndarray, plane: np.ndarray | None, colour: tuple[float, ...], opacity: float, blur: float
) -> None:
    """Blend a colour over the light, as bright as its surroundings allow."""
    if plane is None:
        return
    soft = soften(plane, blur)
    left, top, width, height = cv2.boundingRect(soft)
    if not width:
        return
    part = light[top : top + height, left : left + width]
    alpha = soft[top : top + height, left : left + width].astype(np.float32)[..., None] * np.float32(
        opacity / 255
    )
    part += alpha * (np.asarray(colour, np.float32) - part)


def _fundus(rng: np.random.Generator, patient: Patient, eye: Eye, frame: Frame) -> np.ndarray:
    grain = rng.spawn(1)[0]  # apart, so that a size that leaves it out draws everything else alike
    coarse = Texture(rng, frame, 4 if frame.radius > 100 else 2)
    x, y = coarse.retinal()
    from_fovea = np.sqrt(x**2 + y**2)
    from_disc = np.sqrt((x - np.float32(eye.disc[0])) ** 2 + (y - np.float32(eye.disc[1])) ** 2)
    pigment = 0.07 * coarse.noise(2.2) + 0.035 * coarse.noise(0.9) + 0.025 * coarse.noise(0.4)
    macula = np.exp(-((from_fovea / 0.75) ** 2)) * 0.34 + np.exp(-((from_fovea / 0.26) ** 2)) * 0.46
    pigment += macula * np.float32(0.35 + 0.65 * eye.macula)
    pigment -= np.exp(-((from_disc / 1.1) ** 2)) * np.float32(0.16)
    fine = Texture(rng, frame, 2 if frame.radius > 300 else 1)
    texture = 0.020 * fine.noise(0.13) + 0.010 * fine.noise(0.055)
    pigment = coarse.enlarge(pigment) + fine.enlarge(texture)
    choroid = coarse.enlarge(np.zeros_like(x))
    if patient.tessellation > 0.08:
        half = Texture(rng, frame, 2)
        choroid = half.enlarge(_choroid(rng, half, eye) * np.float32(patient.tessellation))
    sheen = coarse.enlarge(_sheen(rng, coarse, eye, from_disc, from_fovea) * np.float32(patient.sheen))
    base = np.array(
        [0.80, 0.49 - 0.07 * patient.redness, 0.31 - 0.10 * patient.lens - 0.03 * patient.redness]
    )
    light = np.empty((frame.height, frame.width, 3), np.float32)
    if 0.03 * frame.scale > 1.5:  # granules that only a large photograph resolves
        pigment += 0.011 * Texture(grain, frame, 1).noise(0.03)
    density = pigment + np.float32(0.55 * patient.melanin)
    for channel in range(3):
        plane = density * np.float32(-_MELANIN[channel])
        plane += choroid * np.float32((0.24, 0.19, 0.12)[channel])
        plane += sheen * np.float32((0.10, 0.20, 0.26)[channel])
        np.exp(plane, out=plane)
        light[..., channel] = plane * np.float32(base[channel])
    return light


def _choroid(rng: np.random.Generator, texture: Texture, eye: Eye) -> np.ndarray:
    """Choroidal vessels: a net of wavy bands that run away from the disc, hidden at the macula."""
    x, y = texture.retinal()
    dx, dy = x - np.float32(eye.disc[0] - 0.5), y - np.float32(eye.disc[1])
    radius, angle = cv2.cartToPolar(dx, dy)
    bend = texture.noise(0.7)
    ripple = texture.noise(0.3)
    layers = []
    for around, length in (
        (84, 0.30),
        (190, 0.42),
    ):  # cells round the disc; length of a cell in disc diameters
        grid = rng.standard_normal((40, around), np.float32)
        grid = np.hstack([grid, grid[:, :6]])
        column = angle * np.float32(around / (2 * np.pi)) + bend * np.float32(1.2) + ripple * np.float32(0.7)
        column = np.mod(column, np.float32(around))
        row = radius * np.float32(1 / length) + ripple * np.float32(0.4) + np.float32(2)
        layers.append(cv2.remap(grid, column + 1, row, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP))
    far = np.clip((radius - np.float32(1.2)) / np.float32(1.0), 0, 1)
    net = layers[0] * (1 - far) + layers[1] * far
    bands = np.tanh(net * np.float32(1.8) + np.float32(0.2)) * np.float32(0.55)
    macula = 1 - np.float32(0.9) * np.exp(-((x**2 + y**2) / np.float32(1.1**2)))
    patches = np.clip(0.6 + 0.5 * texture.noise(1.8), 0, 1.4)
    return np.asarray(bands * macula * patches, np.float32)


def _sheen(
    rng: np.random.Generator, texture: Texture, eye: Eye, from_disc: np.ndarray, from_fovea: np.ndarray
) -> np.ndarray:
    """Reflex of the nerve fibre layer: streaks that leave the disc, brightest along the arcades."""
    x, y = texture.retinal()
    dx, dy = x - np.float32(eye.disc[0]), y - np.float32(eye.disc[1])
    angle = np.arctan2(dy, -dx)
    arcade = np.exp(-(((np.abs(angle) - np.float32(1.05)) / np.float32(0.45)) ** 2))
    streaks = rng.standard_normal((1, 220), np.float32)
    column = (angle + np.float32(np.pi)) * np.float32(210 / (2 * np.pi)) + np.float32(4) + texture.noise(1.2)
    fan = cv2.remap(streaks, column, np.zeros_like(column), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    fade = np.exp(-((from_disc / np.float32(1.7)) ** 2)) * (
        1 - np.exp(-((from_fovea / np.float32(0.8)) ** 2))
    )
    return np.asarray((0.5 + 0.22 * fan) * (0.35 + arcade) * fade, np.float32)


def _disc(rng: np.random.Generator, patient: Patient, eye: Eye, frame: Frame, light: np.ndarray) -> None:
    """Optic disc with neuroretinal rim and cup, and a crescent of atrophy on its temporal side."""
    inverse = cv2.invertAffineTransform(frame.matrix).astype(np.float32)
    centre = frame.matrix[:, :2] @ np.asarray(eye.disc) + frame.matrix[:, 2]
    reach = 0.85 * frame.scale
    left, right = int(max(0, centre[0] - reach)), int(min(frame.width, centre[0] + reach + 1))
    top, bottom = int(max(0, centre[1] - reach)), int(min(frame.height, centre[1] + reach + 1))
    wobble = rng.normal(0, 0.012, 4)
    shade = rng.normal(0, 0.05, 3)
    if right <= left or bottom <= top:
        return
    columns = np.arange(left, right, dtype=np.float32)[None]
    rows = np.arange(top, bottom, dtype=np.float32)[:, None]
    x, y = (a * columns + b * rows + c for a, b, c in inverse)
    dx, dy = x - np.float32(eye.disc[0]), y - np.float32(eye.disc[1])
    cos, sin = np.cos(eye.disc_tilt), np.sin(eye.disc_tilt)
    u = (dx * cos - dy * sin) * np.float32(2 * np.sqrt(eye.disc_aspect))
    v = (dx * sin + dy * cos) * np.float32(2 / np.sqrt(eye.disc_aspect))
    angle = np.arctan2(v, u)
    edge = np.sqrt(u**2 + v**2) * (
        1 + wobble[0] * np.cos(2 * angle) + wobble[1] * np.sin(2 * angle) + wobble[2] * np.cos(3 * angle)
    ).astype(np.float32)
    cup_x, cup_y = u + np.float32(0.16), v - np.float32(0.02)
    cup = _step(np.float32(eye.cup) - np.sqrt(cup_x**2 + (cup_y / 1.08) ** 2), 0.55)
    part = light[top:bottom, left:right]
    crescent = np.float32(0.75 * eye.crescent) * _step(
        1.14 + 0.10 * eye.crescent - np.sqrt((u + 0.08) ** 2 + v**2), 0.08
    )
    crescent *= np.clip(-np.cos(angle) * 1.4, 0, 1)
    _blend(part, (0.86, 0.62, 0.36), crescent * np.float32(0.7))
    halo = np.exp(-(((edge - 1.05) / 0.16) ** 2)) * np.float32(0.18)
    _blend(part, (0.86, 0.60, 0.34), halo)
    inside = _step(1 - edge, 0.13 + 0.06 * np.cos(angle))
    pale = np.clip(0.18 - 0.30 * np.cos(angle), 0, 0.5) * edge
    warm = 1 - 0.4 * patient.lens
    rim = np.array([1.02, 0.70 + shade[0], 0.40 * warm + 0.5 * shade[1]], np.float32)
    bright = np.array([1.12, 0.92 + 0.5 * shade[2], 0.62 * warm], np.float32)
    mixed = np.clip(pale + cup, 0, 1)[..., None]
    colour = rim * (1 - mixed) + bright * mixed
    part += inside[..., None] * np.float32(0.95) * (colour - part)


def _step(value: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    t = np.clip(value / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _blend(part: np.ndarray, colour: tuple[float, ...], alpha: np.ndarray) -> None:
    part += alpha[..., None] * (np.asarray(colour, np.float32) - part)
