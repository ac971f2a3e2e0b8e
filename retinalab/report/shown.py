"""Which photographs a run's page shows: the most severe errors, and what the network was most certain about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest

import pandas as pd

from retinalab.report.errors import Errors, errors_of
from retinalab.report.folder import RunFolder
from retinalab.report.gallery import Gallery, Picture, gallery
from retinalab.report.maps import Drawing, Key, drawing

__all__ = ["Shown", "graded_rows", "shown_keys", "shown_of"]


@dataclass(frozen=True)
class Shown:
    """The photographs of one test set, of the first seed's predictions.

    Attributes:
        rows: disease -> predictions that they were chosen from, those whose reference is known.
        galleries: of each disease.
        errors: of each disease.
        draw: what draws a photograph with its maps.
    """

    rows: Mapping[str, pd.DataFrame]
    galleries: list[Gallery]
    errors: list[Errors]
    draw: Drawing


def graded_rows(run: RunFolder, prefix: str) -> dict[str, pd.DataFrame]:
    """Disease -> predictions of all seeds whose reference is known; only diseases that have any."""
    found = {disease: run.rows(prefix, disease) for disease in run.diseases}
    return {disease: rows for disease, rows in found.items() if len(rows)}


def shown_of(run: RunFolder, prefix: str, picture: Picture | None = None) -> Shown:
    """Choose and draw the photographs behind the keys of a prefix.

    Args:
        run: whose.
        prefix: such as ``test`` or ``test@messidor2``.
        picture: RGB working image of (set, image); None where there is none to draw.
    """
    draw = drawing(run.maps_of(prefix), run.rows(prefix), run.scales, picture, run.saliency.captions)
    first = {
        disease: rows[rows["seed"] == rows["seed"].min()]
        for disease, rows in graded_rows(run, prefix).items()
    }
    return Shown(
        first,
        [gallery(rows, disease, run.scales[disease], picture) for disease, rows in first.items()],
        [errors_of(rows, disease, run.scales[disease], draw) for disease, rows in first.items()],
        draw,
    )


def shown_keys(run: RunFolder) -> list[tuple[str, Key]]:
    """Part and key of every photograph that the page shows, none twice.

    The first of every list, then the second of every list, and so on, so that of however many the first are a fair
    choice: a list is the errors, the certain and wrong or the certain and right of one disease in one test set.
    """
    lists: list[list[tuple[str, Key]]] = []
    for prefix in run.tested:
        part, chosen = prefix.partition("@")[0], shown_of(run, prefix)
        for errors in chosen.errors:
            lists.append([(part, one.key) for one in errors.shown])
        for one in chosen.galleries:
            lists += [[(part, (t.set, t.image, t.fold)) for t in tiles] for tiles in (one.wrong, one.right)]
    return _distinct(lists)


def _distinct(lists: Iterable[list[tuple[str, Key]]]) -> list[tuple[str, Key]]:
    return list(dict.fromkeys(one for one in chain(*zip_longest(*lists)) if one is not None))
