"""``predictions.csv``: a row for each photograph, written as it comes, under its own name once it is whole."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from retinalab.errors import RetinalabError
from retinalab.records import LESIONS

if TYPE_CHECKING:
    from retinalab.predict.predictor import Answer, Prediction, Predictor

__all__ = ["USE", "Table", "prepare_folder"]

USE = "research use only: not for diagnosis"
"""In every row, since a comment before the header would break readers of CSV."""

_NAME = "predictions.csv"


class Table:
    """Writes ``predictions.csv``.

    Columns: ``image``; for each disease ``<d>_grade``, the probabilities ``<d>_p0`` … (or ``<d>_score``),
    ``<d>_confidence`` and, with maps, ``<d>_map``; where the run finds lesions, ``lesion_<X>_p`` for all eight, empty
    where one was not taught, with masks ``lesion_<X>_mask`` and with overlays ``overlay``; ``reason`` why a photograph
    was not graded; ``use``. Rows go to ``predictions.csv.partial``, which an interrupted command leaves and a finished
    one renames.

    Args:
        folder: to write to.
        predictor: says which diseases and columns.
        maps: whether class activation maps are written.
        masks, overlays: whether pictures of lesions are written.

    Raises:
        RetinalabError: the folder cannot be written.
    """

    def __init__(
        self, folder: Path, predictor: Predictor, maps: bool, masks: bool = False, overlays: bool = False
    ) -> None:
        self.path = folder / _NAME
        self.partial = folder / f"{_NAME}.partial"
        self.rows = 0
        self._scales, self._regressed, self._maps = predictor.scales, predictor.regressed, maps
        self._lesions, self._masks, self._overlays = LESIONS if predictor.lesions else (), masks, overlays
        try:
            self._file = self.partial.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        except OSError as error:
            raise _unwritable(folder, error) from error
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(self._header())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            os.replace(self.partial, self.path)

    def write(
        self,
        prediction: Prediction,
        pictures: dict[str, str],
        masks: Mapping[str, str] | None = None,
        overlay: str = "",
    ) -> None:
        """Add the row of one photograph.

        Args:
            prediction: of it.
            pictures: disease -> path of its map, relative to the folder.
            masks: lesion -> path of its mask, likewise.
            overlay: path of its overlay, likewise.

        Raises:
            RetinalabError: the disk is full, or the folder is gone.
        """
        row = [prediction.photograph.image]
        for disease in self._scales:
            row += self._cells(disease, prediction.answers.get(disease))
            row += [pictures.get(disease, "")] * self._maps
        for lesion in self._lesions:
            row.append(f"{prediction.lesions[lesion]:.6f}" if lesion in prediction.lesions else "")
            row += [(masks or {}).get(lesion, "")] * self._masks
        row += [overlay] * self._overlays
        try:
            self._writer.writerow([*row, prediction.reason, USE])
            self._file.flush()
        except OSError as error:
            raise _unwritable(self.path.parent, error) from error
        self.rows += 1

    def _header(self) -> list[str]:
        names = ["image"]
        for disease, scale in self._scales.items():
            several = ["score"] if disease in self._regressed else [f"p{k}" for k in range(scale.size)]
            kinds = ["grade", *several, "confidence", *["map"] * self._maps]
            names += [f"{disease}_{kind}" for kind in kinds]
        for lesion in self._lesions:
            names += [f"lesion_{lesion}_p", *[f"lesion_{lesion}_mask"] * self._masks]
        names += ["overlay"] * self._overlays
        return [*names, "reason", "use"]

    def _cells(self, disease: str, answer: Answer | None) -> list[str]:
        if answer is None:
            return [""] * (3 if disease in self._regressed else self._scales[disease].size + 2)
        values = answer.probabilities if answer.score is None else (answer.score,)
        confidence = "" if answer.confidence is None else f"{answer.confidence:.6f}"
        return [str(answer.grade), *(f"{value:.6f}" for value in values), confidence]


def prepare_folder(out: Path, data: tuple[Path, ...], photographs: frozenset[Path]) -> None:
    """Make the folder for results, which must not lie among the photographs.

    Args:
        out: the folder.
        data: folders of data; nothing may be written in or below them.
        photographs: folders that hold photographs; nothing may be written in them.

    Raises:
        RetinalabError: it lies in a data folder, is a file, or cannot be written.
    """
    place = out.resolve()
    for folder in data:
        if place.is_relative_to(folder.resolve()):
            raise RetinalabError(
                f"--out {out} lies inside the data folder {folder}. Name a folder outside of it."
            )
    if place in {folder.resolve() for folder in photographs}:
        raise RetinalabError(f"--out {out} is the folder of the photographs. Name another folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise RetinalabError(f"Cannot write to {out}: permission denied. Name another folder with --out.")


def _unwritable(folder: Path, error: OSError) -> RetinalabError:
    return RetinalabError(
        f"Cannot write to {folder}: {error.strerror or error}. Free space, or name another folder with --out."
    )
