"""The command that judges predictions: those of a run, or a table made elsewhere."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.clinical import add_clinical_arguments, clinical, clinical_options
from retinalab.cli.figures import print_errors, print_figures
from retinalab.errors import RetinalabError, unknown
from retinalab.protocol import SCALES, Scale

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_evaluate_arguments", "evaluate"]

_IDENTITY = ("part", "set", "patient", "eye", "image", "fold", "seed")
_PARTS = ("train", "val", "test")
_ROUNDED = 0.01
"""By how much a probability printed with two decimals may be off."""


@dataclass(frozen=True)
class _Judged:
    """What there is to judge, and what its keys call ``test``."""

    predictions: pd.DataFrame
    scales: Mapping[str, Scale]
    lesions: pd.DataFrame | None = None
    windows: pd.DataFrame | None = None
    ungradable: pd.DataFrame | None = None
    primary_set: str | None = None


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


def evaluate(known: argparse.Namespace) -> int:
    """Print the figures of predictions, or with ``--clinical`` what they would mean in a clinic."""
    options = clinical_options(known)
    given = _run(known) if known.file.is_dir() else _file(known)
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
    return _Judged(predictions, run.scales, run.lesions, run.windows, run.ungradable, primary)


def _file(known: argparse.Namespace) -> _Judged:
    """A table of predictions, its columns mapped, on the scales that were named."""
    table = _read(known.file)
    for pair in known.map:
        if "=" not in pair:
            raise RetinalabError(
                f"--map {pair!r} is not of the form OURS=THEIRS, such as dr_grade=predicted."
            )
    for ours, theirs in (pair.split("=", 1) for pair in known.map):
        if theirs not in table:
            raise unknown("column", theirs, list(table.columns), f"Correct --map {ours}={theirs}.")
        table[ours] = table[theirs]
    scales = {}
    for pair in known.scale or ["dr=icdr5"]:
        disease, _, scale = pair.partition("=")
        if scale not in SCALES:
            raise unknown("grade scale", scale, SCALES)
        scales[disease] = SCALES[scale]
    _check_names(table, known.file)
    _check_parts(table, known.file)
    _check_once(table, known.file)
    for disease, one in scales.items():
        _check_probabilities(table, disease, one.size, known.file)
    return _Judged(table, scales)


def _check_names(table: pd.DataFrame, path: Path) -> None:
    """Every row names its photograph, and folds and seeds are whole numbers: rows are counted by them."""
    import pandas as pd

    if "image" in table and table["image"].isna().any():
        row = int(table["image"].isna().to_numpy().argmax()) + 1
        raise RetinalabError(
            f"{path}: row {row} names no image ({table['image'].isna().sum()} such rows). Name the photograph."
        )
    for column in (name for name in ("fold", "seed") if name in table):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = table.loc[(numbers.isna() & table[column].notna()) | (numbers % 1 > 0), column]
        if len(wrong):
            raise RetinalabError(
                f"{path}: {column} {str(wrong.iloc[0])!r} is no whole number ({len(wrong)} such rows). Number them, "
                "from 0."
            )


def _check_parts(table: pd.DataFrame, path: Path) -> None:
    """Rows of a part that is none would be figures that nobody looks for."""
    for part in table["part"].dropna().unique() if "part" in table else ():
        if part not in _PARTS:
            raise RetinalabError(f"{path}: {unknown('part', str(part), _PARTS, 'Correct the column part.')}")


def _check_once(table: pd.DataFrame, path: Path) -> None:
    """A photograph counts once for each network: given twice, it would weigh twice."""
    if "image" not in table:
        return  # said where the figures are made
    twice = table.duplicated([name for name in _IDENTITY if name in table])
    if twice.any():
        image = table.loc[twice, "image"].iloc[0]
        raise RetinalabError(
            f"{path}: {str(image)!r} stands there twice ({int(twice.sum())} such rows). Keep one prediction of it, or "
            "tell them apart by a column fold or seed."
        )


def _check_probabilities(table: pd.DataFrame, disease: str, size: int, path: Path) -> None:
    """Probabilities lie from 0 to 1 and add up to 1; anything else is no probability and calibrates nothing."""
    names = [f"{disease}_p{grade}" for grade in range(size)]
    if not set(names) <= set(table):
        return
    try:
        given = table[names].astype(float)
    except ValueError:
        return  # said with its row where the figures are made
    wrong = (given < -_ROUNDED).any(axis=1) | ((given.sum(axis=1) - 1).abs() > _ROUNDED * size)
    wrong &= given.notna().all(axis=1)
    if wrong.any():
        row = given[wrong].iloc[0]
        raise RetinalabError(
            f"{path}: {names[0]} to {names[-1]} of row {int(wrong.to_numpy().argmax()) + 1} are no probabilities: they "
            f"begin {row.iloc[0]:g} and add up to {row.sum():g} ({int(wrong.sum())} such rows). Give shares of 1, or a "
            f"score as {disease}_score."
        )


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    from retinalab.metrics.tables import read_table

    if path.suffix.lower() != ".csv":
        return read_table(path, "predictions")
    if not path.is_file():
        raise RetinalabError(
            f"No file {path}. Give a CSV or Parquet table of predictions, or a run's folder."
        )
    try:
        with warnings.catch_warnings():  # a row longer than the header would else shift every column by one
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(path, index_col=False)
    except (
        pd.errors.EmptyDataError,
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        UnicodeDecodeError,
    ) as error:
        raise RetinalabError(f"{path} is no readable table ({error}). Give a CSV with a header.") from error
