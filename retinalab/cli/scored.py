"""Score the maps of every network of the explained runs, with a bar on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tqdm import tqdm

from retinalab.cli.explained import Scored
from retinalab.cli.explained_summary import WIDTH

if TYPE_CHECKING:
    from retinalab.explain.saliency import Method
    from retinalab.explain.scorecard import Settings
    from retinalab.predict.explained import Explained, OtherSet

__all__ = ["scored"]


def scored(
    runs: Sequence[Explained],
    other: OtherSet | None,
    settings: Settings,
    methods: tuple[Method, ...] | None,
    limit: int | None,
) -> Scored:
    """The table of all networks, those of the first fold and seed for the gallery, and what was left out.

    Args:
        runs: whose networks; the first one's photographs.
        other: a data set in the place of the run's own.
        settings: without methods and lesions, which depend on the network.
        methods: None: all that a network has maps for.
        limit: at most so many photographs of each fold and seed.

    Raises:
        RetinalabError: runs that cannot be held beside each other, or a network without a map that is asked for.
    """
    import numpy as np
    import pandas as pd
    import torch

    from retinalab.explain.scorecard import Scorecard
    from retinalab.explain.usable import chosen_methods
    from retinalab.predict.beside import aligned
    from retinalab.predict.explained import fold_and_seed, photographs_of
    from retinalab.records import LESIONS
    from retinalab.report.saliency_gallery import Model

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows, notes = aligned(runs)
    tables, models = [], list[Model]()
    for number, children in enumerate(rows):
        chosen = photographs_of(runs, str(children[0]), other, limit)
        notes += chosen.notes
        for run, child in zip(runs, children, strict=True):
            if child is None:
                continue
            task = run.task(child, device)
            photographs = run.prepared(chosen, device)
            notes += [f"unusable: {reason}" for reason in photographs.reasons]
            one = photographs.given(np.array([0])).batch["image"]
            usable, said = chosen_methods(run.name, task, one, settings.disease, methods, settings.t)
            notes += said
            own = replace(settings, methods=usable, taught=run.run.taught or LESIONS)
            card = Scorecard(task, photographs, own)
            label, total = f"{run.name} {child}".strip(), len(photographs) * (1 + len(own.depths))
            with tqdm(total=total, desc=label, unit="photo", ncols=WIDTH, disable=None) as bar:
                found = card.rows(bar.update)
            fold, seed = fold_and_seed(run, child)
            tables.append(found.assign(model=run.name, fold=fold, seed=seed))
            if number == 0:
                models.append(Model(run.name, card))
    return Scored(runs, settings, pd.concat(tables, ignore_index=True), models, list(dict.fromkeys(notes)))
