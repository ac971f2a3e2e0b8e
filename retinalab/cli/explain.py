"""The command that holds a finished run's saliency maps against the lesions of its test photographs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tqdm import tqdm

from retinalab.cli.arguments import number, whole
from retinalab.cli.explained import Scored, written
from retinalab.cli.explained_summary import WIDTH, print_differences, print_summary
from retinalab.cli.other_set import add_other_set_arguments, other_set
from retinalab.errors import RetinalabError, unknown

if TYPE_CHECKING:
    from retinalab.explain.saliency import Method
    from retinalab.predict.explained import Explained, OtherSet

__all__ = ["add_explain_arguments", "explain"]


def add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``retinalab explain``."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a finished run; its latest link will do"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder to make; it must not exist"
    )
    parser.add_argument(
        "--stage", help="stage whose network is explained; default: the last that grades photographs"
    )
    parser.add_argument(
        "--against-stage",
        metavar="STAGE2",
        help="another stage, of RUN2 where --against names it and else of RUN itself, explained on the same "
        "photographs",
    )
    parser.add_argument("--disease", help="whose grade is explained; default: the first that is graded")
    parser.add_argument(
        "--methods",
        metavar="LIST",
        help="cam,grad-cam,grad-cam++,gmsm or some of them; default: all that the network has maps for",
    )
    parser.add_argument(
        "--gate",
        type=number,
        default=1.0,
        metavar="T",
        help="floor of gmsm in units of the score; default: 1",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="RUN2",
        help="another run, explained on the same photographs; its stage is "
        "--against-stage, or else named as RUN's",
    )
    add_other_set_arguments(
        parser, "a data set with lesion masks in the place of the run's own", "task=segmentation"
    )
    parser.add_argument("--limit", type=whole, metavar="N", help="at most N photographs, chosen by lot")


def explain(known: argparse.Namespace) -> int:
    """Make maps, hold them against lesions, and write table, figures and page."""
    methods = _methods(known.methods)
    other = other_set(known)
    if known.limit is not None and known.limit < 1:
        raise RetinalabError(f"--limit {known.limit} leaves no photograph. Give at least 1.")
    if not (math.isfinite(known.gate) and known.gate >= 0):
        raise RetinalabError(
            f"--gate {known.gate} is no floor. Give a number of at least 0; 0 lets everything through."
        )
    _check_out(known.out)

    from retinalab.predict.explained import explained_runs

    chosen = [(known.run, known.stage)]
    if known.against or known.against_stage:
        chosen.append((known.against or known.run, known.against_stage or known.stage))
    runs, disease = explained_runs(chosen, known.disease)

    from retinalab.explain.scorecard import Settings

    settings = Settings(disease, t=known.gate)
    found = written(known.out, _scored(runs, other, settings, methods, known.limit))
    print_summary(found.about, found.metrics)
    if found.between:
        print_differences([run.name for run in runs], found.between)
    print(f"\nPage: {known.out / 'scorecard.html'}; table: {known.out / 'saliency.parquet'}")
    print("\nResearch use only: not for diagnosis.")
    return 0


def _scored(
    runs: Sequence[Explained],
    other: OtherSet | None,
    settings: Any,
    methods: tuple[Method, ...] | None,
    limit: int | None,
) -> Scored:
    """The table of all networks, those of the first fold and seed for the gallery, and what was left out."""
    from dataclasses import replace

    import pandas as pd
    import torch

    from retinalab.explain.saliency import METHODS
    from retinalab.explain.scorecard import Scorecard, usable_methods
    from retinalab.predict.explained import fold_and_seed, photographs_of
    from retinalab.report.saliency_gallery import Model

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tables, models, notes = [], list[Model](), list[str]()
    for member in runs[0].members:
        chosen = photographs_of(runs, member.child, other, limit)
        notes += chosen.notes
        for run in runs:
            task = run.task(member.child, device)
            photographs = run.prepared(chosen, device)
            notes += [f"unusable: {reason}" for reason in photographs.reasons]
            usable, reasons = usable_methods(
                task, photographs, settings.disease, methods or METHODS, settings.t
            )
            if reasons and (methods is not None or not usable):
                method, reason = next(iter(reasons.items()))
                raise RetinalabError(f"No {method} map of {run.name}: {reason}")
            notes += [f"no {method} map of {run.name}: {reason}" for method, reason in reasons.items()]
            card = Scorecard(task, photographs, replace(settings, methods=usable))
            label = f"{run.name} {member.child}".strip()
            total = len(photographs) * (1 + len(settings.depths))
            with tqdm(total=total, desc=label, unit="photo", ncols=WIDTH, disable=None) as bar:
                rows = card.rows(bar.update)
            fold, seed = fold_and_seed(run, member.child)
            tables.append(rows.assign(model=run.name, fold=fold, seed=seed))
            if member is runs[0].members[0]:
                models.append(Model(run.name, card))
    return Scored(runs, settings, pd.concat(tables, ignore_index=True), models, list(dict.fromkeys(notes)))


def _methods(given: str | None) -> tuple[Method, ...] | None:
    if given is None:
        return None
    from retinalab.explain.saliency import METHODS

    names = tuple(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    for name in names:
        if name not in METHODS:
            raise unknown("saliency method", name, METHODS)
    if not names:
        raise RetinalabError(f"--methods names none. Choose of: {', '.join(METHODS)}.")
    return cast("tuple[Method, ...]", names)


def _check_out(out: Path) -> None:
    if out.exists():
        raise RetinalabError(f"--out {out} is there already. Name a folder that is not, or remove it.")
    if not out.absolute().parent.is_dir():
        raise RetinalabError(
            f"--out {out}: there is no folder {out.absolute().parent}. Make it, or name another."
        )
