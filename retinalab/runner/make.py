"""Run one stage that makes photographs, and give what it made to the stages that add them."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from retinalab.config import Experiment
from retinalab.data.made import SHARD, is_written, open_made, read_made, write_made, write_strips
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.errors import RetinalabError
from retinalab.registry import task_class
from retinalab.runner.anatomy import DrawnAnatomy
from retinalab.runner.collect import answers
from retinalab.runner.folder import write_json
from retinalab.runner.plan import keep_plan, plan_key, seen_before
from retinalab.runner.processes import agreed, on_devices, share
from retinalab.runner.review import DRAWN, REVIEW, changed_columns, few_sources, review
from retinalab.runner.stage import build_task
from retinalab.runner.weights import load_weights
from retinalab.tasks.base import Task
from retinalab.tasks.maker import Made, Maker, Originals, Plan

__all__ = ["added", "made_folder", "make_stage"]

_log = logging.getLogger(__name__)

_SHOWN = 16


def made_folder(folder: Path, stage: str) -> Path:
    """Where the photographs of a stage lie within the folder of a run, or of a fold and seed of it."""
    return folder / "made" / stage


def make_stage(
    experiment: Experiment,
    name: str,
    module: FundusDataModule,
    folder: Path,
    seed: int,
    tests: Mapping[str, Part] | None = None,
) -> None:
    """Let a trained network look at its training photographs, and make photographs from what it sees.

    On as many processes as the stage's trainer section asks for: each makes whole shards, none twice, and all make what
    one would. A shard that is there already is kept, so that an interrupted stage goes on; what was made by another
    plan is made anew. Computed in single precision. Leaves ``made/<stage>/`` with the plan, the photographs,
    ``made.parquet``, a row for each, and ``review.json``; nothing but the training part is looked at, save that the
    review says how near the nearest test photograph is.

    Args:
        experiment: the whole experiment.
        name: of the stage; its ``start_from`` says which network looks.
        module: whose training part the network looks at.
        folder: of the run, or of this fold and seed.
        seed: of the run.
        tests: data set -> photographs that the experiment is tested on. None: those of the module.

    Raises:
        RetinalabError: the maker refuses what it was given.
    """
    stage = experiment.stages[name]
    assert stage.start_from is not None  # the configuration demands it
    task = build_task(experiment, stage.start_from.stage, seed)
    load_weights(task, folder / "checkpoints", stage.start_from)
    scales = {disease: experiment.protocol.diseases[disease] for disease in module.diseases}
    maker: Maker = task_class(stage.task.name)(stage.task, scales, (seed, zlib.crc32(name.encode())))
    known = module.parts.train.records.table[["image", "set", "patient", *scales]]
    key = plan_key(task.state_dict(), known, stage.task.model_dump_json(), scales, name, seed)
    place = made_folder(folder, name)
    tests = module.parts.tests if tests is None else tests
    on_devices(stage.trainer, name, _Making(name, task, maker, module, place, key, scales, tests))


def added(experiment: Experiment, name: str, folder: Path) -> list[Part]:
    """What the stages made that a stage names in ``adds``, without the photographs that show nothing.

    Raises:
        RetinalabError: they are not whole, or an earlier version made them.
    """
    made: list[Part] = []
    for maker in experiment.stages[name].adds:
        place = made_folder(folder, maker)
        table = pd.read_parquet(place / "made.parquet")
        if len(table) and "target_set" not in table:
            raise RetinalabError(
                f"Photographs in {place} do not say which set they count as one of: an earlier version made them. "
                "Remove that run's folder and run the experiment again."
            )
        if len(table) and not table["left_out"].all():
            part = open_made(place, len(table), maker, experiment.protocol.diseases)
            made.append(part.keep(~table["left_out"].to_numpy(bool)))
    return made


@dataclass(frozen=True)
class _Making:
    """One stage's work, on each of its processes."""

    name: str
    task: Task
    maker: Maker
    module: FundusDataModule
    place: Path
    key: str
    scales: Mapping[str, str]
    tests: Mapping[str, Part]

    def __call__(self, device: torch.device) -> None:
        """Look, plan, make this process' shards; the first process closes with the table and the review."""
        first = share()[0] == 0
        task = self.task.to(device).eval().requires_grad_(False)
        originals = Originals(self.module.parts.train, self.module, device)
        seen = agreed(lambda: seen_before(self.place, self.key) if first else None)[0]
        if seen is None:
            looked = agreed(lambda: _look(task, originals))
            seen = _joined(task, originals, [entry for one in looked for entry in one])
        table = seen
        plan = agreed(lambda: self.maker.plan(table))[0]
        agreed(lambda: keep_plan(self.place, self.key, table, plan, self.name) if first else None)
        agreed(lambda: self._make(task, originals, plan))
        agreed(lambda: self._close(plan) if first else None)

    def _make(self, task: Task, originals: Originals, plan: Plan) -> None:
        rank, world = share()
        rows = plan.rows.assign(shown=_spread(len(plan.rows), _SHOWN))
        measured, anatomy = _spread(len(rows), DRAWN), DrawnAnatomy(self.module.data, originals.part)
        sets = originals.part.records.table["set"].to_numpy(str)
        for shard in range(rank, -(-len(rows) // SHARD), world):
            if is_written(self.place, shard):
                continue
            chosen, size = rows.iloc[shard * SHARD : (shard + 1) * SHARD], self.module.data.batch_size
            batches = [chosen.iloc[k : k + size] for k in range(0, len(chosen), size)]
            pieces = [self.maker.make(task, originals, batch) for batch in batches]
            looked = [measured[batch.index] for batch in batches]
            changed = [changed_columns(*one, anatomy) for one in zip(pieces, looked, strict=True)]
            _write(self.place, shard, pieces, changed, sets)

    def _close(self, plan: Plan) -> None:
        table = read_made(self.place, len(plan.rows))
        said = _notes(plan, table, self.maker.remedy) + few_sources(table, self.scales)
        _finish(self.place, table, said, self.name)
        write_json(self.place / REVIEW, review(self.place, table, self.module, self.scales, self.tests))


def _write(
    place: Path, shard: int, pieces: Sequence[Made], changed: Sequence[pd.DataFrame], sets: np.ndarray
) -> None:
    for piece in pieces:
        write_strips(place, piece.strips)
    table = pd.concat([piece.rows for piece in pieces], ignore_index=True)
    columns = pd.concat(changed, ignore_index=True)
    table[columns.columns.tolist()] = columns
    table["target_set"] = sets[table["target"].to_numpy(int)]
    write_made(place, shard, np.concatenate([piece.images for piece in pieces]), table)


def _notes(plan: Plan, table: pd.DataFrame, remedy: str) -> list[str]:
    """What the maker said, and how many photographs show nothing."""
    count = len(plan.rows)
    left_out = int(table["left_out"].sum()) if count else 0
    if not left_out:
        return list(plan.notes)
    told = f"{left_out} of {count} photographs show nothing that was made and are not trained on. {remedy}"
    return [*plan.notes, told.rstrip()]


def _finish(place: Path, table: pd.DataFrame, said: Sequence[str], name: str) -> None:
    (place / "notes.txt").write_text("".join(f"{note}\n" for note in said), encoding="utf-8")
    table.to_parquet(place / "made.parquet")
    _log.info("%s: %d photographs made", name, int((~table["left_out"]).sum()) if len(table) else 0)
    for note in said:
        _log.info("%s: %s", name, note)


def _spread(count: int, most: int) -> np.ndarray:
    """``(count,)`` bool: ``most`` of them, evenly through the plan."""
    chosen = np.zeros(count, bool)
    chosen[np.linspace(0, count - 1, min(count, most)).round().astype(int)] = True
    return chosen


Looked = tuple[np.ndarray, Mapping[str, Any]]


def _look(task: Task, originals: Originals) -> list[Looked]:
    """What the network answers on this process' batches, which are the same however many processes share them."""
    (rank, world), size = share(), originals.data.batch_size
    batches = [
        np.arange(first, min(first + size, len(originals.part)))
        for first in range(0, len(originals.part), size)
    ]
    with torch.no_grad():
        return [(rows, answers(task, task.outputs(originals.batch(rows)))) for rows in batches[rank::world]]


def _joined(task: Task, originals: Originals, looked: Sequence[Looked]) -> pd.DataFrame:
    """The answers of all processes, a row for each photograph in order, with the part that the split puts it in."""
    table = originals.part.records.table[["image", "set", "patient", *task.scales]].reset_index(drop=True)
    split = originals.module.parts.split.frame()[
        ["set", "image", "part"]
    ]  # those of the training part come first
    table = table.merge(split.drop_duplicates(["set", "image"]), "left", ["set", "image"])
    given = pd.concat([pd.DataFrame(columns, index=rows) for rows, columns in looked]).sort_index()
    return table.join(given)
