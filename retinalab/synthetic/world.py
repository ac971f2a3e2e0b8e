"""The world: patients, their eyes and photographs, each a function of the seed and its number alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from retinalab.errors import RetinalabError
from retinalab.records import LESIONS, Records, SetInfo, make_records
from retinalab.synthetic.anatomy import Eye, Patient, draw_eye, draw_patient, draw_pose, shared_field
from retinalab.synthetic.camera import DEVELOPMENT_CAMERAS, FAULTS, Frame, camera_named
from retinalab.synthetic.geometry import Canvas, Pose, generator
from retinalab.synthetic.lesions import Lesion, draw_lesions, lesion_masks
from retinalab.synthetic.pathology import plan_lesions
from retinalab.synthetic.render import Photograph, render_photograph
from retinalab.synthetic.rules import Grading, grade_masks

__all__ = ["PREVALENCE", "WORLD_VERSION", "Scene", "World", "WorldOptions"]

WORLD_VERSION = "1"
"""Enters every result's provenance. Any change that alters a photograph or a label takes the next number."""

PREVALENCE: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "balanced": (0.2, 0.2, 0.2, 0.2, 0.2),
        # the training part of the EyePACS competition: 25,810 / 2,443 / 5,292 / 873 / 708
        "eyepacs": (0.7348, 0.0695, 0.1507, 0.0249, 0.0201),
    }
)
"""Shares of the wanted severities 0-4."""

_SAME_SEVERITY = 0.7  # share of patients whose second eye is meant to be as severe as the first
_CANONICAL = 80.0  # pixels per disc diameter of the masks that the labels are taken from
_PATIENT, _EYE, _LESIONS, _POSE, _CAMERA, _FAULT, _NOISE, _ORDER = range(8)


class WorldOptions(BaseModel):
    """What world is meant. Two worlds of equal options are equal to the byte."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    photographs: int = Field(default=1200, ge=1, description="number of photographs")
    seed: int = Field(default=0, ge=0, description="seed of the world, apart from any training seed")
    prevalence: Literal["balanced", "eyepacs"] = Field(
        default="balanced", description="shares of DR grades: equal, or as in EyePACS (73 % grade 0)"
    )
    cameras: tuple[str, ...] = Field(
        default=DEVELOPMENT_CAMERAS, min_length=1, description="camera profiles, one drawn per patient"
    )
    faults: float = Field(
        default=0.15, ge=0, le=1, description="share of photographs with a fault of quality"
    )
    label_noise: float = Field(
        default=0.0, ge=0, le=1, description="share of recorded grades moved to a neighbouring grade"
    )
    views: int = Field(default=2, ge=1, le=8, description="photographs of each eye")

    @field_validator("cameras")
    @classmethod
    def _known_cameras(cls, cameras: tuple[str, ...]) -> tuple[str, ...]:
        for name in cameras:
            try:
                camera_named(name)
            except RetinalabError as error:
                raise ValueError(str(error)) from error
        return cameras


@dataclass(frozen=True)
class Scene:
    """One photograph before it is drawn: who, which eye, what is to be seen, and the labels.

    Attributes:
        index: number of the photograph in its world.
        patient: number of the patient.
        eye: left or right.
        view: number of the view of this eye, from 0.
        camera: name of the camera profile.
        fault: one of ``FAULTS``, or "".
        fault_level: 1 slight, 2 moderate, 3 severe; 0 without a fault.
        dr, dme: the recorded grades (with label noise, if any).
        grading: what the rules said about the masks.
        lesions: the lesions of the eye, in retinal coordinates.
    """

    seed: int
    index: int
    patient: int
    eye: Literal["left", "right"]
    view: int
    camera: str
    fault: str
    fault_level: int
    dr: int
    dme: int
    grading: Grading
    person: Patient
    anatomy: Eye
    pose: Pose
    lesions: tuple[Lesion, ...]

    @property
    def quality(self) -> str:
        """good, or how severe the fault is."""
        return ("good", "slight fault", "moderate fault", "severe fault")[self.fault_level]

    def frame(self, size: int) -> Frame:
        """The pixels of the photograph at a size of the field of view."""
        return Frame.of(camera_named(self.camera), self.pose, self.person.disc_size, size)

    def position(self, size: int, of: Literal["fovea", "disc"]) -> tuple[float, float]:
        """Pixel (x, y) of the fovea or of the disc's centre at a size."""
        point = np.asarray(self.anatomy.disc if of == "disc" else (0.0, 0.0))
        matrix = self.frame(size).matrix
        x, y = matrix[:, :2] @ point + matrix[:, 2]
        return float(x), float(y)


