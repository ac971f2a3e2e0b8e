"""All four papers train on two processes, and are judged as one process judges the same weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from lightning import Trainer

from retinalab.config import Experiment
from retinalab.data.module import FundusDataModule
from retinalab.experiment import load_experiment
from retinalab.metrics.tables import TableKind, read_table
from retinalab.runner.collect import Collector
from retinalab.runner.make import added, make_stage
from retinalab.runner.modules import stage_modules
from retinalab.runner.stage import build_task, run_stage
from retinalab.runner.trainer import quiet
from retinalab.smoke import smoke

pytestmark = pytest.mark.usefixtures("impatient", "one_thread")

PAPERS = ("canet", "clpi", "sian", "ellg")
ODD = 5
"""Photographs of every part: the first of two processes has one more than the second."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared photographs that all papers share."""
    return tmp_path_factory.mktemp("cache")


def reduced(paper: str, cache: Path, **trainer: Any) -> Experiment:
    """A paper's default experiment on a handful of photographs; one round of those with several."""
    given = [f"data.cache={cache}", *["round.rounds=1"] * (paper == "ellg")]
    experiment = smoke(load_experiment(paper, "synthetic", given))
    stages = {}
    for name, stage in experiment.stages.items():
        data = stage.data.model_copy(update={"limit": ODD, "batch_size": 2, "drop_last": False})
        own = {"accelerator": "cpu", "precision": "32-true", "limit_train_batches": 1, **trainer}
        own = stage.trainer.model_copy(update=own)
        stages[name] = stage.model_copy(update={"data": data, "trainer": own})
    return experiment.model_copy(update={"stages": stages})


def trained(experiment: Experiment, folder: Path) -> dict[str, FundusDataModule]:
    """Every stage, as a run goes through them."""
    modules = stage_modules(experiment, None, 0)
    for name, stage in experiment.stages.items():
        if stage.kind == "make_data":
            make_stage(experiment, name, modules[name], folder, 0)
            continue
        modules[name].add(added(experiment, name, folder), stage.alternate, stage.combined == "equal")
        run_stage(experiment, name, modules[name], folder, None, 0)
    return modules


def judged(
    experiment: Experiment, name: str, module: FundusDataModule, folder: Path, **devices: Any
) -> dict[str, float]:
    """Validation figures of a stage's best checkpoint; its tables go to ``<folder>/judged/<name>``."""
    task = build_task(experiment, name, 0)
    best = torch.load(folder / "checkpoints" / name / "best.ckpt", weights_only=True)
    task.load_state_dict(best["state_dict"])
    collector = Collector(module, folder / "judged" / name, -1, 0)
    off = dict.fromkeys(
        ("logger", "enable_model_summary", "enable_progress_bar", "enable_checkpointing"), False
    )
    with quiet():
        trainer = Trainer(
            accelerator="cpu", callbacks=[collector], use_distributed_sampler=False, **off, **devices
        )
        (figures,) = trainer.validate(task, datamodule=module, verbose=False)
        trainer.test(task, datamodule=module, verbose=False)
    return dict(figures)


def alike(one: Path, other: Path) -> set[str]:
    """Kinds of tables, which must have the same rows in the same order and the same figures."""
    kinds: set[str] = set()
    for kind in get_args(TableKind):
        paths = [folder / f"{kind}.parquet" for folder in (one, other)]
        assert paths[0].is_file() == paths[1].is_file(), kind
        if paths[0].is_file():
            kinds.add(kind)
            tables = [read_table(path, kind).drop(columns="values", errors="ignore") for path in paths]
            pd.testing.assert_frame_equal(*tables, check_exact=False, rtol=1e-4, atol=1e-5)
    return kinds


@pytest.mark.parametrize("paper", PAPERS)
def test_two_processes_are_judged_as_one_is(paper: str, cache: Path, tmp_path: Path) -> None:
    experiment = reduced(paper, cache, devices=2, strategy="ddp_fork")
    modules = trained(experiment, tmp_path)
    for name, stage in experiment.stages.items():
        if stage.kind == "make_data":
            continue
        module = modules[name]
        figures = judged(experiment, name, module, tmp_path, devices=1)
        assert alike(tmp_path / "tables" / name, tmp_path / "judged" / name)
        logged = pd.read_csv(tmp_path / "history" / name / "metrics.csv")
        validated = {key: value for key, value in figures.items() if key.startswith("val/")}
        assert validated
        for key, value in validated.items():
            seen = logged[key].dropna().to_numpy()
            together = seen[-1] if len(seen) else np.nan
            loose = "loss" in key  # a mean over batches, which two processes divide otherwise
            assert together == pytest.approx(value, rel=0.5 if loose else 1e-5, abs=1e-6, nan_ok=True), key
        assert {path.name for path in (tmp_path / "checkpoints" / name).iterdir()} == {
            "best.ckpt",
            "last.ckpt",
        }


def test_a_process_without_a_photograph_counts_none_and_keeps_no_other_waiting(
    cache: Path, tmp_path: Path
) -> None:
    experiment = reduced("sian", cache)
    module = stage_modules(experiment, None, 0)["sian"]
    first = np.arange(ODD) == 0
    tests = {kind: part.keep(first) for kind, part in module.parts.tests.items()}
    module.use(replace(module.parts, val=module.parts.val.keep(first), tests=tests))
    figures = {}
    for place, devices in (("one", {"devices": 1}), ("two", {"devices": 2, "strategy": "ddp_fork"})):
        checkpoint = tmp_path / place / "checkpoints" / "sian" / "best.ckpt"
        checkpoint.parent.mkdir(parents=True)
        torch.save({"state_dict": build_task(experiment, "sian", 0).state_dict()}, checkpoint)
        figures[place] = judged(experiment, "sian", module, tmp_path / place, **devices)
    assert figures["two"] == pytest.approx(figures["one"], rel=1e-5, nan_ok=True)
    assert "predictions" in alike(tmp_path / "one" / "judged" / "sian", tmp_path / "two" / "judged" / "sian")
