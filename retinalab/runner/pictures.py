"""Working images by name, for a report's gallery."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from retinalab.config import Experiment
from retinalab.data.module import FundusDataModule
from retinalab.data.parts import Parts

__all__ = ["pictures", "pictures_of"]

Picture = Callable[[str, str], np.ndarray | None]


def pictures(parts: Parts) -> Picture:
    """A function from (set, image) to its working image, ``(S, S, 3)`` uint8 RGB; None where it has none."""
    found = {}
    for part in (parts.train, parts.val, *parts.tests.values()):
        for name, image, row in zip(
            part.records.table["set"], part.records.table["image"], part.rows, strict=True
        ):
            found[name, image] = (part.cache, row)

    def picture(name: str, image: str) -> np.ndarray | None:
        if (name, image) not in found:
            return None
        cache, row = found[name, image]
        working: np.ndarray = cache.images(np.array([row]))[0]
        return working

    return picture


def pictures_of(experiment: Experiment) -> Picture:
    """The same for the photographs that an experiment evaluates, prepared again if need be.

    Raises:
        RetinalabError: the data are no longer where the experiment says.
    """
    fold = experiment.fold if experiment.fold is not None else 0 if experiment.folds > 1 else None
    module = FundusDataModule(
        experiment.stages[experiment.evaluated[-1]].data,
        experiment.protocol,
        roots=experiment.roots,
        test=experiment.test,
        fold=fold,
        folds=experiment.folds,
    )
    return pictures(module.parts)
