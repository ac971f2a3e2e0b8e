"""A researcher's own photographs, whose lesions nobody marked, with the maps of one or several networks over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from retinalab.explain.answer import explained_grades, explained_values
from retinalab.explain.photographs import field_mask
from retinalab.explain.saliency import Method, Recipe, maps_of
from retinalab.explain.usable import chosen_methods
from retinalab.predict.explained import Explained
from retinalab.predict.photograph import Photograph
from retinalab.predict.prepare import Batches, Judged, Working, read_judged
from retinalab.records import LESIONS
from retinalab.report.saliency_gallery import answered, range_said
from retinalab.report.saliency_tiles import Seen, Shown
from retinalab.transforms.apply import apply_image, apply_mask
from retinalab.transforms.draw import IDENTITY_COLOUR, evaluation_warp

__all__ = ["Pictures"]


class Pictures:
    """Makes maps of photographs by the first network of each run.

    Args:
        runs: the stages whose networks are asked.
        disease: whose grade is explained.
        methods: of the maps; None: all that a network has.
        t: floor of ``gmsm``.
        device: to compute on.

    Attributes:
        notes: maps that a network does not have.

    Raises:
        RetinalabError: a network that cannot be loaded, or that has none of the maps that are asked for.
    """

    def __init__(
        self,
        runs: Sequence[Explained],
        disease: str,
        methods: Sequence[Method] | None,
        t: float,
        device: torch.device,
    ) -> None:
        self._networks = [_Network(run, disease, methods, t, device) for run in runs]
        self.notes = tuple(note for one in self._networks for note in one.notes)
        self._sizes = sorted({one.batches.size for one in self._networks})

    def shown(self, photographs: Iterator[Photograph]) -> Iterator[Shown]:
        """Each photograph with its maps, one by one; what is no fundus photograph says so and has none."""
        for photograph in photographs:
            yield self._shown(photograph.image, read_judged(photograph.path, self._sizes))

    def _shown(self, image: str, judged: Judged) -> Shown:
        quality = judged.quality
        if not judged.works or quality.reason:
            return Shown("Not explained", image, [quality.reason], None, None, [])
        said = [] if quality.flag == "good" else [f"quality: {quality.flag}"]
        maps: list[Seen] = []
        for network in self._networks:
            answer, seen = network.seen(judged.works[network.batches.size])
            said.append(f"{network.name}: {answer}")
            maps += seen
        return Shown("Explained", image, said, maps[0].picture, None, maps)


class _Network:
    """The first network of a run, ready to be asked."""

    def __init__(
        self,
        run: Explained,
        disease: str,
        methods: Sequence[Method] | None,
        t: float,
        device: torch.device,
    ) -> None:
        member = run.members[0]
        stage = run.run.experiment.stages[run.stage]
        self.name, self.disease = run.name, disease
        self.task = run.task(member.child, device)
        self.batches = Batches(stage, run.run.experiment.protocol, device)
        size = self.batches.size
        blank = self.batches.make(np.zeros((1, size, size, 3), np.uint8))
        usable, self.notes = chosen_methods(run.name, self.task, blank["image"], disease, methods, t)
        if len(run.members) > 1:
            self.notes.append(f"of {run.name} its first network: {member.child}")
        self._taught = run.run.taught or LESIONS
        self._recipes = [Recipe(method, t=t, taught=self._taught) for method in usable]
        self._warp = evaluation_warp(size, self.batches.data.input_size, self.batches.data.view)

    def seen(self, work: Working) -> tuple[str, list[Seen]]:
        """Its answer on a photograph, in words, and its maps."""
        batch = self.batches.make(work.pixels[None])
        with torch.no_grad():
            given = self.task.outputs(batch)
            grades = explained_grades(self.task, given, self.disease)
            asked = explained_values(given, self.disease, grades.clamp(min=0), self._taught)
        side = self.batches.data.input_size
        picture = apply_image(work.pixels, self._warp, IDENTITY_COLOUR, side)
        field = apply_mask(field_mask(work.pixels).astype(np.uint8), self._warp, side) > 0
        made = maps_of(self.task, batch["image"], self.disease, self._recipes, grades.clamp(min=0))
        seen = [
            Seen(
                self.name,
                recipe.method,
                range_said(recipe.method, maps),
                picture,
                field,
                maps.values[0].cpu().numpy(),
            )
            for recipe, maps in zip(self._recipes, made, strict=True)
        ]
        return answered(self.disease, int(grades[0]), float(asked[0])), seen
