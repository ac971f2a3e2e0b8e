"""Weights & Biases, if asked for: one run for an experiment, online with a key, else offline with a line saying so."""

from __future__ import annotations

import logging
import netrc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import as_mapping
from retinalab.protocol import Scale
from retinalab.redacted import redacted, redacted_values

__all__ = ["log_result", "require_wandb", "stage_logger", "wandb_run"]

_FILES = ("experiment.yaml", "metrics.json", "provenance.json", "saliency.json")
_HOST = "https://api.wandb.ai"
_log = logging.getLogger(__name__)


def require_wandb() -> None:
    """Say at once that wandb is absent, before photographs are prepared and a folder is made.

    Raises:
        RetinalabError: wandb is not installed.
    """
    try:
        import wandb  # noqa: F401
    except ModuleNotFoundError as error:
        raise RetinalabError(
            "logger=wandb needs the package wandb. Install it with: pip install wandb, or use logger=csv."
        ) from error


@contextmanager
def wandb_run(experiment: Experiment, folder: Path, only: Sequence[str] = ()) -> Iterator[None]:
    """Keep one W&B run open; it is always closed, as failed where an exception passes through.

    Of several processes (GPUs) the first one alone keeps a run.

    Args:
        experiment: what is run.
        folder: of the run.
        only: folds and seeds that this process trains, where others are trained elsewhere; part of the run's name.

    Raises:
        RetinalabError: wandb is not installed, its server cannot be reached, or it refuses the key.
    """
    require_wandb()
    import wandb
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    online = _has_key()
    if not online:
        _log.warning(
            "W&B finds no key: logging offline below %s (send it later with: wandb sync)", folder / "wandb"
        )
    try:
        wandb.init(
            project=None
            if os.environ.get("WANDB_SWEEP_ID")
            else os.environ.get("WANDB_PROJECT", "retinalab"),
            group=experiment.paper,
            name="-".join([experiment.name, folder.name, *only]),
            dir=folder,
            mode="online" if online else "offline",
            config=redacted_values(as_mapping(experiment)),
            settings=_private(wandb),
        )
    except wandb.Error as error:
        reason = str(error).splitlines()[0]
        remedy = "Log offline with WANDB_MODE=offline, or use logger=csv."
        raise RetinalabError(f"W&B does not start: {reason}. {remedy}") from error
    try:
        yield
    except BaseException:
        wandb.finish(exit_code=1)
        raise
    wandb.finish()


def _private(wandb: Any) -> Any:
    """Settings under which W&B keeps no command line that holds a secret."""
    words = " ".join(sys.argv)
    return wandb.Settings(x_disable_meta=True) if redacted(words) != words else None


def stage_logger(prefix: str) -> Any:
    """Lightning's logger onto the open run; ``prefix`` keeps several stages, folds or seeds apart."""
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(experiment=wandb.run, prefix=prefix)


def log_result(
    metrics: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], report: Path, scales: Mapping[str, Scale]
) -> None:
    """Log the result to the open run: figures of merit with their intervals, confusion matrices, the predictions table,
    the report page, and all of it as files of one artifact.

    Args:
        metrics: as ``metrics.json``.
        tables: kind -> table that the run left.
        report: the page, in the run's folder.
        scales: disease -> its grade scale, whose words label the matrices.
    """
    import wandb

    run = wandb.run
    if run is None:
        return
    run.summary.update(_summary(metrics))
    if "predictions" in tables:
        predictions = tables["predictions"]
        run.log(_confusions(predictions, scales))
        run.log({"predictions": wandb.Table(dataframe=predictions.drop(columns=["reason"], errors="ignore"))})
    run.log({"report": wandb.Html(report.read_text(encoding="utf-8"), inject=False)})
    result = wandb.Artifact(f"{run.name}-result", type="result")
    for file in sorted(report.parent.iterdir()):
        if file == report or file.suffix == ".parquet" or file.name in _FILES:
            result.add_file(str(file))
    run.log_artifact(result)


def _summary(metrics: Mapping[str, Any]) -> dict[str, float | int]:
    """Each defined figure under its key; its interval and photographs beside it, as ``_low``, ``_high`` and ``_n``."""
    found: dict[str, float | int] = {}
    for key, metric in metrics.items():
        if metric["value"] is not None:
            beside = {end: metric.get(end) for end in ("low", "high", "n")}
            found |= {key: metric["value"]} | {
                f"{key}_{end}": v for end, v in beside.items() if v is not None
            }
    return found


def _confusions(predictions: pd.DataFrame, scales: Mapping[str, Scale]) -> dict[str, Any]:
    """Set and disease -> confusion matrix of the photographs tested, of the first seed."""
    import wandb

    first = predictions[(predictions["part"] == "test") & (predictions["seed"] == predictions["seed"].min())]
    charts: dict[str, Any] = {}
    for (name, rows), (disease, scale) in product(first.groupby("set"), scales.items()):
        if f"{disease}_grade" not in rows:
            continue
        graded = rows[rows[disease] >= 0]
        if len(graded):
            charts[f"confusion/{name}/{disease}"] = wandb.plot.confusion_matrix(
                y_true=graded[disease].astype(int).tolist(),
                preds=graded[f"{disease}_grade"].astype(int).tolist(),
                class_names=list(scale.levels),
                title=f"{name}: {disease}",
            )
    return charts


def _has_key() -> bool:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", _HOST)).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
