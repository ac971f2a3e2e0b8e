"""Weights & Biases, if it is asked for: one W&B run for an experiment, online with a key, else offline with a line that says so."""

from __future__ import annotations

import logging
import netrc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import as_mapping

__all__ = ["log_result", "stage_logger", "wandb_run"]

_log = logging.getLogger(__name__)


@contextmanager
def wandb_run(experiment: Experiment, folder: Path) -> Iterator[None]:
    """Keep one W&B run open; it is always closed, as failed where an exception passes through.

    Raises:
        RetinalabError: wandb is not installed.
    """
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise RetinalabError(
            "logger=wandb needs the package wandb. Install it with: pip install 'retinalab[wandb]'"
        ) from error
    online = _has_key()
    if not online:
        _log.warning(
            "W&B finds no key: logging offline below %s (send it later with: wandb sync)", folder / "wandb"
        )
    wandb.init(
        project=os.environ.get("WANDB_PROJECT", "retinalab"),
        group=experiment.paper,
        name=f"{experiment.name}-{folder.name}",
        dir=folder,
        mode="online" if online else "offline",
        config=as_mapping(experiment),
    )
    try:
        yield
    except BaseException:
        wandb.finish(exit_code=1)
        raise
    wandb.finish()


def stage_logger(prefix: str) -> Any:
    """Lightning's logger onto the open run; ``prefix`` keeps several stages, folds or seeds apart."""
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(experiment=wandb.run, prefix=prefix)


def log_result(metrics: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], report: Path) -> None:
    """Log the result's figures, the predictions table and the report page to the open run."""
    import wandb

    run = wandb.run
    if run is None:
        return
    run.summary.update(
        {key: metric["value"] for key, metric in metrics.items() if metric["value"] is not None}
    )
    if "predictions" in tables:
        run.log(
            {
                "predictions": wandb.Table(
                    dataframe=tables["predictions"].drop(columns=["reason"], errors="ignore")
                )
            }
        )
    run.log({"report": wandb.Html(report.read_text(encoding="utf-8"), inject=False)})


def _has_key() -> bool:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
