"""The figures of each lesion class on a test set, beside how many lesions there are."""

from __future__ import annotations

import pandas as pd

from retinalab.report.folder import RunFolder
from retinalab.report.numbers import interval
from retinalab.report.results import Grid

__all__ = ["lesion_grid"]

_LESION_MEASURES = {
    "f1": "pixel F1",
    "f1_threshold": "pixel F1, colour threshold",
    "ap": "average precision",
    "component_recall": "lesions found",
    "false_components": "false lesions per photograph",
    "image_f1": "presence F1",
    "image_auc": "presence AUC",
}


def lesion_grid(run: RunFolder, prefix: str) -> Grid | None:
    """Figures of each lesion class; None where no lesion was scored."""
    keys = [key.split("/") for key in run.metrics if key.startswith(f"{prefix}/lesion/")]
    lesions = dict.fromkeys(key[2] for key in keys if len(key) == 4)
    names = [name for name in _LESION_MEASURES if any(key[-1] == name for key in keys)]
    if not lesions or not names:
        return None
    marked = _marked(run.lesions_of(prefix))
    rows = []
    for lesion in lesions:
        cells = [run.metrics.get(f"{prefix}/lesion/{lesion}/{name}") for name in names]
        counts = [marked.get(lesion, "")] if marked else []
        rows.append((lesion, [*counts, *(interval(cell) if cell else "" for cell in cells)]))
    heads = ["marked, in photographs"] if marked else []
    return Grid([*heads, *(_LESION_MEASURES[name] for name in names)], rows)


def _marked(table: pd.DataFrame | None) -> dict[str, str]:
    """Lesion -> how many there are, in how many of the photographs that were looked at for it."""
    if table is None:
        return {}
    first = table[table["seed"] == table["seed"].min()].drop_duplicates(["set", "image", "lesion"])
    counts = first.assign(lesions=first["hits"] + first["misses"], pixels=first["tp"] + first["fn"])
    found = {}
    for lesion, rows in counts.groupby("lesion"):
        showing = int((rows["pixels"] > 0).sum())
        found[str(lesion)] = f"{int(rows['lesions'].sum())} in {showing} of {len(rows)}"
    return found
