"""Some of the parts that a stage is evaluated on, one at a time, and their tables joined into one of the stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from lightning import LightningDataModule

from retinalab.data.batch import Batch
from retinalab.data.module import FundusDataModule, PartDataset
from retinalab.data.part import Part, Parts
from retinalab.metrics.tables import TableKind, read_table, write_table

__all__ = ["VALIDATION", "EvaluatedParts", "join_tables", "place_of"]

VALIDATION = "val"


class EvaluatedParts(LightningDataModule):
    """The validation part of a stage's photographs or one of its test parts, or all of them.

    Args:
        module: the photographs.
        only: ``val`` or the data set that is tested. None: validation, then every test set.
    """

    def __init__(self, module: FundusDataModule, only: str | None = None) -> None:
        super().__init__()
        self.module = module
        self.only = only
        self.data = module.data

    @property
    def parts(self) -> Parts:
        """All photographs of the stage, as tasks ask the trainer's data module for them."""
        return self.module.parts

    def evaluation_parts(self) -> list[Part]:
        """What :meth:`test_dataloader` goes through."""
        return [part for name, part in self._named() if self.only in (None, name)]

    def dataset(self, part: Part) -> PartDataset:
        """The batches of one part."""
        return self.module.dataset(part)

    def setup(self, stage: str) -> None:
        """Prepare photographs; every process may call it at once."""
        self.module.setup(stage)

    def test_dataloader(self) -> list[Any]:
        """One loader for each part."""
        self.module.trainer = self.trainer
        loaders = self.module.test_dataloader()
        names = [name for name, _ in self._named()]
        return [loader for name, loader in zip(names, loaders, strict=True) if self.only in (None, name)]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """As the module does."""
        return self.module.on_after_batch_transfer(batch, dataloader_idx)

    def _named(self) -> list[tuple[str, Part]]:
        names = [VALIDATION, *self.module.parts.tests]
        return list(zip(names, self.module.evaluation_parts(), strict=True))


def place_of(tables: Path, only: str | None) -> Path:
    """Where the tables of one part lie within those of the stage, or of all parts."""
    if only is None:
        return tables
    return tables / (only if only == VALIDATION else f"test@{only}")


def join_tables(tables: Path, sets: Sequence[str]) -> None:
    """Write the tables of a stage that was evaluated part by part: the parts' one below the other.

    Args:
        tables: folder of the stage's.
        sets: data sets that it was tested on, in order; a table that no part has is left as it is.
    """
    for kind in get_args(TableKind):
        files = [place_of(tables, name) / f"{kind}.parquet" for name in (VALIDATION, *sets)]
        found: list[pd.DataFrame] = [read_table(file, kind) for file in files if file.is_file()]
        if found:
            write_table(pd.concat(found, ignore_index=True), tables / f"{kind}.parquet", kind)
