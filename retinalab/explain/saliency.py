"""Maps of any task's network: CAM, Grad-CAM, Grad-CAM++, the gated multi-layer map (GMSM), and the network's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from retinalab.errors import RetinalabError, unknown
from retinalab.explain.activations import Explained, explained, undisturbed
from retinalab.explain.cam import check_cam, class_activation_cells
from retinalab.explain.gradient_maps import (
    Layer,
    averaged,
    gate,
    gated_multi_layer,
    grad_cam,
    grad_cam_plus_plus,
    normalised,
)
from retinalab.explain.grid import Grid, in_frame
from retinalab.explain.grid_tracking import GridTracking
from retinalab.records import LESIONS
from retinalab.tasks.base import Task
from retinalab.tasks.outputs import Outputs

__all__ = [
    "METHODS",
    "OWN",
    "Method",
    "Recipe",
    "SaliencyMaps",
    "default_layers",
    "gate",
    "gated_multi_layer",
    "grad_cam",
    "grad_cam_plus_plus",
    "maps_of",
    "normalised",
    "saliency_maps",
]

Method = Literal["cam", "grad-cam", "grad-cam++", "gmsm", "attention", "lesions"]
METHODS: tuple[Method, ...] = get_args(Method)
OWN: tuple[Method, ...] = ("attention", "lesions")
"""Maps that a network makes on its way to the answer, whatever the grade; the others are made of it afterwards."""
_UNLAYERED = ("cam", *OWN)


@dataclass(frozen=True)
class Recipe:
    """How a map is made.

    Attributes:
        method: one of :data:`METHODS`.
        layers: names out of :meth:`~retinalab.tasks.base.Task.feature_maps`; where None, :func:`default_layers` for
            ``gmsm`` and the higher of them for the other two. ``cam``, ``attention`` and ``lesions`` have no choice of
            layers.
        t: floor of ``gmsm``, absolute, in units of the score (:func:`gate`); the other methods have none.
        exponential: as in :func:`grad_cam_plus_plus`, for ``grad-cam++`` and ``gmsm``.
        taught: the lesions of ``lesions``: those that the network has learned.
    """

    method: Method = "gmsm"
    layers: Sequence[str] | None = None
    t: float = 1.0
    exponential: bool = False
    taught: Sequence[str] = LESIONS


@dataclass(frozen=True)
class SaliencyMaps:
    """Maps of a batch.

    Attributes:
        values: ``(B, H, W)`` float32 in [0, 1], over the input's pixels.
        cells: rows and columns of the finest layer that they are made of: how coarse they are.
        ranges: ``(B, 2)`` float32, least and greatest value of each map as the network gave it, before it was scaled;
            None where its unit says nothing.
    """

    values: Tensor
    cells: tuple[int, int]
    ranges: Tensor | None = None


def saliency_maps(
    task: Task,
    images: Tensor,
    disease: str,
    method: Method = "gmsm",
    layers: Sequence[str] | None = None,
    t: float = 1.0,
    grades: Tensor | None = None,
    exponential: bool = False,
) -> Tensor:
    """The saliency map of each photograph, by one forward and one backward pass of the batch.

    What is explained is :meth:`~retinalab.tasks.base.Task.score`: the logit of a grade, or the severity. Weights, modes
    and random numbers of the task stay as they were; the caller may be in ``no_grad`` or inference mode.

    ``cam`` is the class activation map, of any sign, scaled by its least and greatest value. ``grad-cam`` and
    ``grad-cam++`` are rectified and scaled; ``gmsm`` is :func:`gated_multi_layer`. Of several layers the scaled maps
    are averaged. Every map is placed where the layer's cells lie in the input, before maps are averaged.

    ``attention`` is :meth:`~retinalab.tasks.base.Task.attention_map`, scaled by its least and greatest value;
    ``lesions`` is :meth:`~retinalab.tasks.base.Task.lesion_map`, whose values are probabilities and stay as they are.
    Neither depends on ``grades``.

    Args:
        task: whose network.
        images: normalised, as the task takes them.
        disease: of the task's scales.
        method: one of :data:`METHODS`.
        layers: names out of :meth:`~retinalab.tasks.base.Task.feature_maps`; where None, :func:`default_layers` for
            ``gmsm`` and the higher of them for the other two. The other methods have no choice of layers.
        t: floor of ``gmsm``, absolute, in units of the score (:func:`gate`); the other methods have none.
        grades: the grade that each map is for, where the task classifies; the predicted ones where None.
        exponential: as in :func:`grad_cam_plus_plus`, for ``grad-cam++`` and ``gmsm``.

    Shape:
        - ``images``: ``(B, 3, H, W)``. ``grades``: ``(B,)`` int64.
        - Returns: ``(B, H, W)`` float32 in [0, 1], over the input's pixels.

    Raises:
        RetinalabError: unknown method, disease, layer or grade, a floor below 0, layers for a method without a choice
            of them, or a network that has no such map.
    """
    recipe = Recipe(method, layers, t, exponential)
    return maps_of(task, images, disease, [recipe], grades)[0].values


def maps_of(
    task: Task, images: Tensor, disease: str, recipes: Sequence[Recipe], grades: Tensor | None = None
) -> list[SaliencyMaps]:
    """The maps of several recipes, by one forward and one backward pass for all that need gradients.

    Shape:
        - ``images``: ``(B, 3, H, W)``. ``grades``: ``(B,)`` int64.

    Raises:
        RetinalabError: as :func:`saliency_maps`.
    """
    for recipe in recipes:
        if recipe.method not in METHODS:
            raise unknown("saliency method", recipe.method, METHODS)
    graded = [recipe for recipe in recipes if recipe.method != "lesions"]
    if graded and task.scales and disease not in task.scales:
        raise unknown("disease", disease, task.scales)
    layered = any(recipe.method not in _UNLAYERED for recipe in recipes)
    features = task.feature_maps() if layered else {}
    names = [() if one.method in _UNLAYERED else _chosen(features, one.layers, one.method) for one in recipes]
    union = list(dict.fromkeys(name for each in names for name in each))
    given = explained(task, images, disease, union, grades) if union else None
    made = []
    for recipe, chosen in zip(recipes, names, strict=True):
        if recipe.method in OWN:
            made.append(_own(task, images, disease, recipe))
        elif recipe.method == "cam":
            made.append(_cam(task, images, disease, recipe.layers, grades))
        elif given is not None:
            made.append(_of_layers(recipe, given.layers(chosen), given))
    return made


def default_layers(feature_maps: Mapping[str, nn.Module]) -> tuple[str, str]:
    """The lower and the higher layer of GMSM: ``stage2`` and ``stage4`` where they are named so.

    Elsewhere the last map and the last but two, which of four stages are the second and the fourth: ``layer2`` and
    ``layer4`` of a ResNet, the maps at 1/8 and 1/32 of the side for most networks.

    Differs from the paper: it does not say which two blocks are fused.

    Raises:
        RetinalabError: fewer than two feature maps.

    Example:
        >>> default_layers(dict.fromkeys(["act1", "layer1", "layer2", "layer3", "layer4"], nn.Identity()))
        ('layer2', 'layer4')
    """
    names = list(feature_maps)
    if "stage2" in names and "stage4" in names:
        return "stage2", "stage4"
    if len(names) < 2:
        raise RetinalabError(
            f"Two layers are fused by default, and the network has {len(names)} ({', '.join(names) or 'none'}). Name "
            "the layers, or use a network with several stages, such as resnet18."
        )
    return names[max(0, len(names) - 3)], names[-1]


def _of_layers(recipe: Recipe, layers: Sequence[Layer], given: Explained) -> SaliencyMaps:
    scores = given.scores if recipe.exponential else None
    if recipe.method == "gmsm":
        maps = gated_multi_layer(layers, given.size, recipe.t, scores)
    else:
        grids = [layer.grid for layer in layers]
        maps = averaged(_single(layers, recipe.method, scores), grids, given.size)
    rows, columns = (max(layer.activations.shape[axis] for layer in layers) for axis in (2, 3))
    return SaliencyMaps(maps.float(), (rows, columns))


def _single(layers: Sequence[Layer], method: Method, scores: Tensor | None) -> list[Tensor]:
    if method == "grad-cam":
        return [grad_cam(layer.activations, layer.gradients) for layer in layers]
    return [grad_cam_plus_plus(layer.activations, layer.gradients, scores) for layer in layers]


def _own(task: Task, images: Tensor, disease: str, recipe: Recipe) -> SaliencyMaps:
    """What the network's own pass gives, placed where its cells lie."""
    _without_layers(recipe.layers, "the network's own map comes from one place of it")
    with undisturbed(task), torch.no_grad():
        given = images.clone() if images.is_inference() else images
        with GridTracking(given) as tracking:
            found = (
                task.attention_map(given, disease)
                if recipe.method == "attention"
                else task.lesion_map(given, recipe.taught)
            )
        maps = found[:, 0].float()
        ranges = torch.stack([maps.amin((1, 2)), maps.amax((1, 2))], 1)
        # a map as large as the input was taught, or is used, pixel by pixel, wherever its windows lie
        grid = Grid() if maps.shape[1:] == given.shape[-2:] else tracking.grid(found)
        placed = in_frame(maps, grid, given.shape[-2:])
    # linear weights sum to 1 but for rounding
    values = normalised(placed) if recipe.method == "attention" else placed.clamp(0, 1)
    return SaliencyMaps(values, (maps.shape[1], maps.shape[2]), ranges)


