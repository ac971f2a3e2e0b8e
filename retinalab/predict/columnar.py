"""A finished ``predictions.csv`` as Parquet, some megabytes at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

__all__ = ["write_parquet"]

_BLOCK = 1 << 22
_NUMBER = re.compile(r"_(p\d*|score|confidence|entropy|mutual_information|sd)$|^enlarged$")


def write_parquet(source: Path, target: Path, columns: Sequence[str], facts: Mapping[str, str]) -> None:
    """Write a row group for every 4 MiB of CSV; the file has its name only once it is whole.

    Grades are int8; probabilities, scores, confidences and uncertainties float64, null where a photograph was not
    graded; ``enlarged`` float64, null where it was not. All else is text.

    Args:
        source: CSV with a header, a row a line.
        target: the Parquet file.
        columns: of both.
        facts: for the schema's metadata.

    Raises:
        OSError: the file cannot be written.
    """
    types = {name: _type(name) for name in columns}
    schema = pa.schema(list(types.items()), metadata=dict(facts))
    reader = pyarrow.csv.open_csv(
        source,
        read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK, use_threads=False),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, null_values=[""]),
    )
    partial = target.with_name(f"{target.name}.partial")
    with reader, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch.cast(schema))
    os.replace(partial, target)


def _type(name: str) -> pa.DataType:
    if name.endswith("_grade"):
        return pa.int8()
    return pa.float64() if _NUMBER.search(name) else pa.string()
