"""Maps out of activations and gradients: Grad-CAM, Grad-CAM++, and their gated average over layers (GMSM)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from retinalab.errors import RetinalabError
from retinalab.explain.grid import Grid, in_frame

__all__ = ["Layer", "averaged", "gate", "gated_multi_layer", "grad_cam", "grad_cam_plus_plus", "normalised"]

_ROUNDING = 64
"""Spreads below so many units in the last place of a map's level are rounding, not saliency."""
_LARGEST_EXPONENT = 60.0
"""exp(60) is beyond any gate, and its products stay within single precision."""


class Layer(NamedTuple):
    """What a map of one layer is made of.

    Attributes:
        activations: ``(B, C, h, w)``, A.
        gradients: ``(B, C, h, w)``, of each photograph's score with respect to A.
        grid: where the cells lie in the input.
    """

    activations: Tensor
    gradients: Tensor
    grid: Grid


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
    gate; neither paper says what enters that gate. Without ``scores`` the factor is left out, so that t has the
    unit of the score; with them it multiplies the weights. The authors' code also divides each alpha by the channel's
    sum of them, which the equations do not have; it is not done here. A negative sum(A_k), which leaky and linear
    layers give, would make alpha infinite at g = -2 / sum(A_k): it counts as 0, so that 0 <= alpha <= 1/2, as it is
    for rectified layers.

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

    The floor is absolute: it has the unit of L and so of the score. L sums over the map's places and channels and grows
    with both, and with the scale of what training made of the layer, so that the paper's t = 1.00 is a number for its
    own network. What it lets through of another is to be counted, in normal and in diseased photographs:
    :func:`retinalab.metrics.scorecard.empty_maps`.

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


def normalised(maps: Tensor, fields: Tensor | None = None) -> Tensor:
    """Each map scaled so that its least value is 0 and its greatest 1; a constant map is 0 throughout.

    A map whose spread is within the rounding of its level counts as constant. What is not a number stays so.

    Args:
        maps: of any sign.
        fields: where given, least and greatest are those of the pixels inside, and the map is 0 outside.

    Shape:
        - ``maps``: ``(B, h, w)``. ``fields``: ``(B, h, w)`` bool.
        - Returns: ``(B, h, w)`` in [0, 1]; float64 of float64, else float32.

    Example:
        >>> normalised(torch.tensor([[[-1.0, 1.0, 3.0]], [[2.0, 2.0, 2.0]]])).tolist()
        [[[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]]]
    """
    maps = _exact(maps)
    inside = maps if fields is None else maps.masked_fill(~fields, torch.inf)
    low = inside.amin((1, 2), keepdim=True)
    inside = maps if fields is None else maps.masked_fill(~fields, -torch.inf)
    high = inside.amax((1, 2), keepdim=True)
    spread = high - low
    constant = (spread == -torch.inf) | (
        spread <= _ROUNDING * torch.finfo(maps.dtype).eps * torch.maximum(low.abs(), high.abs())
    )
    scaled = torch.where(constant, 0.0, (maps - low) / torch.where(constant, 1.0, spread))
    return scaled if fields is None else scaled.masked_fill(~fields, 0.0)


def gated_multi_layer(
    layers: Sequence[Layer], size: Sequence[int], t: float = 1.0, scores: Tensor | None = None
) -> Tensor:
    """GMSM: the gated Grad-CAM++ maps of several layers, each scaled, averaged.

    ::

        L_l = max(sum over k of w_k A_k, t)             equation 2, for each layer l
        L   = mean over layers of norm(L_l)             equation 3

    A map that nowhere exceeds t is 0 throughout, so that a photograph without lesions can have an empty map.

    Reference: ELLG, section 2.2, equations 1-3; section 3.1 for t.

    Differs from the paper: any number of layers, of which it takes two. It states neither what norm is nor how maps of
    two sizes are averaged: here norm is :func:`normalised`, and the maps meet in the input's pixels (:func:`averaged`).

    Args:
        layers: the lower one first.
        size: height and width of the input.
        t: the floor, in units of the score (:func:`gate`).
        scores: where given, as in :func:`grad_cam_plus_plus`.

    Shape:
        - ``scores``: ``(B,)``. Returns: ``(B, *size)`` in [0, 1].
    """
    maps = [gate(grad_cam_plus_plus(a, gradients, scores), t) for a, gradients, _ in layers]
    return averaged(maps, [layer.grid for layer in layers], size)


def averaged(maps: Sequence[Tensor], grids: Sequence[Grid], size: Sequence[int]) -> Tensor:
    """The mean over layers of maps that were each brought into the input's frame and scaled there.

    Cells of two layers lie at different places, also where they are as many: maps are placed by where their cells lie
    (:func:`~retinalab.explain.grid.in_frame`) before they are averaged, and scaled after it, so that each ranges from 0
    to 1 where it is averaged.

    Args:
        maps: of each layer, at its own size.
        grids: of each layer.
        size: height and width of the input.

    Shape:
        - ``maps``: ``(B, h, w)`` each. Returns: ``(B, *size)`` in [0, 1].
    """
    return torch.stack(
        [normalised(in_frame(normalised(one), grid, size)) for one, grid in zip(maps, grids, strict=True)]
    ).mean(0)


def _weighted(weights: Tensor, activations: Tensor) -> Tensor:
    with torch.autocast(
        weights.device.type, enabled=False
    ):  # the caller's would round the sum to half precision
        return torch.einsum("bc,bchw->bhw", weights, activations).clamp(min=0)


def _exact(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