def _without_layers(layers: Sequence[str] | None, why: str) -> None:
    if layers is not None:
        raise RetinalabError(
            f"Layers {', '.join(layers)} are named, but {why}. Leave them out, or choose grad-cam, grad-cam++ or gmsm."
        )


def _cam(
    task: Task, images: Tensor, disease: str, layers: Sequence[str] | None, grades: Tensor | None
) -> SaliencyMaps:
    _without_layers(layers, "a class activation map is of the features that are pooled")
    if not task.scales:
        task.cam_layers(disease)  # a network that grades nothing says so itself
    with undisturbed(task), torch.no_grad():
        given = images.clone() if images.is_inference() else images
        output = task(given)
        task.score(output, disease, grades)  # refuses grades that the scale does not have
        logits = task.logits(output)[disease]
        regressed = logits.shape[1] == 1
        answer = Outputs(
            logits.new_zeros(()),
            grades={} if regressed else {disease: logits.softmax(1)},
            severity={disease: logits[:, 0]} if regressed else {},
        )
        check_cam(task, disease, given, answer)
        wanted = logits.argmax(1) if grades is None else grades
        maps, grid = class_activation_cells(task, disease, given, wanted)
        placed = in_frame(maps, grid, given.shape[-2:])
        return SaliencyMaps(normalised(placed), (maps.shape[1], maps.shape[2]))


def _chosen(
    feature_maps: Mapping[str, nn.Module], layers: Sequence[str] | None, method: Method
) -> tuple[str, ...]:
    if layers is None:
        if method == "gmsm":
            return default_layers(feature_maps)
        return default_layers(feature_maps)[1:] if len(feature_maps) > 1 else tuple(feature_maps)
    if not layers:
        raise RetinalabError(f"No layer is named. Choose at least one of: {', '.join(feature_maps)}.")
    for name in layers:
        if name not in feature_maps:
            raise unknown("layer", name, feature_maps)
    return tuple(layers)
