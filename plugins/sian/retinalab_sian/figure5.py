"""Figure 5: true lesions, ABN's attention and SiAN's lesion maps of test photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retinalab.data.parts import Part
from retinalab.errors import RetinalabError
from retinalab.explain import enlarged
from retinalab.predict.compared import Grading, named_photographs, shared_disease, unlearned_photographs
from retinalab.predict.finished import FinishedRun, read_finished
from retinalab.records import LESIONS
from retinalab_sian.config import SianConfig

__all__ = ["PRESENT", "Compared", "Grader", "Said", "Tested", "read_compared"]

PRESENT = 0.5
"""From which probability on a pixel is a lesion's (section 3)."""


@dataclass(frozen=True)
class Tested:
    """A test photograph with its lesions.

    Attributes:
        image: its name.
        pixels: ``(S, S, 3)`` uint8 RGB, the working image.
        masks: lesion -> ``(S, S)`` bool, of every lesion that was looked for.
        grade: reference, -1 unknown.
    """

    image: str
    pixels: np.ndarray
    masks: Mapping[str, np.ndarray]
    grade: int

    @property
    def marked(self) -> tuple[str, ...]:
        """Lesions that are there."""
        return tuple(lesion for lesion, mask in self.masks.items() if mask.any())


@dataclass(frozen=True)
class Said:
    """What the networks of a run say of a photograph.

    Attributes:
        grade, probability: the most probable grade.
        lesions: lesion -> ``(S, S)`` bool on the working image; empty where the run maps none.
        attention: ``(S, S)`` float32 in [0, 1] on the working image; None where the run has none.
    """

    grade: int
    probability: float
    lesions: Mapping[str, np.ndarray]
    attention: np.ndarray | None


class Grader(Grading):
    """The grading networks of one run; those of several seeds are averaged.

    Args:
        run: that was finished.
        variants: of the task ``sian`` that will do.

    Raises:
        RetinalabError: the run grades with another network, or on several folds.
    """

    def __init__(self, run: FinishedRun, variants: Sequence[str]) -> None:
        super().__init__(run)
        task = self.task
        if not isinstance(task, SianConfig) or task.variant not in variants:
            variant = f" with variant={task.variant}" if isinstance(task, SianConfig) else ""
            raise RetinalabError(
                f"Run {run.path} grades with task {task.name!r}{variant}, not with 'sian' and variant="
                f"{' or '.join(variants)}. Give such a run."
            )

    def says(self, pixels: np.ndarray, disease: str) -> Said:
        """Grade a working image, ``(S, S, 3)`` uint8 RGB, and say where lesions are or where was looked."""
        batch = self.predictor.batches[self.stage].make(pixels[None])
        given = [network.given(batch, lesion_maps=True) for network in self.networks]
        probabilities = np.mean([one.answers[disease][0] for one in given], axis=0)
        grade = int(probabilities.argmax())
        size = pixels.shape[0]
        maps = [one.lesions[0] for one in given if one.lesions is not None]
        mean = np.mean(maps, axis=0) if maps else None
        lesions = (
            {}
            if mean is None
            else {
                lesion: self.framing.on_photograph(mean[LESIONS.index(lesion)], size, size) >= PRESENT
                for lesion in self.run.taught
            }
        )
        attention = [
            found["attention"][0] for n in self.networks if "attention" in (found := n.maps_given(batch))
        ]
        laid = (
            self.framing.on_photograph(enlarged(np.mean(attention, axis=0), self.framing.side), size, size)
            if attention
            else None
        )
        return Said(grade, float(probabilities[grade]), lesions, laid)


@dataclass(frozen=True)
class Compared:
    """SiAN, ABN and the photographs that neither was trained on.

    Attributes:
        sian: maps lesions and grades. abn: grades with attention of its own.
        disease: that both grade.
        photographs: name -> where it lies.
    """

    sian: Grader
    abn: Grader
    disease: str
    photographs: Mapping[str, tuple[Part, int]]

    def read(self, image: str) -> Tested:
        """One photograph with its lesions."""
        part, position = self.photographs[image]
        row = part.rows[position : position + 1]
        record = part.records.table.iloc[position]
        planes = part.cache.planes(row)[0]
        masks = {
            lesion: ((planes[0] >> bit) & 1).astype(bool)
            for bit, lesion in enumerate(LESIONS)
            if record[f"annotated_{lesion}"]
        }
        return Tested(image, part.cache.images(row)[0], masks, int(record.get(self.disease, -1)))

    def named(self, names: Sequence[str]) -> list[str]:
        """The photographs of some names; folder and suffix may be left out.

        Raises:
            RetinalabError: a name that none of them has.
        """
        return named_photographs(self.photographs, names)

    def telling(self, count: int) -> list[str]:
        """One photograph of each reference grade in turn, severest first; of a grade, most kinds of lesions first."""
        seen = {image: self.read(image) for image in self.photographs}
        ranked = sorted(seen, key=lambda image: (-len(seen[image].marked), image))
        by_grade: dict[int, list[str]] = {}
        for image in ranked:
            by_grade.setdefault(seen[image].grade, []).append(image)
        turns = {
            image: (turn, -grade) for grade, images in by_grade.items() for turn, image in enumerate(images)
        }
        return sorted(ranked, key=lambda image: turns[image])[:count]


def read_compared(sian: Path, abn: Path) -> Compared:
    """Read a run of SiAN and one of ABN, and the test photographs of the first that have lesion masks.

    Raises:
        RetinalabError: a run that is not what it should be, different sizes or diseases, or no photograph.
    """
    ours, theirs = Grader(read_finished(sian), ("sian", "concat")), Grader(read_finished(abn), ("abn",))
    disease = shared_disease(ours, theirs)
    masked = ours.run.experiment.stages[ours.stage].before or ours.stage  # where the lesion branch learned
    photographs = unlearned_photographs(ours, theirs, masked, LESIONS, "lesion masks")
    return Compared(ours, theirs, disease, photographs)
