"""Lesion generation as a stage: what the network sees in its training photographs becomes further photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.errors import RetinalabError
from retinalab.explain.overlay import covered
from retinalab.explain.saliency import saliency_maps
from retinalab.protocol import SCALES
from retinalab.tasks.base import Task
from retinalab.tasks.maker import Made, Maker, Originals, Plan, Strip
from retinalab_ellg.cut import field_of_view, normalised
from retinalab_ellg.generate import Generated, generate
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.select import Candidates, NothingToCutError, Pair, Selection

__all__ = ["LesionMaker"]

_ATTEMPTS = 5
"""Sources that are tried for one photograph; where all their maps are empty, it is left out."""
_DIMMED = 0.25


class LesionMaker(Maker):
    """Cuts lesions out of correctly classified training photographs by saliency, and blends them into others.

    Reference: sections 2.2 and 2.3.
    """

    config_class = GenerationConfig

    def __init__(self, config: Any, scales: Mapping[str, str], key: tuple[int, ...]) -> None:
        super().__init__(config, scales, key)
        disease = self.config.disease
        if disease not in scales:
            raise RetinalabError(
                f"Task 'ellg-lesions' blends grades of disease={disease}; the protocol grades {', '.join(scales)}. Set "
                "disease to one of them."
            )
        self.grades = SCALES[scales[disease]].size
        self._selection: Selection | None = None

    def plan(self, seen: pd.DataFrame) -> Plan:
        """Sources, targets and ratios; empty, with the reason, where nothing can be cut out or blended into."""
        disease = self.config.disease
        try:
            self._selection = Selection(_candidates(seen, disease), self.config, self.key, self.grades)
        except NothingToCutError as error:
            return Plan(pd.DataFrame(), (f"{error} Trained on the originals alone.",))
        pairs = self._selection.pairs()
        return Plan(pd.DataFrame([_row(pair) for pair in pairs]), tuple(self._selection.notes))

    def make(self, task: Task, originals: Originals, rows: pd.DataFrame) -> Made:
        """A batch of the plan; a photograph whose sources all have empty maps is left out of what is trained on."""
        if self._selection is None:
            raise RetinalabError("Photographs are made from a plan. Call plan first.")
        pairs = [self._selection.pair(int(number)) for number in rows["number"]]
        pairs, maps = self._salient(task, originals, pairs)
        sources, targets = (
            _pixels(originals, [getattr(pair, which) for pair in pairs]) for which in ("source", "target")
        )
        fields, onto = field_of_view(sources), field_of_view(targets)
        given = generate(sources, fields, maps, targets, onto, pairs, self.config, self.key, self.grades)
        table = pd.DataFrame([record.as_row() for record in given.records])
        known = originals.part.records.table
        target_rows = known.iloc[table["target"]].reset_index(drop=True)
        table["left_out"] = ~np.array([record.pasted for record in given.records])
        table["source_image"] = known["image"].to_numpy()[table["source"]]
        table["target_image"] = target_rows["image"]
        table["patient"] = target_rows["patient"]
        others = {disease: -1 for disease in self.scales if disease != self.config.disease}
        table = table.assign(**others).rename(columns={"label": self.config.disease})
        shown = [
            k for k, wanted in enumerate(rows["shown"]) if wanted and not table["left_out"].iloc[k]
        ]  # pictures of a few
        strips = [_strip(k, sources, fields, maps, targets, given) for k in shown]
        images = given.photographs.permute(0, 2, 3, 1).cpu().numpy()
        return Made(images, table, given.pasted.cpu().numpy(), tuple(strips))

    def _salient(self, task: Task, originals: Originals, pairs: list[Pair]) -> tuple[list[Pair], Tensor]:
        """The pairs with their sources' maps; a source whose map is empty gives way to another."""
        assert self._selection is not None
        maps = self._maps(task, originals, pairs)
        chosen = list(pairs)
        for attempt in range(1, _ATTEMPTS):
            empty = [k for k in range(len(chosen)) if not bool(maps[k].any())]
            if not empty:
                break
            for k in empty:
                chosen[k] = self._selection.pair(chosen[k].number, attempt)
            maps[empty] = self._maps(task, originals, [chosen[k] for k in empty])
        return chosen, maps

    def _maps(self, task: Task, originals: Originals, pairs: list[Pair]) -> Tensor:
        """``(B, h, w)`` over the working image; 0 where the network does not look."""
        config: GenerationConfig = self.config
        batch = originals.batch(np.array([pair.source for pair in pairs]))
        gate = 0.0 if config.gate is None else config.gate
        maps = saliency_maps(task, batch["image"], config.disease, config.saliency, config.layers, gate)
        extent = originals.extent
        if extent >= 1:
            return maps
        side = round(originals.data.size * extent)
        inner = F.interpolate(maps[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
        before = (originals.data.size - side) // 2
        after = originals.data.size - side - before
        return F.pad(inner, (before, after, before, after))


def _candidates(seen: pd.DataFrame, disease: str) -> Candidates:
    grade = seen[disease].to_numpy(np.int64)
    predicted = seen[f"{disease}_grade"].to_numpy(np.int64)
    score = f"{disease}_score"
    severity = seen[score].to_numpy(np.float64) if score in seen else predicted.astype(np.float64)
    return Candidates(grade, predicted, severity)


def _row(pair: Pair) -> dict[str, Any]:
    return {"number": pair.number, "source": pair.source, "target": pair.target, "ratio": pair.ratio}


def _pixels(originals: Originals, positions: list[int]) -> Tensor:
    images = originals.images(np.array(positions))
    return torch.from_numpy(images).to(originals.device).permute(0, 3, 1, 2).contiguous()


def _strip(k: int, sources: Tensor, fields: Tensor, maps: Tensor, targets: Tensor, given: Generated) -> Strip:
    """Source, its map, what was cut out, target, result."""
    source, target, result = (
        one[k].permute(1, 2, 0).cpu().numpy() for one in (sources, targets, given.photographs)
    )
    field = fields[k].cpu().numpy()
    saliency = normalised(maps[k : k + 1], fields[k : k + 1])[0].cpu().numpy()
    cut = given.cut[k].cpu().numpy()
    dimmed = np.where(cut[..., None], source, (source * _DIMMED).astype(np.uint8))
    record = given.records[k]
    return Strip(
        record.number,
        (
            (f"source, severity {record.source_severity:g}", source),
            ("saliency", covered(source, saliency, field)),
            (f"cut out above {record.threshold:.2f}, {record.patches} pasted", dimmed),
            (f"target, severity {record.target_severity:g}", target),
            (f"result, ratio {record.ratio:.2f}, grade {record.label}", result),
        ),
    )
