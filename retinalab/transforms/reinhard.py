"""Reinhard's colour transfer: means and deviations of one photograph given to another in lαβ, inside their fields.

Reference: Reinhard, Ashikhmin, Gooch and Shirley, Color transfer between images, IEEE Computer Graphics and
    Applications 2001.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "FLOOR",
    "Statistics",
    "from_lab",
    "of_one_colour",
    "recoloured",
    "statistics",
    "to_lab",
    "transferred",
]

FLOOR = 0.5 / 255
"""Least cone response, half a grey level: the logarithm of black would be minus infinity."""

_RGB_TO_LMS = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))
_LMS_TO_RGB = torch.linalg.inv(torch.tensor(_RGB_TO_LMS, dtype=torch.float64)).tolist()
_LMS_TO_LAB = (
    (1 / math.sqrt(3),) * 3,
    (1 / math.sqrt(6), 1 / math.sqrt(6), -2 / math.sqrt(6)),
    (1 / math.sqrt(2), -1 / math.sqrt(2), 0.0),
)
_LAB_TO_LMS = tuple(zip(*_LMS_TO_LAB, strict=True))  # its rows are orthonormal
_GRID = 2.0**13
_STEP = 4
_SAME = 3
"""Levels of 255 that storing one colour as JPEG spreads it by."""


@dataclass(frozen=True)
class Statistics:
    """Mean and deviation of each channel of lαβ inside the field of view.

    Shape:
        - ``mean``, ``deviation``: ``(B, 3)``, float64.
    """

    mean: Tensor
    deviation: Tensor

    def of(self, rows: Tensor) -> Statistics:
        """Those of chosen photographs, or of the photograph that each pixel of a list belongs to."""
        return Statistics(self.mean[rows], self.deviation[rows])


def to_lab(colours: Tensor) -> Tensor:
    """RGB to Reinhard's lαβ: through cone responses and their decimal logarithms.

    Reference: Reinhard et al. 2001, equations 4 to 6.

    Differs from the source: a cone response counts as :data:`FLOOR` at least.

    Shape:
        - ``colours``: ``(B, 3, ...)`` RGB in [0, 1], floating; ``(n, 3)`` is a list of n colours.
        - Returns: the same shape: l, α, β.
    """
    cones = _apply(_RGB_TO_LMS, colours)
    for cone in cones:
        cone.clamp_(min=FLOOR).log10_()
    return torch.stack(_apply(_LMS_TO_LAB, cones), 1)


def from_lab(lab: Tensor) -> Tensor:
    """The inverse of :func:`to_lab`, not clipped: what has no colour in [0, 1] stays outside.

    Reference: Reinhard et al. 2001, equations 7 to 9.

    Differs from the source: the inverse matrix is computed; the printed one is off by up to 0.017, which is two levels
    of 255 in the blue of a colour that was not changed at all.

    Shape:
        - ``lab``: ``(B, 3, ...)``, floating. Returns: the same shape, RGB.
    """
    cones = _apply(_LAB_TO_LMS, lab)
    for cone in cones:
        cone.mul_(math.log(10)).exp_()
    return torch.stack(_apply(_LMS_TO_RGB, cones), 1)


def statistics(lab: Tensor, fields: Tensor) -> Statistics:
    """Mean and (population) deviation inside the field of view.

    Values are rounded to 1/8192 and summed as whole numbers, which float64 holds exactly up to 2048×2048 pixels: the
    sums do not depend on their order, so that a photograph has the same statistics to the last bit in any batch, on any
    number of threads.

    Shape:
        - ``lab``: ``(B, 3, H, W)``, float32.
        - ``fields``: ``(B, H, W)``, bool; a photograph without a field has mean and deviation 0.
    """
    counts = fields.sum((1, 2)).clamp(min=1)[:, None].double()
    values = (lab * _GRID).round_().mul_(fields[:, None]).flatten(2).double()
    mean = values.sum(2) / counts
    squares = values.square_().sum(2) / counts
    deviation = (squares - mean * mean).clamp(min=0).sqrt()
    return Statistics(mean / _GRID, deviation / _GRID)


def of_one_colour(photographs: Tensor, fields: Tensor) -> Tensor:
    """Whether a photograph does not vary inside its field of view, so that it has no tones.

    Looked at is every fourth pixel, but the outermost of the field: the rim is mixed with the black beyond.

    Shape:
        - ``photographs``: ``(B, 3, H, W)``, uint8. ``fields``: ``(B, H, W)``, bool. Returns: ``(B,)``, bool.
    """
    coarse = F.pad(fields[:, ::_STEP, ::_STEP], (1, 1, 1, 1))
    around = [coarse.roll((down, right), (1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    within = torch.stack(around).all(0)[:, None, 1:-1, 1:-1]
    colours = photographs[:, :, ::_STEP, ::_STEP]
    most = colours.masked_fill(~within, 0).amax((2, 3)).int()
    least = colours.masked_fill(~within, 255).amin((2, 3)).int()
    return (most - least <= _SAME).all(1)


def transferred(lab: Tensor, source: Statistics, target: Statistics) -> Tensor:
    """``(x - mean of the source) · deviation of the target / deviation of the source + mean of the target``.

    Where the source does not vary, the factor is 1.

    Reference: Reinhard et al. 2001, equations 10 and 11.

    Differs from the source: the statistics are those inside the field of view; black around it would enter both.

    Shape:
        - ``lab``: ``(B, 3, ...)``, float32; the statistics have B rows. Returns: the same shape.
    """
    varies = source.deviation > 0
    gain = torch.where(varies, target.deviation / torch.where(varies, source.deviation, 1.0), 1.0)
    offset = target.mean - source.mean * gain
    rest = (1,) * (lab.dim() - 2)
    gain, offset = (value.to(lab.dtype).reshape(*value.shape, *rest) for value in (gain, offset))
    return lab * gain + offset


def recoloured(photographs: Tensor, fields: Tensor, targets: Statistics, share: float = 1.0) -> Tensor:
    """Photographs with the colours of others: the transfer inside the field, rounded; outside it nothing changes.

    Args:
        photographs: whose colours are replaced.
        fields: their fields of view.
        targets: mean and deviation that each photograph is to have.
        share: of the way from its own mean and deviation to those.

    Shape:
        - ``photographs``: ``(B, 3, H, W)``, uint8. ``fields``: ``(B, H, W)``, bool. Returns: as ``photographs``.
    """
    lab = to_lab(photographs.float().div_(255))
    own = statistics(lab, fields)
    wanted = Statistics(
        torch.lerp(own.mean, targets.mean, share), torch.lerp(own.deviation, targets.deviation, share)
    )
    changed = from_lab(transferred(lab, own, wanted)).mul_(255).round_().clamp_(0, 255).to(torch.uint8)
    return torch.where(fields[:, None], changed, photographs)


def _apply(
    matrix: tuple[tuple[float, ...], ...] | list[list[float]], colours: Tensor | list[Tensor]
) -> list[Tensor]:
    """Multiply by a 3×3 matrix, product by product.

    Matrix products may round the same pixel differently in batches of different sizes.
    """
    first, second, third = colours.unbind(1) if isinstance(colours, Tensor) else colours
    return [(first * a).add_(second * b).add_(third * c) for a, b, c in matrix]
