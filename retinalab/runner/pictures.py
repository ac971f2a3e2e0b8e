"""Working images by name, for a report's gallery, and the lesions that readers marked in them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from retinalab.config import Experiment
from retinalab.data.module import FundusDataModule
from retinalab.data.parts import Parts
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS

__all__ = ["Pictures", "pictures", "pictures_of"]


class Pictures:
    """The working image of (set, image), ``(S, S, 3)`` uint8 RGB; None where there is none.

    Args:
        parts: whose photographs are prepared.
    """

    def __init__(self, parts: Parts) -> None:
        self._places = {}
        for part in (parts.train, parts.val, *parts.tests.values()):
            for name, image, row in zip(
                part.records.table["set"], part.records.table["image"], part.rows, strict=True
            ):
                self._places[name, image] = (part.cache, row)

    def __call__(self, name: str, image: str) -> np.ndarray | None:
        if (name, image) not in self._places:
            return None
        cache, row = self._places[name, image]
        working: np.ndarray = cache.images(np.array([row]))[0]
        return working

    def lesions(self, name: str, image: str) -> Mapping[str, np.ndarray] | None:
        """Lesion -> ``(S, S)`` bool, those marked in this photograph; None where it was prepared without masks."""
        if (name, image) not in self._places:
            return None
        cache, row = self._places[name, image]
        try:
            present = cache.planes(np.array([row]))[0, 0]
        except RetinalabError:
            return None
        found = {lesion: (present >> bit & 1).astype(bool) for bit, lesion in enumerate(LESIONS)}
        return {lesion: mask for lesion, mask in found.items() if mask.any()}


def pictures(parts: Parts) -> Pictures:
    """The pictures of the photographs that a run evaluated."""
    return Pictures(parts)


def pictures_of(experiment: Experiment) -> Pictures:
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
