"""Whether lesions can be generated with a network, and learned from by the stages that add them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from retinalab.config import Stage
from retinalab.errors import RetinalabError
from retinalab.explain.saliency import saliency_maps
from retinalab.tasks.base import Task
from retinalab_ellg.generation_config import GenerationConfig

__all__ = ["check_learners", "check_network"]


def check_network(config: GenerationConfig, task: Task, side: int) -> None:
    """Ask a network that is not trained yet for the saliency map of noise.

    Args:
        config: the maker's options.
        task: the network that will look, on the CPU.
        side: of its input, pixels.

    Raises:
        RetinalabError: it grades another disease, takes another side, answers no severity where severities are
            averaged, or has no such layer or map.
    """
    disease = config.disease
    if disease not in task.scales:
        raise RetinalabError(
            f"Lesions of disease={disease} are to be cut out by a network that grades {', '.join(task.scales)}. Set "
            "disease to one of them, or start from another stage."
        )
    if config.saliency != "cam":
        task.feature_maps()
    task.try_blank(side)
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    try:
        saliency_maps(task, noise, disease, config.saliency, config.layers, config.gate)
    except RetinalabError as error:
        if config.saliency != "cam":
            raise
        raise RetinalabError(
            f"saliency=cam: the network of task {task.config.name!r} does not end in global average pooling and one "
            f"linear layer for {disease}. Set saliency to gmsm, grad-cam++ or grad-cam."
        ) from error
    with torch.no_grad():
        answers = task.logits(task(noise))[disease].shape[1]
    if config.labels == "severity" and answers > 1:
        raise RetinalabError(
            f"labels=severity averages severities, and the network of task {task.config.name!r} answers {answers} "
            "classes. Set labels=grade, or let that task regress (task.output=severity)."
        )


def check_learners(config: GenerationConfig, adding: Mapping[str, Stage]) -> None:
    """Refuse generated photographs that a stage would add and never learn from.

    A generated photograph has the grade of one disease; that of every other is unknown.

    Args:
        config: the maker's options.
        adding: the stages that train on what is made, by name, each with its diseases.

    Raises:
        RetinalabError: a stage learns other diseases alone, or draws photographs by the grade of another.
    """
    for name, stage in adding.items():
        learned = stage.diseases or ()
        if config.disease not in learned:
            raise RetinalabError(
                f"Generated photographs are graded in disease={config.disease} alone, and stage {name!r}, which adds "
                f"them, learns {', '.join(learned)}. Set disease to what it learns."
            )
        if stage.data.sampler in ("balanced", "decaying") and learned[0] != config.disease:
            raise RetinalabError(
                f"Generated photographs are graded in disease={config.disease} alone, and stage {name!r} draws "
                f"photographs by their grade of {learned[0]} (data.sampler={stage.data.sampler}), so that it would "
                f"draw none of them. Set disease={learned[0]} or data.sampler=shuffle, or name {config.disease} "
                f"first in the diseases of stage {name!r}."
            )
