"""Maps out of activations and gradients: Grad-CAM, Grad-CAM++, and their gated average over layers (GMSM)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from retinalab.errors import RetinalabError

__all__ = ["averaged", "gate", "gated_multi_layer", "grad_cam", "grad_cam_plus_plus", "normalised"]

_ROUNDING = 64
"""Spreads below so many units in the last place of a map's level are rounding, not saliency."""
_LARGEST_EXPONENT = 60.0
"""exp(60) is beyond any gate, and its products stay within single precision."""


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
        - ``maps``: ``(B, h, w)``. Returns: the same, in [0, 1]; float64 of float64, else float32.

    Example:
        >>> normalised(torch.tensor([[[-1.0, 1.0, 3.0]], [[2.0, 2.0, 2.0]]])).tolist()
        [[[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]]]
    """
    maps = _exact(maps)
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
    return averaged([gate(grad_cam_plus_plus(*layer, scores), t) for layer in layers])


def averaged(maps: Sequence[Tensor]) -> Tensor:
    """The mean of the maps, each scaled, at the largest of their sizes.

    A smaller map is enlarged bilinearly and scaled again, so that every map ranges from 0 to 1 where it is averaged.

    Shape:
        - ``maps``: ``(B, h, w)`` each. Returns: ``(B, h, w)`` in [0, 1].
    """
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
    with torch.autocast(
        weights.device.type, enabled=False
    ):  # the caller's would round the sum to half precision
        return torch.einsum("bc,bchw->bhw", weights, activations).clamp(min=0)


def _exact(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
