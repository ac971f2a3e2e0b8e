"""Lightning's Trainer from the trainer section."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger

from retinalab.config import Experiment, TrainerConfig
from retinalab.errors import RetinalabError, unknown
from retinalab.runner.averaging import AveragedWeights
from retinalab.runner.callbacks import EndsAfter, PlainBar, SavedBetweenValidations, UntilNoBetter
from retinalab.runner.checkpoints import WholeCheckpoints
from retinalab.runner.launch import placed
from retinalab.runner.stamp import Stamp

__all__ = [
    "build_trainer",
    "check_trainer",
    "checkpoint_to_resume",
    "quiet",
    "require_tensorboard",
    "resolved_precision",
    "trial_trainer",
]

_OWN = {
    "logger", "callbacks", "default_root_dir", "use_distributed_sampler", "enable_checkpointing", "plugins",
}  # fmt: skip
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*The number of training batches.*smaller than the logging interval.*",
    ".*Checkpoint directory.*exists and is not empty.*",
    ".*Experiment logs directory.*exists and is not empty.*",
    ".*GPU available but not used.*",
    ".*You're resuming from a checkpoint that ended before the epoch ended.*",
    ".*Found .* module.* in eval mode at the start of training.*",
    ".*deterministic.*warn_only.*",
    ".*does not have a deterministic implementation.*",
    ".*LeafSpec.*deprecated.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
)


def build_trainer(
    config: TrainerConfig,
    experiment: Experiment,
    folder: Path,
    stage: str,
    monitor: tuple[str, str],
    callbacks: list[Callback],
    alternate: bool = False,
    history: bool = True,
) -> Trainer:
    """A Trainer that keeps the best and the last checkpoint and the history of every logged metric.

    Args:
        config: the trainer section.
        experiment: names and logger.
        folder: of the run, or of one fold and seed of it.
        stage: name of the stage.
        monitor: metric that chooses the checkpoint, and ``max`` or ``min``.
        callbacks: further callbacks.
        alternate: whether epochs differ in what is trained on, so that each loads its own batches.
        history: whether anything is logged; nothing where nothing is trained.

    Raises:
        RetinalabError: Lightning does not know what the section says, or the machine does not have it.
    """
    checkpoints = folder / "checkpoints" / stage
    metric, mode = monitor
    callbacks = [
        *callbacks,
        ModelCheckpoint(
            checkpoints,
            "best",
            metric,
            mode=mode,
            save_top_k=1,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        ),
        ModelCheckpoint(
            checkpoints, "last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
        ),
        PlainBar(refresh_rate=max(1, config.log_every_n_steps)),
        Stamp(experiment, stage, checkpoints),
    ]
    if config.max_steps > 0:
        callbacks.append(EndsAfter(config.max_steps))
    if config.checkpoint_every_n_steps:
        steps = config.checkpoint_every_n_steps
        callbacks.append(
            SavedBetweenValidations(
                checkpoints, "step", every_n_train_steps=steps, enable_version_counter=False
            )
        )
    if config.early_stopping:
        stop = config.early_stopping
        callbacks.append(
            UntilNoBetter(
                metric, mode=mode, patience=stop.patience, min_delta=stop.min_delta, check_finite=False
            )
        )
    if config.weight_averaging:
        callbacks.append(AveragedWeights(config.weight_averaging, config.max_epochs))
    return _trainer(
        config,
        stage,
        alternate,
        logger=_loggers(experiment, folder, stage) if history else False,
        callbacks=callbacks,
        default_root_dir=folder,
        use_distributed_sampler=False,
        plugins=[WholeCheckpoints()],
    )


def check_trainer(config: TrainerConfig, stage: str) -> Trainer:
    """A Trainer that keeps nothing, to learn before any training what :func:`build_trainer` would refuse.

    Raises:
        RetinalabError: as :func:`build_trainer`; or synchronised batch norm on processors, which torch does not have.
    """
    with quiet():
        trainer = _trainer(config, stage, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    several = trainer.num_devices * trainer.num_nodes > 1
    if config.sync_batchnorm and several and trainer.strategy.root_device.type == "cpu":
        raise RetinalabError(
            f"stages.{stage}.trainer.sync_batchnorm=true needs GPUs: torch synchronises no batch norm on processors. "
            "Leave it out, or set trainer.accelerator=gpu."
        )
    return trainer


def trial_trainer(config: TrainerConfig, stage: str, callbacks: list[Callback]) -> Trainer:
    """A Trainer for a few steps on one device, of which nothing is kept, beside whatever processes there are.

    Raises:
        RetinalabError: as :func:`build_trainer`.
    """
    return _trainer(
        config,
        stage,
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        plugins=[LightningEnvironment()],
    )


def _trainer(config: TrainerConfig, stage: str, alternate: bool = False, **own: Any) -> Trainer:
    arguments: dict[str, Any] = {
        "max_epochs": config.max_epochs if config.max_steps == -1 else -1,
        "accelerator": config.accelerator,
        **placed(config),
        "strategy": config.strategy,
        "precision": resolved_precision(config),
        "sync_batchnorm": config.sync_batchnorm,
        "accumulate_grad_batches": config.accumulate_grad_batches,
        "gradient_clip_val": config.gradient_clip_val,
        "gradient_clip_algorithm": config.gradient_clip_algorithm,
        "check_val_every_n_epoch": config.check_val_every_n_epoch,
        "val_check_interval": config.val_check_interval,
        "limit_train_batches": config.limit_train_batches,
        "limit_val_batches": config.limit_val_batches,
        "log_every_n_steps": config.log_every_n_steps,
        "deterministic": config.deterministic,
        "num_sanity_val_steps": 0,
        "reload_dataloaders_every_n_epochs": int(alternate),
        "enable_model_summary": False,
    }
    arguments |= _checked(config.extra)
    try:
        return Trainer(**{**arguments, **own})
    except (MisconfigurationException, ImportError, RuntimeError, TypeError, ValueError) as error:
        raise RetinalabError(
            f"Lightning refuses stages.{stage}.trainer: {error} Correct that section (precision, accelerator, "
            "devices, strategy, extra)."
        ) from error


def resolved_precision(config: TrainerConfig) -> str:
    """``auto`` becomes bf16-mixed on a GPU with bf16 and on a processor with AMX or AVX-512 BF16, else 32-true."""
    if config.precision != "auto":
        return config.precision
    if config.accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    checks = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return "bf16-mixed" if any(check and check() for check in checks) else "32-true"


def require_tensorboard() -> None:
    """Say at once that tensorboard is absent, before photographs are prepared and a folder is made.

    Raises:
        RetinalabError: it is not installed.
    """
    if find_spec("tensorboard") is None:
        raise RetinalabError(
            "logger=tensorboard needs the package tensorboard. Install it with: pip install tensorboard, or use "
            "logger=csv."
        )


def checkpoint_to_resume(folder: Path, stage: str) -> Path | None:
    """The newest checkpoint of a stage that was interrupted, if any."""
    found = [folder / "checkpoints" / stage / f"{name}.ckpt" for name in ("last", "step")]
    present = [path for path in found if path.is_file()]
    return max(present, key=lambda path: path.stat().st_mtime_ns, default=None)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's remarks that every run would repeat off the terminal; anything unexpected still shows."""
    loggers = [
        logging.getLogger(name)
        for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    ]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", pattern)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def _checked(extra: dict[str, Any]) -> dict[str, Any]:
    known = [
        name for name in inspect.signature(Trainer.__init__).parameters if name != "self" and name not in _OWN
    ]
    for name in extra:
        if name not in known:
            raise unknown("argument of lightning.Trainer in trainer.extra", name, known)
    return extra


def _loggers(experiment: Experiment, folder: Path, stage: str) -> list[Logger]:
    loggers: list[Logger] = [CSVLogger(folder, name="history", version=stage)]
    if experiment.logger == "tensorboard":
        from lightning.pytorch.loggers import TensorBoardLogger

        require_tensorboard()
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version=stage))
    if experiment.logger == "wandb":
        from retinalab.runner.wandb import stage_logger

        several = len(experiment.stages) * experiment.folds * experiment.seeds > 1
        loggers.append(stage_logger(f"{folder.name}/{stage}" if several else ""))
    return loggers
