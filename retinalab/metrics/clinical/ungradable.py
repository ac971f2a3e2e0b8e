"""Photographs that cannot be graded: in a clinic they are referred, in a paper they are left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.errors import unknown

__all__ = ["UNGRADABLE", "ungradable_rows"]

UNGRADABLE = "ungradable"
"""What a photograph's ``reason`` says where a run's protocol left it out as ungradable."""

_NO = {"0", "0.0", "false", "no"}


def ungradable_rows(table: pd.DataFrame, chosen: tuple[str, str] | None = None) -> npt.NDArray[np.bool_]:
    """``(n,)`` bool: which photographs are marked ungradable.

    Marked is a photograph with ``gradable`` false, with a ``reason`` why it was not graded, or that ``chosen`` names.

    Args:
        table: predictions, completed.
        chosen: a column and the value that marks the photographs, such as ``("quality", "0")``.

    Raises:
        RetinalabError: no such column, or none of its cells has the value.

    Example:
        >>> ungradable_rows(pd.DataFrame({"gradable": [True, False, None]})).tolist()
        [False, True, False]
    """
    marked = np.zeros(len(table), dtype=bool)
    if "gradable" in table:
        marked |= table["gradable"].astype(str).str.strip().str.lower().isin(_NO).to_numpy(dtype=bool)
    if "reason" in table:
        marked |= (table["reason"].fillna("").astype(str) != "").to_numpy(dtype=bool)
    if chosen is None:
        return marked
    column, value = chosen
    if column not in table:
        raise unknown(
            "column", column, map(str, table.columns), "Name the column that marks ungradable photographs."
        )
    cells = table[column].astype(str)
    if not (cells == value).any():
        raise unknown(
            f"value of {column}", value, set(cells), "Name the one that marks ungradable photographs."
        )
    return marked | (cells == value).to_numpy(dtype=bool)
