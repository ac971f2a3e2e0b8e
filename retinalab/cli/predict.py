"""The command that grades photographs with the networks of a finished run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from retinalab.cli.predicted import WIDTH, Tally, print_agreement, print_header
from retinalab.counted import counted
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.predict.finished import FinishedRun
    from retinalab.predict.predictor import Prediction, Predictor

__all__ = ["add_predict_arguments", "predict"]


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``retinalab predict``."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a finished run; its latest link will do"
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="photographs, folders, globs, or lists (.csv, .txt, .lst) with one relative path per line",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for predictions.csv and maps")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="CSV with photographs and grades: print the agreement"
    )
    parser.add_argument(
        "--cam", action="store_true", help="write class activation maps of the predicted grades (needs --out)"
    )
    parser.add_argument(
        "--masks", action="store_true", help="write a PNG mask for each photograph and lesion (needs --out)"
    )
    parser.add_argument(
        "--overlays",
        action="store_true",
        help="write each photograph with its lesions in colour (needs --out)",
    )
    parser.add_argument(
        "--which", choices=("best", "last"), default="best", help="checkpoint; default: best, which the run was "
        "evaluated with",
    )  # fmt: skip


def predict(known: argparse.Namespace) -> int:
    """Grade photographs; exit status 1 where some could not be graded."""
    from retinalab.predict.finished import read_finished
    from retinalab.predict.inputs import Inputs
    from retinalab.predict.labels import Judged, read_labels
    from retinalab.predict.table import prepare_folder

    for option in ("cam", "masks", "overlays"):
        if getattr(known, option) and known.out is None:
            raise RetinalabError(f"--{option} writes pictures and needs a folder for them. Give --out DIR.")
    run = read_finished(known.run, known.which)
    inputs = Inputs(known.inputs)
    survey = inputs.survey()
    labels = read_labels(known.labels, run.experiment.protocol.scales) if known.labels else None
    matched = labels.matched(inputs) if labels else 0
    if known.out is not None:
        prepare_folder(known.out, (*survey.data, *_roots(run)), survey.folders)

    from retinalab.predict.predictor import Predictor

    predictor = Predictor(run)
    if known.cam:
        predictor.check_maps()
    if known.masks or known.overlays:
        predictor.check_lesion_maps()
    learned = run.learned_from()
    flattered = sum(photograph.name in learned for photograph in inputs)
    head = print_header(predictor, known.which, survey, flattered)
    tally = Tally(predictor.scales, Judged(labels) if labels else None, predictor.lesions)
    predictions = predictor.predict(inputs, known.cam, known.masks or known.overlays)
    bar = tqdm(predictions, total=survey.count, unit="photo", ncols=WIDTH, disable=None)
    try:
        _go_through(bar, tally, predictor, known)
    except KeyboardInterrupt:
        print(
            f"retinalab: interrupted after {tally.total} of {counted(survey.count, 'photograph')}",
            file=sys.stderr,
        )
        return 130
    tally.show()
    figures = tally.judged.figures(predictor.scales) if tally.judged else {}
    if tally.judged:
        print_agreement(tally.judged, figures, matched, survey.count)
    if known.out is not None:
        _describe(
            known.out,
            predictor,
            known,
            head,
            {"photographs": tally.total, "not_graded": tally.refused},
            figures,
        )
        wanted = {"maps": known.cam, "masks": known.masks, "overlays": known.overlays}
        folders = "".join(f"; {kind}: {known.out / kind}" for kind, there in wanted.items() if there)
        print(f"\nTable: {known.out / 'predictions.csv'}{folders}")
    print("\nResearch use only: not for diagnosis.")
    return 1 if tally.refused else 0


def _go_through(
    predictions: Iterable[Prediction], tally: Tally, predictor: Predictor, known: argparse.Namespace
) -> None:
    from retinalab.predict.maps import write_maps
    from retinalab.predict.masks import write_masks, write_overlay
    from retinalab.predict.table import Table

    if known.out is None:
        for prediction in predictions:
            tally.add(prediction)
        return
    with Table(known.out, predictor, known.cam, known.masks, known.overlays) as table:
        for prediction in predictions:
            row = table.rows + 1
            maps = write_maps(prediction, predictor.scales, known.out, row)
            masks = write_masks(prediction, known.out, row) if known.masks else {}
            overlay = write_overlay(prediction, predictor.scales, known.out, row) if known.overlays else ""
            table.write(prediction, maps, masks, overlay)
            tally.add(prediction)


def _roots(run: FinishedRun) -> list[Path]:
    """Folders of the data that the run was made on."""
    stages = run.experiment.stages.values()
    return [root for root in (*(stage.data.root for stage in stages), *run.experiment.roots.values()) if root]


def _describe(
    out: Path,
    predictor: Predictor,
    known: argparse.Namespace,
    head: list[str],
    counts: dict[str, int],
    figures: Any,
) -> None:
    """Write beside the table what it was made with."""
    from retinalab.predict.table import USE
    from retinalab.records import LESION_NAMES
    from retinalab.runner.folder import write_json

    run = predictor.run
    content = {
        "use": USE,
        "about": head,
        "run": str(run.path.resolve()),
        "checkpoints": [str(member.checkpoint.relative_to(run.path)) for member in run.members],
        "grades": {d: {"scale": s.name, "levels": list(s.levels)} for d, s in predictor.scales.items()},
        "lesions": {x: LESION_NAMES[x] for x in predictor.lesions},
        "inputs": known.inputs,
        **counts,
        "labels": str(known.labels) if known.labels else None,
        "figures": figures,
    }
    write_json(out / "predictions.json", content)
