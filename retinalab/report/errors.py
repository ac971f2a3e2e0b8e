"""Errors sorted by severity: how far and which way a grade is off, and how sure the network was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from retinalab.metrics.tables import probabilities_of
from retinalab.protocol import Scale
from retinalab.report.maps import Drawing, Key, MapRow

__all__ = ["Error", "Errors", "errors_of", "keys_of"]

_SHOWN, _LISTED = 12, 200


@dataclass(frozen=True)
class Error:
    """One wrong grade in words.

    Attributes:
        way: by how many grades, and to which side.
        weight: unacceptable, or what it means for referral; "" where neither.
        certainty: the probability of the predicted grade, or the score of a regression.
        drawn: the photograph with lesions and maps; None where it is only listed.
    """

    key: Key
    way: str
    weight: str
    reference: str
    predicted: str
    certainty: str
    drawn: MapRow | None = None


@dataclass(frozen=True)
class Errors:
    """The errors of one disease, the most severe first.

    Attributes:
        counts: lines that count them.
        shown: with photographs.
        listed: those that follow, without.
        left: how many more there are.
    """

    disease: str
    counts: list[str]
    shown: list[Error]
    listed: list[Error]
    left: int


def errors_of(
    rows: pd.DataFrame, disease: str, scale: Scale, draw: Drawing, shown: int = _SHOWN, listed: int = _LISTED
) -> Errors:
    """Wrong grades: unacceptable ones first, then by distance in grades, then by certainty, then by name.

    Certainty is the probability of the predicted grade; of a regression the distance of its score from the
    reference. A photograph without a predicted grade is no error of grading. One that several folds
    predicted stands with its most severe error.

    Args:
        rows: predictions of one seed whose reference is known.
        disease: what is graded.
        scale: of its grades.
        draw: of the same test set.
        shown: errors with photographs.
        listed: errors that are listed after them.
    """
    rows = rows[rows[f"{disease}_grade"] >= 0]
    reference, grade = rows[disease].to_numpy(int), rows[f"{disease}_grade"].to_numpy(int)
    off = grade - reference
    ranked = rows.assign(
        _off=off,
        _far=np.abs(off),
        _bad=_unacceptable(reference, grade, scale),
        _sure=_certainty(rows, disease),
    )[off != 0].sort_values(
        ["_bad", "_far", "_sure", "set", "image"], ascending=[False, False, False, True, True], kind="stable"
    )
    first = ranked.drop_duplicates(["set", "image"])
    entries = [_entry(row, disease, scale) for _, row in first.head(shown + listed).iterrows()]
    return Errors(
        disease,
        counts=_counts(ranked, len(rows), scale),
        shown=[_with_picture(one, draw) for one in entries[:shown]],
        listed=entries[shown:],
        left=max(0, len(first) - shown - listed),
    )


def _unacceptable(reference: np.ndarray, grade: np.ndarray, scale: Scale) -> np.ndarray:
    if scale.unacceptable is None:
        return np.zeros(len(grade), dtype=bool)
    low, high = scale.unacceptable
    found: np.ndarray = (np.minimum(reference, grade) <= low) & (np.maximum(reference, grade) >= high)
    return found


def _certainty(rows: pd.DataFrame, disease: str) -> np.ndarray:
    if f"{disease}_score" in rows:
        return (rows[f"{disease}_score"] - rows[disease]).abs().to_numpy(dtype=np.float64)
    columns = probabilities_of(rows, f"{disease}_p")
    if not columns:
        return np.zeros(len(rows))
    shares = rows[columns].to_numpy(dtype=np.float64)
    given: np.ndarray = shares[np.arange(len(rows)), rows[f"{disease}_grade"].to_numpy(int)]
    return given


def _counts(ranked: pd.DataFrame, of: int, scale: Scale) -> list[str]:
    """How many are wrong, which way, and how far."""
    high, low = int((ranked["_off"] > 0).sum()), int((ranked["_off"] < 0).sum())
    lines = [f"{len(ranked)} of {of} graded otherwise than the reference: {low} too low, {high} too high."]
    if len(ranked):
        distances = ranked["_far"].value_counts().sort_index(ascending=False)
        far = ", ".join(
            f"{n} by {k} grade{'s' if k > 1 else ''}"
            for k, n in zip(distances.index.astype(int), distances, strict=True)
        )
        bad = f"{int(ranked['_bad'].sum())} unacceptable; " if scale.unacceptable else ""
        lines.append(f"{bad}{far}.")
    return lines


def _entry(row: pd.Series, disease: str, scale: Scale) -> Error:
    reference, grade, off = int(row[disease]), int(row[f"{disease}_grade"]), int(row["_off"])
    steps = f"{abs(off)} grade{'s' if abs(off) > 1 else ''}"
    weight = "unacceptable" if row["_bad"] else ""
    if reference >= scale.referable > grade:
        weight = ", ".join(filter(None, [weight, "referable disease missed"]))
    elif grade >= scale.referable > reference:
        weight = ", ".join(filter(None, [weight, "referred without need"]))
    said = ""
    if f"{disease}_score" in row:
        said = f"score {row[f'{disease}_score']:z.2f}".replace("-", "−")
    elif f"{disease}_p{grade}" in row:
        said = f"probability {row[f'{disease}_p{grade}']:.2f}"
    return Error(
        key=(str(row["set"]), str(row["image"]), int(row.get("fold", -1))),
        way=f"{steps} too {'high' if off > 0 else 'low'}",
        weight=weight,
        reference=f"{reference} {scale.levels[reference]}",
        predicted=f"{grade} {scale.levels[grade]}",
        certainty=said,
    )


def _with_picture(one: Error, draw: Drawing) -> Error:
    return replace(one, drawn=draw.row(one.key))


def keys_of(errors: Iterable[Errors]) -> set[Key]:
    """The photographs that are shown."""
    return {one.key for each in errors for one in each.shown}
