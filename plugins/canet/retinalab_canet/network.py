"""CANet: cross-disease attention network for any number of diseases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, cast

from torch import Tensor, nn

from retinalab_canet.attention import DiseaseDependentAttention, DiseaseSpecificAttention
from retinalab_canet.backbone import Backbone, initialise
from retinalab_canet.dependence import dependence_pairs

__all__ = ["CANet", "GradeLogits"]


class GradeLogits(NamedTuple):
    """What the networks return.

    Attributes:
        refined: disease -> ``(B, grades)`` float32 logits; the prediction.
        specific: disease -> ``(B, grades)`` float32 logits of the disease-specific features, used in training
            only; empty for the networks that have none.
    """

    refined: dict[str, Tensor]
    specific: dict[str, Tensor]


class CANet(nn.Module):
    """Grade several diseases jointly, each with help from the others' features.

    With F the backbone's feature map, for each disease t::

        G_t  = FC_t(avg(S_t(F)))                        disease-specific features
        G'_t = G_t + sum over s of A_st(G_s) * G_s      refined with the dependent attention of the others

    and one linear classifier on each G_t and one on each G'_t.

    Reference: section III, Figure 3, equations 1-6, Table I.

    Differs from the paper: any number of diseases (the paper: two); a direction that ``dependence`` leaves
    out has no module at all, whereas the authors' code keeps it unused. Dropout is on single values of the
    feature map, as in that code; the paper says only that a dropout layer follows the backbone. See also
    ``attention``.

    Args:
        backbone: any timm network.
        grades: disease -> number of grades, in the order of the outputs.
        weights: of the backbone: ``none``, ``timm``, or a file.
        dependence: as :func:`retinalab_canet.dependence.dependence_pairs`.
        features: D, length of each G.
        reduction: r of the attention's hidden layers.
        dropout: probability, in training.
        dropout_place: ``features`` (values of F) or ``pooled`` (values of each disease's pooled vector).
        dependent_attention: ``code``, sigmoid(2 MLP(G)), or ``paper``, sigmoid(MLP(G)).
        mlp_bias: biases in the attention's hidden layers.
        spatial_norm: batch normalisation in the spatial gate.
        spatial_bias: bias of its convolution.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32, normalised.
        - Returns: :class:`GradeLogits`, ``(B, grades)`` for each disease, twice.

    Example:
        >>> import torch
        >>> network = CANet("resnet18", {"dr": 5, "dme": 3}, features=32).eval()
        >>> logits = network(torch.zeros(2, 3, 64, 64))
        >>> {disease: tuple(value.shape) for disease, value in logits.refined.items()}
        {'dr': (2, 5), 'dme': (2, 3)}
    """

    def __init__(
        self,
        backbone: str,
        grades: Mapping[str, int],
        *,
        weights: str = "none",
        dependence: str | Sequence[str] = "both",
        features: int = 1024,
        reduction: int = 16,
        dropout: float = 0.3,
        dropout_place: Literal["features", "pooled"] = "features",
        dependent_attention: Literal["code", "paper"] = "code",
        mlp_bias: bool = True,
        spatial_norm: bool = True,
        spatial_bias: bool = False,
    ) -> None:
        super().__init__()
        pairs = dependence_pairs(dependence, list(grades))
        self.grades = dict(grades)
        self.backbone = Backbone(backbone, weights)
        self.dropout = nn.Dropout(dropout)
        self.dropout_place = dropout_place
        channels = self.backbone.channels
        gain = 2.0 if dependent_attention == "code" else 1.0
        self.specific = nn.ModuleDict(
            {
                d: DiseaseSpecificAttention(channels, reduction, mlp_bias, spatial_norm, spatial_bias)
                for d in grades
            }
        )
        self.projection = nn.ModuleDict({d: nn.Linear(channels, features) for d in grades})
        self.dependent = nn.ModuleDict(
            {f"{s}2{t}": DiseaseDependentAttention(features, reduction, mlp_bias, gain) for s, t in pairs}
        )
        self.pairs = pairs
        self.head = nn.ModuleDict({d: nn.Linear(features, size) for d, size in grades.items()})
        self.specific_head = nn.ModuleDict({d: nn.Linear(features, size) for d, size in grades.items()})
        initialise(self.specific)

    def specific_features(self, images: Tensor) -> dict[str, Tensor]:
        """G: disease -> ``(B, D)``, the disease-specific features."""
        shared = self.backbone(images)
        if self.dropout_place == "features":
            shared = self.dropout(shared)
        vectors = {}
        for disease in self.grades:
            pooled = self.specific[disease](shared).mean((2, 3))
            if self.dropout_place == "pooled":
                pooled = self.dropout(pooled)
            vectors[disease] = self.projection[disease](pooled)
        return vectors

    def spatial_attention(self, images: Tensor) -> dict[str, Tensor]:
        """A_s: disease -> ``(B, 1, h, w)`` in [0, 1], how much each place of the shared features counts.

        Reference: equation 3.
        """
        shared = self.backbone(images)
        gates = {disease: cast(DiseaseSpecificAttention, self.specific[disease]) for disease in self.grades}
        return {disease: gate.spatial.weights(gate.channel(shared)) for disease, gate in gates.items()}

    def refine(self, specific: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """G': disease -> ``(B, D)``, each disease's features plus what the others' offer it (equation 6)."""
        refined = dict(specific)
        for source, target in self.pairs:
            refined[target] = refined[target] + self.dependent[f"{source}2{target}"](specific[source])
        return refined

    def forward(self, images: Tensor) -> GradeLogits:
        """Grade the photographs."""
        specific = self.specific_features(images)
        refined = self.refine(specific)
        return GradeLogits(
            {disease: self.head[disease](vector) for disease, vector in refined.items()},
            {disease: self.specific_head[disease](vector) for disease, vector in specific.items()},
        )
