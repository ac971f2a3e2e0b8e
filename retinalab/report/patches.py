"""What a report says of patches: the classes by name, each with the share that was recognised."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from retinalab.metrics.grading import confusion_matrix
from retinalab.metrics.tables import probabilities_of
from retinalab.report.folder import RunFolder
from retinalab.report.numbers import interval
from retinalab.report.results import Confusion, Grid, confusion

__all__ = ["patch_classes", "patch_confusion", "patch_grid", "patches_of"]


def patches_of(run: RunFolder, prefix: str) -> pd.DataFrame | None:
    """The classified patches behind the keys of a prefix; None where there are none."""
    if run.windows is None:
        return None
    part, _, name = prefix.partition("@")
    table = run.windows[(run.windows["part"] == part) & (run.windows["label"] >= 0)]
    if run.predictions is not None or name:
        table = table[table["set"] == (name or run.set_of(prefix))]
    return table if len(table) else None


def patch_classes(run: RunFolder) -> list[str]:
    """``none`` and the lesions, as the first stage that cuts lesion windows names them; numbers where none does."""
    size = 0 if run.windows is None else len(probabilities_of(run.windows, "p"))
    stages = run.experiment.get("stages")
    for stage in (stages or {}).values() if isinstance(stages, Mapping) else ():
        windows = ((stage or {}).get("data") or {}).get("windows") or {}
        names = ["none", *windows.get("classes", ())]
        if windows.get("kind") == "lesions" and len(names) == size:
            return names
    return [f"class {k}" for k in range(size)]


def patch_grid(run: RunFolder, prefix: str) -> Grid | None:
    """The share recognised of each class with its interval, and how many there are; None without patches."""
    table = patches_of(run, prefix)
    if table is None:
        return None
    rows = []
    for k, name in enumerate(patch_classes(run)):
        metric = run.metrics.get(f"{prefix}/windows/sensitivity_{k}")
        seeds = table[table["label"] == k].groupby("seed").size()
        rows.append((name, [interval(metric) if metric else "–", str(int(seeds.max()) if len(seeds) else 0)]))
    return Grid(["recall", "patches"], rows)


def patch_confusion(run: RunFolder, prefix: str) -> Confusion | None:
    """The matrix of the first seed's patches; None without patches."""
    table = patches_of(run, prefix)
    if table is None:
        return None
    first = table[table["seed"] == table["seed"].min()]
    names = patch_classes(run)
    return confusion("Patches", names, confusion_matrix(first["label"], first["grade"], len(names)))
