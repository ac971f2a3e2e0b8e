"""How a split's parts depend on each other: photographs, copies of one picture, and patients on two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from retinalab.records import PARTS, Records

__all__ = ["fold_leaks", "part_leaks"]

_SHOWN = 5
_SHOWN_PAIRS = 20


def part_leaks(
    records: Records, parts: Mapping[str, np.ndarray], optimistic: bool = False
) -> tuple[str, ...]:
    """One line for each way in which two parts are not independent.

    A photograph in both, two copies of one picture (column ``duplicate`` of the records, where the set knows its
    copies) and a patient with different pictures in both are told apart, each with names.

    Args:
        records: the table that the positions refer to.
        parts: train, val and test rows.
        optimistic: whether val is the test part, which is then reported elsewhere.
    """
    table = _units(records)
    leaks = []
    for first, second in combinations(PARTS, 2):
        if optimistic and "val" in (first, second):
            continue
        same = np.intersect1d(parts[first], parts[second])
        if len(same):
            what = f"{_count(len(same), 'photograph')} both in {first} and in {second}"
            leaks.append(f"{what} (first: {table['image'].iloc[same[0]]!r})")
        sides = [table.iloc[np.setdiff1d(parts[part], same)] for part in (first, second)]
        leaks += _parted(sides[0], sides[1], first, second)
    return tuple(leaks)


def fold_leaks(records: Records, folds: Sequence[np.ndarray]) -> tuple[str, ...]:
    """One line for each way in which folds are not independent of each other, all folds taken together.

    Args:
        records: the table that the positions refer to.
        folds: the test rows of each fold.
    """
    rows = np.concatenate(folds)
    numbers = np.repeat(np.arange(1, len(folds) + 1), [len(fold) for fold in folds])
    table = _units(records).iloc[rows].assign(row=rows, fold=numbers)
    leaks = []
    twice = table[table.duplicated("row", keep="first")]
    if len(twice):
        what = f"{_count(twice['row'].nunique(), 'photograph')} in several folds"
        leaks.append(f"{what} (first: {twice['image'].iloc[0]!r})")
    table = table.drop_duplicates("row")
    copies = table[table["copied"]]
    several, parted = _several(copies, "picture", "image")
    if len(parted):
        shown = [" = ".join(_with_fold(copies[copies["picture"] == key])) for key in parted]
        leaks.append(
            f"the folds part {len(parted)} of {len(several)} duplicate pairs: {_listed(shown, _SHOWN_PAIRS)}"
        )
    several, parted = _several(table, "group", "picture")
    if len(parted):
        names = [" | ".join(_with_fold(table[table["group"] == key])) for key in parted[:_SHOWN]]
        shown = [f"{key} ({name})" for key, name in zip(parted, names, strict=False)]
        leaks.append(
            f"the folds part the photographs of {len(parted)} of {len(several)} patients with several: "
            f"{', '.join(shown)}{' …' * (len(parted) > _SHOWN)}"
        )
    return tuple(leaks)


def _units(records: Records) -> pd.DataFrame:
    """Per photograph: its name, its patient, and the picture that it shows, shared by copies."""
    table = records.table
    none = pd.Series("", index=table.index)
    copy = table["duplicate"].fillna("").astype(str) if "duplicate" in table else none
    picture = table["set"] + "/" + copy.where(copy != "", table["image"])
    name = table["image"].str.rsplit("/", n=1).str[-1].str.rsplit(".", n=1).str[0]
    columns = {"image": table["image"], "name": name, "picture": picture, "copied": copy != ""}
    return pd.DataFrame({**columns, "group": records.groups})


def _parted(one: pd.DataFrame, other: pd.DataFrame, first: str, second: str) -> list[str]:
    lines = []
    pictures = np.intersect1d(one["picture"], other["picture"])
    if len(pictures):
        shown = [f"{_names(one, 'picture', key)} = {_names(other, 'picture', key)}" for key in pictures]
        what = f"{_count(len(pictures), 'duplicate pair')} parted between {first} and {second}"
        lines.append(f"{what}: {_listed(shown, _SHOWN_PAIRS)}")
    patients = np.intersect1d(one["group"], other["group"])
    both = pd.concat([one, other])
    pictures_of = both[both["group"].isin(patients)].groupby("group")["picture"].nunique()
    parted = pictures_of.index[pictures_of > 1]
    if len(parted):
        shown = [
            f"{key} ({_names(one, 'group', key)} | {_names(other, 'group', key)})" for key in parted[:_SHOWN]
        ]
        what = f"{_count(len(parted), 'patient')} both in {first} and in {second}"
        lines.append(f"{what}: {', '.join(shown)}{' …' * (len(parted) > _SHOWN)}")
    return lines


def _several(table: pd.DataFrame, unit: str, member: str) -> tuple[list[str], list[str]]:
    """Units with several members, and those of them with members in different folds."""
    found = table.groupby(unit, sort=False).agg(members=(member, "nunique"), folds=("fold", "nunique"))
    several = found["members"] > 1
    return list(found.index[several]), list(found.index[several & (found["folds"] > 1)])


def _names(side: pd.DataFrame, column: str, key: str) -> str:
    return ", ".join(side.loc[side[column] == key, "name"])


def _with_fold(group: pd.DataFrame) -> list[str]:
    return [f"{name} (fold {fold})" for name, fold in zip(group["name"], group["fold"], strict=True)]


def _count(number: int, noun: str) -> str:
    return f"1 {noun} is" if number == 1 else f"{number} {noun}s are"


def _listed(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + " …" * (len(names) > most)
