"""An experiment cut down to what a test of its wiring needs."""

from __future__ import annotations

from typing import Any

from retinalab.config import Experiment, Stage

__all__ = ["smoke"]

_SIZE = 128  # a multiple of every network's reduction


def smoke(experiment: Experiment) -> Experiment:
    """The same experiment cut down to two steps a stage on a handful of photographs at reduced size."""

    def reduced(stage: Stage) -> Stage:
        data = stage.data
        size = min(data.size, _SIZE)
        crop = data.crop
        if crop is not None and size < data.size:
            crop = min(crop, max(64, size * crop // data.size // 64 * 64))
        small: dict[str, Any] = {
            "size": size,
            "crop": crop,
            "batch_size": min(data.batch_size, 4 if data.windows is None else 8),
            "limit": 12,
        }
        if data.windows is not None:
            side = min(data.windows.size, size)
            if data.windows.kind == "grid" and size < data.size:  # tiles shrink with the photographs
                side = min(side, max(64, size * side // data.size // 64 * 64))
            stride = data.windows.stride and min(data.windows.stride, side)
            small["windows"] = data.windows.model_copy(update={"size": side, "stride": stride})
        if data.set == "synthetic":
            small["options"] = {**data.options, "photographs": 60}
        elif "synthetic" in data.mix.sets:
            options = {**data.mix.options.get("synthetic", {}), "photographs": 60}
            small["mix"] = data.mix.model_copy(update={"options": {**data.mix.options, "synthetic": options}})
        trainer = {
            "max_epochs": 1,
            "max_steps": -1,
            "limit_train_batches": 2,
            "check_val_every_n_epoch": 1,
            "val_check_interval": None,
            "early_stopping": None,
        }
        return stage.model_copy(
            update={
                "task": stage.task.smoke(),
                "data": data.model_copy(update=small),
                "trainer": stage.trainer.model_copy(update=trainer),
            }
        )

    stages = {name: reduced(stage) for name, stage in experiment.stages.items()}
    folds, fold = min(experiment.folds, 2), experiment.fold
    if experiment.protocol.lists is not None:  # published folds cannot be made fewer
        folds, fold = experiment.folds, fold or (0 if experiment.folds > 1 else None)
    elif fold is not None:
        fold = min(fold, folds - 1)
    changed = {"stages": stages, "folds": folds, "fold": fold, "seeds": 1, "name": f"{experiment.name}-smoke"}
    return experiment.model_copy(update=changed)
