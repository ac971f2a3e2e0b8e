"""Lesion generation as a stage: what the network sees in its training photographs becomes further photographs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.config import Stage
from retinalab.errors import RetinalabError
from retinalab.explain.framing import Framing
from retinalab.explain.overlay import covered
from retinalab.explain.saliency import saliency_maps
from retinalab.protocol import SCALES
from retinalab.tasks.base import Task
from retinalab.tasks.maker import Made, Maker, Originals, Plan, Strip
from retinalab.transforms.apply import apply_batch
from retinalab_ellg.cut import field_of_view, inside_fields
from retinalab_ellg.fits import check_learners, check_network
from retinalab_ellg.generate import Generated, OneColourError, generate
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.select import Candidates, NothingToCutError, Pair, Selection

__all__ = ["LesionMaker"]

_ATTEMPTS = 5
"""Sources that are tried for one photograph; where all their maps are empty, it is left out."""
_DIMMED = 0.25


class _Sources(NamedTuple):
    """What lesions are cut out of.

    Shape:
        - ``photographs``: ``(B, 3, S, S)``, uint8. ``fields``: ``(B, S, S)``, bool.
        - ``maps``: ``(B, S, S)`` or smaller, in [0, 1], over the working image.
    """

    photographs: Tensor
    fields: Tensor
    maps: Tensor


class LesionMaker(Maker):
    """Cuts lesions out of correctly classified training photographs by saliency, and blends them into others.

    Reference: sections 2.2 and 2.3.
    """

    config_class = GenerationConfig
    remedy = "Where the saliency maps are empty, lower the maker's gate or train its network longer."

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

    def check(self, task: Task, stage: Stage, adding: Mapping[str, Stage]) -> None:
        """Look at noise through the network, and ask who learns from what is made.

        Raises:
            RetinalabError: the network has no such map, layer, grades or severities, or a stage that adds what is made
                would never draw it.
        """
        check_learners(self.config, adding)
        check_network(self.config, task, stage.data.input_size)

    def plan(self, seen: pd.DataFrame) -> Plan:
        """Sources, targets and ratios; empty, with the reason, where nothing can be cut out or blended into."""
        disease = self.config.disease
        try:
            self._selection = Selection(_candidates(seen, disease), self.config, self.key, self.grades)
        except NothingToCutError as error:
            return Plan(pd.DataFrame(), (f"{error} Trained on the originals alone.",))
        pairs = self._selection.pairs()
        return Plan(pd.DataFrame([asdict(pair) for pair in pairs]), tuple(self._selection.notes))

    def make(self, task: Task, originals: Originals, rows: pd.DataFrame) -> Made:
        """A batch of the plan; a photograph whose sources all have empty maps is left out of what is trained on."""
        planned = [_pair(row) for row in rows.to_dict(orient="records")]
        pairs, sources = self._with_lesions(task, originals, planned)
        targets = _pixels(originals, [pair.target for pair in pairs])
        known = originals.part.records.table
        try:
            given = generate(
                *sources, targets, field_of_view(targets), pairs, self.config, self.key, self.grades
            )
        except OneColourError as error:
            raise RetinalabError(f"{known['image'].iloc[error.row]}: {error}") from error
        table = pd.DataFrame([record.as_row() for record in given.records])
        target_rows = known.iloc[table["target"]].reset_index(drop=True)
        table["left_out"] = ~np.array([record.pasted for record in given.records])
        table["source_image"] = known["image"].to_numpy()[table["source"]]
        table["target_image"] = target_rows["image"]
        table["patient"] = target_rows["patient"]
        others = {disease: -1 for disease in self.scales if disease != self.config.disease}
        table = table.assign(**others).rename(columns={"label": self.config.disease})
        shown = [k for k, wanted in enumerate(rows["shown"]) if wanted and not table["left_out"].iloc[k]]
        strips = [_strip(k, sources, targets, given) for k in shown]
        images = given.photographs.permute(0, 2, 3, 1).cpu().numpy()
        return Made(images, table, given.pasted.cpu().numpy(), tuple(strips))

    def _with_lesions(
        self, task: Task, originals: Originals, pairs: list[Pair]
    ) -> tuple[list[Pair], _Sources]:
        """The pairs with what is cut out of; a source whose map is empty in its field gives way to another."""
        if self._selection is None:
            raise RetinalabError("Photographs are made from a plan. Call plan first.")
        chosen, sources = list(pairs), self._sources(task, originals, pairs)
        for attempt in range(1, _ATTEMPTS):
            seen = inside_fields(sources.maps, sources.fields).any(2).any(1)
            empty = (~seen).nonzero()[:, 0].tolist()
            if not empty:
                break
            for k in empty:
                chosen[k] = self._selection.pair(chosen[k].number, attempt)
            others = self._sources(task, originals, [chosen[k] for k in empty])
            for kept, other in zip(sources, others, strict=True):
                kept[empty] = other
        return chosen, sources

    def _sources(self, task: Task, originals: Originals, pairs: list[Pair]) -> _Sources:
        rows = [pair.source for pair in pairs]
        photographs = _pixels(originals, rows)
        return _Sources(photographs, field_of_view(photographs), self._maps(task, originals, rows))

    def _maps(self, task: Task, originals: Originals, rows: list[int]) -> Tensor:
        """``(B, h, w)`` over the working image; 0 where the network does not look."""
        config: GenerationConfig = self.config
        batch = originals.batch(np.array(rows))
        maps = saliency_maps(
            task, batch["image"], config.disease, config.saliency, config.layers, config.gate
        )
        size = originals.data.size
        framing = Framing.of_working(size, originals.extent)
        if framing.side >= size:
            return maps
        seen = F.interpolate(
            maps[:, None], (framing.side, framing.side), mode="bilinear", align_corners=False
        )
        warp = torch.from_numpy(framing.matrix(size, size)).to(maps)
        return apply_batch(seen, warp.expand(len(maps), 2, 3), size)[:, 0]


def _candidates(seen: pd.DataFrame, disease: str) -> Candidates:
    grade = seen[disease].to_numpy(np.int64)
    predicted = seen[f"{disease}_grade"].to_numpy(np.int64)
    score = f"{disease}_score"
    severity = seen[score].to_numpy(np.float64) if score in seen else predicted.astype(np.float64)
    return Candidates(grade, predicted, severity, seen["part"].tolist())


def _pair(row: Mapping[Hashable, Any]) -> Pair:
    return Pair(**{field.name: row[field.name] for field in fields(Pair)})


def _pixels(originals: Originals, positions: list[int]) -> Tensor:
    images = originals.images(np.array(positions))
    return torch.from_numpy(images).to(originals.device).permute(0, 3, 1, 2).contiguous()


def _strip(k: int, sources: _Sources, targets: Tensor, given: Generated) -> Strip:
    """Source, its map, what was cut out, target, result."""
    source, target, result = (
        one[k].permute(1, 2, 0).cpu().numpy() for one in (sources.photographs, targets, given.photographs)
    )
    saliency = inside_fields(sources.maps[k : k + 1], sources.fields[k : k + 1])[0].cpu().numpy()
    field, cut = sources.fields[k].cpu().numpy(), given.cut[k].cpu().numpy()
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
