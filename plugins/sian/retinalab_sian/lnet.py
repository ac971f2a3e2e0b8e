"""L-Net: a fully convolutional network whose expansive path may end early. No Lightning here."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.records import LESIONS
from retinalab_sian.contracting import STRIDE, ContractingPath

__all__ = ["LNet", "begin_at", "enlarged"]


class LNet(nn.Module):
    """L-Net-32s, -16s, -8s, -4s or -2s: one map per lesion.

    From the last features on, each step of the expansive path is a 1×1 convolution to the width of the next larger map,
    a bilinear enlargement by two, and that map beside it (copy and merge). After the last step a 1×1 convolution makes
    eight maps, enlarged to the photograph.

    Reference: section 3.1, Figure 4.

    Differs from the paper: it states no widths; here they are those of the maps that are copied. It names no activation
    in the expansive path; here there is none.

    Args:
        stride: s of L-Net-s: by how much the maps are enlarged at the end; 32, 16, 8, 4 or 2.
        backbone: as :class:`~retinalab_sian.contracting.ContractingPath`.
        weights: of the backbone: ``none``, ``timm``, or a file.
        prior: probability that the maps begin with.

    Shape:
        - ``images``: ``(B, 3, 32h, 32w)``, float32, normalised.
        - Returns: ``(B, 8, 32h, 32w)``, float32 logits, planes in the order of ``LESIONS``.

    Raises:
        RetinalabError: as :class:`~retinalab_sian.contracting.ContractingPath`.

    Example:
        >>> tuple(LNet(16, "resnet18")(torch.zeros(1, 3, 64, 64)).shape)
        (1, 8, 64, 64)
    """

    def __init__(
        self, stride: int = 16, backbone: str = "inception_v3", weights: str = "none", prior: float = 0.01
    ) -> None:
        super().__init__()
        self.stride = stride
        self.skips = tuple(reduction for reduction in (16, 8, 4, 2) if reduction >= stride)
        self.contracting = ContractingPath(backbone, weights, (STRIDE, *self.skips))
        widths = [self.contracting.channels[reduction] for reduction in (STRIDE, *self.skips)]
        given = [widths[0], *(2 * width for width in widths[1:])]
        self.steps = nn.ModuleList(nn.Conv2d(given[i], widths[i + 1], 1) for i in range(len(self.skips)))
        self.head = nn.Conv2d(given[-1], len(LESIONS), 1)
        begin_at(self.head, prior)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each lesion at every pixel."""
        maps = self.contracting(images)
        features = maps[STRIDE]
        for reduction, step in zip(self.skips, self.steps, strict=True):
            features = torch.cat([enlarged(step(features), 2), maps[reduction]], 1)
        return enlarged(self.head(features), self.stride)


def enlarged(maps: Tensor, factor: int) -> Tensor:
    """Bilinear enlargement, without parameters."""
    return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)


def begin_at(head: nn.Conv2d, prior: float) -> None:
    """Let a last layer begin at the log-odds of a lesion's probability, since nearly every pixel shows none."""
    if head.bias is not None:
        nn.init.constant_(head.bias, math.log(prior / (1 - prior)))
