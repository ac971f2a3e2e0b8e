"""The saliency scorecard of one network: every method's map of every photograph, held against the lesions."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.data.batch import Batch
from retinalab.data.part import identity
from retinalab.errors import RetinalabError
from retinalab.explain.answer import explained_grades, explained_values
from retinalab.explain.deletion import REMOVED, area_under, deletion_curve, random_maps, removal_order
from retinalab.explain.photographs import Given, Photographs
from retinalab.explain.randomisation import DEPTHS, cascade, rank_correlation
from retinalab.explain.saliency import METHODS, Method, Recipe, SaliencyMaps, maps_of
from retinalab.metrics.saliency import map_figures
from retinalab.records import LESIONS
from retinalab.tasks.base import Task

__all__ = ["Scorecard", "Settings"]

Maps = Callable[[Task, Tensor, Tensor, Sequence[Method]], Sequence[SaliencyMaps]]
"""Task, normalised photographs, grades and methods -> each method's maps over the photographs' pixels."""

_PLACES = 64
"""Rows and columns of places at which maps are correlated."""


@dataclass(frozen=True)
class Settings:
    """How maps are made and tried.

    Attributes:
        disease: whose grade is explained; of a network that grades nothing, any word.
        methods: that make maps.
        t: floor of ``gmsm``.
        removed: shares of the field that deletion takes away, from 0 to 1.
        depths: of the randomisation; the last one is the whole network.
        seed: of the random orders and permutations.
        size: photographs at once.
        taught: lesions that the network has learned.
    """

    disease: str
    methods: tuple[Method, ...] = METHODS
    t: float = 1.0
    removed: tuple[float, ...] = REMOVED
    depths: tuple[float, ...] = DEPTHS
    seed: int = 0
    size: int = 8
    taught: tuple[str, ...] = LESIONS


class Scorecard:
    """Maps and figures of one network.

    Args:
        task: in evaluation mode, on its device.
        photographs: prepared for it.
        settings: what is asked.
        maps: makes maps; :func:`~retinalab.explain.saliency.maps_of` where None.
    """

    def __init__(
        self, task: Task, photographs: Photographs, settings: Settings, maps: Maps | None = None
    ) -> None:
        self.task = task
        self.photographs = photographs
        self.settings = settings
        self._maps = maps or self._saliency

    def rows(self, advance: Callable[[int], object] = lambda count: None) -> pd.DataFrame:
        """The rows of a table of saliency, without ``model, fold, seed``.

        Args:
            advance: told after each batch for how many photographs one of ``1 + len(depths)`` passes was made.

        Raises:
            RetinalabError: a map is not a number somewhere, or a method has no map of this network.
        """
        settings = self.settings
        rows: list[dict[str, Any]] = []
        kept: dict[tuple[int, str], np.ndarray] = {}
        grades: dict[int, int] = {}
        for given in self.photographs.batches(settings.size):
            predicted = self.predicted(given.batch)
            asked = predicted.clamp(min=0)
            grades.update(zip(given.index.tolist(), asked.tolist(), strict=True))
            explained = predicted.tolist()
            rows += [{**row, "grade": explained[place]} for place, row in self._scored(given, asked, kept)]
            advance(len(given.index))
        correlations = self._randomised(kept, grades, advance)
        for row in rows:
            found = correlations[row["row"], row["method"]]
            row["randomised_curve"] = [value for value, _ in found]
            row["randomised_known"] = [int(known) for _, known in found]
        frame = pd.DataFrame(rows)
        named = identity(self.photographs.part)[["image", "set", "part", "group"]]
        chosen = frame.pop("row").to_numpy()
        table = self.photographs.part.records.table
        if self.settings.disease in table:
            frame["reference"] = table[self.settings.disease].to_numpy(np.int64)[chosen]
        else:
            frame["reference"] = -1
        return pd.concat([named.iloc[chosen].reset_index(drop=True), frame], axis=1)

    def predicted(self, batch: Batch) -> Tensor:
        """``(B,)`` int64, from :func:`~retinalab.explain.answer.explained_grades`."""
        with torch.no_grad():
            given = self.task.outputs(batch)
        return explained_grades(self.task, given, self.settings.disease)

    def maps(self, batch: Batch, method: Method, grades: Tensor) -> SaliencyMaps:
        """Maps of one method over the input's pixels.

        Args:
            batch: of photographs.
            method: of the settings.
            grades: from :meth:`predicted`.
        """
        return self._maps(self.task, batch["image"], grades.clamp(min=0), [method])[0]

    def _saliency(
        self, task: Task, images: Tensor, grades: Tensor, methods: Sequence[Method]
    ) -> list[SaliencyMaps]:
        recipes = [Recipe(method, t=self.settings.t, taught=self.settings.taught) for method in methods]
        return maps_of(task, images, self.settings.disease, recipes, grades)

    def _scored(
        self, given: Given, grades: Tensor, kept: dict[tuple[int, str], np.ndarray]
    ) -> list[tuple[int, dict[str, Any]]]:
        """The first pass: what the maps find, and deletion; each row with its place in the batch."""
        settings, images = self.settings, given.batch["image"]
        side = images.shape[-1]
        masks, fields = given.batch["mask"].cpu().numpy(), torch.from_numpy(given.fields).to(images.device)
        names = self._names(given.index)
        keys = [(settings.seed, zlib.crc32(name.encode())) for name in names]
        answer = self._answer(given.batch, grades)
        beside: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        rows = []
        made = self._maps(self.task, images, grades, settings.methods)
        for method, given_maps in zip(settings.methods, made, strict=True):
            maps, cells = given_maps.values, given_maps.cells
            if cells not in beside:
                ties = random_maps(keys, cells, side, images.device)
                order = removal_order(ties, fields, ties)
                beside[cells] = ties, deletion_curve(answer, images, fields, order, settings.removed)
            ties, chance = beside[cells]
            curve = deletion_curve(
                answer, images, fields, removal_order(maps, fields, ties), settings.removed
            )
            areas, random_areas = (area_under(one, settings.removed).tolist() for one in (curve, chance))
            values, places = maps.cpu().numpy(), _at_places(maps)
            for i, row in enumerate(given.index.tolist()):
                kept[row, method] = places[i]
                with _named(f"{names[i]}, {method!s}"):
                    figures = map_figures(values[i], masks[i], given.fields[i])
                found = {"row": row, "method": method, "disease": settings.disease, **figures}
                found |= {"deletion": areas[i], "deletion_random": random_areas[i]}
                found |= {"deletion_curve": curve[i].tolist(), "deletion_random_curve": chance[i].tolist()}
                rows.append((i, found))
        return rows

    def _randomised(
        self,
        kept: dict[tuple[int, str], np.ndarray],
        grades: dict[int, int],
        advance: Callable[[int], object],
    ) -> dict[tuple[int, str], list[tuple[float, bool]]]:
        """The other passes: the maps of the randomised network, for the grades that the trained one gave."""
        out: dict[tuple[int, str], list[tuple[float, bool]]] = {key: [] for key in kept}
        for changed in cascade(self.task, self.settings.depths, self.settings.seed):
            for given in self.photographs.batches(self.settings.size):
                images = given.batch["image"]
                wanted = torch.tensor([grades[row] for row in given.index.tolist()], device=images.device)
                made = self._maps(changed, images, wanted, self.settings.methods)
                for method, maps in zip(self.settings.methods, made, strict=True):
                    after = _at_places(maps.values)
                    before = np.stack([kept[row, method] for row in given.index.tolist()])
                    fields = _at_places(torch.from_numpy(given.fields).float()) >= 0.5
                    found = zip(given.index.tolist(), *rank_correlation(before, after, fields), strict=True)
                    for row, value, known in found:
                        out[row, method].append((float(value), bool(known)))
                advance(len(given.index))
        return out

    def _answer(self, batch: Batch, grades: Tensor) -> Callable[[Tensor], Tensor]:
        """Normalised photographs -> probability of the explained grade, the severity, or the surest lesion's."""
        disease = self.settings.disease

        def answer(images: Tensor) -> Tensor:
            with torch.no_grad():
                given = self.task.outputs(Batch(**{**batch, "image": images}))
            return explained_values(given, disease, grades, self.settings.taught)

        return answer

    def _names(self, index: np.ndarray) -> list[str]:
        table = self.photographs.part.records.table
        return [f"{table.at[int(row), 'set']!s}/{table.at[int(row), 'image']!s}" for row in index]


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except RetinalabError as error:
        raise RetinalabError(f"{what}: {error}") from error


def _at_places(maps: Tensor) -> np.ndarray:
    """``(B, n, n)``: means over places, few enough to be kept of every photograph."""
    size = min(_PLACES, *maps.shape[1:])
    return np.asarray(F.adaptive_avg_pool2d(maps[:, None], size)[:, 0].cpu().numpy())