class World:
    """Photographs made by procedure, in which every lesion, the fovea, the disc and the vessels are known.

    Photograph ``index`` depends on the options and ``index`` only: the order, the process and the number of
    workers do not matter, and nothing is kept between calls.

    Example:
        >>> world = World(WorldOptions(photographs=8, seed=1))
        >>> len(world), world.scene(0).eye, world.scene(2).eye
        (8, 'left', 'right')
        >>> world.render(0, 64).image.dtype
        dtype('uint8')
    """

    def __init__(self, options: WorldOptions | None = None) -> None:
        self.options = options or WorldOptions()

    def __len__(self) -> int:
        return self.options.photographs

    @property
    def info(self) -> SetInfo:
        """What the record table says about the set."""
        return SetInfo(
            name="synthetic",
            title=f"retinalab synthetic world {WORLD_VERSION}",
            source="drawn by retinalab.synthetic; no photograph of a person",
            licence="Apache-2.0",
            scales={"dr": "icdr5", "dme": "risk3"},
            lesions=LESIONS,
            synthetic=True,
        )

    def scene(self, index: int) -> Scene:
        """Geometry and labels of a photograph, without drawing it.

        Raises:
            RetinalabError: no photograph of that number.
        """
        if not 0 <= index < len(self):
            raise RetinalabError(f"No photograph {index}: this world has {len(self)}, numbered from 0.")
        options, seed = self.options, self.options.seed
        patient, rest = divmod(index, 2 * options.views)
        side, view = divmod(rest, options.views)
        person = draw_patient(generator(seed, _PATIENT, patient))
        anatomy = draw_eye(generator(seed, _EYE, patient, side), person, left=side == 0)
        poses = tuple(
            draw_pose(generator(seed, _POSE, patient, side, k), anatomy, k) for k in range(options.views)
        )
        target = self._severities(patient)[side]
        place = partial(_place, poses)
        lesions = plan_lesions(generator(seed, _LESIONS, patient, side), target, anatomy.disc, place)
        grading = _grade(poses[view], anatomy, lesions)
        camera = options.cameras[int(generator(seed, _CAMERA, patient).random() * len(options.cameras))]
        fault, level = self._fault(patient, side, view)
        dr, dme = self._recorded(grading, patient, side, view)
        return Scene(
            seed, index, patient, "left" if side == 0 else "right", view, camera, fault, level, dr, dme,
            grading, person, anatomy, poses[view], tuple(lesions),
        )  # fmt: skip

    def render(self, index: int, size: int) -> Photograph:
        """Draw a photograph whose field of view is about ``size`` pixels across.

        Raises:
            RetinalabError: no photograph of that number, or a size below 32.
        """
        if size < 32:
            raise RetinalabError(f"A photograph of {size} pixels shows nothing; ask for 32 or more.")
        return render_photograph(self.scene(index), size)

    def records(self, root: Path, size: int = 512) -> Records:
        """The record table, with positions in pixels of photographs rendered at ``size``.

        ``image`` is ``{index:06d}.png``, whether or not a file of that name was written under ``root``; masks are
        not files either (``present_*`` says which lesions there are) unless :func:`write_world` wrote them.
        """
        return self.as_records(self.rows(range(len(self)), size), root)

    def as_records(self, rows: Sequence[Mapping[str, object]], root: Path) -> Records:
        """The record table made of :meth:`rows`."""
        return make_records(rows, self.info, root, f"the synthetic world (seed {self.options.seed})")

    def rows(self, indices: Iterable[int], size: int = 512) -> list[dict[str, object]]:
        """Rows of the record table; any process may make any of them."""
        rows: list[dict[str, object]] = []
        for index in indices:
            scene = self.scene(index)
            frame = scene.frame(size)
            (fovea_x, fovea_y), (disc_x, disc_y) = scene.position(size, "fovea"), scene.position(size, "disc")
            present = {lesion.kind for lesion in scene.lesions}
            row: dict[str, object] = {
                "image": f"{index:06d}.png", "patient": f"{scene.patient:05d}", "eye": scene.eye,
                "view": str(scene.view + 1), "dr": scene.dr, "dme": scene.dme, "quality": scene.quality,
                "width": frame.width, "height": frame.height, "fovea_x": fovea_x, "fovea_y": fovea_y,
                "disc_x": disc_x, "disc_y": disc_y, "disc_diameter": frame.scale,
                "camera": scene.camera, "fault": scene.fault, "fault_level": scene.fault_level,
                "rule_dr": scene.grading.dr, "rule_dme": scene.grading.dme,
            }  # fmt: skip
            row |= {f"present_{name}": int(name in present) for name in LESIONS}
            rows.append(row)
        return rows

    def _severities(self, patient: int) -> tuple[int, int]:
        """Wanted severities of the left and right eye.

        Multiples of the golden ratio spread the grades evenly over the patients of any stretch of the world.
        """
        rng = generator(self.options.seed, _ORDER, patient)
        start = generator(self.options.seed, _ORDER).random()
        share = np.cumsum(PREVALENCE[self.options.prevalence])
        first = int(np.searchsorted(share[:-1], (start + patient * 0.6180339887498949) % 1.0, side="right"))
        other = int(np.searchsorted(share[:-1], rng.random(), side="right"))
        second = first if rng.random() < _SAME_SEVERITY else other
        return (first, second) if rng.random() < 0.5 else (second, first)

    def _fault(self, patient: int, side: int, view: int) -> tuple[str, int]:
        rng = generator(self.options.seed, _FAULT, patient, side, view)
        if rng.random() >= self.options.faults:
            return "", 0
        return FAULTS[int(rng.integers(len(FAULTS)))], int(rng.integers(1, 4))

    def _recorded(self, grading: Grading, patient: int, side: int, view: int) -> tuple[int, int]:
        rng = generator(self.options.seed, _NOISE, patient, side, view)
        grades = []
        for grade, highest in ((grading.dr or 0, 4), (grading.dme or 0, 2)):
            moved, up = rng.random() < self.options.label_noise, rng.random() < 0.5
            if moved:
                grade += 1 if (up and grade < highest) or grade == 0 else -1
            grades.append(grade)
        return grades[0], grades[1]


def _place(poses: tuple[Pose, ...], points: np.ndarray, margin: float) -> np.ndarray:
    return shared_field(points, poses, margin)


def _grade(pose: Pose, eye: Eye, lesions: list[Lesion]) -> Grading:
    side = int(6.4 * _CANONICAL)
    matrix = pose.matrix(_CANONICAL, ((side - 1) / 2, (side - 1) / 2))
    canvas = Canvas(matrix, side, side, 1)
    masks = lesion_masks(canvas, lesions, draw_lesions(canvas, lesions), np.ones((side, side), bool))
    fovea, disc = canvas.points(np.array([[0.0, 0.0], eye.disc]))
    return grade_masks(
        masks,
        fovea=(float(fovea[0]), float(fovea[1])),
        disc=(float(disc[0]), float(disc[1])),
        disc_diameter=_CANONICAL,
    )
