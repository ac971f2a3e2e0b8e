"""A table of predictions made elsewhere: read, its columns mapped, and refused where its figures would mislead."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.counted import counted
from retinalab.errors import RetinalabError, unknown
from retinalab.protocol import SCALES, Scale

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_predictions"]

_IDENTITY = ("part", "set", "patient", "eye", "image", "fold", "seed")
_PARTS = ("train", "val", "test")
_ROUNDED = 0.01
"""By how much a probability printed with two decimals may be off."""


def read_predictions(
    path: Path, mapped: Sequence[str], scaled: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, Scale]]:
    """Read a table, with the columns and on the scales that were named.

    Args:
        path: Parquet or CSV.
        mapped: pairs OURS=THEIRS of column names.
        scaled: pairs DISEASE=SCALE; none: dr=icdr5.

    Raises:
        RetinalabError: no such file, column or scale, or rows that cannot be judged.
    """
    names = [_pair("--map", pair, "OURS=THEIRS, such as dr_grade=predicted") for pair in mapped]
    asked = [_pair("--scale", pair, "DISEASE=SCALE, such as dr=icdr5") for pair in scaled or ["dr=icdr5"]]
    table = _read(path)
    for ours, theirs in names:
        if theirs not in table:
            raise unknown("column", theirs, list(table.columns), f"Correct --map {ours}={theirs}.")
        table[ours] = table[theirs]
    scales = {}
    for disease, scale in asked:
        if scale not in SCALES:
            raise unknown("grade scale", scale, SCALES)
        scales[disease] = SCALES[scale]
    _check_rows(table, scales, path)
    _check_names(table, path)
    _check_parts(table, path)
    _check_once(table, path)
    for disease, one in scales.items():
        _check_probabilities(table, disease, one.size, path)
    return table, scales


def _pair(option: str, given: str, form: str) -> tuple[str, str]:
    """The two sides of a pair; neither may be empty."""
    left, equals, right = given.partition("=")
    if not (left and equals and right):
        raise RetinalabError(f"{option} {given!r} is not of the form {form}.")
    return left, right


def _check_rows(table: pd.DataFrame, scales: Mapping[str, Scale], path: Path) -> None:
    """There are rows, and some photograph has a reference that predictions can be held against."""
    import pandas as pd

    from retinalab.metrics.tables import diseases_of, lesions_of

    if not len(table):
        raise RetinalabError(
            f"{path} has a header and no rows. Give a row for each photograph: image, a reference (dr) and a "
            "prediction (dr_grade, and dr_p0 ... or dr_score)."
        )
    graded = [disease for disease in diseases_of(table) if disease in scales]
    unknown_ones = [one for one in graded if (pd.to_numeric(table[one], errors="coerce") == -1).all()]
    if graded and unknown_ones == graded and not lesions_of(table):
        scale = scales[graded[0]]
        raise RetinalabError(
            f"{path}: the reference {', '.join(graded)} is unknown (-1) in {'all' if len(table) > 1 else 'its'} "
            f"{counted(len(table), 'row')}. Give grades from 0 to {scale.size - 1} ({scale.name}), or name the column "
            f"that has them: --map {graded[0]}=COLUMN."
        )


def _check_names(table: pd.DataFrame, path: Path) -> None:
    """Every row names its photograph, and folds and seeds are whole numbers: rows are counted by them."""
    import pandas as pd

    if "image" in table and table["image"].isna().any():
        row = int(table["image"].isna().to_numpy().argmax()) + 1
        raise RetinalabError(
            f"{path}: row {row} names no image ({_such(table['image'].isna())}). Name the photograph."
        )
    for column in (name for name in ("fold", "seed") if name in table):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = table.loc[(numbers.isna() & table[column].notna()) | (numbers % 1 > 0), column]
        if len(wrong):
            raise RetinalabError(
                f"{path}: {column} {str(wrong.iloc[0])!r} is no whole number ({counted(len(wrong), 'such row')}). "
                "Number them, from 0."
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
            f"{path}: {str(image)!r} stands there twice ({_such(twice)}). Keep one prediction of it, or "
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
            f"begin {row.iloc[0]:g} and add up to {row.sum():g} ({_such(wrong)}). Give shares of 1, or "
            f"a score as {disease}_score."
        )


def _check_header(path: Path) -> None:
    """There is a header, and no name stands in it twice: the second column would count under another."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        names = [name.strip() for name in next(csv.reader(file), [])]
    if not any(names):
        raise RetinalabError(
            f"{path} is empty. Give a CSV with a header and a row for each photograph: image, dr, dr_grade."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RetinalabError(
            f"{path} has {names.count(twice)} columns {twice!r}. Remove or rename all but the one that is meant."
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
    _check_header(path)
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


def _such(rows: pd.Series) -> str:
    return counted(int(rows.sum()), "such row")
