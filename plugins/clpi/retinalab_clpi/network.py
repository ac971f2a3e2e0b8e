"""CLPI: lesion attention generator and grading module, joined so that grades teach lesions and lesions grades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.errors import RetinalabError
from retinalab_clpi.attention import weighted_attention, weighted_by_units
from retinalab_clpi.backbone import Stem, features_of, grading_backbone
from retinalab_clpi.generator import CLASSES, FIELD, LesionAttentionGenerator, Widths

__all__ = ["CLPI", "AttentionGrader", "Grades", "Gradient", "PlainGrader", "Statistics"]

Gradient = Literal["shortcut", "all", "none"]
Statistics = Literal["update", "keep"]

_INTEGRATED = 1024


class Grades(NamedTuple):
    """What the networks return.

    Attributes:
        logits: disease -> ``(B, grades)`` float32; of patches, ``lesion`` -> ``(B, 4)``.
        lesions: ``(B, 4, h, w)`` float32 logits of the generator's units; None without a generator.
        features: ``(B, C, h', w')`` the last feature map, which class activation maps weigh.
    """

    logits: dict[str, Tensor]
    lesions: Tensor | None
    features: Tensor


class CLPI(nn.Module):
    """Grade a photograph with patch-level lesion attention, trained end to end.

    With P the generator's probabilities on the photograph, I the photograph at half its size, W the attention map::

        I_AM = concat over classes k of I * (1 + W_k)                   equation 1
        F    = integrate(concat(backbone(I_AM), 1 - P_0))               1 x 1 convolution, normalisation, ReLU
        S    = linear(mean(F))                                          for each disease

    Reference: section III, Figure 2.

    Differs from the paper: any number of diseases (the paper grades retinopathy), each with a linear layer of its own;
    batch normalisation and ReLU after the 1×1 convolution, as in the released code; without the shortcut that
    convolution stays (1024 to 1024), as there.

    Args:
        grades: disease -> number of grades.
        backbone: any timm network that reduces 32 times.
        weights: of the backbone: ``none``, ``timm``, or a file.
        widths: of the generator.
        stem: what stored weights give the 12-channel first convolution.
        shortcut: whether 1 - P_0 goes to the last features.
        gradient: how grades reach the generator: ``shortcut`` alone (the paper), ``all`` paths, or ``none`` (without
            end-to-end learning: the generator stays as it was, its normalisation too).
        statistics: of the generator's normalisation in training: ``update`` them with the photographs', or ``keep``
            those that it came with. Photographs show fewer lesions than patches, so that updating changes what the
            generator finds before the grades teach it anything.

    Shape:
        - ``images``: ``(B, 3, 64h, 64w)``, float32 in [0, 1]; the paper's 1024 × 1024.
        - Returns: :class:`Grades` with ``(B, grades)`` logits, ``(B, 4, h, w)`` and ``(B, 1024, h, w)``.

    Raises:
        RetinalabError: a backbone whose features are not of the generator's size.
    """

    def __init__(
        self,
        grades: Mapping[str, int],
        backbone: str = "densenet121",
        weights: str = "none",
        widths: Widths = "paper",
        stem: Stem = "spread",
        shortcut: bool = True,
        gradient: Gradient = "shortcut",
        statistics: Statistics = "update",
    ) -> None:
        super().__init__()
        self.generator = LesionAttentionGenerator(widths)
        self.backbone = grading_backbone(backbone, weights, len(CLASSES), stem)
        self.shortcut = shortcut
        self.gradient = gradient
        self.statistics = statistics
        self.integration = nn.Sequential(
            nn.Conv2d(self.backbone.channels + shortcut, _INTEGRATED, 1, bias=False),
            nn.BatchNorm2d(_INTEGRATED),
            nn.ReLU(inplace=True),
        )
        self.heads = _heads(_INTEGRATED, grades)
        if gradient == "none":
            self.generator.requires_grad_(False)

    def train(self, mode: bool = True) -> CLPI:
        """A generator that learns nothing keeps its running statistics, and so does any under ``statistics=keep``."""
        super().train(mode)
        if self.gradient == "none":
            self.generator.eval()
        elif self.statistics == "keep":
            for module in self.generator.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, images: Tensor) -> Grades:
        """Grade the photographs."""
        lesions = self.generator(images)
        probabilities = lesions.float().softmax(1)
        attention = probabilities if self.gradient == "all" else probabilities.detach()
        features = features_of(self.backbone, attended(images, attention))
        if self.shortcut:
            features = torch.cat([features, self._abnormal(probabilities, features)], 1)
        features = self.integration(features)
        return Grades(_graded(self.heads, features), lesions, features)

    def _abnormal(self, probabilities: Tensor, features: Tensor) -> Tensor:
        abnormal = 1 - probabilities[:, :1]
        if abnormal.shape[2:] != features.shape[2:]:
            got, wanted = tuple(features.shape[2:]), tuple(abnormal.shape[2:])
            raise RetinalabError(
                f"The backbone gives features of {got[0]}x{got[1]} places, the generator {wanted[0]}x{wanted[1]} "
                "units. Use a backbone that reduces 32 times, such as densenet121 or resnet50, or shortcut=false."
            )
        return abnormal


class AttentionGrader(nn.Module):
    """An ordinary classifier fed with the weighted photographs of a fixed generator: Figure 6's orange bars.

    Args:
        grades: disease -> number of grades. backbone, weights, widths, stem: as :class:`CLPI`.
        patch_side: pixels to which weighted patches are enlarged.

    Shape:
        - as :class:`CLPI`; patches ``(B, 3, 68, 68)`` are taken whole and weighted by their own probabilities.
    """

    def __init__(
        self,
        grades: Mapping[str, int],
        backbone: str = "densenet121",
        weights: str = "none",
        widths: Widths = "paper",
        stem: Stem = "spread",
        patch_side: int = FIELD,
    ) -> None:
        super().__init__()
        self.patch_side = patch_side
        self.generator = LesionAttentionGenerator(widths).requires_grad_(False)
        self.backbone = grading_backbone(backbone, weights, len(CLASSES), stem)
        self.heads = _heads(self.backbone.channels, grades)

    def train(self, mode: bool = True) -> AttentionGrader:
        """The generator keeps its running statistics."""
        super().train(mode)
        self.generator.eval()
        return self

    def forward(self, images: Tensor, patches: bool = False) -> Grades:
        """Grade photographs, or classify patches."""
        lesions = self.generator(images, padded=not patches)
        probabilities = lesions.float().softmax(1)
        if patches:
            weighted = weighted_attention(images, probabilities.expand(-1, -1, *images.shape[2:]))
            weighted = enlarged(weighted, self.patch_side)
        else:
            weighted = attended(images, probabilities)
        features = features_of(self.backbone, weighted)
        return Grades(_graded(self.heads, features), lesions, features)


class PlainGrader(nn.Module):
    """An ordinary classifier on the photograph at half its size: Table VI's and Figure 6's comparisons.

    Args:
        grades: disease -> number of grades. backbone, weights: as :class:`CLPI`.
        patch_side: pixels to which patches are enlarged.

    Shape:
        - as :class:`CLPI`, without lesions; patches are taken whole.
    """

    def __init__(
        self,
        grades: Mapping[str, int],
        backbone: str = "densenet121",
        weights: str = "none",
        patch_side: int = FIELD,
    ) -> None:
        super().__init__()
        self.patch_side = patch_side
        self.backbone = grading_backbone(backbone, weights)
        self.heads = _heads(self.backbone.channels, grades)

    def forward(self, images: Tensor, patches: bool = False) -> Grades:
        """Grade photographs, or classify patches."""
        seen = enlarged(images, self.patch_side) if patches else halved(images)
        features = features_of(self.backbone, seen)
        return Grades(_graded(self.heads, features), None, features)


def _heads(features: int, grades: Mapping[str, int]) -> nn.ModuleDict:
    return nn.ModuleDict({disease: nn.Linear(features, size) for disease, size in grades.items()})


def _graded(heads: nn.ModuleDict, features: Tensor) -> dict[str, Tensor]:
    pooled = features.mean((2, 3))
    return {disease: head(pooled) for disease, head in heads.items()}


def halved(images: Tensor) -> Tensor:
    """The photograph at half its height and width: the mean of each 2×2 pixels, which bilinear resizing gives."""
    return F.avg_pool2d(images, 2)


def enlarged(patches: Tensor, side: int) -> Tensor:
    """Patches at the side in pixels that a classifier can take; unchanged where they have it."""
    if patches.shape[-1] == side:
        return patches
    return F.interpolate(patches, (side, side), mode="bilinear", align_corners=False)


def attended(images: Tensor, probabilities: Tensor) -> Tensor:
    """I_AM at half the photograph's size."""
    return weighted_by_units(halved(images), probabilities)
