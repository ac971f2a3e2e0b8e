"""Run one stage that makes photographs, and give what it made to the stages that add them."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed as distributed

from retinalab.config import Experiment, TrainerConfig
from retinalab.data.made import SHARD, is_written, open_made, read_made, write_made, write_strips
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.registry import task_class
from retinalab.runner.anatomy import DrawnAnatomy
from retinalab.runner.collect import answers
from retinalab.runner.folder import write_json
from retinalab.runner.review import DRAWN, REVIEW, changed_columns, review
from retinalab.runner.stage import build_task
from retinalab.runner.weights import load_weights
from retinalab.tasks.base import Task
from retinalab.tasks.maker import Made, Maker, Originals

__all__ = ["added", "made_folder", "make_stage"]

_log = logging.getLogger(__name__)

_SHOWN = 16


def made_folder(folder: Path, stage: str) -> Path:
    """Where the photographs of a stage lie within the folder of a run, or of a fold and seed of it."""
    return folder / "made" / stage


def make_stage(experiment: Experiment, name: str, module: FundusDataModule, folder: Path, seed: int) -> None:
    """Let a trained network look at its training photographs, and make photographs from what it sees.

    Every process makes whole shards, none twice; a shard that is there already is kept, so that an interrupted stage
    goes on. Computed in single precision. Leaves ``made/<stage>/`` with the photographs, ``made.parquet``, a row for
    each, and ``review.json``; nothing but the training part is looked at, save that the review says how near the
    nearest test photograph is.

    Args:
        experiment: the whole experiment.
        name: of the stage; its ``start_from`` says which network looks.
        module: whose training part the network looks at.
        folder: of the run, or of this fold and seed.
        seed: of the run.

    Raises:
        RetinalabError: the maker refuses what it was given.
    """
    stage = experiment.stages[name]
    assert stage.start_from is not None  # the configuration demands it
    task = build_task(experiment, stage.start_from.stage, seed)
    load_weights(task, folder / "checkpoints", stage.start_from)
    device = _device(stage.trainer)
    task = task.to(device).eval().requires_grad_(False)
    part = module.parts.train
    scales = {disease: experiment.protocol.diseases[disease] for disease in module.diseases}
    maker: Maker = task_class(stage.task.name)(stage.task, scales, (seed, zlib.crc32(name.encode())))
    originals = Originals(part, module, device)
    place = made_folder(folder, name)
    rank, world = _share()
    plan = maker.plan(_seen(task, originals, rank, world))
    rows = plan.rows.assign(shown=_spread(len(plan.rows), _SHOWN))
    measured, anatomy = _spread(len(rows), DRAWN), DrawnAnatomy(stage.data, part)
    for shard in range(rank, -(-len(rows) // SHARD), world):
        if is_written(place, shard):
            continue
        chosen, size = rows.iloc[shard * SHARD : (shard + 1) * SHARD], stage.data.batch_size
        batches = [chosen.iloc[k : k + size] for k in range(0, len(chosen), size)]
        pieces = [maker.make(task, originals, batch) for batch in batches]
        looked = [measured[batch.index] for batch in batches]
        _write(
            place, shard, pieces, [changed_columns(*one, anatomy) for one in zip(pieces, looked, strict=True)]
        )
    if world > 1:
        distributed.barrier()
    if rank == 0:
        table = _close(place, len(rows), plan.notes, name)
        write_json(place / REVIEW, review(place, table, module, scales))
    if world > 1:
        distributed.barrier()  # the next stage reads what the first process has just written


def added(experiment: Experiment, name: str, folder: Path) -> list[Part]:
    """What the stages made that a stage names in ``adds``, without the photographs that show nothing."""
    made: list[Part] = []
    for maker in experiment.stages[name].adds:
        place = made_folder(folder, maker)
        table = pd.read_parquet(place / "made.parquet")
        if len(table) and not table["left_out"].all():
            part = open_made(place, len(table), maker, experiment.protocol.diseases)
            made.append(part.keep(~table["left_out"].to_numpy(bool)))
    return made


def _write(place: Path, shard: int, pieces: Sequence[Made], changed: Sequence[pd.DataFrame]) -> None:
    for piece in pieces:
        write_strips(place, piece.strips)
    table = pd.concat([piece.rows for piece in pieces], ignore_index=True)
    columns = pd.concat(changed, ignore_index=True)
    table[columns.columns.tolist()] = columns
    write_made(place, shard, np.concatenate([piece.images for piece in pieces]), table)


def _close(place: Path, count: int, notes: Sequence[str], name: str) -> pd.DataFrame:
    table = read_made(place, count)
    place.mkdir(parents=True, exist_ok=True)
    said = list(notes)
    left_out = int(table["left_out"].sum()) if count else 0
    if left_out:
        said.append(f"{left_out} of {count} photographs show nothing that was made and are not trained on.")
    (place / "notes.txt").write_text("".join(f"{note}\n" for note in said), encoding="utf-8")
    table.to_parquet(place / "made.parquet")
    _log.info("%s: %d photographs made", name, count - left_out)
    for note in said:
        _log.info("%s: %s", name, note)
    return table


def _spread(count: int, most: int) -> np.ndarray:
    """``(count,)`` bool: ``most`` of them, evenly through the plan."""
    chosen = np.zeros(count, bool)
    chosen[np.linspace(0, count - 1, min(count, most)).round().astype(int)] = True
    return chosen


def _seen(task: Task, originals: Originals, rank: int, world: int) -> pd.DataFrame:
    """What the network answers on each training photograph, the same table on every process."""
    part, size = originals.part, originals.data.batch_size
    mine = np.arange(rank, len(part), world)
    kept: list[tuple[np.ndarray, Mapping[str, Any]]] = []
    with torch.no_grad():
        for first in range(0, len(mine), size):
            rows = mine[first : first + size]
            kept.append((rows, answers(task, task.outputs(originals.batch(rows)))))
    if world > 1:
        shares: list[Any] = [None] * world
        distributed.all_gather_object(shares, kept)
        kept = [entry for share in shares for entry in share]
    table = part.records.table[["image", "set", "patient", *task.scales]].reset_index(drop=True)
    given = pd.concat([pd.DataFrame(columns, index=rows) for rows, columns in kept]).sort_index()
    return table.join(given)


def _device(trainer: TrainerConfig) -> torch.device:
    if trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def _share() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
