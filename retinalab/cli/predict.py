"""The command that grades photographs with the networks of a finished run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from retinalab.cli.predicted import WIDTH, Tally, print_agreement, print_header, print_places
from retinalab.counted import counted
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.predict.inputs import Inputs, Survey
    from retinalab.predict.predictor import Prediction, Predictor
    from retinalab.predict.table import Table

__all__ = ["add_predict_arguments", "predict"]

_UNCERTAINTY = {
    "<d>_entropy": "of the mean probabilities, in nats: 0 (certain) to ln K (K grades as likely)",
    "<d>_mutual_information": "what the members disagree about, in nats: 0 to the entropy; empty for one member",
    "<d>_sd": "of the severity between the members; empty for one member",
}


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``retinalab predict``."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a finished run, one checkpoint below it, or an exported "
        ".onnx or .pt2 file",
    )  # fmt: skip
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="photographs (DICOM too), folders, globs, or lists (.csv, .txt, .lst) with a relative path a line",
    )  # fmt: skip
    parser.add_argument(
        "--with", dest="others", action="append", default=[], type=Path, metavar="RUN", help="a further run that "
        "grades the same, averaged with the first; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--tta", action="store_true", help="average over eight views of each photograph, turned and mirrored; eight "
        "times the work",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for predictions.csv, on which the same command goes on",
    )
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
        "--gallery",
        action="store_true",
        help="write gallery.html with the first 1,000 photographs (needs --out)",
    )
    parser.add_argument(
        "--ungated", action="store_true", help="grade also what looks like no fundus photograph, and flag it"
    )
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), default="best", help="checkpoint; default: best, which the run was "
        "evaluated with",
    )  # fmt: skip


def predict(known: argparse.Namespace) -> int:
    """Grade photographs; exit status 1 where some could not be graded."""
    from retinalab.predict.inputs import Inputs
    from retinalab.predict.labels import Judged, read_labels
    from retinalab.predict.opened import open_all
    from retinalab.predict.table import prepare_folder

    for option in ("cam", "masks", "overlays", "gallery"):
        if getattr(known, option) and known.out is None:
            raise RetinalabError(f"--{option} writes pictures and needs a folder for them. Give --out DIR.")
    opened = open_all([known.run, *known.others], known.checkpoint)
    inputs = Inputs(known.inputs)
    survey = inputs.survey(known.out)
    labels = read_labels(known.labels, opened[0].scales) if known.labels else None
    matched = labels.matched(inputs) if labels else 0

    from retinalab.predict.predictor import Predictor
    from retinalab.predict.views import PLAIN, VIEWS

    views = VIEWS if known.tta else (PLAIN,)
    predictor = Predictor(opened[0], gated=not known.ungated, others=opened[1:], views=views)
    if known.cam:
        predictor.check_maps()
    if known.masks or known.overlays:
        predictor.check_lesion_maps()
    if known.out is not None:
        roots = [root for one in opened for root in one.roots]
        prepare_folder(known.out, (*survey.data, *roots), survey.around)
    learned = frozenset().union(*(one.learned_from() for one in opened))
    flattered = sum(photograph.name in learned for photograph in inputs)
    head = print_header(predictor, known.checkpoint, survey, flattered)
    tally = Tally(predictor.scales, Judged(labels) if labels else None, predictor.lesions)
    try:
        _go_through(inputs, survey, tally, predictor, head, known)
    except KeyboardInterrupt:
        print(
            f"retinalab: interrupted after {tally.total} of {counted(survey.count, 'photograph')}"
            + "; the same command goes on" * (known.out is not None),
            file=sys.stderr,
        )
        return 130
    tally.show()
    figures = tally.judged.figures(predictor.scales) if tally.judged else {}
    if tally.judged:
        print_agreement(tally.judged, figures, matched, survey.count)
    if known.out is not None:
        counts = {"photographs": tally.total, "not_graded": tally.refused, "quality": dict(tally.flags)}
        counts["enlarged"] = tally.enlarged
        _describe(known, _about(predictor, known, head), counts, figures)
        if known.gallery:
            from retinalab.predict.gallery import write_gallery
            from retinalab.predict.rows import Rows

            rows = Rows.of(predictor, known.cam, known.masks, known.overlays)
            write_gallery(known.out, rows, inputs, tally.flags, head)
        print_places(known)
    print("\nResearch use only: not for diagnosis.")
    return 1 if tally.refused else 0


def _go_through(
    inputs: Inputs,
    survey: Survey,
    tally: Tally,
    predictor: Predictor,
    head: list[str],
    known: argparse.Namespace,
) -> None:
    from retinalab.predict.begun import begin, checkpoint_digest
    from retinalab.predict.rows import USE, Rows
    from retinalab.predict.table import Table

    maps = known.masks or known.overlays
    if known.out is None:
        for prediction in _bar(predictor.predict(inputs, lesion_maps=maps), survey.count, 0):
            tally.add(prediction)
        return
    rows = Rows.of(predictor, known.cam, known.masks, known.overlays)
    about = _about(predictor, known, head)
    with Table(known.out, rows, {"use": USE, "run": about["run"]}) as table:
        identity = {
            "checkpoints": checkpoint_digest(predictor.opened),
            "photographs": [survey.count, survey.digest],
            "columns": rows.header,
            "options": {"ungated": known.ungated, "tta": known.tta},
        }
        begin(known.out, identity, about)
        photographs = iter(inputs)
        for prediction in table.kept(photographs):
            tally.add(prediction)
        if table.rows:
            left = survey.count - table.rows
            print(f"{counted(table.rows, 'row')} in {known.out} already; {left or 'none'} to go")
        found = predictor.predict(photographs, known.cam, maps)
        for prediction in _bar(found, survey.count, table.rows):
            _write(table, prediction, predictor, known)
            tally.add(prediction)


def _bar(predictions: Iterator[Prediction], total: int, done: int) -> Iterator[Prediction]:
    """With rate and remaining time; silent where the output is no terminal."""
    yield from tqdm(predictions, total=total, initial=done, unit="photo", ncols=WIDTH, disable=None)


def _write(table: Table, prediction: Prediction, predictor: Predictor, known: argparse.Namespace) -> None:
    from retinalab.predict.maps import write_maps
    from retinalab.predict.masks import write_masks, write_overlay
    from retinalab.predict.rows import Pictures

    row = table.rows + 1
    maps = write_maps(prediction, predictor.scales, known.out, row)
    masks = write_masks(prediction, known.out, row) if known.masks else {}
    overlay = write_overlay(prediction, predictor.scales, known.out, row) if known.overlays else ""
    table.write(prediction, Pictures(maps, masks, overlay))


def _about(predictor: Predictor, known: argparse.Namespace, head: list[str]) -> dict[str, Any]:
    """What the table is made with, known before its first row."""
    from retinalab.predict.rows import USE
    from retinalab.records import LESION_NAMES

    return {
        "use": USE,
        "about": head,
        "run": str(predictor.run.path.resolve()),
        "networks": [str(file.resolve()) for one in predictor.opened for file in one.files],
        "views": len(predictor.views),
        "uncertainty": _UNCERTAINTY,
        "grades": {d: {"scale": s.name, "levels": list(s.levels)} for d, s in predictor.scales.items()},
        "lesions": {x: LESION_NAMES[x] for x in predictor.lesions},
        "inputs": known.inputs,
    }


def _describe(known: argparse.Namespace, about: dict[str, Any], counts: dict[str, Any], figures: Any) -> None:
    """Write beside the finished table what came of it."""
    from retinalab.predict.begun import finish
    from retinalab.predict.quality import FLAGS, LIMITS

    limits = {name: [limit.least, limit.most] for name, limit in LIMITS.items()}
    content = {
        **about,
        **counts,
        "quality_flags": dict(FLAGS),
        "quality_limits": {name: [a, b if b < float("inf") else None] for name, (a, b) in limits.items()},
        "labels": str(known.labels) if known.labels else None,
        "figures": figures,
    }
    finish(known.out, content)
