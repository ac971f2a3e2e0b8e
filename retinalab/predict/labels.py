"""Grades that a reader gave, matched to predictions by the names of the photographs, and figures of their agreement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from retinalab.data.sets.files import IMAGE_SUFFIXES
from retinalab.data.sets.label_files import integers, read_csv
from retinalab.errors import RetinalabError, unknown
from retinalab.predict.columns import grade_column, image_column, patient_column
from retinalab.predict.photograph import Photograph
from retinalab.protocol import Scale
from retinalab.records import photograph_name

if TYPE_CHECKING:
    from retinalab.metrics.measure import Metric
    from retinalab.predict.predictor import Prediction

__all__ = ["Judged", "Labels", "read_labels"]


@dataclass(frozen=True)
class Labels:
    """A label file.

    Attributes:
        path: the file.
        columns: disease -> the column that its grades were read from.
        grades: disease -> name of the photograph (:func:`retinalab.records.photograph_name`) -> grade, -1 unknown.
        patients: name -> patient; empty where the file names none.
    """

    path: Path
    columns: Mapping[str, str]
    grades: Mapping[str, Mapping[str, int]]
    patients: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return any(name in grades for grades in self.grades.values())

    def __len__(self) -> int:
        return len(next(iter(self.grades.values())))

    def matched(self, photographs: Iterable[Photograph]) -> int:
        """How many of the photographs have a label.

        Raises:
            RetinalabError: none has, or two photographs bear the same name.
        """
        found: dict[str, str] = {}
        example = ""
        for photograph in photographs:
            name = photograph.name
            example = example or name
            if name not in self:
                continue
            if name in found:
                raise RetinalabError(
                    f"{found[name]!r} and {photograph.image!r} bear the same name {name!r}, so that a label of "
                    f"{self.path} would count for both. Predict them apart."
                )
            found[name] = photograph.image
        if not found:
            labelled = next(iter(next(iter(self.grades.values()))))
            raise RetinalabError(
                f"{self.path} has no label for any of the photographs: it names {labelled!r}, they {example!r} "
                "(folders, suffixes and case do not count). Give the label file of these photographs."
            )
        return len(found)


def read_labels(path: Path, scales: Mapping[str, Scale]) -> Labels:
    """Read a CSV file of grades.

    The photographs' column and those of the grades are known by the names that public label files use; a file of two
    columns needs none.

    Args:
        path: the file.
        scales: disease -> the scale that the run grades on, which the labels must be on.

    Raises:
        RetinalabError: no such file or column, a photograph listed twice, or a grade outside its scale.
    """
    if not path.is_file():
        raise RetinalabError(
            f"No file {path}. Give a CSV file with a column of photographs and one of grades."
        )
    table = read_csv(path)
    columns = [str(column) for column in table.columns]
    if table.empty:
        raise RetinalabError(f"{path} holds no label. Give a CSV file with at least one row.")
    image = _image(table, columns, path)
    chosen: dict[str, str] = {}
    for disease in scales:
        place = grade_column(columns, disease, first=disease == next(iter(scales)))
        if place is not None and columns[place] != image:
            chosen[disease] = columns[place]
    if not chosen and len(columns) == 2:
        chosen[next(iter(scales))] = next(column for column in columns if column != image)
    if not chosen:
        raise unknown(
            "column",
            next(iter(scales)),
            columns,
            f"{path} must hold grades.",
            label=f"Columns of {path.name}",
        )
    names = table[image].map(photograph_name)
    twice = names[names.duplicated()]
    if len(twice):
        row = int(twice.index[0])
        raise RetinalabError(
            f"{path}, row {row + 2}: {table[image].iloc[row]!r} has a label already ({len(twice)} such rows). Keep one "
            "row for each photograph."
        )
    grades = {d: dict(zip(names, _grades(table, c, scales[d], path), strict=True)) for d, c in chosen.items()}
    patient = patient_column(columns)
    patients = {} if patient is None else dict(zip(names, table[columns[patient]], strict=True))
    return Labels(path, chosen, grades, patients)


@dataclass
class Judged:
    """Predictions that have a label, kept for the figures; one row each."""

    labels: Labels
    rows: list[dict[str, object]] = field(default_factory=list)
    ungraded: int = 0

    def add(self, prediction: Prediction) -> None:
        """Keep a prediction whose photograph has a label."""
        name = prediction.photograph.name
        if name not in self.labels:
            return
        if not prediction.answers:
            self.ungraded += 1
            return
        row: dict[str, object] = {"image": name, "patient": self.labels.patients.get(name, "")}
        for disease, grades in self.labels.grades.items():
            answer = prediction.answers.get(disease)
            if answer is None:
                continue
            row |= {disease: grades[name], f"{disease}_grade": answer.grade}
            if answer.score is None:
                row |= {f"{disease}_p{k}": value for k, value in enumerate(answer.probabilities)}
            else:
                row[f"{disease}_score"] = answer.score
        self.rows.append(row)

    def figures(self, scales: Mapping[str, Scale]) -> dict[str, Metric]:
        """Every figure with its interval, as :func:`retinalab.metrics.evaluate` gives it."""
        from retinalab.metrics.evaluate import evaluate

        if not self.rows:
            return {}
        return evaluate(pd.DataFrame(self.rows), scales)


def _image(table: pd.DataFrame, columns: list[str], path: Path) -> str:
    place = image_column(columns)
    if place is not None:
        return columns[place]
    for column in columns:
        if table[column].str.lower().str.endswith(IMAGE_SUFFIXES).all():
            return column
    if len(columns) == 2:
        return columns[0]
    raise unknown(
        "column", "image", columns, f"{path} must name photographs.", label=f"Columns of {path.name}"
    )


def _grades(table: pd.DataFrame, column: str, scale: Scale, path: Path) -> list[int]:
    grades = integers(table, column, path)
    wrong = table.index[(grades < -1) | (grades >= scale.size)]
    if len(wrong):
        row = int(wrong[0])
        raise RetinalabError(
            f"{path}, row {row + 2}: {column} is {grades[row]}, outside {scale.name}, which the run grades on "
            f"(0 to {scale.size - 1}; {len(wrong)} such rows). Give labels on that scale."
        )
    return [int(grade) for grade in grades]
