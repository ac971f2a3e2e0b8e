"""Whether two runs can be compared: one protocol, the same files, the same photographs with the same labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from retinalab.errors import RetinalabError
from retinalab.metrics.tables import probabilities_of
from retinalab.protocol import Protocol, Scale

__all__ = ["check_fingerprints", "check_same_photographs", "common_scales"]

_PHOTOGRAPH = ["part", "set", "image"]


_NAMES = ("the first run", "the second run")


def common_scales(a: Protocol, b: Protocol, names: tuple[str, str] = _NAMES) -> dict[str, Scale]:
    """The scales of the diseases that two protocols share; everything else in them must be equal.

    Args:
        a, b: the protocols.
        names: of the two runs, for errors.

    Raises:
        RetinalabError: one line for each entry that differs, with both values.
    """
    fields = [name for name in Protocol.model_fields if name != "diseases"]
    pairs = [(name, getattr(a, name), getattr(b, name)) for name in fields]
    shared = [disease for disease in a.diseases if disease in b.diseases]
    pairs += [(f"diseases.{disease}", a.diseases[disease], b.diseases[disease]) for disease in shared]
    faults = [
        f"Different protocols: {name} is {first} in {names[0]} and {second} in {names[1]}. "
        "Compare runs under one protocol."
        for name, first, second in pairs
        if first != second
    ]
    if faults:
        raise RetinalabError(*faults)
    return {disease: a.scales[disease] for disease in shared}


def check_fingerprints(
    a: Mapping[str, Iterable[str]], b: Mapping[str, Iterable[str]], names: tuple[str, str] = _NAMES
) -> None:
    """Hold two runs to the same files and labels, which names of photographs alone do not prove.

    Args:
        a, b: data set -> the fingerprints that the run's provenance gives for it (one per way of reading it).
        names: of the two runs, for errors.

    Raises:
        RetinalabError: a set has fingerprints on both sides and none in common.
    """
    for name in a:
        first, second = set(a[name]) - {""}, set(b.get(name, ())) - {""}
        if first and second and not first & second:
            raise RetinalabError(
                f"Different photographs or labels of set {name}: fingerprint {', '.join(sorted(first))} in "
                f"{names[0]}, {', '.join(sorted(second))} in {names[1]}. Repeat one on the other's files and options."
            )


def check_same_photographs(
    a: pd.DataFrame, b: pd.DataFrame, diseases: Sequence[str], names: tuple[str, str] = _NAMES
) -> None:
    """Hold two complete tables of predictions to the same rows, whatever their order, in every seed.

    Args:
        a, b: completed by :func:`retinalab.metrics.tables.complete_predictions`.
        diseases: those whose references must be equal.
        names: of the two runs, for errors.

    Raises:
        RetinalabError: data sets, photographs, folds, patients, references or numbers of grades differ, or a
            photograph stands twice.
    """
    _check_sets(a, b, names)
    _check_grades(a, b, diseases, names)
    reference: tuple[str, pd.DataFrame] | None = None
    for which, table in zip(names, (a, b), strict=True):
        for seed, rows in table.groupby("seed"):
            where = f"{which} (seed {seed})"
            keyed = rows.set_index([*_PHOTOGRAPH, "fold"])[["group", *diseases]].sort_index()
            if keyed.index.has_duplicates:
                twice = keyed.index[keyed.index.duplicated()][0]
                raise RetinalabError(f"{_named(twice)} stands twice in {where}. Keep one prediction of it.")
            reference = reference or (where, keyed)
            _check_equal(reference, (where, keyed))


def _check_sets(a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str]) -> None:
    first, second = (
        {f"{part} {name}" for part, name in zip(t["part"], t["set"], strict=True)} for t in (a, b)
    )
    if first != second:
        raise RetinalabError(
            f"Different data sets: {names[0]} has {', '.join(sorted(first)) or 'nothing'}; {names[1]} has "
            f"{', '.join(sorted(second)) or 'nothing'}. Compare runs that were tested on the same sets."
        )


def _check_equal(a: tuple[str, pd.DataFrame], b: tuple[str, pd.DataFrame]) -> None:
    (first, left), (second, right) = a, b
    seen, other = (side.reset_index("fold").index.unique() for side in (left, right))
    for has, lacks, missing in (
        (first, second, seen.difference(other)),
        (second, first, other.difference(seen)),
    ):
        if len(missing):
            raise RetinalabError(
                f"Different photographs: {lacks} lacks {len(missing)} that {has} has, such as "
                f"{_named(missing[0])}. Compare runs on the same photographs: give both experiments "
                "one data section, or train them as a board (retinalab leaderboard)."
            )
    if not left.index.equals(right.index):
        odd = left.index.symmetric_difference(right.index)[0]
        raise RetinalabError(
            f"Different folds: {_named(odd)} is predicted in fold {odd[3]} by one of {first} and {second} only. "
            "Compare runs with the same split."
        )
    for column in left.columns:
        unequal = np.flatnonzero((left[column] != right[column]).to_numpy())
        if unequal.size:
            row = int(unequal[0])
            what = "patients" if column == "group" else f"references of {column}"
            raise RetinalabError(
                f"Different {what}: {_named(left.index[row])} has {left[column].iloc[row]} in {first} and "
                f"{right[column].iloc[row]} in {second} ({unequal.size} such rows). Compare runs on the same labels."
            )


def _check_grades(a: pd.DataFrame, b: pd.DataFrame, diseases: Sequence[str], names: tuple[str, str]) -> None:
    for disease in diseases:
        first, second = (len(probabilities_of(table, f"{disease}_p")) for table in (a, b))
        if first and second and first != second:
            raise RetinalabError(
                f"Different grade scales: {disease} has {first} grades in {names[0]} and {second} in {names[1]}. "
                "Compare runs under one protocol."
            )


def _named(key: Sequence[object]) -> str:
    return f"{key[0]} photograph {key[1]}/{key[2]}" if key[1] else f"{key[0]} photograph {key[2]}"
