"""The largest batch that fits: found by trial, accumulated to the experiment's own, kept for whoever resumes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import retinalab.runner.batch_size as batch_size
from retinalab.config import Experiment
from retinalab.data.sampler import EpochBatches, EpochSampler
from retinalab.errors import RetinalabError
from retinalab.experiment import experiment_id
from retinalab.runner import run
from retinalab.runner.batch_size import Batch, candidates, largest, with_batch, with_fitting_batch
from retinalab.runner.folder import RunFolder
from retinalab.runner.memory import TooLittleMemoryError
from retinalab.runner.modules import stage_module
from retinalab.tasks.base import Task

Make = Callable[..., Experiment]
AUTOMATIC = ("data.batch_size=12", "train.trainer.auto_batch_size=true", "test.saliency=false")


def fits(most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A device that holds so many photographs; the batches that it was given."""
    seen: list[int] = []
    plain = Task.training_step

    def step(self: Task, batch: Any, batch_idx: int) -> torch.Tensor:
        seen.append(len(batch["image"]))
        if len(batch["image"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(Task, "training_step", step)
    return seen


def provenance(folder: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads((folder / "provenance.json").read_text())
    return known


def begun(folder: Path) -> RunFolder:
    """A run's folder as it is before its first stage."""
    (folder / "provenance.json").write_text(json.dumps({"notes": ["something else"]}))
    return RunFolder(folder, resumed=False)


@pytest.mark.parametrize(("most", "at_once"), [(100, 12), (11, 6), (4, 3)])
def test_the_largest_that_fits_is_kept_and_accumulated(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, at_once: int
) -> None:
    experiment = make("one", *AUTOMATIC, "train.trainer.accumulate_grad_batches=2")
    module = stage_module(experiment, "train", None, 0)
    fits(most, monkeypatch)
    changed = with_fitting_batch(experiment, "train", module, begun(tmp_path)).stages["train"]
    parts = 12 // at_once
    assert (changed.data.batch_size, changed.trainer.accumulate_grad_batches) == (at_once, 2 * parts)
    assert (module.data, module.accumulated) == (changed.data, parts)
    known = provenance(tmp_path)
    assert known["batches"] == {"train": {"at_once": at_once, "accumulated": parts}}
    told = f"automatic batch size: {at_once} at once, {2 * parts} accumulated to 24 a step, as the experiment says"
    assert known["notes"] == ["something else", f"train: {told}"]


def test_what_counts_batches_counts_as_many_more(make: Make) -> None:
    limits = ("train.trainer.limit_train_batches=5", "train.trainer.val_check_interval=0.5")
    changed = with_batch(make("one", *AUTOMATIC, *limits), "train", Batch(3, 4)).stages["train"].trainer
    assert (changed.limit_train_batches, changed.val_check_interval) == (20, 0.5)


def test_nothing_fits(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make("one", *AUTOMATIC)
    fits(1, monkeypatch)
    with pytest.raises(
        RetinalabError, match=r"ran out of memory of the GPU, with batches of 3 of 32x32 pixels"
    ):
        with_fitting_batch(experiment, "train", stage_module(experiment, "train", None, 0), begun(tmp_path))


def test_an_interrupted_run_goes_on_with_its_batch(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the device holds by then, and to the figures of a run that was not interrupted."""
    overrides = (*AUTOMATIC, "train.trainer.max_epochs=2")
    with monkeypatch.context() as patch:
        fits(6, patch)
        undisturbed = run(make("one", *overrides))

        def stop(self: Task) -> None:
            if self.current_epoch == 1:
                raise KeyboardInterrupt

        patch.setattr(Task, "on_train_epoch_start", stop, raising=False)
        with pytest.raises(KeyboardInterrupt):
            run(make("one", *overrides))
    seen = fits(100, monkeypatch)
    resumed = run(make("one", *overrides))
    assert max(seen) == 6
    assert provenance(resumed.folder)["batches"] == provenance(undisturbed.folder)["batches"]
    assert resumed.folder != undisturbed.folder
    assert resumed.predictions.equals(undisturbed.predictions)
    known = provenance(resumed.folder)
    photographs = known["data"]["train"]["table"]["photographs"]["train"]
    last = torch.load(resumed.folder / "checkpoints/train/last.ckpt", weights_only=True)
    assert last["global_step"] == 2 * math.ceil(photographs / 12)


def test_folds_seeds_and_tests_share_one_batch(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, folder = make("one", *AUTOMATIC), begun(tmp_path)
    module = stage_module(experiment, "train", None, 0)
    untried = with_fitting_batch(experiment, "train", module, folder, begins=False)
    assert untried is experiment
    tried = []
    plain = batch_size.fitted
    monkeypatch.setattr(batch_size, "fitted", lambda *given: tried.append(1) or plain(*given))
    fits(6, monkeypatch)
    first = with_fitting_batch(experiment, "train", module, folder)
    fits(3, monkeypatch)
    for seed in (1, 2):
        other = stage_module(experiment, "train", None, seed)
        assert with_fitting_batch(experiment, "train", other, folder, begins=seed == 1) == first
    assert len(tried) == 1


def test_a_run_without_it_keeps_its_name(make: Make) -> None:
    plain = make("one")
    assert experiment_id(make("one", "train.trainer.auto_batch_size=false")) == experiment_id(plain)
    assert experiment_id(make("one", "train.trainer.auto_batch_size=true")) != experiment_id(plain)


@pytest.mark.parametrize("batch", [1, 2, 7, 8, 30, 40, 64, 97, 128])
def test_candidates_make_the_batch_without_a_rest(batch: int) -> None:
    found = candidates(batch)
    assert found[0] == batch
    assert all(batch % size == 0 and (size > 1 or batch == 1) for size in found)
    assert all(above % below == 0 and above > below for above, below in pairwise(found))


def test_no_epoch_ends_in_a_single_photograph() -> None:
    assert candidates(8, rows=33) == [8, 4, 2]  # all would
    assert candidates(8, rows=35) == [8, 4]
    assert candidates(8, rows=35, drop_last=True) == [8, 4, 2]


def test_batches_beyond_the_expected_limit_are_not_tried() -> None:
    """A machine that would begin to swap is not asked: 100 bytes, and 10 for each photograph."""
    tried: list[int] = []

    def memory_of(size: int) -> int:
        tried.append(size)
        return 100 + 10 * size

    assert largest([64, 32, 16, 8, 4, 2], memory_of, limit=300) == 16
    assert max(tried) == 16
    assert largest([64, 32, 16, 8, 4, 2], memory_of, limit=1) == 2
    tried.clear()
    assert largest([12, 6], memory_of, limit=170, before=100) == 6
    assert tried == [6]
    assert largest([12, 6], memory_of, limit=220, before=100) == 12

    def none(size: int) -> int:
        raise TooLittleMemoryError("no")

    with pytest.raises(TooLittleMemoryError):
        largest([4, 2], none)


@pytest.mark.parametrize("rows", [23, 24, 40, 41])
def test_a_rest_that_is_left_out_stays_left_out(rows: int) -> None:
    """Batches of 3, four of which make one of 12: as many whole ones of 12 as before."""
    sampler = EpochSampler(rows, 0, True)
    parts = EpochBatches(sampler, 3, drop_last=True, together=4)
    assert len(parts) == 4 * (rows // 12) == len(list(parts))
