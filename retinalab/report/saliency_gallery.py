"""Which photographs a scorecard's page shows, with their maps: what was found, what was missed, what is empty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retinalab.counted import counted
from retinalab.explain.answer import LESION, SEVERITY
from retinalab.explain.saliency import SaliencyMaps
from retinalab.explain.scorecard import Scorecard
from retinalab.report.saliency_tiles import Seen, Shown, Tile, tile

__all__ = ["Model", "answered", "chosen_photographs", "gallery", "range_said"]

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


def gallery(models: Sequence[Model], table: pd.DataFrame, each: int = _EACH) -> list[Tile]:
    """The chosen photographs with every network's maps, made again.

    Args:
        models: whose photographs are the same.
        table: of kind ``saliency``; the first fold and seed of each network are shown.
        each: photographs of each reason.
    """
    own = table[["model", "fold", "seed"]].drop_duplicates("model")
    mine = table.merge(own, on=["model", "fold", "seed"])
    return [tile(_shown(reason, key, models, mine)) for reason, key in chosen_photographs(mine, each)]


def _shown(reason: str, key: tuple[str, str], models: Sequence[Model], table: pd.DataFrame) -> Shown:
    rows = table[(table["set"] == key[0]) & (table["image"] == key[1])]
    card = models[0].card
    index = _place(card, key)
    given = card.photographs.given(index)
    one = rows.iloc[0]
    said = [
        f"{counted(int(one['lesions']), 'lesion')}, {100 * one['lesion_pixels'] / one['field']:.2f} % of the field"
    ]
    if one["reference"] >= 0:
        said.append(f"reference: {one['disease']} grade {one['reference']}")
    for _, own in rows.drop_duplicates("model").iterrows():
        answer = answered(str(own["disease"]), int(own["grade"]), float(own["deletion_curve"][0]))
        said.append(f"{own['model']}: {answer}")
    return Shown(
        group=reason,
        image=f"{key[0]}: {key[1]}",
        said=said,
        picture=card.photographs.pictures(index)[0],
        masks=given.batch["mask"][0].cpu().numpy(),
        maps=[seen for model in models for seen in _maps(model, key, rows[rows["model"] == model.name])],
    )


def _maps(model: Model, key: tuple[str, str], rows: pd.DataFrame) -> Iterator[Seen]:
    card, index = model.card, _place(model.card, key)
    given = card.photographs.given(index)
    picture, grades = card.photographs.pictures(index)[0], card.predicted(given.batch)
    found = rows.set_index("method")
    for method in card.settings.methods:
        maps = card.maps(given.batch, method, grades)
        said = [range_said(method, maps)]
        lesions, share = (float(found[name].loc[method]) for name in ("lesions", "found_10"))
        if lesions:
            said.append(f"{share:.3g} of {lesions:.0f} found in 10 %")
        values = maps.values[0].cpu().numpy()
        yield Seen(model.name, method, "; ".join(filter(None, said)), picture, given.fields[0], values)


def range_said(method: str, maps: SaliencyMaps, row: int = 0) -> str:
    """What the network itself gave, where the colours alone do not say it; "" where they do."""
    if maps.ranges is None:
        return ""
    least, most = maps.ranges[row].tolist()
    return f"at most {most:.2f}" if method == "lesions" else f"{least:.2f} to {most:.2f}"


def answered(disease: str, grade: int, value: float) -> str:
    """The explained answer in words.

    Args:
        disease: whose grade is explained.
        grade: as the column ``grade`` of a table of saliency has it.
        value: probability of the grade, the severity, or the surest lesion's probability.

    Example:
        >>> answered("dr", 2, 0.713), answered("dr", SEVERITY, 1.26), answered("dr", LESION, 0.9)
        ('dr grade 2, probability 0.71', 'dr severity 1.26', 'surest lesion 0.90')
    """
    if grade == LESION:
        return f"surest lesion {value:.2f}"
    return (
        f"{disease} severity {value:.2f}"
        if grade == SEVERITY
        else f"{disease} grade {grade}, probability {value:.2f}"
    )


def _place(card: Scorecard, key: tuple[str, str]) -> np.ndarray:
    table = card.photographs.part.records.table
    return np.flatnonzero(((table["set"] == key[0]) & (table["image"] == key[1])).to_numpy(bool))
