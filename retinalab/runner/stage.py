"""Train one stage and predict its evaluated photographs, each once, from the best checkpoint."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError

import torch
from lightning import Trainer, seed_everything
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint

from retinalab.config import Experiment
from retinalab.data.module import FundusDataModule
from retinalab.errors import RetinalabError
from retinalab.registry import task_class
from retinalab.runner.collect import Collector
from retinalab.runner.compile import compile_network
from retinalab.runner.divergence import DivergenceGuard
from retinalab.runner.evaluation import EvaluatedParts, place_of
from retinalab.runner.folder import write_json
from retinalab.runner.history import join_history, set_aside
from retinalab.runner.memory import is_out_of_memory, out_of_memory
from retinalab.runner.trainer import build_trainer, checkpoint_to_resume, quiet
from retinalab.runner.weights import load_weights
from retinalab.tasks.base import Task
from retinalab.tasks.stored import runs_code

__all__ = ["build_task", "closed", "predict_set", "run_stage"]

_log = logging.getLogger(__name__)
_AGAIN = "Restore the checkpoint that the run wrote, or remove it and run the experiment again."


def run_stage(
    experiment: Experiment,
    name: str,
    module: FundusDataModule,
    folder: Path,
    fold: int | None,
    seed: int,
    only: str | None = None,
) -> None:
    """Train a stage, going on from its last checkpoint if it was interrupted, and write its tables.

    Args:
        experiment: the whole experiment.
        name: of the stage.
        module: its photographs.
        folder: of the run, or of this fold and seed; checkpoints, history and ``tables/<stage>`` go there, and
            ``start-<stage>.json``, the weights that the stage carried over from another and those that began anew.
        fold, seed: noted in the tables.
        only: what is predicted, as :class:`~retinalab.runner.evaluation.EvaluatedParts` takes it.

    Raises:
        RetinalabError: the metric that should choose the checkpoint is not logged, or never defined; a loss or weights
            that are no longer finite; or too little memory.
        KeyboardInterrupt: the user stopped the training.
    """
    stage = experiment.stages[name]
    task = build_task(experiment, name, seed)
    resume = checkpoint_to_resume(folder, name)
    begun = None
    if stage.start_from is not None and resume is None:
        begun = load_weights(task, folder / "checkpoints", stage.start_from)
    monitor = _monitor(experiment, name, task)
    evaluated, collector = _collector(module, only, folder / "tables" / name, fold, seed)
    guard = DivergenceGuard(module, folder, name, stage.trainer.check_loss_every_n_steps)
    if compile_network(task, stage.trainer):
        _log.info("%s: the network is compiled; the first steps take minutes", name)
    with quiet():
        trainer = build_trainer(
            stage.trainer, experiment, folder, name, monitor, [guard, collector], stage.alternate
        )
        if begun is not None and stage.start_from is not None and trainer.is_global_zero:
            named = stage.before or str(stage.start_from.run)
            _log.info("%s: of %s, %s", name, named, begun)
            write_json(folder / f"start-{name}.json", {"from": named, **asdict(begun)})
        with closed(trainer):
            try:
                _set_aside(trainer, folder / "history" / name)
                trainer.fit(task, datamodule=module, ckpt_path=resume, weights_only=True)
                best = folder / "checkpoints" / name / "best.ckpt"
                if not best.is_file():
                    raise _unchosen(name, monitor[0], trainer)
                if _never_defined(trainer, monitor[0]):
                    raise _undefined(name, monitor[0])
                _set_aside(trainer, folder / "history" / name)
                trainer.test(task, datamodule=evaluated, ckpt_path=best, weights_only=True, verbose=False)
            except UnpicklingError as error:
                raise runs_code(folder / "checkpoints" / name, _AGAIN) from error
            except (MisconfigurationException, RuntimeError, MemoryError) as error:
                if is_out_of_memory(error):
                    raise out_of_memory(error, name, stage) from error
                if monitor[0] in str(error) and monitor[0] not in trainer.callback_metrics:
                    raise _unchosen(name, monitor[0], trainer) from error
                raise
    if trainer.is_global_zero:
        join_history(folder / "history" / name)


def predict_set(
    experiment: Experiment,
    name: str,
    module: FundusDataModule,
    folder: Path,
    fold: int | None,
    seed: int,
    only: str,
) -> None:
    """Predict the photographs of one test set by the best checkpoint of a stage that was trained.

    Args:
        experiment, name, module, folder, fold, seed: as :func:`run_stage`.
        only: the data set.

    Raises:
        RetinalabError: the checkpoint is gone, or there is too little memory.
        KeyboardInterrupt: the user stopped the test.
    """
    stage = experiment.stages[name]
    best = folder / "checkpoints" / name / "best.ckpt"
    if not best.is_file():
        raise RetinalabError(
            f"{best} is not there, which is tested. Restore it, or train again: change seed=N."
        )
    task = build_task(experiment, name, seed)
    evaluated, collector = _collector(module, only, folder / "tables" / name, fold, seed)
    compile_network(task, stage.trainer)
    with quiet():
        monitor = _monitor(experiment, name, task)
        trainer = build_trainer(
            stage.trainer, experiment, folder, name, monitor, [collector], stage.alternate, history=False
        )
        with closed(trainer):
            try:
                trainer.test(task, datamodule=evaluated, ckpt_path=best, weights_only=True, verbose=False)
            except UnpicklingError as error:
                raise runs_code(best, _AGAIN) from error
            except (RuntimeError, MemoryError) as error:
                if is_out_of_memory(error):
                    raise out_of_memory(error, name, stage) from error
                raise


def _collector(
    module: FundusDataModule, only: str | None, tables: Path, fold: int | None, seed: int
) -> tuple[EvaluatedParts, Collector]:
    evaluated = EvaluatedParts(module, only)
    return evaluated, Collector(evaluated, place_of(tables, only), -1 if fold is None else fold, seed)


def _monitor(experiment: Experiment, name: str, task: Task) -> tuple[str, str]:
    section = experiment.stages[name].trainer
    return (section.monitor, section.mode) if section.monitor else task.chosen_by()


@contextmanager
def closed(trainer: Trainer) -> Iterator[None]:
    """Close the loggers however the work ends; an interrupt, which Lightning makes a SystemExit of, stays one."""
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if trainer.interrupted:
            signal.signal(signal.SIGINT, interrupt)
            raise KeyboardInterrupt from error
        raise
    finally:
        for logger in trainer.loggers:
            logger.finalize("success")


def _never_defined(trainer: Trainer, metric: str) -> bool:
    """Whether the best score is the infinity that Lightning puts in the place of nan."""
    scores = [
        callback.best_model_score
        for callback in trainer.checkpoint_callbacks
        if isinstance(callback, ModelCheckpoint) and callback.monitor == metric
    ]
    return any(score is not None and not torch.isfinite(score) for score in scores)


def _set_aside(trainer: Trainer, history: Path) -> None:
    if trainer.is_global_zero:
        set_aside(history)


def build_task(experiment: Experiment, name: str, seed: int) -> Task:
    """The stage's task with freshly drawn weights."""
    stage = experiment.stages[name]
    chosen = stage.diseases or tuple(experiment.protocol.diseases)
    scales = {disease: experiment.protocol.diseases[disease] for disease in chosen}
    windows = stage.data.windows
    classes = len(windows.classes) + 1 if windows is not None and windows.kind == "lesions" else 0
    with quiet():
        seed_everything(seed, verbose=False)
    kind = task_class(stage.task.name)
    task: Task = kind(stage.task, scales, seed, stage.trainer.channels_last, classes, stage.stream)
    task.max_steps = stage.trainer.max_steps
    return task


def _undefined(stage: str, metric: str) -> RetinalabError:
    return RetinalabError(
        f"Stage {stage!r} has no checkpoint to choose: {metric} was undefined in every validation, as where no "
        f"validation photograph has all the grades that it needs. Set stages.{stage}.trainer.monitor to a metric that "
        "is defined, or complete the labels."
    )


def _unchosen(stage: str, metric: str, trainer: Trainer) -> RetinalabError:
    logged = (
        ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/"))) or "nothing"
    )
    return RetinalabError(
        f"Stage {stage!r} has no metric {metric!r} to choose its checkpoint by; its validation logs: {logged}. Set "
        f"stages.{stage}.trainer.monitor to one of them."
    )
