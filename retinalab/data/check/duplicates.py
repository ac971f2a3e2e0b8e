"""Copies of one picture under several names, exact or saved again, and one eye under several names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from retinalab.data.check.findings import Finding
from retinalab.data.check.pairs import Pair, Side, confirmed_pairs, exact_pairs
from retinalab.data.check.photographs import Seen
from retinalab.records import Records

__all__ = ["duplicates"]

_DISEASES = ("dr", "dme")


def duplicates(records: Records, seen: Sequence[Seen]) -> list[Finding]:
    """Groups of photographs that are one picture, by equal bytes or by a likeness that a second look confirmed.

    A group whose copies carry different labels is reported as a conflict, one that lies in several official
    parts as a leak; only the others as plain copies. Two pictures of one eye are reported where the labels give
    them to two patients or two sides, or to nobody; views that are named as such are as they should be.

    Args:
        records: of the data set.
        seen: one per record.
    """
    exact = exact_pairs(seen, seen)
    near = confirmed_pairs(Side(records, seen))
    copies = _groups([*exact, *((pair.row, pair.twin) for pair in near if pair.picture)], len(seen))
    found: list[Finding] = []
    for group in copies:
        found += _copies(records, group, same_bytes=len({seen[row].sha256 for row in group}) == 1)
    one_picture = {row: number for number, group in enumerate(copies) for row in group}
    for pair in near:
        same = one_picture.get(pair.row, -1) == one_picture.get(pair.twin, -2)
        if not pair.picture and not same:
            found.append(_one_eye(records, pair))
    return found


def _groups(pairs: Sequence[tuple[int, int]], count: int) -> list[list[int]]:
    if not pairs:
        return []
    rows, columns = np.array(pairs).T
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    involved = np.unique(np.concatenate([rows, columns]))
    return [involved[label[involved] == group].tolist() for group in dict.fromkeys(label[involved].tolist())]


def _copies(records: Records, group: Sequence[int], same_bytes: bool) -> list[Finding]:
    table = records.table.iloc[list(group)]
    images = tuple(table["image"].astype(str))
    how = "the same bytes" if same_bytes else "the same picture"
    whose = _whose(table)
    found = []
    labels = {disease: sorted(set(table[disease]) - {-1}) for disease in _DISEASES}
    differing = [
        f"{disease} {' and '.join(map(str, grades))}" for disease, grades in labels.items() if len(grades) > 1
    ]
    if differing:
        found.append(Finding("label-conflict", images, f"{how}, {', '.join(differing)}{whose}"))
    parts = sorted(set(table["part"]) - {""})
    if len(parts) > 1:
        found.append(Finding("split-duplicate", images, f"{how} in {' and '.join(parts)}{whose}"))
    return found or [Finding("duplicate" if same_bytes else "near-duplicate", images, f"{how}{whose}")]


def _whose(table: pd.DataFrame) -> str:
    """What the labels say of copies: two patients, or two views of one eye."""
    patients = sorted(set(table["patient"]) - {""})
    if len(patients) > 1:
        return f"; patients {' and '.join(patients)}"
    views = sorted(set(table["view"]) - {""})
    eyes = set(table["eye"]) - {""}
    if len(patients) == len(eyes) == 1 and len(views) > 1:
        return f", called views {' and '.join(views)} of patient {patients[0]}'s {eyes.pop()} eye"
    return ""


def _one_eye(records: Records, pair: Pair) -> Finding:
    table = records.table.iloc[[pair.row, pair.twin]]
    told = []
    if not (table["patient"] != "").all():
        told.append("of unnamed patients")
    elif table["patient"].nunique() > 1:
        told.append("under patients " + " and ".join(table["patient"]))
    if table["eye"].nunique() > 1 and (table["eye"] != "").all():
        told.append("called " + " and ".join(table["eye"]))
    if table["part"].nunique() > 1:
        told.append("in " + " and ".join(part or "no part" for part in table["part"]))
    for disease in _DISEASES:
        grades = table.loc[table[disease] >= 0, disease].tolist()
        if len(set(grades)) > 1:
            told.append(f"{disease} {' and '.join(map(str, grades))}")
    return Finding(
        "same-eye", tuple(table["image"].astype(str)), f"two photographs of one eye, {', '.join(told)}"
    )
