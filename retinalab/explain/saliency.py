"""Saliency maps of any task's network: CAM, Grad-CAM, Grad-CAM++, and the gated multi-layer map (GMSM)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.errors import RetinalabError, unknown
from retinalab.explain.activations import Explained, explained, undisturbed
from retinalab.explain.cam import check_cam, class_activation_map
from retinalab.tasks.base import Outputs, Task

__all__ = [
    "METHODS",
    "Method",
    "default_layers",
    "gate",
    "gated_multi_layer",
    "grad_cam",
    "grad_cam_plus_plus",
    "normalised",
    "saliency_maps",
]

Method = Literal["cam", "grad-cam", "grad-cam++", "gmsm"]
METHODS: tuple[Method, ...] = get_args(Method)

_ROUNDING = 64
"""Spreads below so many units in the last place of a map's level are rounding, not saliency."""
_LARGEST_EXPONENT = 60.0
"""exp(60) is beyond any gate, and its products stay within single precision."""


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
    are averaged.

    Args:
        task: whose network.
        images: normalised, as the task takes them.
        disease: of the task's scales.
        method: ``cam``, ``grad-cam``, ``grad-cam++`` or ``gmsm``.
        layers: names out of :meth:`~retinalab.tasks.base.Task.feature_maps`; where None, :func:`default_layers` for
            ``gmsm`` and the higher of them for the other two. ``cam`` has no choice of layers.
        t: floor of ``gmsm``; the other methods have none.
        grades: the grade that each map is for, where the task classifies; the predicted ones where None.
        exponential: as in :func:`grad_cam_plus_plus`, for ``grad-cam++`` and ``gmsm``.

    Shape:
        - ``images``: ``(B, 3, H, W)``. ``grades``: ``(B,)`` int64.
        - Returns: ``(B, h, w)`` float32 in [0, 1], at the size of the largest layer; row and column cover the square
          input evenly.

    Raises:
        RetinalabError: unknown method, disease, layer or grade, a floor below 0, layers for ``cam``, or a network that
            has no such map.
    """
    if method not in METHODS:
        raise unknown("saliency method", method, METHODS)
    if disease not in task.scales:
        raise unknown("disease", disease, task.scales)
    if method == "cam":
        return _cam(task, images, disease, layers, grades)
    names = _chosen(task.feature_maps(), layers, method)
    given = explained(task, images, disease, names, grades)
    scores = given.scores if exponential else None
    if method == "gmsm":
        return gated_multi_layer(given.layers(), t, scores).float()
    return _averaged(_single(given, method, scores)).float()


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


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Channels weighted by their mean gradient, rectified: ``relu(sum over k of mean(g_k) A_k)``.

    Reference: R. Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2.

    Shape:
        - ``activations``, ``gradients``: ``(B, C, h, w)``. Returns: ``(B, h, w)``, at least 0; float64 of float64, else
          float32.
    """
    activations, gradients = _exact(activations), _exact(gradients)
    return _weighted(gradients.mean((2, 3)), activations)


def grad_cam_plus_plus(activations: Tensor, gradients: Tensor, scores: Tensor | None = None) -> Tensor:
    """Channels weighted by their rising gradients, each by how much of the score its place explains.

    With g the gradient of the score s and A the activations, for each channel k::

        w_k  = sum over places of alpha_k max(g_k, 0)
        alpha_k = g_k^2 / (2 g_k^2 + g_k^3 sum(A_k))
        L    = relu(sum over k of w_k A_k)

    which is the closed form that exp(s) has as the score to be explained, since its derivatives are exp(s) times powers
    of g. Equation 1 of C. Lin et al., ELLG, IJCAI 2020.

    Reference: A. Chattopadhay et al., Grad-CAM++, WACV 2018, equations 5, 13 and 19.

    Differs from the paper: its weights hold exp(s) once, which scales a map and so matters only before an absolute
    gate; neither paper says what enters that gate. Without ``scores`` the factor is left out, so that t has the unit of the
    score; with them it multiplies the weights. The authors' code also divides each alpha by the channel's sum of them,
    which the equations do not have; it is not done here. A negative sum(A_k), which leaky and linear layers give, would
    make alpha infinite at g = -2 / sum(A_k): it counts as 0, so that 0 <= alpha <= 1/2, as it is for rectified layers.

    Shape:
        - ``activations``, ``gradients``: ``(B, C, h, w)``. ``scores``: ``(B,)``.
        - Returns: ``(B, h, w)``, at least 0; float64 of float64, else float32.
    """
    activations, gradients = _exact(activations), _exact(gradients)
    total = activations.sum((2, 3), keepdim=True).clamp(min=0)
    rising = gradients.clamp(min=0)
    # alpha max(g, 0) with g squared taken out of the fraction: no 0/0 where g is 0, no powers that underflow
    weights = (rising / (2 + rising * total)).sum((2, 3))
    if scores is not None:
        weights = weights * _exact(scores).clamp(max=_LARGEST_EXPONENT).exp()[:, None]
    return _weighted(weights, activations)


