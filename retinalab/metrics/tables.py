"""The Parquet tables that a run leaves: the only door to evaluation, whoever made the predictions."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from retinalab.errors import RetinalabError, unknown

__all__ = [
    "SCHEMA_VERSION",
    "TableKind",
    "complete_predictions",
    "diseases_of",
    "lesions_of",
    "probabilities_of",
    "read_meta",
    "read_table",
    "write_table",
]

SCHEMA_VERSION = 1
"""Version of the columns below; a file of a later version is refused, an earlier one is read."""

TableKind = Literal["predictions", "lesions", "windows", "maps", "saliency", "robustness"]

_KEY = b"retinalab"
_TEXT, _WHOLE, _REAL, _HISTOGRAM = pa.string(), pa.int64(), pa.float32(), pa.list_(pa.int64())
_BYTES, _CURVE = pa.binary(), pa.list_(pa.float32())
_COUNTS = ("tp", "fp", "fn", "hits", "misses", "false_components")
_SHARES = ("pointing", "mass", "border", "outside", "found_1", "found_5", "found_10")
_OPTIONAL: Mapping[str, Mapping[str, pa.DataType]] = {
    "lesions": dict.fromkeys(("hits_at", "false_at"), _HISTOGRAM),
}
"""Columns that a table made elsewhere or by an earlier version may lack; figures that need them are then left out."""
_COLUMNS: Mapping[str, Mapping[str, pa.DataType]] = {
    "predictions": {
        **dict.fromkeys(("image", "set", "patient", "eye", "view", "part"), _TEXT),
        **dict.fromkeys(("fold", "seed"), _WHOLE),
        **dict.fromkeys(("group", "quality", "reason"), _TEXT),
    },
    "lesions": {
        **dict.fromkeys(("image", "set", "part"), _TEXT),
        **dict.fromkeys(("fold", "seed"), _WHOLE),
        **dict.fromkeys(("group", "lesion"), _TEXT),
        **dict.fromkeys(_COUNTS, _WHOLE),
        **dict.fromkeys(("hist_in", "hist_out"), _HISTOGRAM),
    },
    "windows": {
        **dict.fromkeys(("image", "set", "part"), _TEXT),
        **dict.fromkeys(("fold", "seed"), _WHOLE),
        "group": _TEXT,
        **dict.fromkeys(("x", "y", "size", "label"), _WHOLE),
        "p0": _REAL,
        "grade": _WHOLE,
    },
    "maps": {
        **dict.fromkeys(("image", "set", "part"), _TEXT),
        **dict.fromkeys(("fold", "seed"), _WHOLE),
        "map": _TEXT,
        **dict.fromkeys(("height", "width", "native_height", "native_width"), _WHOLE),
        **dict.fromkeys(("extent", "peak"), _REAL),
        "values": _BYTES,
    },
    "robustness": {
        **dict.fromkeys(("image", "set", "patient", "eye", "view", "part"), _TEXT),
        **dict.fromkeys(("fold", "seed"), _WHOLE),
        **dict.fromkeys(("group", "condition"), _TEXT),
        **dict.fromkeys(("severity", "draw"), _WHOLE),
    },
    "saliency": {
        **dict.fromkeys(("image", "set", "part"), _TEXT),
        **dict.fromkeys(("fold", "seed"), _WHOLE),
        **dict.fromkeys(("group", "model", "method", "disease"), _TEXT),
        **dict.fromkeys(("grade", "field", "lesion_pixels", "lesions", "empty"), _WHOLE),
        **dict.fromkeys((name for one in _SHARES for name in (one, f"{one}_chance")), _REAL),
        **dict.fromkeys(("deletion", "deletion_random"), _REAL),
        **dict.fromkeys(("deletion_curve", "deletion_random_curve"), _CURVE),
        "randomised_curve": _CURVE,
        "randomised_known": _HISTOGRAM,
    },
}
_DEFAULTS: Mapping[str, str | int] = {
    **dict.fromkeys(("set", "patient", "eye", "view", "quality", "reason"), ""),
    "part": "test",
    "fold": -1,
    "seed": 0,
}


def diseases_of(table: pd.DataFrame) -> tuple[str, ...]:
    """Diseases that a predictions table grades: every ``d`` with a column ``d_grade``, in the table's order.

    Example:
        >>> diseases_of(pd.DataFrame({"dr": [0], "dr_grade": [0], "dme": [1]}))
        ('dr',)
    """
    names = (column.removesuffix("_grade") for column in table.columns if column.endswith("_grade"))
    return tuple(name for name in names if name in table)


def lesions_of(table: pd.DataFrame) -> tuple[str, ...]:
    """Lesions whose presence a predictions table holds: every ``X`` with ``lesion_X`` and ``lesion_X_p``.

    Example:
        >>> lesions_of(pd.DataFrame({"lesion_MA": [1], "lesion_MA_p": [0.9], "lesion_count": [3]}))
        ('MA',)
    """
    scored = (c for c in map(str, table.columns) if c.startswith("lesion_") and c.endswith("_p"))
    names = (column.removeprefix("lesion_").removesuffix("_p") for column in scored)
    return tuple(name for name in names if f"lesion_{name}" in table)


def probabilities_of(table: pd.DataFrame, prefix: str) -> list[str]:
    """Probability columns ``<prefix>0``, ``<prefix>1``, ... without a gap.

    Example:
        >>> probabilities_of(pd.DataFrame({"dr_p0": [0.2], "dr_p1": [0.8], "dr_p3": [0.0]}), "dr_p")
        ['dr_p0', 'dr_p1']
    """
    found: list[str] = []
    while f"{prefix}{len(found)}" in table:
        found.append(f"{prefix}{len(found)}")
    return found


def complete_predictions(table: pd.DataFrame) -> pd.DataFrame:
    """Fill the columns that predictions made elsewhere do not have.

    ``image``, references and predictions must be there. Elsewhere a missing column or empty cell becomes part
    ``test``, fold -1, seed 0 or an empty text. A missing ``group`` is ``set/patient``, or ``set/image`` where
    the patient is unknown: the photograph is then the unit of independence.
    """
    out = table.copy()
    for column, default in _DEFAULTS.items():
        out[column] = out[column].fillna(default) if column in out else default
    if "group" not in out and "image" in out:
        patient = out["patient"].fillna("").astype(str)
        unit = patient.where(patient != "", out["image"].astype(str))
        out["group"] = out["set"].fillna("").astype(str) + "/" + unit
    return out


def write_table(
    table: pd.DataFrame, path: str | Path, kind: TableKind, meta: Mapping[str, Any] | None = None
) -> None:
    """Write a table in one step: a reader sees the whole file or none.

    Predictions are completed (:func:`complete_predictions`); columns beyond the schema are kept.

    Args:
        table: one row per photograph (``predictions``), photograph and lesion (``lesions``), patch
            (``windows``), photograph and map (``maps``: :mod:`retinalab.runner.maps`), photograph, network and
            method of explaining it (``saliency``: :mod:`retinalab.metrics.scorecard`) or photograph, network and
            way in which it was changed (``robustness``: :mod:`retinalab.robustness`).
        path: the Parquet file; its folder must exist.
        kind: which schema.
        meta: JSON-ready facts about the run, kept in the file (:func:`read_meta`).

    Raises:
        RetinalabError: a column is missing, or a cell is not of its column's type.
    """
    path = Path(path)
    full = complete_predictions(table) if kind == "predictions" else table.copy()
    if kind != "predictions":
        for column in ("fold", "seed"):
            if column not in full:
                full[column] = _DEFAULTS[column]
    _check_columns(full, kind, str(path))
    columns = _columns(full, kind)
    arrays = [_array(full[name], columns.get(name), str(path)) for name in full.columns]
    head = json.dumps({"schema": SCHEMA_VERSION, "kind": kind, "meta": dict(meta or {})})
    parquet = pa.Table.from_arrays(arrays, names=[str(name) for name in full.columns])
    parquet = parquet.replace_schema_metadata({_KEY: head.encode()})
    handle, temporary = tempfile.mkstemp(".tmp", f".{path.name}.", path.parent)
    os.close(handle)
    try:
        pq.write_table(parquet, temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_table(path: str | Path, kind: TableKind) -> pd.DataFrame:
    """Read a table that :func:`write_table` wrote, or any Parquet file with its columns.

    Raises:
        RetinalabError: no such file, not Parquet, another kind, a later schema, a missing column.
    """
    _head(path, kind)
    try:
        table: pd.DataFrame = pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    if kind == "predictions":
        table = complete_predictions(table)
    _check_columns(table, kind, str(path))
    return table


def read_meta(path: str | Path) -> dict[str, Any]:
    """The facts that were given to :func:`write_table`; empty for a file made elsewhere."""
    meta: dict[str, Any] = _head(path, None).get("meta", {})
    return meta


def _head(path: str | Path, kind: TableKind | None) -> dict[str, Any]:
    if not Path(path).is_file():
        raise RetinalabError(
            f"No table at '{path}'. Give the Parquet file of a finished run, or run the experiment first."
        )
    try:
        metadata = pq.read_schema(path).metadata or {}
        head: dict[str, Any] = dict(json.loads(metadata.get(_KEY, b"{}")))
    except (pa.ArrowException, OSError, ValueError, TypeError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if head.get("schema", 0) > SCHEMA_VERSION:
        raise RetinalabError(
            f"'{path}' has table schema {head['schema']}, this retinalab reads up to {SCHEMA_VERSION}. "
            "Upgrade retinalab to read it."
        )
    if kind is not None and head.get("kind", kind) != kind:
        raise RetinalabError(
            f"'{path}' is a table of {head['kind']}, not of {kind}. Give the {kind} table of the run."
        )
    return head


def _unreadable(path: str | Path, error: Exception) -> RetinalabError:
    return RetinalabError(
        f"'{path}' is not a Parquet file ({error}). Give a table that a run wrote, or convert yours."
    )


def _check_columns(table: pd.DataFrame, kind: TableKind, source: str) -> None:
    if kind not in get_args(TableKind):
        raise unknown("table", kind, get_args(TableKind))
    missing = [column for column in _COLUMNS[kind] if column not in table]
    if missing:
        raise RetinalabError(
            f"'{source}' lacks column {', '.join(missing)} of a {kind} table "
            f"(it has {', '.join(map(str, table.columns))}). Add it or map one of its columns to it."
        )
    if kind == "predictions":
        for disease in diseases_of(table):
            if f"{disease}_score" not in table and len(probabilities_of(table, f"{disease}_p")) < 2:
                raise RetinalabError(
                    f"'{source}' has {disease}_grade but neither {disease}_p0, {disease}_p1, ... "
                    f"nor {disease}_score. Add the probability of each grade, or the regression's score."
                )


def _columns(table: pd.DataFrame, kind: TableKind) -> dict[str, pa.DataType]:
    columns = {**_COLUMNS[kind], **_OPTIONAL.get(kind, {})}
    if kind == "windows":
        columns |= dict.fromkeys(probabilities_of(table, "p"), _REAL)
    if kind in ("predictions", "robustness"):
        for disease in diseases_of(table):
            columns |= dict.fromkeys((disease, f"{disease}_grade"), _WHOLE)
            columns |= dict.fromkeys((*probabilities_of(table, f"{disease}_p"), f"{disease}_score"), _REAL)
        for lesion in lesions_of(table):
            columns |= {f"lesion_{lesion}": _WHOLE, f"lesion_{lesion}_p": _REAL}
            columns[f"lesion_{lesion}_annotated"] = pa.bool_()
    return columns


def _array(values: pd.Series[Any], kind: pa.DataType | None, source: str) -> pa.Array:
    try:
        if kind == _TEXT:
            return pa.array(values.fillna("").astype(str).tolist(), type=_TEXT)
        if kind == _WHOLE:
            return pa.array(values.to_numpy(), type=_WHOLE)
        if kind == _REAL:
            return pa.array(values.to_numpy().astype(np.float32), type=_REAL)
        if kind == _HISTOGRAM:
            return pa.array([np.asarray(cell, dtype=np.int64) for cell in values], type=_HISTOGRAM)
        if kind == _CURVE:
            return pa.array([np.asarray(cell, dtype=np.float32) for cell in values], type=_CURVE)
        return pa.Array.from_pandas(values, type=kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
        raise RetinalabError(
            f"'{source}': column {values.name} does not fit type {kind} ({error}). Correct its cells."
        ) from error
