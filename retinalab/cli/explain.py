"""The command that holds a finished run's saliency maps against the lesions of its test photographs."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

from retinalab.cli.arguments import number, whole
from retinalab.cli.explained import written
from retinalab.cli.explained_summary import print_differences, print_summary
from retinalab.cli.other_set import add_other_set_arguments, other_set
from retinalab.cli.scored import scored
from retinalab.errors import RetinalabError, unknown

if TYPE_CHECKING:
    from retinalab.explain.saliency import Method

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
        action="append",
        default=[],
        metavar="STAGE2",
        help="another stage, of RUN2 where --against names it and else of RUN itself, explained on the same "
        "photographs; may be repeated",
    )
    parser.add_argument("--disease", help="whose grade is explained; default: the first that is graded")
    parser.add_argument(
        "--methods",
        metavar="LIST",
        help="cam,grad-cam,grad-cam++,gmsm,attention,lesions or some of them; default: all that a network has maps for",
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
        action="append",
        default=[],
        metavar="RUN2",
        help="another run, explained on the same photographs; its stage is "
        "--against-stage, or else named as RUN's; may be repeated",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="INPUT",
        help="files, folders, globs or lists of photographs of one's own, without lesion masks: a page of maps, "
        "without figures",
    )
    add_other_set_arguments(
        parser, "a data set with lesion masks in the place of the run's own", "task=segmentation"
    )
    parser.add_argument(
        "--limit",
        type=whole,
        metavar="N",
        help="at most N photographs, chosen by lot; of --images the first N",
    )


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
    if known.images and other is not None:
        raise RetinalabError("--images and --set both name photographs. Give one of them.")
    _check_out(known.out)

    from retinalab.predict.explained import explained_runs

    runs, disease = explained_runs(_chosen(known), known.disease)
    if known.images:
        from retinalab.cli.explained_pictures import pictured

        return pictured(known.out, runs, disease, methods, known.gate, known.images, known.limit)

    from retinalab.explain.scorecard import Settings

    settings = Settings(disease, t=known.gate)
    found = written(known.out, scored(runs, other, settings, methods, known.limit))
    print_summary(found.about, found.metrics)
    for name, between in found.between.items():
        print_differences([runs[0].name, name], between)
    print(f"\nPage: {known.out / 'scorecard.html'}; table: {known.out / 'saliency.parquet'}")
    print("\nResearch use only: not for diagnosis.")
    return 0


def _chosen(known: argparse.Namespace) -> list[tuple[Path, str | None]]:
    """Run and stage of each network that is explained; the first one's table is what the others are held against."""
    stages: list[str | None] = [*known.against_stage]
    if not known.against:
        return [(known.run, known.stage), *((known.run, stage) for stage in stages)]
    if len(stages) not in (0, 1, len(known.against)):
        raise RetinalabError(
            f"--against names {len(known.against)} runs and --against-stage {len(stages)} stages. Give one stage for "
            "each run, one for all, or none."
        )
    each = stages * (len(known.against) if len(stages) == 1 else 1) or [known.stage] * len(known.against)
    return [(known.run, known.stage), *zip(known.against, each, strict=True)]


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
