"""SiAN: grading with the lesion maps of a side branch, and the networks that it is compared with. No Lightning here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.records import LESIONS
from retinalab_sian.attention_branch import ABN, Classified, Classifier
from retinalab_sian.config import Attention, Fusion, LesionNetwork, Shrink
from retinalab_sian.contracting import STRIDE, ContractingPath
from retinalab_sian.danet import DANet
from retinalab_sian.fully_convolutional import FCN, DeepLabV3Plus, PatchFCN, UNet
from retinalab_sian.lnet import LNet

__all__ = [
    "ABNGrader",
    "Graded",
    "LesionConcat",
    "PlainGrader",
    "SiAN",
    "SideAttention",
    "lesion_network",
]


class Graded(NamedTuple):
    """What the grading networks return.

    Attributes:
        logits: disease -> ``(B, grades)``.
        lesions: ``(B, 8, H, W)`` logits of lesion maps; None without a segmenting branch.
        present: ``(B, 8)`` probabilities that a lesion is in the photograph; None without a lesion branch.
        branch: disease -> ``(B, grades)`` logits of ABN's attention branch, else None.
        attention: ``(B, 1, H/16, W/16)`` of ABN, else None.
        features: ``(B, C, h, w)``, what the average before the linear layers takes.
    """

    logits: dict[str, Tensor]
    lesions: Tensor | None
    present: Tensor | None
    branch: dict[str, Tensor] | None
    attention: Tensor | None
    features: Tensor


def lesion_network(
    name: LesionNetwork, backbone: str = "inception_v3", weights: str = "none", prior: float = 0.01
) -> nn.Module:
    """The network of that name; ``classifier`` and ``abn`` give :class:`Classified`, every other one lesion maps.

    Raises:
        RetinalabError: a backbone that does not have what the network needs.
    """
    if name.startswith("l-net-"):
        return LNet(int(name.removeprefix("l-net-")[:-1]), backbone, weights, prior)
    if name.startswith("fcn-"):
        return FCN(int(name.removeprefix("fcn-")[:-1]), backbone, weights, prior)
    if name in ("classifier", "abn"):
        return (ABN if name == "abn" else Classifier)(len(LESIONS), backbone, weights)
    kinds = {"patch-fcn-32s": PatchFCN, "u-net": UNet, "deeplabv3plus": DeepLabV3Plus, "danet": DANet}
    return kinds[name](backbone, weights, prior)


class SideAttention(nn.Module):
    """Lesion maps to weights of features: two 3×3 convolutions, each followed by a ReLU.

    Weights begin near 1, so that training begins at the plain network.

    Reference: equation 7.

    Differs from the paper: it states neither the hidden width nor activations nor how weights begin.

    Args:
        channels: K, of what is weighted.
        width: of the hidden layer.

    Shape:
        - ``maps``: ``(B, 8, h, w)`` in [0, 1]. Returns: ``(B, K, h, w)``, at least 0.

    Example:
        >>> sum(p.numel() for p in SideAttention(2048).parameters())
        4739328
    """

    def __init__(self, channels: int, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(len(LESIONS), width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, channels, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        last = self.layers[2]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.ones_(last.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """The weights."""
        weights: Tensor = self.layers(maps)
        return weights


class _WithSide(nn.Module):
    """A network with a lesion branch, which keeps its weights and running statistics unless it is trained too."""

    side: nn.Module

    def __init__(self, trained: bool) -> None:
        super().__init__()
        self.train_side = trained

    def train(self, mode: bool = True) -> _WithSide:
        """A frozen branch stays in evaluation."""
        super().train(mode)
        if not self.train_side:
            self.side.eval()
        return self

    def _lesions(self, images: Tensor) -> Tensor | Classified:
        with torch.set_grad_enabled(self.train_side and torch.is_grad_enabled()):
            given: Tensor | Classified = self.side(images)
        return given


class SiAN(_WithSide):
    """Grades with a main branch whose last features are weighted by the lesion maps of a side branch.

    One pass gives lesion maps, the lesions in the photograph (the maps' global maximum, equation 1), and grades.

    Reference: section 3.2, Figure 3, equations 5-7; Table 7.

    Differs from the paper: any number of diseases, each with a linear layer. How the maps come down to the features'
    size is not stated: here by the mean over each place.

    Args:
        grades: disease -> number of grades.
        backbone: of both branches.
        weights: of the main branch: ``none``, ``timm``, or a file.
        lesions: the side branch, any that segments.
        attention: ``conv``, learned weights (equation 7); ``max``, the largest of the eight maps (equation 6).
        fusion: what is weighted: the last ``features``, or the input ``image``.
        width: hidden width of the learned weights.
        shrink: how the maps come down to the features' size.
        train_side: whether the side branch learns too; otherwise it is fixed, its normalisation too.

    Shape:
        - ``images``: ``(B, 3, 32h, 32w)``, float32, normalised; the paper's 896 × 896.
        - Returns: :class:`Graded` with ``(B, grades)`` logits, ``(B, 8, 32h, 32w)`` and ``(B, 8)``.

    Raises:
        RetinalabError: as :class:`~retinalab_sian.contracting.ContractingPath`.
    """

    def __init__(
        self,
        grades: Mapping[str, int],
        backbone: str = "inception_v3",
        weights: str = "none",
        lesions: LesionNetwork = "l-net-16s",
        attention: Attention = "conv",
        fusion: Fusion = "features",
        width: int = 256,
        shrink: Shrink = "mean",
        train_side: bool = False,
    ) -> None:
        super().__init__(train_side)
        self.side = lesion_network(lesions, backbone).requires_grad_(train_side)
        self.main = ContractingPath(backbone, weights, (STRIDE,))
        channels = self.main.channels[STRIDE]
        self.fusion, self.shrink = fusion, shrink
        weighted = channels if fusion == "features" else 3
        self.attention = SideAttention(weighted, width) if attention == "conv" else None
        self.heads = _heads(channels, grades)

    def forward(self, images: Tensor) -> Graded:
        """Map lesions and grade."""
        lesions = self._lesions(images)
        assert isinstance(lesions, Tensor)
        maps = lesions.sigmoid()
        if self.fusion == "image":
            features = self.main(images * self.weights(maps))[STRIDE]
        else:
            features = self.main(images)[STRIDE]
            features = features * self.weights(maps, features.shape[2:])
        return Graded(_graded(self.heads, features), lesions, _surest(lesions), None, None, features)

    def weights(self, maps: Tensor, places: Sequence[int] | None = None) -> Tensor:
        """What lesion maps weigh the features by, or the image where that is what is weighted.

        Args:
            maps: probabilities.
            places: height and width of the features, to which the maps come down; None: they stay as they are.

        Shape:
            - ``maps``: ``(B, 8, H, W)`` in [0, 1]. Returns: ``(B, 1, h, w)`` or ``(B, K, h, w)``, at least 0.
        """
        if places is not None:
            shrink = F.adaptive_avg_pool2d if self.shrink == "mean" else F.adaptive_max_pool2d
            maps = shrink(maps, (places[0], places[1]))
        weights: Tensor = maps.amax(1, keepdim=True) if self.attention is None else self.attention(maps)
        return weights


class LesionConcat(_WithSide):
    """The lesion vector beside the pooled features of a plain network: Table 6's Lesion-Concat.

    Reference: section 4.2.3.

    Args:
        grades, backbone, weights, train_side: as :class:`SiAN`.
        lesions: what gives the vector: any lesion network, also those that do not segment.

    Shape:
        - as :class:`SiAN`.
    """

    def __init__(
        self,
        grades: Mapping[str, int],
        backbone: str = "inception_v3",
        weights: str = "none",
        lesions: LesionNetwork = "l-net-16s",
        train_side: bool = False,
    ) -> None:
        super().__init__(train_side)
        self.side = lesion_network(lesions, backbone).requires_grad_(train_side)
        self.main = ContractingPath(backbone, weights, (STRIDE,))
        self.heads = _heads(self.main.channels[STRIDE] + len(LESIONS), grades)

    def forward(self, images: Tensor) -> Graded:
        """Name lesions and grade."""
        lesions = self._lesions(images)
        maps = None if isinstance(lesions, Classified) else lesions
        present = lesions.logits.sigmoid() if isinstance(lesions, Classified) else _surest(lesions)
        features = self.main(images)[STRIDE]
        pooled = torch.cat([features.mean((2, 3)), present.to(features.dtype)], 1)
        logits = {disease: head(pooled) for disease, head in self.heads.items()}
        return Graded(logits, maps, present, None, None, features)


class PlainGrader(nn.Module):
    """The main branch alone: Table 6's Inception-v3.

    Args:
        grades, backbone, weights: as :class:`SiAN`.

    Shape:
        - as :class:`SiAN`, without lesions.
    """

    def __init__(
        self, grades: Mapping[str, int], backbone: str = "inception_v3", weights: str = "none"
    ) -> None:
        super().__init__()
        self.main = ContractingPath(backbone, weights, (STRIDE,))
        self.heads = _heads(self.main.channels[STRIDE], grades)

    def forward(self, images: Tensor) -> Graded:
        """Grade."""
        features = self.main(images)[STRIDE]
        return Graded(_graded(self.heads, features), None, None, None, None, features)


class ABNGrader(nn.Module):
    """Grades with :class:`~retinalab_sian.attention_branch.ABN`: Table 6's and Figure 5's comparison.

    Args:
        grades, backbone, weights: as :class:`SiAN`.

    Shape:
        - as :class:`SiAN`, without lesions, with ABN's attention.
    """

    def __init__(
        self, grades: Mapping[str, int], backbone: str = "inception_v3", weights: str = "none"
    ) -> None:
        super().__init__()
        self.grades = dict(grades)
        self.abn = ABN(sum(grades.values()), backbone, weights)

    def forward(self, images: Tensor) -> Graded:
        """Grade, and say where the attention branch looked."""
        given: Classified = self.abn(images)
        assert given.branch is not None
        logits, branch = self._parted(given.logits), self._parted(given.branch)
        return Graded(logits, None, None, branch, given.attention, given.features)

    def _parted(self, logits: Tensor) -> dict[str, Tensor]:
        parts = torch.split(logits, list(self.grades.values()), 1)
        return dict(zip(self.grades, parts, strict=True))


def _surest(lesions: Tensor) -> Tensor:
    """Equation 1, in single precision: half precision would round what lies just below one half up to it."""
    return lesions.amax((2, 3)).float().sigmoid()


def _heads(features: int, grades: Mapping[str, int]) -> nn.ModuleDict:
    return nn.ModuleDict({disease: nn.Linear(features, size) for disease, size in grades.items()})


def _graded(heads: nn.ModuleDict, features: Tensor) -> dict[str, Tensor]:
    pooled = features.mean((2, 3))
    return {disease: head(pooled) for disease, head in heads.items()}
