"""The photographs on which methods differ most, and how often each of two is right alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retinalab.metrics.tables import probabilities_of
from retinalab.protocol import Scale
from retinalab.report.gallery import Picture, thumbnail

__all__ = ["Differing", "Rights", "differing", "rights"]

_KEYS = ["set", "image", "fold"]


@dataclass(frozen=True)
class Differing:
    """One photograph; ``answers`` holds a line for each method, and whether every seed of it was right.

    Attributes:
        source: data URI; "" where no picture could be had.
        reference: grade in words.
    """

    set: str
    image: str
    source: str
    reference: str
    answers: list[tuple[str, str, bool]]


@dataclass(frozen=True)
class Rights:
    """Photographs by who was right: the mean over every seed of the first method with every seed of the second.

    Attributes:
        pair: labels of the two.
        both, first, second, neither: photographs; whole numbers where both were trained once.
        seeds: of each.
    """

    pair: tuple[str, str]
    both: float
    first: float
    second: float
    neither: float
    seeds: tuple[int, int] = (1, 1)

    @property
    def counts(self) -> list[str]:
        """As printed: both, first, second, neither; with a decimal where they are means."""
        digits = 0 if self.seeds == (1, 1) else 1
        return [f"{one:.{digits}f}" for one in (self.both, self.first, self.second, self.neither)]


def differing(
    tables: Mapping[str, pd.DataFrame], disease: str, scale: Scale, picture: Picture | None, count: int = 12
) -> list[Differing]:
    """Photographs by how far apart the methods lie, the farthest first.

    A method's place on the scale is the mean over its seeds of the expected grade, sum over k of k p_k, or of
    a regression's score within the scale; without either, of the predicted grade. Equal distances are ordered
    by name.

    Args:
        tables: label -> predictions of one test set whose reference is known; the same photographs in each.
        disease: what is graded.
        scale: of its grades.
        picture: RGB working image of (set, image), or None where it cannot be had.
        count: photographs at most; those on which all agree exactly are left out.
    """
    places = {
        label: table.assign(_place=_place(table, disease).clip(0, scale.size - 1))
        for label, table in tables.items()
    }
    means = pd.DataFrame({label: table.groupby(_KEYS)["_place"].mean() for label, table in places.items()})
    apart = (
        (means.max(axis=1) - means.min(axis=1))
        .round(9)
        .sort_index()
        .sort_values(ascending=False, kind="stable")
    )
    grouped = {label: table.groupby(_KEYS) for label, table in places.items()}
    out = []
    for key in apart[apart > 0].index[:count]:
        rows = {label: group.get_group(key).sort_values("seed") for label, group in grouped.items()}
        found = None if picture is None else picture(str(key[0]), str(key[1]))
        reference = int(next(iter(rows.values()))[disease].iloc[0])
        out.append(
            Differing(
                str(key[0]), str(key[1]), "" if found is None else thumbnail(found),
                f"{reference} {scale.levels[reference]}",
                [(label, _answer(one, disease, scale), bool((one[f"{disease}_grade"] == reference).all()))
                 for label, one in rows.items()],
            )
        )  # fmt: skip
    return out


def rights(
    tables: Mapping[str, pd.DataFrame], disease: str, pairs: Sequence[tuple[str, str]]
) -> list[Rights]:
    """How many photographs each of two methods grades right alone.

    Seeds of two methods have nothing in common that would pair them: with the shares a and b of the seeds of each that
    grade a photograph right, the mean over all pairs is the sum of a b (both), a (1 - b), (1 - a) b and
    (1 - a) (1 - b) over the photographs.

    Args:
        tables: as for :func:`differing`.
        disease: what is graded.
        pairs: labels.
    """
    right, seeds = {}, {}
    for label, table in tables.items():
        hit = table.assign(_right=(table[disease] == table[f"{disease}_grade"]).astype(np.float64))
        right[label] = hit.groupby(_KEYS)["_right"].mean().sort_index().to_numpy()
        seeds[label] = int(table["seed"].nunique())
    return [
        Rights(
            (a, b),
            float((right[a] * right[b]).sum()),
            float((right[a] * (1 - right[b])).sum()),
            float(((1 - right[a]) * right[b]).sum()),
            float(((1 - right[a]) * (1 - right[b])).sum()),
            (seeds[a], seeds[b]),
        )
        for a, b in pairs
    ]


def _place(table: pd.DataFrame, disease: str) -> np.ndarray:
    if f"{disease}_score" in table:
        return table[f"{disease}_score"].to_numpy(dtype=np.float64)
    columns = probabilities_of(table, f"{disease}_p")
    if len(columns) < 2:
        return table[f"{disease}_grade"].to_numpy(dtype=np.float64)
    shares = table[columns].to_numpy(dtype=np.float64)
    place: np.ndarray = shares @ np.arange(len(columns))
    return place


def _answer(rows: pd.DataFrame, disease: str, scale: Scale) -> str:
    """The predicted grades of every seed; of one seed the grade in words and what speaks for it."""
    grades = rows[f"{disease}_grade"].astype(int).tolist()
    if len(set(grades)) > 1:
        return f"grades {', '.join(map(str, grades))} (by seed)"
    grade = grades[0]
    said = f"{grade} {scale.levels[grade]}" if grade >= 0 else "none"
    if f"{disease}_score" in rows:
        return f"{said}, score {rows[f'{disease}_score'].mean():.2f}".replace("-", "−")
    if grade >= 0 and f"{disease}_p{grade}" in rows:
        return f"{said}, probability {rows[f'{disease}_p{grade}'].mean():.2f}"
    return said
