"""The largest batch that fits the device, found by trial; accumulated, the steps see the experiment's own batch.

What is chosen is written into the run's provenance before the stage begins, and holds for every fold and seed and for
whatever resumes the run, on whatever device.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from retinalab.config import Experiment, Stage
from retinalab.data.module import FundusDataModule
from retinalab.runner.folder import RunFolder
from retinalab.runner.memory import TooLittleMemoryError
from retinalab.runner.peak import free_memory, resident_memory
from retinalab.runner.processes import agreed
from retinalab.runner.trainer import check_trainer
from retinalab.runner.trial import try_steps

__all__ = ["Batch", "candidates", "fitted", "largest", "with_batch", "with_fitting_batch"]

_log = logging.getLogger(__name__)

_GPU_SHARE = 0.9
_MACHINE_SHARE = 0.8
"""Of the free memory: a long training takes a little more than a few steps, and the machine needs some itself."""


@dataclass(frozen=True)
class Batch:
    """How a step's photographs go through the network.

    Attributes:
        at_once: photographs or windows that go through it together.
        accumulated: how many such batches make one batch of the experiment.
    """

    at_once: int
    accumulated: int


def candidates(batch: int, rows: int = 0, drop_last: bool = False) -> list[int]:
    """Batches that an experiment's batch is made of without a rest, the largest first, each a part of the one before.

    None is a single photograph, of which batch normalisation has no statistics; one that leaves a single photograph
    at the end of an epoch comes into question only where all do.

    Args:
        batch: photographs of the experiment's batch.
        rows: photographs of an epoch on one process; 0: not known.
        drop_last: whether a rest is left out.

    Example:
        >>> candidates(40), candidates(12), candidates(1)
        ([40, 20, 10, 5], [12, 6, 3], [1])
        >>> candidates(8, rows=35)
        [8, 4]
    """
    found = [batch]
    while (rest := found[-1]) > 1:
        factor = next(k for k in range(2, rest + 1) if rest % k == 0)
        found.append(rest // factor)
    found = [size for size in found if size > 1] or [batch]
    if drop_last or not rows:
        return found
    return [size for size in found if rows % size != 1] or found


def largest(
    sizes: list[int], memory_of: Callable[[int], int], limit: float | None = None, before: int = 0
) -> int:
    """The first of some batches that fits.

    Where a limit is given, no batch is tried that the smallest ones let expect beyond it: memory grows by as much with
    every photograph.

    Args:
        sizes: falling.
        memory_of: bytes that a batch takes at the peak; raises
            :class:`~retinalab.runner.memory.TooLittleMemoryError` where it does not fit.
        limit: bytes that may be taken; None: whatever fits.
        before: bytes that were taken before any batch.

    Raises:
        TooLittleMemoryError: none fits.
    """
    fits: dict[int, int] = {}

    def taken(size: int) -> int:
        if size not in fits:
            fits[size] = memory_of(size)
        return fits[size]

    if limit is not None and len(sizes) > 1:
        sizes = _expected(sizes, taken, limit, before)
    for size in sizes[:-1]:
        try:
            taken(size)
        except TooLittleMemoryError:
            continue
        return size
    taken(sizes[-1])
    return sizes[-1]


def _expected(sizes: list[int], taken: Callable[[int], int], limit: float, before: int) -> list[int]:
    """Those that are expected within a limit, by what the smallest takes, and the next where that may be tried."""
    small, more = sizes[-1], sizes[-2]
    base = taken(small)
    each = (base - before) / small
    if len(sizes) > 2 and base + each * (more - small) <= limit:
        try:
            each = (taken(more) - base) / (more - small)
        except TooLittleMemoryError:
            return [small]
    return [size for size in sizes if base + max(0.0, each) * (size - small) <= limit] or [small]


def fitted(experiment: Experiment, name: str, module: FundusDataModule) -> Batch:
    """Find a stage's batch by a few steps with each candidate, on the device of this process.

    A GPU is asked for nine tenths of its memory; on a processor the free memory counts, of which four fifths are
    taken at the most. Batch normalisation and losses over a batch see only what goes through together.

    Args:
        experiment: the whole experiment.
        name: of the stage.
        module: its photographs, of which only the number and size matter.

    Raises:
        TooLittleMemoryError: even the smallest does not fit.
    """
    stage = experiment.stages[name]
    device = check_trainer(stage.trainer, name).strategy.root_device
    rows = len(module.dataset(module.parts.train, training=True))
    sizes = candidates(stage.data.batch_size, rows, stage.data.drop_last)

    def memory_of(size: int) -> int:
        batch = Batch(size, stage.data.batch_size // size)
        changed = with_batch(experiment, name, batch)
        with _batches_of(module, changed.stages[name], batch):
            return try_steps(changed, name, module, validate=False).memory

    limit = None if device.type == "cuda" else _MACHINE_SHARE * free_memory(device)
    with _share_of(device, _GPU_SHARE):
        size = largest(sizes, memory_of, limit, resident_memory())
    return Batch(size, stage.data.batch_size // size)


def with_batch(experiment: Experiment, name: str, batch: Batch) -> Experiment:
    """The experiment with a stage's batch in parts; whatever counts batches counts as many more of them.

    Args:
        experiment: the whole experiment.
        name: of the stage.
        batch: whose accumulated parts make the stage's own batch.
    """
    stage = experiment.stages[name]
    trainer = stage.trainer
    counts = {
        key: count * batch.accumulated
        for key in ("val_check_interval", "limit_train_batches", "limit_val_batches")
        if isinstance(count := getattr(trainer, key), int)
    }
    counts["accumulate_grad_batches"] = trainer.accumulate_grad_batches * batch.accumulated
    changed = stage.model_copy(
        update={
            "data": stage.data.model_copy(update={"batch_size": batch.at_once}),
            "trainer": trainer.model_copy(update=counts),
        }
    )
    return experiment.model_copy(update={"stages": {**experiment.stages, name: changed}})


def with_fitting_batch(
    experiment: Experiment, name: str, module: FundusDataModule, folder: RunFolder, begins: bool = True
) -> Experiment:
    """The experiment and the module with the batch that a run keeps for a stage; the same where none was asked for.

    Args:
        experiment: the whole experiment.
        name: of the stage.
        module: its photographs; their batches change.
        folder: of the run, whose provenance knows what was chosen before.
        begins: whether the batch is looked for where the run knows none.

    Raises:
        TooLittleMemoryError: even the smallest does not fit.
    """
    if not experiment.stages[name].trainer.auto_batch_size:
        return experiment
    batch = agreed(partial(_kept_or_found, experiment, name, module, folder, begins))[0]
    if batch is None:
        return experiment
    changed = with_batch(experiment, name, batch)
    module.data = changed.stages[name].data
    module.accumulated = batch.accumulated
    return changed


def _kept_or_found(
    experiment: Experiment, name: str, module: FundusDataModule, folder: RunFolder, begins: bool
) -> Batch | None:
    known = _kept(folder, name)
    if known is not None or not folder.first or not begins:
        return known
    found = fitted(experiment, name, module)
    told = _told(name, experiment.stages[name], found)
    folder.amend(partial(_with_kept, name=name, batch=found, told=told))
    _log.info("%s", told)
    return _kept(folder, name)


def _told(name: str, stage: Stage, batch: Batch) -> str:
    size, steps = stage.data.batch_size, stage.trainer.accumulate_grad_batches
    return (
        f"{name}: automatic batch size: {batch.at_once} at once, {batch.accumulated * steps} accumulated to "
        f"{size * steps} a step, as the experiment says"
    )


def _kept(folder: RunFolder, name: str) -> Batch | None:
    known = json.loads((folder.path / "provenance.json").read_text(encoding="utf-8")).get("batches", {})
    return Batch(**known[name]) if name in known else None


def _with_kept(known: Mapping[str, Any], name: str, batch: Batch, told: str) -> dict[str, Any]:
    """The same provenance with a stage's batch, unless another process has written one."""
    batches = dict(known.get("batches", {}))
    if name in batches:
        return dict(known)
    return {
        **known,
        "batches": {**batches, name: asdict(batch)},
        "notes": [*known.get("notes", []), told],
    }


@contextmanager
def _batches_of(module: FundusDataModule, stage: Stage, batch: Batch) -> Iterator[None]:
    before = module.data, module.accumulated
    module.data, module.accumulated = stage.data, batch.accumulated
    try:
        yield
    finally:
        module.data, module.accumulated = before


@contextmanager
def _share_of(device: torch.device, share: float) -> Iterator[None]:
    """Let this process have no more than a share of a GPU's memory meanwhile."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_per_process_memory_fraction(share, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()
