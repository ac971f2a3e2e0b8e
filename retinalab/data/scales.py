"""From a set's own grade scale to the protocol's, only where that means something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from retinalab.errors import RetinalabError
from retinalab.protocol import SCALES
from retinalab.records import Records

__all__ = ["LOWEST_POSITIVE", "apply_scales"]

LOWEST_POSITIVE: Mapping[tuple[str, str], int] = {
    ("icdr5", "referable"): 2,
    ("icdr5", "any"): 1,
    ("messidor4", "referable"): 2,
    ("messidor4", "any"): 1,
    ("risk3", "binary"): 1,
    ("risk3", "referable"): 2,
}
"""(scale of the set, scale of the protocol) -> lowest grade that counts as 1. Risk of macular edema becomes
yes from grade 1, any exudate, on where maculopathy is graded as yes or no (``binary``), and from grade 2, exudate
within a disc diameter of the fovea, on where referable edema is (``referable``): the two do not mix."""


def apply_scales(records: Records, diseases: Mapping[str, str]) -> Records:
    """Bring the grades onto the protocol's scales; an unknown grade stays -1.

    A set without labels of a disease keeps -1 throughout and a note says so, since its masks may still be
    wanted.

    Args:
        records: of one or several sets.
        diseases: disease -> grade scale, as in :class:`retinalab.protocol.Protocol`.

    Raises:
        RetinalabError: a scale that cannot be had from the set's, such as ICDR from Messidor's grades.
    """
    table = records.table.copy()
    infos, notes = dict(records.info), list(records.notes)
    for name, info in records.info.items():
        scales = dict(info.scales)
        rows = (table["set"] == name).to_numpy()
        for disease, wanted in diseases.items():
            if disease not in scales:
                notes.append(f"{name} has no labels of {disease}")
                continue
            table.loc[rows, disease] = _mapped(
                table.loc[rows, disease].to_numpy(), scales[disease], wanted, name, disease
            )
            scales[disease] = wanted
        infos[name] = replace(info, scales=scales)
    return replace(records, table=table, info=infos, notes=tuple(notes))


def _mapped(grades: np.ndarray, given: str, wanted: str, name: str, disease: str) -> np.ndarray:
    if given == wanted:
        return grades
    lowest = LOWEST_POSITIVE.get((given, wanted))
    if lowest is None:
        possible = [given, *(target for source, target in LOWEST_POSITIVE if source == given)]
        raise RetinalabError(
            f"{disease} of set {name!r} is graded on {given}, from which {wanted} cannot be had: "
            f"{_why(given, wanted)}. "
            f"Use protocol.diseases.{disease}={' or '.join(possible)}, or another set."
        )
    return np.where(grades < 0, -1, (grades >= lowest).astype(np.int64))


def _why(given: str, wanted: str) -> str:
    if SCALES[given].size < SCALES[wanted].size:
        return f"it has {SCALES[wanted].size} grades and the labels tell only {SCALES[given].size} apart"
    return "their grades do not mean the same"
