"""The worse eye of each patient: who is referred when any photograph of theirs is."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from retinalab.metrics.clinical.targets import Target

__all__ = ["worse_eye"]

_PATIENT = ["part", "set", "fold", "seed", "group"]


def worse_eye(rows: pd.DataFrame, disease: str, targets: Sequence[Target]) -> pd.DataFrame:
    """One row per patient, part, fold and seed: the highest reference, prediction and score of the photographs.

    Photographs whose patient is unknown are left out: whose other eye they show, nobody knows.

    Args:
        rows: of :func:`retinalab.metrics.clinical.targets.judged`, all references known.
        disease: whose grades are taken.
        targets: whose columns are taken.

    Example:
        >>> rows = pd.DataFrame({"part": "test", "set": "s", "fold": -1, "seed": 0, "group": "s/1", "patient": "1",
        ...                      "image": ["a", "b"], "dr": [0, 3], "dr_grade": [2, 1]})
        >>> worse_eye(rows, "dr", ())[["dr", "dr_grade"]].to_numpy().tolist()
        [[3, 2]]
    """
    known = rows[rows["patient"].fillna("").astype(str) != ""]
    highest = [disease, f"{disease}_grade"]
    highest += [column for one in targets for column in (one.positive, one.graded, one.score)]
    patients = known.groupby(_PATIENT, sort=False)[highest].max().reset_index()
    return patients.assign(image=patients["group"])
