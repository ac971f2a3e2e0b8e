"""Figure 7: true lesions, units that predict one, and class activation maps without and with lesion patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from retinalab.config import Experiment
from retinalab.data.parts import Part
from retinalab.errors import RetinalabError
from retinalab.explain import enlarged, min_max
from retinalab.predict.compared import Grading, named_photographs, shared_disease, unlearned_photographs
from retinalab.predict.finished import FinishedRun, read_finished
from retinalab.runner.maps import extent_of
from retinalab_clpi.config import ClpiConfig
from retinalab_clpi.detection.truth import Boxes, lesion_boxes, lesion_centres, unit_fields
from retinalab_clpi.generator import CLASSES, LESION_CLASSES, STRIDE

__all__ = ["Explained", "Grader", "Pair", "Tested", "predicted_units", "read_pair"]

_GRADING, _LESIONS = "clpi", "clpi-lesions"


@dataclass(frozen=True)
class Tested:
    """A test photograph with its lesions.

    Attributes:
        image: its name.
        pixels: ``(S, S, 3)`` uint8 RGB, the working image.
        lesions: the 68×68 square round each lesion's centre.
        unjudged: lesions that nobody looked for in it.
        grade: reference, -1 unknown.
    """

    image: str
    pixels: np.ndarray
    lesions: Boxes
    unjudged: tuple[str, ...]
    grade: int


@dataclass(frozen=True)
class Explained:
    """What the networks of a run say of a photograph.

    Attributes:
        grade: the most probable one, and its probability.
        activation: ``(S, S)`` float32, the class activation map of that grade, scaled from its least value (0) to its
            greatest (1).
        units: fields of the units in which a lesion is more probable than none, with that lesion.
    """

    grade: int
    probability: float
    activation: np.ndarray
    units: Boxes


def predicted_units(probabilities: np.ndarray, size: int, extent: float = 1.0) -> Boxes:
    """Fields of the units whose most probable class is a lesion.

    Args:
        probabilities: of the generator, class 0 none.
        size: side of the working image, in whose pixels the fields are given.
        extent: side of the network's input, in its centre, as a share of it.

    Shape:
        - ``probabilities``: ``(4, h, w)`` float32.

    Example:
        >>> given = np.zeros((4, 1, 2), np.float32)
        >>> given[0, 0, 0] = given[2, 0, 1] = 1
        >>> found = predicted_units(given, 128)
        >>> found["boxes"].tolist(), found["labels"].tolist()
        ([[62.0, 0.0, 128.0, 64.0]], [2])
    """
    best = torch.from_numpy(probabilities.argmax(0).ravel().astype(np.int64))
    score = torch.from_numpy(probabilities.max(0).ravel().astype(np.float32))
    fields = unit_fields(*probabilities.shape[1:])
    seen = extent * size
    fields = fields * (seen / (STRIDE * probabilities.shape[2])) + (size - seen) / 2
    lesion = best > 0
    return {"boxes": fields[lesion], "labels": best[lesion], "scores": score[lesion]}


class Grader(Grading):
    """The networks of one run of the framework; those of several seeds are averaged.

    Args:
        run: that was finished.

    Raises:
        RetinalabError: the run grades with another network, or on several folds.
    """

    def __init__(self, run: FinishedRun) -> None:
        super().__init__(run)
        task = self.task
        if not isinstance(task, ClpiConfig) or task.variant != "clpi":
            variant = f" with variant={task.variant}" if isinstance(task, ClpiConfig) else ""
            raise RetinalabError(
                f"Run {run.path} grades with task {task.name!r}{variant}, not with {_GRADING!r} and variant=clpi. Give "
                f"a run of experiment {_GRADING}."
            )
        self.lesion_stage = _lesion_stage(run.experiment, self.stage)

    def explain(self, pixels: np.ndarray, disease: str) -> Explained:
        """Grade a working image, ``(S, S, 3)`` uint8 RGB, and say why."""
        batch = self.predictor.batches[self.stage].make(pixels[None])
        networks = self.networks
        probabilities = np.mean([network.answers(batch)[disease][0] for network in networks], axis=0)
        grade = int(probabilities.argmax())
        maps = np.mean([network.maps(batch, disease, np.array([grade]))[0] for network in networks], axis=0)
        given = [network.maps_given(batch) for network in networks]
        lesions = {name: np.mean([one[name][0] for one in given], axis=0) for name in given[0]}
        size = pixels.shape[0]
        return Explained(
            grade,
            float(probabilities[grade]),
            self.framing.on_photograph(enlarged(min_max(maps), self.framing.side), size, size),
            predicted_units(
                np.stack([1 - lesions["any lesion"], *(lesions[name] for name in CLASSES[1:])]),
                size,
                extent_of(self.data),
            ),
        )


@dataclass(frozen=True)
class Pair:
    """CLPI, CLPI- and the photographs that they were not trained on.

    Attributes:
        clpi: began with lesion patches. minus: did not.
        disease: that both grade.
        photographs: name -> where it lies.
    """

    clpi: Grader
    minus: Grader
    disease: str
    photographs: Mapping[str, tuple[Part, int]]

    def read(self, image: str) -> Tested:
        """One photograph with its lesions."""
        part, position = self.photographs[image]
        row = part.rows[position : position + 1]
        record = part.records.table.iloc[position]
        pixels = part.cache.images(row)[0]
        return Tested(
            image,
            pixels,
            lesion_boxes(lesion_centres(part.cache.planes(row)[0]), pixels.shape[0]),
            tuple(lesion for lesion in LESION_CLASSES if not record[f"annotated_{lesion}"]),
            int(record.get(self.disease, -1)),
        )

    def named(self, names: Sequence[str]) -> list[str]:
        """The photographs of some names; folder and suffix may be left out.

        Raises:
            RetinalabError: a name that none of them has.
        """
        return named_photographs(self.photographs, names)

    def telling(self, count: int) -> list[str]:
        """The photographs with the most classes of lesions and, of these, the fewest lesions: boxes stay apart."""
        labels = {image: self.read(image).lesions["labels"].tolist() for image in self.photographs}
        ranked = sorted(labels, key=lambda image: (-len(set(labels[image])), len(labels[image]), image))
        return ranked[:count]


def read_pair(run: Path, minus: Path) -> Pair:
    """Read a run of CLPI and one of CLPI-, and the test photographs of the first that have lesion masks.

    They are those of the stage that learned from lesion patches, at the size at which the run grades.

    Raises:
        RetinalabError: a run that is not what it should be, different sizes or diseases, or no photograph.
    """
    clpi, other = Grader(read_finished(run)), Grader(read_finished(minus))
    if clpi.lesion_stage is None:
        raise RetinalabError(
            f"Run {run} has no stage of lesion patches ({_LESIONS}) that its grades start from: it is CLPI-. Give it "
            "with --minus, and a run of CLPI in its place."
        )
    if other.lesion_stage is not None:
        raise RetinalabError(
            f"Run {minus} starts from lesion patches (stage {other.lesion_stage}): it is CLPI, not CLPI-. Give a run "
            "with grading.start_from=null."
        )
    disease = shared_disease(clpi, other)
    called = f"masks of {', '.join(LESION_CLASSES)}"
    photographs = unlearned_photographs(clpi, other, clpi.lesion_stage, LESION_CLASSES, called)
    return Pair(clpi, other, disease, photographs)


def _lesion_stage(experiment: Experiment, stage: str) -> str | None:
    """The stage of lesion patches that a stage's weights descend from."""
    before = experiment.stages[stage].before
    while before is not None:
        if experiment.stages[before].task.name == _LESIONS:
            return before
        before = experiment.stages[before].before
    return None
