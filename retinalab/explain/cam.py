"""Class activation maps of any network that ends in global average pooling and one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from retinalab.errors import RetinalabError
from retinalab.explain.grid import Grid, in_frame
from retinalab.explain.grid_tracking import GridTracking
from retinalab.tasks.base import Task
from retinalab.tasks.outputs import Outputs

__all__ = ["check_cam", "class_activation_cells", "class_activation_map", "weighted_sum"]

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
_LOOSE = 0.03
"""Half precision rounds features, pooled features and logits in turn."""


def weighted_sum(features: Tensor, linear: nn.Linear, rows: Tensor) -> Tensor:
    """The map whose mean is the logit without its bias.

    With F the last feature map and W the linear layer's weights::

        M_k(x, y) = sum over c of W[k, c] F_c(x, y)        mean of M_k + b_k = logit of class k

    Reference: B. Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, equation 2.

    Args:
        features: F.
        linear: W and b.
        rows: k, the class whose map is wanted.

    Shape:
        - ``features``: ``(B, C, h, w)``. ``rows``: ``(B,)`` int64.
        - Returns: ``(B, h, w)`` float32.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> tuple(weighted_sum(torch.ones(4, 2, 5, 5), layer, torch.zeros(4, dtype=torch.int64)).shape)
        (4, 5, 5)
    """
    weights = linear.weight.detach().float()[rows]
    return torch.einsum("bc,bchw->bhw", weights, features.float())


def class_activation_map(task: Task, disease: str, images: Tensor, grades: Tensor) -> Tensor:
    """The map of one grade for each photograph, over the input's pixels; of the severity, where a task regresses it.

    :func:`class_activation_cells`, placed where the cells lie (:func:`~retinalab.explain.grid.in_frame`).

    Shape:
        - Returns: ``(B, H, W)`` float32, of any sign.
    """
    maps, grid = class_activation_cells(task, disease, images, grades)
    return in_frame(maps, grid, images.shape[-2:])


def class_activation_cells(task: Task, disease: str, images: Tensor, grades: Tensor) -> tuple[Tensor, Grid]:
    """The map of one grade at the size of the features, whose mean is the logit without its bias.

    Args:
        task: one that has :meth:`~retinalab.tasks.base.Task.cam_layers`.
        disease: whose grade.
        images: normalised, as the task takes them.
        grades: the grade that each map is for, usually the predicted one.

    Returns:
        The maps, and where their cells lie in the input.

    Shape:
        - ``images``: ``(B, 3, H, W)``. ``grades``: ``(B,)`` int64.
        - Returns: ``(B, h, w)`` float32, of any sign.

    Raises:
        RetinalabError: the task's network has no such map.
    """
    layers = task.cam_layers(disease)
    with GridTracking(images) as tracking:
        features = layers.features(images)
    _four_axes(task, features)
    maps = weighted_sum(features, layers.linear, _rows(layers.linear, grades))
    return maps, tracking.grid(features)


def check_cam(task: Task, disease: str, images: Tensor, given: Outputs) -> None:
    """Refuse a map that would not explain the answer: pooled and weighted, its features must give that answer.

    Args:
        task, disease: whose map.
        images: normalised photographs, or noise.
        given: what the task answered on them.

    Raises:
        RetinalabError: the network does more between its features and its answer than to pool and weigh them.
    """
    layers = task.cam_layers(disease)
    features = layers.features(images)
    _four_axes(task, features)
    logits = layers.linear(features.mean((2, 3))).float()
    answer, pooled = (
        (given.grades[disease].float(), logits.softmax(1))
        if disease in given.grades
        else (given.severity[disease].float(), logits[:, 0])
    )
    allowed = _TOLERANCE.get(features.dtype, _LOOSE)
    if answer.shape != pooled.shape or not torch.allclose(answer, pooled, atol=allowed, rtol=allowed):
        raise RetinalabError(
            f"No class activation map of task {task.config.name!r}: its network does more than pool its last feature "
            "map and weigh it, so that the map would not explain the answer. Leave out --cam, or use a backbone that "
            "ends in global average pooling, such as resnet18."
        )


def _rows(linear: nn.Linear, grades: Tensor) -> Tensor:
    return grades if linear.out_features > 1 else torch.zeros_like(grades)


def _four_axes(task: Task, features: Tensor) -> None:
    if features.ndim != 4:
        raise RetinalabError(
            f"No class activation map of task {task.config.name!r}: its backbone gives features of shape "
            f"{tuple(features.shape)}, not a map of them. Leave out --cam, or use a convolutional backbone."
        )
