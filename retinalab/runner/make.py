"""Run one stage that makes photographs, and give what it made to the stages that add them."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed as distributed

from retinalab.config import Experiment, TrainerConfig
from retinalab.data.made import SHARD, is_written, open_made, read_made, write_made
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part, Parts
from retinalab.data.pool import pooled_part
from retinalab.registry import task_class
from retinalab.runner.collect import answers
from retinalab.runner.stage import build_task
from retinalab.runner.weights import load_weights
from retinalab.tasks.base import Task
from retinalab.tasks.maker import Maker, Originals

__all__ = ["added", "make_stage", "made_folder"]

_log = logging.getLogger(__name__)


def made_folder(folder: Path, stage: str) -> Path:
    """Where the photographs of a stage lie within the folder of a run, or of a fold and seed of it."""
    return folder / "made" / stage


def make_stage(experiment: Experiment, name: str, module: FundusDataModule, folder: Path, seed: int) -> None:
    """Let a trained network look at its training photographs, and make photographs from what it sees.

    Every process makes whole shards, none twice; a shard that is there already is kept, so that an interrupted stage
    goes on. Computed in single precision. Leaves ``made/<stage>/`` with the photographs and ``made.parquet``, a row
    for each; nothing but the training part is looked at.

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
    for shard in range(rank, -(-len(plan.rows) // SHARD), world):
        if is_written(place, shard):
            continue
        chosen = plan.rows.iloc[shard * SHARD : (shard + 1) * SHARD]
        size = stage.data.batch_size
        pieces = [maker.make(task, originals, chosen.iloc[k : k + size]) for k in range(0, len(chosen), size)]
        rows = pd.concat([piece.rows for piece in pieces], ignore_index=True)
        write_made(place, shard, np.concatenate([piece.images for piece in pieces]), rows)
    if world > 1:
        distributed.barrier()
    if rank == 0:
        _close(place, plan.rows, plan.notes, name)


def added(experiment: Experiment, name: str, parts: Parts, folder: Path) -> Parts:
    """A stage's photographs with those that the stages it names in ``adds`` made, below its own training part."""
    stage = experiment.stages[name]
    made: list[Part] = []
    for maker in stage.adds:
        place = made_folder(folder, maker)
        count = len(pd.read_parquet(place / "made.parquet"))
        if count:
            made.append(open_made(place, count, maker, experiment.protocol.diseases))
    return replace(parts, train=pooled_part([parts.train, *made])) if made else parts


def _close(place: Path, rows: pd.DataFrame, notes: Sequence[str], name: str) -> None:
    table = read_made(place, len(rows))
    place.mkdir(parents=True, exist_ok=True)
    table.to_parquet(place / "made.parquet")
    (place / "notes.txt").write_text("".join(f"{note}\n" for note in notes), encoding="utf-8")
    _log.info("%s: %d photographs made", name, len(table))
    for note in notes:
        _log.info("%s: %s", name, note)


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
