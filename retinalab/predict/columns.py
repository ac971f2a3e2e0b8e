"""Under which names label files and lists hold photographs, patients and grades."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["grade_column", "image_column", "patient_column"]

_IMAGE = (
    "image", "imagename", "imageid", "imagepath", "imagefile", "img", "photograph", "photo", "idcode", "file",
    "filename", "filepath", "path", "name", "id",
)  # fmt: skip
_PATIENT = ("patient", "patientid", "subject", "subjectid")
_GRADE: Mapping[str, tuple[str, ...]] = {
    "dr": (
        "dr", "drgrade", "drlevel", "retinopathygrade", "adjudicateddrgrade", "diabeticretinopathy", "retinopathy",
        "icdr",
    ),
    "dme": (
        "dme", "dmegrade", "dmerisk", "riskofmacularedema", "adjudicateddme", "macularedema", "edema", "maculopathy",
    ),
}  # fmt: skip
_ANY = ("grade", "level", "label", "diagnosis", "class", "severity")


def image_column(names: Sequence[str]) -> int | None:
    """Position of the column that names photographs.

    Example:
        >>> image_column(["Image name", "Retinopathy grade"])
        0
    """
    return _find(names, _IMAGE)


def patient_column(names: Sequence[str]) -> int | None:
    """Position of the column that names patients."""
    return _find(names, _PATIENT)


def grade_column(names: Sequence[str], disease: str, first: bool) -> int | None:
    """Position of the column that holds the grade of a disease.

    Args:
        names: of the columns.
        disease: as the protocol names it.
        first: whether it is the run's first disease, which a column called only "grade" or "level" is taken for.

    Example:
        >>> grade_column(["image_id", "adjudicated_dr_grade", "adjudicated_dme"], "dme", first=False)
        2
    """
    return _find(names, (*_GRADE.get(disease, (disease,)), *(_ANY if first else ())))


def _find(names: Sequence[str], known: Sequence[str]) -> int | None:
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in names]
    return next((plain.index(word) for word in known if word in plain), None)
