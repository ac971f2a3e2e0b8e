"""Saliency maps of the photographs that a run's report shows, for stages whose task gives no maps of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from retinalab.config import Experiment, Stage, TrainerConfig
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part, Parts
from retinalab.errors import RetinalabError
from retinalab.explain.saliency import Method, Recipe, default_layers, maps_of
from retinalab.metrics.tables import diseases_of, read_table, write_table
from retinalab.protocol import Protocol
from retinalab.report.folder import SALIENCY, read_run
from retinalab.report.maps import Key
from retinalab.report.shown import shown_keys
from retinalab.runner.children import Child
from retinalab.runner.folder import write_json
from retinalab.runner.maps import extent_of, map_frame, reduced
from retinalab.runner.trained import load_task
from retinalab.runner.trainer import quiet
from retinalab.tasks.base import Task

__all__ = ["MOST", "keep_saliency"]

MOST = 48
"""Photographs of a run that are explained at most."""

_METHOD: Method = "grad-cam++"
_NAME = "Grad-CAM++"
_PIXELS_AT_ONCE = 1 << 20
"""A larger batch takes memory and saves no time: four photographs of 512 pixels."""
_CAPTION = (
    "where the {places} places of feature map {layer} raise {explained}. By the best checkpoint of the first seed, for "
    "{count} of the {shown} photographs shown. Each map is scaled by its own largest value: its colours do not compare "
    "one photograph with another. (empty): nothing raises it."
)


@dataclass(frozen=True)
class _Made:
    """The maps of one disease by the network of one stage and fold.

    Attributes:
        name: of the map.
        stage: whose network.
        explained: what it explains, in words.
        layer: name of the feature map.
        places: its rows and columns.
        rows: of the table.
    """

    name: str
    stage: str
    explained: str
    layer: str
    places: tuple[int, int]
    rows: pd.DataFrame


def keep_saliency(
    experiment: Experiment,
    children: Sequence[Child],
    folder: Path,
    parts: Mapping[str, Parts],
    own: pd.DataFrame | None = None,
) -> None:
    """Explain the photographs that the report of a run shows, and keep the maps beside those of its tasks.

    Of stages that grade whole photographs and left no maps: Grad-CAM++ of the grade that the run's table holds, right
    or wrong, or of the severity, one map of each disease. By the best checkpoint of the first seed; each photograph by
    the network of the fold that predicted it. The rows go into ``maps.parquet``; ``saliency.json`` says what they are,
    and why others are missing: a network without feature maps, a checkpoint that is no longer there, a device without
    the memory.

    Reference: A. Chattopadhay et al., Grad-CAM++, WACV 2018.

    Args:
        experiment: what was run, trained to its end.
        children: its folds and seeds.
        folder: of the run, with its figures and tables.
        parts: stage -> its photographs (of the first fold).
        own: maps that other stages' tasks gave; None where there are none.

    Raises:
        RetinalabError: a table of the run cannot be read.
    """
    (folder / SALIENCY).unlink(missing_ok=True)
    if own is None:
        (folder / "maps.parquet").unlink(missing_ok=True)
    first = [child for child in children if child.seed == experiment.seed]
    stages = [name for name in experiment.evaluated if _unexplained(experiment, name, first[0], folder)]
    if not stages or not experiment.test.saliency:
        return
    shown = shown_keys(read_run(folder))
    made: list[_Made] = []
    missing: list[str] = []
    for name in stages:
        reasons: dict[str, list[str]] = {}
        for child in first:
            try:
                made += _of_network(experiment, name, child, folder, parts[name], shown[:MOST])
            except (RetinalabError, torch.OutOfMemoryError) as error:
                reasons.setdefault(str(error).splitlines()[0], []).append(child.name)
        missing += [_missing(name, who, why) for why, who in reasons.items()]
    made = _told_apart(made)
    if made:
        rows = [one.rows.assign(map=one.name) for one in made]
        write_table(
            pd.concat([*([] if own is None else [own]), *rows], ignore_index=True),
            folder / "maps.parquet",
            "maps",
        )
    if made or missing:
        write_json(folder / SALIENCY, {"captions": _captions(made, len(shown)), "missing": missing})


def _unexplained(experiment: Experiment, name: str, child: Child, folder: Path) -> bool:
    """Whether a stage grades whole photographs and its task gave no maps."""
    tables = child.folder(folder) / "tables" / name
    predictions = tables / "predictions.parquet"
    return (
        experiment.stages[name].data.windows is None
        and predictions.is_file()
        and not (tables / "maps.parquet").is_file()
        and bool(diseases_of(read_table(predictions, "predictions")))
    )


def _of_network(
    experiment: Experiment,
    name: str,
    child: Child,
    folder: Path,
    parts: Parts,
    shown: Sequence[tuple[str, Key]],
) -> list[_Made]:
    """The maps of the photographs that the network of a fold predicted, disease by disease."""
    stage, place = experiment.stages[name], child.folder(folder)
    table = read_table(place / "tables" / name / "predictions.parquet", "predictions")
    fold = -1 if child.fold is None else child.fold
    wanted = {(part, key[0], key[1]) for part, key in shown if key[2] == fold}
    mine = table[[one in wanted for one in zip(table["part"], table["set"], table["image"], strict=True)]]
    if not len(mine):
        return []
    checkpoint = place / "checkpoints" / name / "best.ckpt"
    if not checkpoint.is_file():
        raise RetinalabError(
            f"{checkpoint.relative_to(folder)} is not there. Restore it and gather the run again."
        )
    device = _device(stage.trainer)
    task = load_task(checkpoint, stage.task.name).float().to(device)
    features = list(task.feature_maps())
    layer = default_layers(task.feature_maps())[1] if len(features) > 1 else features[0]
    several = len(experiment.protocol.diseases) > 1
    made: list[_Made] = []
    with quiet():
        for rows, images in _photographs(stage, experiment.protocol, parts, mine, device):
            for disease in diseases_of(table):
                made.append(
                    _explain(task, name, layer, disease, several, rows, images, extent_of(stage.data))
                )
    return made


def _explain(
    task: Task,
    stage: str,
    layer: str,
    disease: str,
    several: bool,
    rows: pd.DataFrame,
    images: Tensor,
    extent: float,
) -> _Made:
    regressed = f"{disease}_score" in rows
    grades = None if regressed else torch.tensor(rows[f"{disease}_grade"].tolist())
    found = maps_of(task, images, disease, [Recipe(_METHOD, [layer])], grades)[0]
    what = f"{disease.upper()} " * several + ("severity" if regressed else "grade")
    frame = map_frame(rows, reduced({_NAME: found.values}), extent)
    explained = f"the {what}" if regressed else f"the logit of the predicted {what}, right or wrong"
    return _Made(f"{_NAME} of the {what}", stage, explained, layer, found.cells, frame)


def _photographs(
    stage: Stage, protocol: Protocol, parts: Parts, mine: pd.DataFrame, device: torch.device
) -> Iterator[tuple[pd.DataFrame, Tensor]]:
    """Predictions and the photographs as the network took them, some at once, wherever they lie prepared."""
    data = stage.data.model_copy(update={"masks": False})
    module = FundusDataModule(data, protocol, stage.diseases)
    size = max(1, min(data.batch_size, _PIXELS_AT_ONCE // data.input_size**2))
    left = mine.set_index(["set", "image"], drop=False)
    for part in (*parts.tests.values(), parts.val, parts.train):
        keys = _keys(part)
        here = part.keep(np.array([key in left.index for key in keys], bool))
        dataset = module.dataset(here)
        for start in range(0, len(here), size):
            index = range(start, min(start + size, len(here)))
            batch: Any = move_data_to_device(dataset.__getitems__([(0, k, k) for k in index]), device)
            images = module.on_after_batch_transfer(batch, 0)["image"]
            yield left.loc[[_keys(here)[k] for k in index]].reset_index(drop=True), images
        left = left[~left.index.isin(_keys(here))]


def _keys(part: Part) -> list[tuple[str, str]]:
    return list(zip(part.records.table["set"], part.records.table["image"], strict=True))


def _device(trainer: TrainerConfig) -> torch.device:
    if trainer.accelerator not in ("auto", "gpu") or not torch.cuda.is_available():
        return torch.device("cpu")
    named = trainer.devices if isinstance(trainer.devices, tuple) else ()
    return torch.device("cuda", named[0]) if named else torch.device("cuda")


def _told_apart(made: Sequence[_Made]) -> list[_Made]:
    """Maps whose name several stages use, named after the stage too."""
    users: dict[str, set[str]] = {}
    for one in made:
        users.setdefault(one.name, set()).add(one.stage)
    return [
        replace(one, name=f"{one.name} ({one.stage})") if len(users[one.name]) > 1 else one for one in made
    ]


def _captions(made: Sequence[_Made], shown: int) -> dict[str, str]:
    """Name -> what it explains."""
    captions = {}
    for name in dict.fromkeys(one.name for one in made):
        mine = [one for one in made if one.name == name]
        captions[name] = _CAPTION.format(
            places=" × ".join(map(str, mine[0].places)),
            layer=mine[0].layer,
            explained=mine[0].explained,
            count=sum(len(one.rows) for one in mine),
            shown=shown,
        )
    return captions


def _missing(stage: str, children: Sequence[str], why: str) -> str:
    named = ", ".join(filter(None, children))
    return f"No saliency maps of stage {stage!r}{f' ({named})' if named else ''}: {why}"
