"""What test steps give becomes rows of the tables that a run leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from retinalab.data.batch import Batch
from retinalab.data.dataset import unpacked
from retinalab.data.parts import identity
from retinalab.data.sampler import is_spare
from retinalab.data.tiles import JoinedMaps, Tiles
from retinalab.metrics.lesions import LesionCounts, lesion_counts
from retinalab.metrics.tables import TableKind, write_table
from retinalab.records import LESIONS
from retinalab.runner.evaluation import EvaluatedParts
from retinalab.runner.maps import extent_of, map_frame, reduced
from retinalab.runner.processes import gathered
from retinalab.tasks.base import Task
from retinalab.tasks.outputs import Outputs

__all__ = ["Collector", "answers"]


class Collector(Callback):
    """Collects every evaluated photograph once, across batches and processes.

    The lesion maps of tiles are joined, photograph by photograph, before anything is counted. The first process writes
    the tables, since a process that Lightning forked takes its memory with it.

    Args:
        module: the photographs.
        folder: where ``<kind>.parquet`` are written after the test epoch.
        fold, seed: noted in the tables.
        threshold: from which probability on a pixel counts as a lesion's.
    """

    def __init__(
        self, module: EvaluatedParts, folder: Path, fold: int, seed: int, threshold: float = 0.5
    ) -> None:
        self.module = module
        self.folder = folder
        self.fold = fold
        self.seed = seed
        self.threshold = threshold
        self._kept: list[dict[str, Any]] = []
        self._joined: dict[int, JoinedMaps] = {}

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what the tables need; lesion maps become counts at once, maps for the eye a few bytes."""
        assert isinstance(pl_module, Task)
        loaders: Any = trainer.test_dataloaders
        if is_spare(loaders[dataloader_idx], batch_idx):
            return
        kept = _rows(pl_module, outputs, batch)
        kept["part"] = dataloader_idx
        if outputs.lesions is not None and "mask" in batch:
            kept |= self._counted(outputs.lesions, batch, dataloader_idx)
        if outputs.maps and self.module.data.windows is None:
            kept["maps"] = reduced(outputs.maps)
        self._kept.append(kept)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the rows of all processes and write the tables, in the order of the photographs."""
        kept, self._kept = [entry for one in gathered(self._kept) for entry in one], []
        if not trainer.is_global_zero:
            return
        tables: dict[str, list[pd.DataFrame]] = {}
        for number, part in enumerate(self.module.evaluation_parts()):
            dataset = self.module.dataset(part)
            base = identity(part).assign(fold=self.fold, seed=self.seed)
            of_part: dict[str, list[pd.DataFrame]] = {}
            for entry in (e for e in kept if e["part"] == number):
                for kind, frame in self._frames(entry, base, dataset).items():
                    of_part.setdefault(kind, []).append(frame)
            for kind, frames in of_part.items():
                tables.setdefault(kind, []).append(pd.concat(frames).sort_index(kind="stable"))
        self.folder.mkdir(parents=True, exist_ok=True)
        for kind in get_args(TableKind):
            whole = pd.concat(tables.get(kind, [pd.DataFrame()]), ignore_index=True)
            if len(whole):
                write_table(whole, self.folder / f"{kind}.parquet", kind)

    def _counted(self, maps: Tensor, batch: Batch, number: int) -> dict[str, Any]:
        """``counts`` of the photographs of a batch, or of those that its tiles complete, and which they are."""
        tiles = Tiles.of(self.module.data)
        if tiles is None:
            return {"counts": _lesion_counts(maps, batch["mask"], self.threshold)}
        joined = self._joined.setdefault(number, JoinedMaps(tiles))
        part = self.module.evaluation_parts()[number]
        photographs, counts = [], []
        for photograph, whole in joined.add(batch["index"].tolist(), maps):
            mask = torch.from_numpy(unpacked(part.cache.planes(part.rows[[photograph]])))
            photographs.append(photograph)
            counts += _lesion_counts(whole[None], mask, self.threshold)
        return {"counts": counts, "counted": np.array(photographs, np.int64)} if counts else {}

    def _frames(self, entry: dict[str, Any], base: pd.DataFrame, dataset: Any) -> dict[str, pd.DataFrame]:
        """The rows that a batch gives each table, indexed by photograph or window."""
        index = entry["index"]
        photographs = index if dataset.windows is None else dataset.windows["photograph"].to_numpy()[index]
        named = base.iloc[photographs].reset_index(drop=True)
        frames: dict[str, pd.DataFrame] = {}
        if "windows" in entry:
            frames["windows"] = _window_frame(named, dataset, index, entry["windows"]).set_axis(index)
        if entry["columns"] and dataset.windows is None:
            references = {d: grades[photographs] for d, grades in dataset.grades.items()}
            lesions = _lesion_references(dataset, photographs) if entry["lesions"] else {}
            frames["predictions"] = named.assign(**references, **entry["columns"], **lesions).set_axis(index)
        if "counts" in entry:
            counted = entry.get("counted", index)
            frames["lesions"] = _lesion_frame(base, counted, entry["counts"])
        if "maps" in entry:
            mapped = map_frame(named, entry["maps"], extent_of(dataset.data))
            frames["maps"] = mapped.set_axis(np.repeat(index, len(entry["maps"])))
        return frames


def answers(task: Task, given: Outputs) -> dict[str, np.ndarray]:
    """Columns of the predictions table: of each disease that a step answers, probabilities or score, and grade."""
    columns: dict[str, np.ndarray] = {}
    for disease, scale in task.scales.items():
        if disease in given.grades:
            probabilities = given.grades[disease].float().cpu().numpy()
            columns.update({f"{disease}_p{k}": probabilities[:, k] for k in range(scale.size)})
        elif disease in given.severity:
            columns[f"{disease}_score"] = given.severity[disease].float().cpu().numpy()
        else:
            continue
        columns[f"{disease}_grade"] = given.predicted(disease, scale.size).cpu().numpy()
    return columns


def _rows(task: Task, given: Outputs, batch: Batch) -> dict[str, Any]:
    columns = answers(task, given)
    if given.present is not None:
        present = given.present.float().cpu().numpy()
        columns.update({f"lesion_{lesion}_p": present[:, i] for i, lesion in enumerate(LESIONS)})
    kept: dict[str, Any] = {
        "index": batch["index"].cpu().numpy(),
        "columns": columns,
        "lesions": given.present is not None,
    }
    if given.windows is not None:
        kept["windows"] = given.windows.float().cpu().numpy()
    return kept


def _lesion_references(dataset: Any, photographs: np.ndarray) -> dict[str, np.ndarray]:
    present = dataset.present[photographs]
    known = ~np.isnan(present)
    values = np.where(known, present, -1).astype(np.int8)
    columns = {f"lesion_{lesion}": values[:, i] for i, lesion in enumerate(LESIONS)}
    return columns | {f"lesion_{lesion}_annotated": known[:, i] for i, lesion in enumerate(LESIONS)}


def _window_frame(
    named: pd.DataFrame, dataset: Any, index: np.ndarray, probabilities: np.ndarray
) -> pd.DataFrame:
    windows = dataset.windows.iloc[index].reset_index(drop=True)
    columns = {f"p{k}": probabilities[:, k] for k in range(probabilities.shape[1])}
    keep = named[["image", "set", "part", "group", "fold", "seed"]]
    return keep.assign(
        x=windows["x"],
        y=windows["y"],
        size=dataset.data.windows.size,
        label=windows["label"],
        **columns,
        grade=probabilities.argmax(1),
    )


def _lesion_counts(maps: Tensor, mask: Tensor, threshold: float) -> list[list[LesionCounts | None]]:
    """Photograph × lesion: counts, histograms of scores, components hit or missed; None where nothing was annotated."""
    scores, truth = maps.float().cpu().numpy(), mask.cpu().numpy()
    return [
        [
            lesion_counts(scores[b, c], truth[b, c], threshold) if (truth[b, c] != 255).any() else None
            for c in range(truth.shape[1])
        ]
        for b in range(truth.shape[0])
    ]


def _lesion_frame(
    base: pd.DataFrame, photographs: np.ndarray, counts: list[list[LesionCounts | None]]
) -> pd.DataFrame:
    keys = ["image", "set", "part", "group", "fold", "seed"]
    named = base[keys].iloc[photographs].to_dict("records")
    places = [
        (i, c) for i, lesions in enumerate(counts) for c, count in enumerate(lesions) if count is not None
    ]
    rows = [{**named[i], "lesion": LESIONS[c], **(counts[i][c] or {})} for i, c in places]
    return pd.DataFrame(rows, photographs[[i for i, _ in places]], None if rows else [*keys, "lesion"])