def gate(maps: Tensor, t: float) -> Tensor:
    """``max(L, t) - t``: what stands above the floor, which the gate makes the map's new zero.

    Reference: ELLG, equation 2.

    Args:
        maps: L.
        t: the floor, at least 0.

    Raises:
        RetinalabError: a floor below 0, or none at all.

    Example:
        >>> gate(torch.tensor([0.5, 1.0, 3.0]), 1.0).tolist()
        [0.0, 0.0, 2.0]
    """
    if not (math.isfinite(t) and t >= 0):
        raise RetinalabError(f"The gate's floor t is {t}. Give a number of at least 0; the paper's is 1.00.")
    return maps.clamp(min=t) - t


def normalised(maps: Tensor) -> Tensor:
    """Each map scaled so that its least value is 0 and its greatest 1; a constant map is 0 throughout.

    A map whose spread is within the rounding of its level counts as constant. What is not a number stays so.

    Shape:
        - ``maps``: ``(B, h, w)``. Returns: the same, in [0, 1].

    Example:
        >>> normalised(torch.tensor([[[-1.0, 1.0, 3.0]], [[2.0, 2.0, 2.0]]])).tolist()
        [[[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]]]
    """
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    spread = high - low
    constant = spread <= _ROUNDING * torch.finfo(maps.dtype).eps * torch.maximum(low.abs(), high.abs())
    return torch.where(constant, 0.0, (maps - low) / torch.where(constant, 1.0, spread))


def gated_multi_layer(
    layers: Sequence[tuple[Tensor, Tensor]], t: float = 1.0, scores: Tensor | None = None
) -> Tensor:
    """GMSM: the gated Grad-CAM++ maps of several layers, each scaled, averaged.

    ::

        L_l = max(sum over k of w_k A_k, t)             equation 2, for each layer l
        L   = mean over layers of norm(L_l)             equation 3

    A map that nowhere exceeds t is 0 throughout, so that a photograph without lesions can have an empty map.

    Reference: ELLG, section 2.2, equations 1-3; section 3.1 for t.

    Differs from the paper: any number of layers, of which it takes two. It states neither what norm is nor how maps of
    two sizes are averaged: here norm is :func:`normalised`, and the smaller map is enlarged bilinearly and scaled
    again, so that both reach 1 at the size at which they are averaged.

    Args:
        layers: (A, gradients) of each, the lower one first.
        t: the floor, in units of the score.
        scores: where given, as in :func:`grad_cam_plus_plus`.

    Shape:
        - A, gradients: ``(B, C, h, w)``, each layer at its own size. ``scores``: ``(B,)``.
        - Returns: ``(B, h, w)`` in [0, 1] at the largest of the sizes.
    """
    return _averaged([gate(grad_cam_plus_plus(*layer, scores), t) for layer in layers])


def _single(given: Explained, method: Method, scores: Tensor | None) -> list[Tensor]:
    if method == "grad-cam":
        return [grad_cam(*layer) for layer in given.layers()]
    return [grad_cam_plus_plus(*layer, scores) for layer in given.layers()]


def _cam(
    task: Task, images: Tensor, disease: str, layers: Sequence[str] | None, grades: Tensor | None
) -> Tensor:
    if layers is not None:
        raise RetinalabError(
            f"A class activation map is of the features that are pooled, but layers {', '.join(layers)} are named. "
            "Leave them out, or choose grad-cam, grad-cam++ or gmsm."
        )
    with undisturbed(task), torch.no_grad():
        given = images.clone() if images.is_inference() else images
        logits = task.logits(task(given))[disease]
        regressed = logits.shape[1] == 1
        answer = Outputs(
            logits.new_zeros(()),
            grades={} if regressed else {disease: logits.softmax(1)},
            severity={disease: logits[:, 0]} if regressed else {},
        )
        check_cam(task, disease, given, answer)
        wanted = logits.argmax(1) if grades is None else grades
        return normalised(class_activation_map(task, disease, given, wanted))


def _chosen(
    feature_maps: Mapping[str, nn.Module], layers: Sequence[str] | None, method: Method
) -> tuple[str, ...]:
    if layers is None:
        return default_layers(feature_maps) if method == "gmsm" else default_layers(feature_maps)[1:]
    if not layers:
        raise RetinalabError(f"No layer is named. Choose at least one of: {', '.join(feature_maps)}.")
    for name in layers:
        if name not in feature_maps:
            raise unknown("layer", name, feature_maps)
    return tuple(layers)


def _averaged(maps: Sequence[Tensor]) -> Tensor:
    """The mean of the scaled maps at the largest of their sizes."""
    height, width = (max(one.shape[axis] for one in maps) for axis in (1, 2))
    scaled = [normalised(one) for one in maps]
    same = [
        one
        if one.shape[1:] == (height, width)
        else normalised(F.interpolate(one[:, None], (height, width), mode="bilinear")[:, 0])
        for one in scaled
    ]
    return torch.stack(same).mean(0)


def _weighted(weights: Tensor, activations: Tensor) -> Tensor:
    return torch.einsum("bc,bchw->bhw", weights, activations).clamp(min=0)


def _exact(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
