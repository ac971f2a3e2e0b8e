"""Which photographs a scorecard's page shows, with their maps: what was found, what was missed, what is empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from retinalab.counted import counted
from retinalab.explain.scorecard import Scorecard
from retinalab.report.saliency import Seen, Shown

__all__ = ["Model", "chosen_photographs", "gallery"]

_EACH = 3


@dataclass(frozen=True)
class Model:
    """A network of the first fold and seed.

    Attributes:
        name: as in the table.
        card: makes its maps again.
    """

    name: str
    card: Scorecard


def chosen_photographs(table: pd.DataFrame, each: int = _EACH) -> list[tuple[str, tuple[str, str]]]:
    """Reason and (set, image) of photographs, none of them twice.

    First those with lesions of which the most maps are empty, then those in which the largest and the smallest share of
    lesions is found (in 10 % of the field, mean over the maps), then those without lesions, most saliency first: the
    fewest empty maps.

    Args:
        table: of kind ``saliency``.
        each: photographs of each reason.
    """
    rows = table.assign(share=table["found_10"] / table["lesions"].clip(lower=1))
    mean = rows.groupby(["set", "image"], sort=True)[["lesions", "empty", "share"]].mean().reset_index()
    ill = mean[mean["lesions"] > 0]
    empty = ill[ill["empty"] > 0].sort_values("empty", ascending=False, kind="stable")
    groups = (
        ("With lesions, and an empty map", empty),
        ("Most lesions found", ill.sort_values("share", ascending=False, kind="stable")),
        ("Fewest lesions found", ill.sort_values("share", kind="stable")),
        ("Without lesions", mean[mean["lesions"] == 0].sort_values("empty", kind="stable")),
    )
    chosen: dict[tuple[str, str], str] = {}
    for reason, found in groups:
        keys = [(str(a), str(b)) for a, b in zip(found["set"], found["image"], strict=True)]
        for key in [key for key in keys if key not in chosen][:each]:
            chosen[key] = reason
    return [(reason, key) for key, reason in chosen.items()]


def gallery(models: Sequence[Model], table: pd.DataFrame, each: int = _EACH) -> list[Shown]:
    """The chosen photographs with every network's maps, made again.

    Args:
        models: whose photographs are the same.
        table: of kind ``saliency``; its first fold and seed are shown.
        each: photographs of each reason.
    """
    first = table[["fold", "seed"]].drop_duplicates().iloc[0]
    mine = table[(table["fold"] == first["fold"]) & (table["seed"] == first["seed"])]
    return [_shown(reason, key, models, mine) for reason, key in chosen_photographs(mine, each)]


def _shown(reason: str, key: tuple[str, str], models: Sequence[Model], table: pd.DataFrame) -> Shown:
    rows = table[(table["set"] == key[0]) & (table["image"] == key[1])]
    maps = [seen for model in models for seen in _maps(model, key, len(models) > 1)]
    card = models[0].card
    index = _place(card, key)
    given = card.photographs.given(index)
    one = rows.iloc[0]
    said = [
        f"{counted(int(one['lesions']), 'lesion')}, {100 * one['lesion_pixels'] / one['field']:.2f} % of the field"
    ]
    for model, grade in rows.drop_duplicates("model")[["model", "grade"]].itertuples(index=False):
        said.append(f"{model}: {one['disease']} " + ("severity" if grade < 0 else f"grade {grade}"))
    for model, method, found, lesions in rows[["model", "method", "found_10", "lesions"]].itertuples(
        index=False
    ):
        if lesions:
            where = f"{model}, {method}" if len(models) > 1 else method
            said.append(f"{where}: {found:.3g} found in 10 %")
    return Shown(
        group=reason,
        image=f"{key[0]}: {key[1]}",
        said=said,
        picture=card.photographs.pictures(index)[0],
        masks=given.batch["mask"][0].cpu().numpy(),
        field=given.fields[0],
        maps=maps,
    )


def _maps(model: Model, key: tuple[str, str], several: bool) -> list[Seen]:
    given = model.card.photographs.given(_place(model.card, key))
    grades: torch.Tensor = model.card.predicted(given.batch)[0]
    found = []
    for method in model.card.settings.methods:
        values = model.card.maps(given.batch, method, grades)[0]
        name = f"{method} ({model.name})" if several else method
        found.append(Seen(name, values, not bool((values[given.fields[0]] > 0).any())))
    return found


def _place(card: Scorecard, key: tuple[str, str]) -> np.ndarray:
    table = card.photographs.part.records.table
    return np.flatnonzero(((table["set"] == key[0]) & (table["image"] == key[1])).to_numpy(bool))
