"""Which grades the lesions of a photograph allow, and the photographs whose grade is not among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retinalab.metrics.tables import lesions_of
from retinalab.protocol import Scale
from retinalab.records import LESIONS

__all__ = ["Allowed", "allowed_dme", "allowed_dr", "allowed_grades", "known_lesions", "segmented_lesions"]

_PROLIFERATIVE = ("NV", "VH", "PH")
_DIRECT = ("MA", "HE", *_PROLIFERATIVE)
_MODERATE = ("HE", "EX", "SE")
_KEYS = ["image", "set", "part", "fold", "seed"]


@dataclass(frozen=True)
class Allowed:
    """The lowest and the highest grade that go with the lesions of a photograph."""

    low: int
    high: int


def allowed_dr(present: Mapping[str, bool]) -> Allowed:
    """ICDR severities that the presence of lesions allows; a lesion that is not among the keys is unknown.

    Presence bounds a grade, it does not tell it: how many haemorrhages, and in how many quadrants, it does not say.

    At least 4: NV, VH or PH, or FP with a sign of retinopathy (MA, HE, NV, VH, PH); 2: HE, or EX with MA; 1: MA; 0
    else, since EX, SE or FP alone belong to other diseases too. At most 4 where one of NV, VH, PH and FP is there
    or unknown; 3 where HE, EX or SE is; 1 where MA is; 0 where all eight are known to be absent. Venous beading
    and intraretinal microvascular abnormality are not among the eight: where they are the only sign of a severe
    retinopathy, the bound is too low.

    Reference: Wilkinson et al., Ophthalmology 110, 2003 (ICDR); SiAN, Table 1 (exudates without a direct sign).
    Differs from the rule that grades masks (:func:`retinalab.synthetic.rules.grade_masks`): that one gives one grade;
    every grade that it can give to these lesions, whatever their number and place, lies within the bounds.

    Example:
        >>> nothing = dict.fromkeys(LESIONS, False)
        >>> allowed_dr(nothing | {"MA": True}), allowed_dr(nothing | {"HE": True})
        (Allowed(low=1, high=1), Allowed(low=2, high=3))
        >>> allowed_dr({"MA": False})
        Allowed(low=0, high=4)
    """
    has = {lesion for lesion in LESIONS if present.get(lesion, False)}
    may = {lesion for lesion in LESIONS if present.get(lesion, True)}
    low = 0
    if has & {*_PROLIFERATIVE} or ("FP" in has and has & {*_DIRECT}):
        low = 4
    elif "HE" in has or {"MA", "EX"} <= has:
        low = 2
    elif "MA" in has:
        low = 1
    highest = ((4, {*_PROLIFERATIVE, "FP"}), (3, {*_MODERATE}), (1, {"MA"}))
    return Allowed(low, next((grade for grade, signs in highest if may & signs), 0))


def allowed_dme(present: Mapping[str, bool]) -> Allowed:
    """Risks of macular edema 0-2 that hard exudates allow: 0 without any, 1 or 2 with; where unknown, all.

    Example:
        >>> allowed_dme({"EX": True}), allowed_dme({})
        (Allowed(low=1, high=2), Allowed(low=0, high=2))
    """
    if "EX" not in present:
        return Allowed(0, 2)
    return Allowed(1, 2) if present["EX"] else Allowed(0, 0)


_RULES = {("dr", "icdr5"): allowed_dr, ("dme", "risk3"): allowed_dme}


def allowed_grades(presence: pd.DataFrame, disease: str, scale: Scale) -> pd.DataFrame | None:
    """Columns ``low`` and ``high`` for every row; None where there are no rules for the scale.

    Args:
        presence: a column per lesion: 1 present, 0 absent, -1 unknown.
    """
    rule = _RULES.get((disease, scale.name))
    if rule is None:
        return None
    columns = [lesion for lesion in LESIONS if lesion in presence]
    found: dict[tuple[int, ...], Allowed] = {}
    bounds = []
    for cells in presence[columns].to_numpy(dtype=np.int64):
        key = tuple(int(cell) for cell in cells)
        if key not in found:
            found[key] = rule({x: cell == 1 for x, cell in zip(columns, key, strict=True) if cell >= 0})
        bounds.append((found[key].low, found[key].high))
    return pd.DataFrame(bounds, columns=["low", "high"], index=presence.index)


def known_lesions(rows: pd.DataFrame, lesions: pd.DataFrame | None) -> pd.DataFrame | None:
    """Presence of each lesion as annotated: from the predictions' columns, else from the table of lesions.

    Returns:
        A column per lesion in the order of ``rows``: 1, 0, -1 unknown; None where nothing was annotated.
    """
    given = [lesion for lesion in LESIONS if f"lesion_{lesion}" in rows]
    if given:
        out = {}
        for lesion in given:
            told = rows[f"lesion_{lesion}"].fillna(-1).to_numpy(dtype=np.int64)
            if f"lesion_{lesion}_annotated" in rows:
                annotated = rows[f"lesion_{lesion}_annotated"].fillna(False).to_numpy(dtype=bool)
                told = np.where(annotated, told, -1)
            out[lesion] = told
        return _unless_unknown(pd.DataFrame(out, index=rows.index))
    return _counted(rows, lesions, ("tp", "fn"))


def segmented_lesions(
    rows: pd.DataFrame, lesions: pd.DataFrame | None, threshold: float = 0.5
) -> pd.DataFrame | None:
    """Presence of each lesion as the network has it: its probability, else any finding of its segmentation.

    Returns:
        As of :func:`known_lesions`; None where the network looks for none.
    """
    given = [lesion for lesion in lesions_of(rows) if lesion in LESIONS]
    if given:
        scores = {lesion: rows[f"lesion_{lesion}_p"].to_numpy(dtype=np.float64) for lesion in given}
        told = {
            lesion: np.where(np.isnan(score), -1, (score >= threshold).astype(np.int64))
            for lesion, score in scores.items()
        }
        return _unless_unknown(pd.DataFrame(told, index=rows.index))
    return _counted(rows, lesions, ("hits", "false_components"))


def _counted(rows: pd.DataFrame, lesions: pd.DataFrame | None, counts: Sequence[str]) -> pd.DataFrame | None:
    """Present where one of the counts is above 0; unknown where the table has no row."""
    if lesions is None or not len(lesions):
        return None
    some = lesions[[*_KEYS, "lesion"]].assign(
        present=(lesions[list(counts)].sum(axis=1) > 0).astype(np.int64)
    )
    wide = some.pivot_table(index=_KEYS, columns="lesion", values="present", aggfunc="max")
    found = wide.reindex(pd.MultiIndex.from_frame(rows[_KEYS])).fillna(-1).astype(np.int64)
    found.index = rows.index
    return _unless_unknown(found[[lesion for lesion in LESIONS if lesion in found]])


def _unless_unknown(presence: pd.DataFrame) -> pd.DataFrame | None:
    return presence if len(presence.columns) and bool((presence >= 0).any(axis=None)) else None
