"""The command that judges predictions: those of a run, or a table made elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.clinical import add_clinical_arguments, clinical, clinical_options
from retinalab.cli.figures import print_errors, print_figures, print_labels
from retinalab.cli.predictions_table import read_predictions
from retinalab.cli.referral import add_referral_arguments, check_referral, referral
from retinalab.errors import RetinalabError
from retinalab.protocol import Scale

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_evaluate_arguments", "evaluate"]


@dataclass(frozen=True)
class _Judged:
    """What there is to judge, and what its keys call ``test``."""

    predictions: pd.DataFrame
    scales: Mapping[str, Scale]
    lesions: pd.DataFrame | None = None
    windows: pd.DataFrame | None = None
    ungradable: pd.DataFrame | None = None
    primary_set: str | None = None
    labels: tuple[str, ...] = ()


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate``."""
    parser.add_argument(
        "file", type=Path, metavar="RUN_OR_FILE", help="folder of a finished run; or Parquet or CSV"
    )
    parser.add_argument(
        "--scale", action="append", default=[], metavar="DISEASE=SCALE",
        help="of a file; default: dr=icdr5",
    )  # fmt: skip
    parser.add_argument(
        "--map", action="append", default=[], metavar="OURS=THEIRS",
        help="column names of a table made elsewhere",
    )  # fmt: skip
    add_clinical_arguments(parser)
    add_referral_arguments(parser)


def evaluate(known: argparse.Namespace) -> int:
    """Print the figures of predictions, with ``--clinical`` what they would mean in a clinic, or the referral curve."""
    check_referral(known)
    options = clinical_options(known)
    given = (
        _run(known) if known.file.is_dir() else _Judged(*read_predictions(known.file, known.map, known.scale))
    )
    print_labels(given.labels)
    if options is not None:
        return clinical(
            given.predictions,
            given.scales,
            options,
            given.lesions,
            given.ungradable,
            given.primary_set,
            known.json,
        )
    if known.referral:
        return referral(given.predictions, given.scales, given.primary_set, given.labels, known)
    from retinalab.metrics.evaluate import evaluate as metrics_of

    figures = metrics_of(
        given.predictions, given.scales, given.lesions, given.windows, primary_set=given.primary_set
    )
    if not figures:
        columns = ", ".join(map(str, given.predictions.columns))
        raise RetinalabError(
            f"{known.file} holds nothing to judge; its columns: {columns}. It "
            "needs image, a reference (dr) and a prediction (dr_grade, and dr_p0 ... or dr_score); name other "
            "columns with --map OURS=THEIRS."
        )
    print_figures(figures)
    print_errors(figures)
    print("\nResearch use only: not for diagnosis.")
    return 0


def _run(known: argparse.Namespace) -> _Judged:
    """The tables of a finished run, on the scales of its protocol."""
    import pandas as pd

    from retinalab.report.folder import read_run

    for option, given in (("--scale", known.scale), ("--map", known.map)):
        if given:
            raise RetinalabError(
                f"{option} is for tables made elsewhere; {known.file} is the folder of a run, whose protocol names "
                "its scales. Leave it out, or give a table."
            )
    run = read_run(known.file)
    if run.predictions is None and run.lesions is None and run.windows is None:
        raise RetinalabError(f"{known.file} has no table of predictions. Give the folder of a finished run.")
    predictions = pd.DataFrame(columns=["image"]) if run.predictions is None else run.predictions
    named = {key.split("/")[0].partition("@")[2] for key in run.metrics}
    tables = [table for table in (run.predictions, run.lesions, run.windows) if table is not None]
    sets = [str(name) for table in tables for name in table["set"].unique()]
    primary = next((name for name in sets if name not in named), None)
    labels = tuple(map(str, run.provenance.get("labels") or ()))
    return _Judged(predictions, run.scales, run.lesions, run.windows, run.ungradable, primary, labels)
