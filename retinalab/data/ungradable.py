"""Ungradable photographs that a protocol leaves out: which of them belong to the patients who are tested."""

from __future__ import annotations

import numpy as np
import pandas as pd

from retinalab.data.part import described
from retinalab.records import Records

__all__ = ["tested_ungradable"]


def tested_ungradable(
    left_out: Records, kept: Records, tested: np.ndarray, official: bool
) -> tuple[pd.DataFrame, str]:
    """The ungradable photographs of the test part, which no network sees, but a clinic would.

    By their official part, where the split follows those; else by their patient, who is tested or is not. A patient of
    whom every photograph is ungradable is then in no part.

    Args:
        left_out: the ungradable photographs of a data set, on the protocol's scale.
        kept: all others.
        tested: positions in ``kept`` of the test part.
        official: whether the test part is the official one.

    Returns:
        The columns that say which photographs they are, part ``test``, and their references ``dr`` and ``dme``; and a
        note of those whose part is not known, "" where there is none.
    """
    if official:
        mine = (left_out.table["part"] == "test").to_numpy()
        lost = 0
    else:
        mine = np.isin(left_out.groups, kept.groups[tested])
        lost = int((~np.isin(left_out.groups, kept.groups)).sum())
    chosen = left_out.take(np.flatnonzero(mine))
    frame = described(chosen, "test").assign(**{d: chosen.table[d] for d in ("dr", "dme")})
    name = ", ".join(left_out.info)
    note = (
        f"ungradable photographs of {name} whose patient is in no part, counted nowhere: {lost}"
        if lost
        else ""
    )
    return frame, note
