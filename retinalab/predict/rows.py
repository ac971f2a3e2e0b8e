"""A prediction as a row of ``predictions.csv``, and a row read back as a prediction."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from retinalab.errors import RetinalabError
from retinalab.predict.photograph import Photograph
from retinalab.predict.quality import FLAGS, Flag
from retinalab.predict.text import one_line
from retinalab.protocol import Scale
from retinalab.records import LESIONS

if TYPE_CHECKING:
    from retinalab.predict.predictor import Answer, Prediction, Predictor

__all__ = ["USE", "Pictures", "Rows", "joined"]

USE = "research use only: not for diagnosis"
"""In every row, since a comment before the header would break readers of CSV."""


@dataclass(frozen=True)
class Pictures:
    """Paths, relative to the folder of the table, of what was drawn of one photograph.

    Attributes:
        maps: disease -> class activation map.
        masks: lesion -> mask.
        overlay: the photograph under its lesions; "" none.
    """

    maps: Mapping[str, str]
    masks: Mapping[str, str]
    overlay: str = ""


@dataclass(frozen=True)
class Rows:
    """The columns of a table and what goes into them.

    Attributes:
        scales: disease -> its scale.
        regressed: diseases whose severity is one number.
        lesions: that are looked for.
        maps, masks, overlays: whether paths of such pictures are columns.
    """

    scales: Mapping[str, Scale]
    regressed: frozenset[str]
    lesions: tuple[str, ...]
    maps: bool = False
    masks: bool = False
    overlays: bool = False

    @classmethod
    def of(
        cls, predictor: Predictor, maps: bool = False, masks: bool = False, overlays: bool = False
    ) -> Rows:
        """Those of a run's networks."""
        return cls(predictor.scales, predictor.regressed, predictor.lesions, maps, masks, overlays)

    @property
    def header(self) -> list[str]:
        """Names of the columns."""
        names = ["image"]
        for disease, scale in self.scales.items():
            several = ["score"] if disease in self.regressed else [f"p{k}" for k in range(scale.size)]
            unsure = ["sd"] if disease in self.regressed else ["entropy", "mutual_information"]
            kinds = ["grade", *several, "confidence", *unsure, *["map"] * self.maps]
            names += [f"{disease}_{kind}" for kind in kinds]
        for lesion in LESIONS if self.lesions else ():
            names += [f"lesion_{lesion}_p", *[f"lesion_{lesion}_mask"] * self.masks]
        return [*names, *["overlay"] * self.overlays, "enlarged", "quality", "reason", "use"]

    def line(self, prediction: Prediction, pictures: Pictures) -> str:
        """A row with its end; no name or reason breaks it into two."""
        cells = [prediction.photograph.image]
        for disease in self.scales:
            cells += self._cells(disease, prediction.answers.get(disease))
            cells += [pictures.maps.get(disease, "")] * self.maps
        for lesion in LESIONS if self.lesions else ():
            cells.append(f"{prediction.lesions[lesion]:.6f}" if lesion in prediction.lesions else "")
            cells += [pictures.masks.get(lesion, "")] * self.masks
        cells += [pictures.overlay] * self.overlays
        enlarged = f"{prediction.enlarged:.2f}" if prediction.enlarged > 1 else ""
        return joined([*cells, enlarged, prediction.quality, prediction.reason, USE])

    def holds(self, cells: Sequence[str], photograph: Photograph) -> bool:
        """Whether a row is that of a photograph."""
        return len(cells) == len(self.header) and cells[0] == one_line(photograph.image)

    def prediction(self, cells: Sequence[str], photograph: Photograph) -> Prediction:
        """What a row says, its pictures left out.

        Raises:
            RetinalabError: a cell holds something else than its column says.
        """
        from retinalab.predict.predictor import Prediction

        row = dict(zip(self.header, cells, strict=True))
        try:
            answers = {d: self._answer(d, row) for d in self.scales if row[f"{d}_grade"]}
            chances = {x: row[f"lesion_{x}_p"] for x in self.lesions}
            lesions = {x: float(chance) for x, chance in chances.items() if chance}
            enlarged = float(row["enlarged"] or 1)
            if row["quality"] not in FLAGS:
                raise ValueError(row["quality"])
        except ValueError as error:
            raise RetinalabError(
                f"The row of {photograph.image!r} in predictions.csv was changed ({error}). Remove the folder, or name "
                "another with --out."
            ) from error
        flag = cast("Flag", row["quality"])
        return Prediction(
            photograph, answers, row["reason"], lesions=lesions, quality=flag, enlarged=enlarged
        )

    def _cells(self, disease: str, answer: Answer | None) -> list[str]:
        if answer is None:
            return [""] * (4 if disease in self.regressed else self.scales[disease].size + 4)
        values = answer.probabilities if answer.score is None else (answer.score,)
        unsure = (answer.sd,) if disease in self.regressed else (answer.entropy, answer.mutual_information)
        return [str(answer.grade), *map(_number, (*values, answer.confidence, *unsure))]

    def _answer(self, disease: str, row: Mapping[str, str]) -> Answer:
        from retinalab.predict.predictor import Answer

        grade = int(row[f"{disease}_grade"])
        if disease in self.regressed:
            return Answer(grade, score=float(row[f"{disease}_score"]), sd=_read(row[f"{disease}_sd"]))
        probabilities = tuple(float(row[f"{disease}_p{k}"]) for k in range(self.scales[disease].size))
        shared = _read(row[f"{disease}_mutual_information"])
        return Answer(grade, probabilities, mutual_information=shared)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _read(cell: str) -> float | None:
    return float(cell) if cell else None


def joined(cells: Sequence[str]) -> str:
    """Cells as a line of CSV with its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([one_line(cell) for cell in cells])
    return line.getvalue()
