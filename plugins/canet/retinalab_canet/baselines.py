"""The networks that the paper's tables compare CANet with, on the same backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from retinalab_canet.backbone import Backbone, initialise
from retinalab_canet.network import GradeLogits

__all__ = ["COMPLEX", "COMPLEX_V2", "JointNetwork", "MTMRNet", "MultiTaskNet"]

COMPLEX: tuple[tuple[int, int], ...] = ((300, 3),)
COMPLEX_V2: tuple[tuple[int, int], ...] = ((660, 1), (512, 3), (256, 3))


class JointNetwork(nn.Module):
    """A shared backbone and one linear layer per disease; with one disease, individual training.

    Reference: section IV-C1, Table IV: "Joint training"; "complex" and "complex_v2" with convolutions in
    between, each followed by batch normalisation and ReLU.

    Differs from the paper: no dropout by default, as in the authors' code. That code pads complex_v2's 1x1
    convolution by one pixel; here every convolution keeps the size.

    Args:
        backbone: any timm network.
        grades: disease -> number of grades, in the order of the outputs.
        weights: of the backbone: ``none``, ``timm``, or a file.
        convolutions: (channels, kernel) of each convolution before the pooling, such as ``COMPLEX``.
        dropout: probability, in training.
        dropout_place: ``features`` or ``pooled``.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32, normalised.
        - Returns: :class:`GradeLogits`, ``(B, grades)`` for each disease; no specific logits.

    Example:
        >>> network = JointNetwork("resnet18", {"dr": 2}).eval()
        >>> tuple(network(torch.zeros(1, 3, 64, 64)).refined["dr"].shape)
        (1, 2)
    """

    def __init__(
        self,
        backbone: str,
        grades: Mapping[str, int],
        *,
        weights: str = "none",
        convolutions: Sequence[tuple[int, int]] = (),
        dropout: float = 0.0,
        dropout_place: Literal["features", "pooled"] = "features",
    ) -> None:
        super().__init__()
        self.grades = dict(grades)
        self.backbone = Backbone(backbone, weights)
        self.dropout = nn.Dropout(dropout)
        self.dropout_place = dropout_place
        channels = self.backbone.channels
        layers: list[nn.Module] = []
        for width, kernel in convolutions:
            layers += [
                nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        initialise(self.convolutions)
        self.head = nn.ModuleDict({d: nn.Linear(channels, size) for d, size in grades.items()})

    def forward(self, images: Tensor) -> GradeLogits:
        """Grade the photographs."""
        features = self.convolutions(self.backbone(images))
        if self.dropout_place == "features":
            features = self.dropout(features)
        pooled = features.mean((2, 3))
        if self.dropout_place == "pooled":
            pooled = self.dropout(pooled)
        return GradeLogits({d: self.head[d](pooled) for d in self.grades}, {})


class MultiTaskNet(nn.Module):
    """Multi-task net [9]: a shared fully connected layer, then a chain of three for each disease.

    Reference: section IV-D, Table V; [9] is Chen et al.'s grading of macular degeneration.

    Differs from the paper: the paper gives the widths 1024 (shared) and "1024, 256, 128". As in the authors'
    code these are the inputs of each disease's three layers, 1024 -> 256 -> 128 -> grades; no activation
    stands between the layers, and dropout (0.5 there) follows each layer but the last.

    Args:
        backbone: any timm network.
        grades: disease -> number of grades, in the order of the outputs.
        weights: of the backbone: ``none``, ``timm``, or a file.
        dropout: probability, in training.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32, normalised.
        - Returns: :class:`GradeLogits`, ``(B, grades)`` for each disease; no specific logits.
    """

    def __init__(
        self, backbone: str, grades: Mapping[str, int], *, weights: str = "none", dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.grades = dict(grades)
        self.backbone = Backbone(backbone, weights)
        self.shared = nn.Sequential(nn.Linear(self.backbone.channels, 1024), nn.Dropout(dropout))
        self.head = nn.ModuleDict(
            {
                disease: nn.Sequential(
                    nn.Linear(1024, 256),
                    nn.Dropout(dropout),
                    nn.Linear(256, 128),
                    nn.Dropout(dropout),
                    nn.Linear(128, size),
                )
                for disease, size in grades.items()
            }
        )

    def forward(self, images: Tensor) -> GradeLogits:
        """Grade the photographs."""
        shared = self.shared(self.backbone(images).mean((2, 3)))
        return GradeLogits({d: self.head[d](shared) for d in self.grades}, {})


class MTMRNet(nn.Module):
    """MTMR-Net [11]: one disease's 256 features are handed to the other's classifier.

    Reference: section IV-D, Table V; [11] is Liu et al.'s grading of lung nodules with attribute scores.

    Differs from the paper: the paper does not say which disease gives. As in the authors' code the last one
    (DME) does: its classifier sees its 256 features, the others' classifiers see the pooled features and
    these. The margin ranking loss of [11] compares pairs by a regressed score, which neither disease has
    here; the authors' code trains with cross-entropy alone, and so does this.

    Args:
        backbone: any timm network.
        grades: disease -> number of grades; the last disease is the one whose features are handed on.
        weights: of the backbone: ``none``, ``timm``, or a file.
        dropout: probability, in training, on the pooled and on the 256 features.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32, normalised.
        - Returns: :class:`GradeLogits`, ``(B, grades)`` for each disease; no specific logits.
    """

    def __init__(
        self, backbone: str, grades: Mapping[str, int], *, weights: str = "none", dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.grades = dict(grades)
        self.giver = list(grades)[-1]
        self.backbone = Backbone(backbone, weights)
        self.dropout = nn.Dropout(dropout)
        channels = self.backbone.channels
        self.branch = nn.Linear(channels, 256)
        self.head = nn.ModuleDict(
            {d: nn.Linear(256 if d == self.giver else channels + 256, size) for d, size in grades.items()}
        )

    def forward(self, images: Tensor) -> GradeLogits:
        """Grade the photographs."""
        pooled = self.dropout(self.backbone(images).mean((2, 3)))
        given = self.dropout(self.branch(pooled))
        joined = torch.cat([pooled, given], dim=1)
        return GradeLogits({d: self.head[d](given if d == self.giver else joined) for d in self.grades}, {})
