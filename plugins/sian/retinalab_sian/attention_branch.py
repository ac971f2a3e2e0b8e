"""ABN, the attention branch network, and the plain classifier; neither segments. No Lightning here."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

from torch import Tensor, nn

from retinalab_sian.contracting import STRIDE, ContractingPath
from retinalab_sian.inception import unstrided

__all__ = ["ABN", "Classified", "Classifier"]


class Classified(NamedTuple):
    """What the classifiers return.

    Attributes:
        logits: ``(B, K)``.
        branch: ``(B, K)`` logits of the attention branch, which has a loss of its own; None without one.
        attention: ``(B, 1, H/16, W/16)`` in [0, 1]; None without one.
        features: ``(B, C, h, w)``, what the average before the linear layer takes.
    """

    logits: Tensor
    branch: Tensor | None
    attention: Tensor | None
    features: Tensor


class Classifier(nn.Module):
    """The backbone, global average pooling and one linear layer: the plain Inception-v3 of Tables 5 and 6.

    Args:
        outputs: K.
        backbone, weights: as :class:`~retinalab_sian.contracting.ContractingPath`.

    Shape:
        - ``images``: ``(B, 3, 32h, 32w)``. Returns: :class:`Classified`.
    """

    def __init__(self, outputs: int, backbone: str = "inception_v3", weights: str = "none") -> None:
        super().__init__()
        self.contracting = ContractingPath(backbone, weights, (STRIDE,))
        self.linear = nn.Linear(self.contracting.channels[STRIDE], outputs)

    def forward(self, images: Tensor) -> Classified:
        """Classify photographs."""
        features = self.contracting(images)[STRIDE]
        return Classified(self.linear(features.mean((2, 3))), None, None, features)


class ABN(nn.Module):
    """Attention branch network: a branch classifies by its own response maps, whose attention weighs the features.

    With g the features at a sixteenth of the side, the branch computes ``M = sigmoid(conv(r))`` from its response
    maps r and class scores from their average; the perception branch goes on from ``(1 + M) g``.

    Reference: Fukui et al., Attention branch network, CVPR 2019, section 3; compared with in Tables 5 and 6, Figure 5.

    Differs from its paper: Inception-v3 in place of ResNet; as with its ResNet, the branch's own layers are those of
    the last block, without its stride.

    Args:
        outputs: K.
        backbone, weights: as :class:`~retinalab_sian.contracting.ContractingPath`.

    Shape:
        - ``images``: ``(B, 3, 32h, 32w)``. Returns: :class:`Classified`.

    Raises:
        RetinalabError: a backbone that cannot be cut in two, or whose last stage cannot go without its stride.
    """

    def __init__(self, outputs: int, backbone: str = "inception_v3", weights: str = "none") -> None:
        super().__init__()
        path = ContractingPath(backbone, weights, (16, STRIDE))
        channels = path.channels[STRIDE]
        self.extractor, self.perception = path.halves()
        self.branch = unstrided(deepcopy(self.perception))
        self.response = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )
        self.scores = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.attention = nn.Sequential(
            nn.Conv2d(outputs, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid()
        )
        self.linear = nn.Linear(channels, outputs)

    def forward(self, images: Tensor) -> Classified:
        """Classify photographs, and say where the branch looked."""
        features = self.extractor(images)
        response = self.response(self.branch(features))
        attention = self.attention(response)
        last = self.perception((1 + attention) * features)
        return Classified(self.linear(last.mean((2, 3))), self.scores(response).mean((2, 3)), attention, last)
