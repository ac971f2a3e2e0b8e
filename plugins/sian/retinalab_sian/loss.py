"""The losses of lesion maps and of lesions in a photograph; what was not annotated is left out. No Lightning here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F

from retinalab.tasks.lesion_loss import IGNORED

__all__ = [
    "dice",
    "dual",
    "focal",
    "image_dice",
    "presence",
    "segmentation_dice",
    "total_over_processes",
    "weighted_cross_entropy",
]

_EPSILON = 1e-6


class _SumOverProcesses(torch.autograd.Function):
    """Sum over all processes; gradients are summed likewise, which an average over processes makes whole again."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor) -> Tensor:
        total = sums.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


def total_over_processes(sums: Tensor) -> Tensor:
    """Sums over the whole batch, whatever number of processes shares it; differentiable.

    Every process must call it equally often. Under Lightning's averaging of gradients over processes, a loss of such
    sums has the gradient that one process would compute on the whole batch.
    """
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return sums
    total: Tensor = _SumOverProcesses.apply(sums)
    return total


def dice(probabilities: Tensor, truth: Tensor, known: Tensor, across: bool = False) -> Tensor:
    """``1 - (2 Σ p t + ε) / (Σ p² + Σ t² + ε)`` over everything that is known: all photographs, places and lesions.

    Reference: equation 3; its image-level twin has the same form.

    Differs from the paper: ε = 1e-6, so that a batch without lesions in which none is found has no loss.

    Args:
        probabilities, truth, known: as below.
        across: whether the sums run over the batches of all processes.

    Shape:
        - ``probabilities``, ``truth``: of one shape, float; truth 0 or 1.
        - ``known``: the same shape, bool.
        - Returns: scalar in [0, 1].

    Example:
        >>> p, t = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
        >>> round(dice(p, t, torch.tensor([True, True])).item(), 4)
        0.3333
    """
    found, there = probabilities * known, truth * known
    sums = torch.stack([(found * there).sum(), (found * found).sum(), (there * there).sum()])
    if across:
        sums = total_over_processes(sums)
    return 1 - (2 * sums[0] + _EPSILON) / (sums[1] + sums[2] + _EPSILON)


def segmentation_dice(logits: Tensor, mask: Tensor, across: bool = False) -> Tensor:
    """Equation 3 on lesion maps.

    Shape:
        - ``logits``: ``(B, L, H, W)``, float.
        - ``mask``: ``(B, L, H, W)``, uint8: 0 absent, 1 present, 255 ignored or not annotated.
        - Returns: scalar in [0, 1].
    """
    return dice(logits.sigmoid(), (mask == 1).to(logits.dtype), mask != IGNORED, across)


def presence(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each lesion is in the photograph, found and true, both by the maximum over annotated pixels (equation 1).

    Shape:
        - ``logits``, ``mask``: as :func:`segmentation_dice`.
        - Returns: ``(B, L)`` probabilities, and ``(B, L)`` float: 1 present, 0 absent, nan nowhere annotated.
    """
    known = mask != IGNORED
    annotated = known.any(-1).any(-1)
    found = logits.masked_fill(~known, -torch.inf).amax((2, 3)).masked_fill(~annotated, 0.0).sigmoid()
    there = (mask == 1).any(-1).any(-1).to(logits.dtype)
    return found, there.masked_fill(~annotated, torch.nan)


def image_dice(probabilities: Tensor, present: Tensor, across: bool = False) -> Tensor:
    """The image-level twin of equation 3.

    Shape:
        - ``probabilities``: ``(B, L)`` in [0, 1].
        - ``present``: ``(B, L)``, float: 1 present, 0 absent, nan unknown, which is left out.
        - Returns: scalar in [0, 1].
    """
    return dice(probabilities, present.nan_to_num(), ~present.isnan(), across)


def dual(segmentation: Tensor, classification: Tensor, weight: float = 0.8) -> Tensor:
    """``λ · segmentation + (1 - λ) · classification``.

    Reference: equation 2 with λ = 0.8; Table 2.

    Example:
        >>> terms = torch.tensor(0.0797), torch.tensor(0.3325)
        >>> round(dual(*terms).item(), 4)
        0.1303
    """
    return weight * segmentation + (1 - weight) * classification


def weighted_cross_entropy(
    logits: Tensor, mask: Tensor, positive_weight: float | None = None, across: bool = False
) -> Tensor:
    """Binary cross-entropy with weights for lesion and other pixels, averaged over every annotated pixel.

    Reference: Table 4.

    Differs from the paper: it gives no weights. Here each side is weighted by the other's share of the batch's
    annotated pixels, unless a weight of lesion pixels is given, beside which the others weigh 1.

    Args:
        logits, mask, across: as :func:`segmentation_dice`.
        positive_weight: of lesion pixels; null: balanced.
    """
    known, there = mask != IGNORED, mask == 1
    each = F.binary_cross_entropy_with_logits(logits, there.to(logits.dtype), reduction="none")
    sums = torch.stack(
        [(each * there).sum(), (each * (known & ~there)).sum(), there.sum().to(each), known.sum().to(each)]
    )
    if across:
        sums = total_over_processes(sums)
    inside, outside, lesion, total = sums
    total = total.clamp(min=1)
    if positive_weight is not None:
        loss = positive_weight * inside + outside
    else:
        loss = (total - lesion) / total * inside + lesion / total * outside
    mean: Tensor = loss / total
    return mean


def focal(
    logits: Tensor, mask: Tensor, alpha: float = 0.8, gamma: float = 2.0, across: bool = False
) -> Tensor:
    """``-α (1 - p)^γ log p`` on lesion pixels, ``-(1 - α) p^γ log(1 - p)`` on others, averaged over annotated pixels.

    Reference: Lin et al., Focal loss for dense object detection, ICCV 2017, equation 5; section 4.2.1 with α = 0.8 and
    γ = 2; Table 4.

    Args:
        logits, mask, across: as :func:`segmentation_dice`.
        alpha, gamma: as above.
    """
    known, there = mask != IGNORED, mask == 1
    signed = torch.where(there, logits, -logits)
    share = torch.where(there, alpha, 1 - alpha)
    each = -share * signed.neg().sigmoid() ** gamma * F.logsigmoid(signed)
    sums = torch.stack([(each * known).sum(), known.sum().to(each)])
    if across:
        sums = total_over_processes(sums)
    return sums[0] / sums[1].clamp(min=1)
