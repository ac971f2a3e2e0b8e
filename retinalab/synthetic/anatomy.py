"""Who is photographed: what two eyes share, what each has of its own, how it is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retinalab.synthetic.geometry import Pose

__all__ = [
    "SHARED_HEIGHT",
    "SHARED_RADIUS",
    "Eye",
    "Patient",
    "draw_eye",
    "draw_patient",
    "draw_pose",
    "shared_field",
]

SHARED_RADIUS, SHARED_HEIGHT = 2.72, 2.35
"""Every camera shows this far from the field's centre, and this far up and down, in disc diameters."""


@dataclass(frozen=True)
class Patient:
    """What both eyes share. Shares and strengths are in [0, 1] unless said otherwise.

    Attributes:
        melanin: pigment of the fundus, pale to dark.
        redness: shift from yellow to red, -1 to 1.
        lens: yellowing of the lens.
        tessellation: how far choroidal vessels shine through.
        sheen: reflex of the nerve fibre layer, strong in the young.
        disc_size: disc diameter relative to the mean of 1.8 mm.
        cup: cup-to-disc ratio.
        tortuosity: of vessels, about 1.
        filling: how dark vessels are, about 1.
        haze: light scattered by the media.
        drusen: how many, none in most.
    """

    melanin: float
    redness: float
    lens: float
    tessellation: float
    sheen: float
    disc_size: float
    cup: float
    tortuosity: float
    filling: float
    haze: float
    drusen: float


@dataclass(frozen=True)
class Eye:
    """One eye. ``disc`` is the centre of the optic disc in retinal coordinates (fovea at the origin)."""

    left: bool
    disc: tuple[float, float]
    disc_tilt: float
    disc_aspect: float
    cup: float
    crescent: float
    macula: float
    laser: int


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient; nothing here depends on any grade."""
    melanin = float(rng.beta(1.3, 1.3))
    return Patient(
        melanin=melanin,
        redness=float(np.clip(rng.normal(0, 0.5), -1, 1)),
        lens=float(rng.beta(1.5, 2.5)),
        tessellation=float(rng.beta(0.8, 2.0)),
        sheen=float(rng.beta(0.9, 2.2)),
        disc_size=float(np.clip(rng.normal(1.0, 0.05), 0.9, 1.1)),
        cup=float(np.clip(rng.normal(0.42, 0.11), 0.15, 0.72)),
        tortuosity=float(rng.lognormal(0.0, 0.3)),
        filling=float(np.clip(rng.lognormal(0.0, 0.3), 0.45, 1.8)),
        haze=float(rng.beta(0.9, 3.0)),
        drusen=float(rng.exponential(0.4)) if rng.random() < 0.18 else 0.0,
    )


def draw_eye(rng: np.random.Generator, patient: Patient, left: bool) -> Eye:
    """Draw an eye: the fovea lies about 2.5 disc diameters temporal of the disc and a little below it."""
    return Eye(
        left=left,
        disc=(float(rng.normal(2.58, 0.1)), float(rng.normal(-0.27, 0.1))),
        disc_tilt=float(rng.normal(0, 0.2)),
        disc_aspect=float(np.clip(rng.normal(1.06, 0.05), 0.95, 1.25)),
        cup=float(np.clip(patient.cup + rng.normal(0, 0.04), 0.12, 0.75)),
        crescent=float(rng.beta(0.7, 2.5)),
        macula=float(rng.uniform(0.25, 1.0)),
        laser=int(rng.integers(12, 60)) if rng.random() < 0.08 else 0,
    )


def draw_pose(rng: np.random.Generator, eye: Eye, view: int) -> Pose:
    """Where a view looks: even views between macula and disc, odd ones nearer to the disc."""
    towards_disc = rng.uniform(0.15, 0.75) if view % 2 == 0 else rng.uniform(0.7, 1.45)
    return Pose(float(towards_disc), float(rng.normal(-0.05, 0.14)), float(rng.normal(0, 0.05)), eye.left)


def shared_field(points: np.ndarray, poses: tuple[Pose, ...], margin: float) -> np.ndarray:
    """Which of the points ``(n, 2)`` every camera shows in every pose, at least a margin from the border."""
    ok = np.ones(len(points), bool)
    for pose in poses:
        offset = points - [pose.x, pose.y]
        roll = -pose.roll if pose.left else pose.roll
        rise = np.abs(offset[:, 0] * np.sin(roll) + offset[:, 1] * np.cos(roll))
        ok &= (np.hypot(*offset.T) < SHARED_RADIUS - margin) & (rise < SHARED_HEIGHT - margin)
    return ok
