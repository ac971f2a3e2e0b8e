"""Metrics that add up over an epoch and across processes, for progress, checkpoints and early stopping.

Their states are sums, so that any number of processes gives what one would. The figures of a finished run
come from its tables instead (:mod:`retinalab.metrics.evaluate`); both use the functions of
:mod:`retinalab.metrics.grading`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from retinalab.metrics.grading import ratio, summary
from retinalab.protocol import Scale
from retinalab.records import LESIONS

__all__ = ["DiseaseGrading", "GradingMetrics", "JointAccuracy", "LesionPixelF1", "LesionPresenceF1"]


class DiseaseGrading(Metric):
    """Figures of one disease from its confusion matrix: those of ``grading.summary``.

    Example:
        >>> from retinalab.protocol import SCALES
        >>> metric = DiseaseGrading(SCALES["binary"])
        >>> metric.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, -1]))
        >>> float(metric.compute()["accuracy"])
        1.0
    """

    full_state_update = False
    confusion: Tensor

    def __init__(self, scale: Scale, **settings: Any) -> None:
        super().__init__(**settings)
        self.scale = scale
        self.add_state(
            "confusion", torch.zeros(scale.size, scale.size, dtype=torch.int64), dist_reduce_fx="sum"
        )

    def update(self, predicted: Tensor, reference: Tensor) -> None:
        """Count a batch.

        Shape:
            - ``predicted``: ``(B,)`` grades, or ``(B, K)`` logits or probabilities, of which the largest
              counts.
            - ``reference``: ``(B,)``, int64; -1 unknown, left out.
        """
        known = reference >= 0
        cells = reference.long() * self.scale.size + _grades(predicted).long()
        # one_hot, not bincount: bincount has no deterministic form on a GPU, and choosing rows would wait for it
        marks = nn.functional.one_hot(cells.where(known, 0), self.scale.size**2) * known[:, None]
        self.confusion += marks.sum(dim=0).view_as(self.confusion)

    def compute(self) -> dict[str, Tensor]:
        """Name to scalar; nan where undefined. ``kappa`` is quadratic."""
        figures = summary(self.confusion.cpu().numpy().astype(np.float64), self.scale)
        device = self.confusion.device
        return {
            name: torch.tensor(float(v), dtype=torch.float32, device=device) for name, v in figures.items()
        }


class JointAccuracy(Metric):
    """Share of photographs with every disease graded right, among those where every reference is known."""

    full_state_update = False
    right: Tensor
    total: Tensor

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name in ("right", "total"):
            self.add_state(name, torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Sequence[Tensor], reference: Sequence[Tensor]) -> None:
        """Count a batch.

        Shape:
            - ``predicted``, ``reference``: one ``(B,)`` tensor of grades per disease, in the same order; -1
              unknown.
        """
        given, truth = torch.stack(list(predicted)), torch.stack(list(reference))
        known = (truth >= 0).all(dim=0)
        self.right += ((given == truth).all(dim=0) & known).sum()
        self.total += known.sum()

    def compute(self) -> Tensor:
        """Scalar; nan where no photograph is known in full."""
        return torch.where(self.total > 0, self.right / self.total, torch.nan)


class GradingMetrics(nn.Module):
    """Figures of every disease, and joint accuracy where there are several, named as in ``metrics.json``.

    Example:
        >>> from retinalab.protocol import SCALES
        >>> metrics = GradingMetrics({"dr": SCALES["icdr5"], "dme": SCALES["risk3"]})
        >>> grades = {"dr": torch.tensor([0, 4]), "dme": torch.tensor([0, 1])}
        >>> metrics.update(grades, {"dr": torch.tensor([0, 4]), "dme": torch.tensor([0, 2])})
        >>> figures = metrics.compute()
        >>> float(figures["dr/kappa"]), float(figures["joint/accuracy"])
        (1.0, 0.5)
    """

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        super().__init__()
        self.scales = dict(scales)
        self._metrics = nn.ModuleList(DiseaseGrading(scale) for scale in scales.values())
        self.joint = JointAccuracy() if len(scales) > 1 else None

    def update(self, predicted: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> None:
        """Count a batch.

        Shape:
            - ``predicted``: disease to ``(B,)`` grades, or ``(B, K)`` logits or probabilities.
            - ``reference``: disease to ``(B,)``, int64; -1 unknown.
        """
        grades = {disease: _grades(predicted[disease]) for disease in self.scales}
        for disease, metric in self._each():
            metric.update(grades[disease], reference[disease])
        if self.joint is not None:
            self.joint.update([grades[d] for d in self.scales], [reference[d] for d in self.scales])

    def compute(self) -> dict[str, Tensor]:
        """``dr/kappa``, ``dme/accuracy``, ``joint/accuracy``, ... to scalars."""
        figures: dict[str, Tensor] = {}
        for disease, metric in self._each():
            figures |= {f"{disease}/{name}": value for name, value in metric.compute().items()}
        return figures if self.joint is None else figures | {"joint/accuracy": self.joint.compute()}

    def _each(self) -> Iterator[tuple[str, DiseaseGrading]]:
        for disease, metric in zip(self.scales, self._metrics, strict=True):
            yield disease, cast("DiseaseGrading", metric)

    def reset(self) -> None:
        """Forget everything counted."""
        for _, metric in self._each():
            metric.reset()
        if self.joint is not None:
            self.joint.reset()


def _grades(predicted: Tensor) -> Tensor:
    return predicted.argmax(dim=1) if predicted.ndim == 2 else predicted


class _LesionF1(Metric):
    full_state_update = False
    counts: Tensor

    def __init__(self, lesions: Sequence[str], threshold: float, name: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.lesions, self.threshold, self._name = tuple(lesions), threshold, name
        self.add_state("counts", torch.zeros(3, len(self.lesions), dtype=torch.int64), dist_reduce_fx="sum")

    def _count(self, found: Tensor, there: Tensor, known: Tensor) -> None:
        other = tuple(axis for axis in range(found.ndim) if axis != 1)
        hit, extra, missed = found & there & known, found & ~there & known, ~found & there & known
        self.counts += torch.stack([cells.sum(dim=other) for cells in (hit, extra, missed)])

    def compute(self) -> dict[str, Tensor]:
        """``MA/f1``, ... and their unweighted mean; nan where nothing was there and nothing found."""
        tp, fp, fn = self.counts.cpu().numpy().astype(np.float64)
        each = ratio(2 * tp, 2 * tp + fp + fn)
        mean = np.nanmean(each) if np.isfinite(each).any() else np.nan
        values = [*each.tolist(), float(mean)]
        device = self.counts.device
        return {
            f"{lesion}/{self._name}": torch.tensor(value, dtype=torch.float32, device=device)
            for lesion, value in zip((*self.lesions, "mean"), values, strict=True)
        }


class LesionPixelF1(_LesionF1):
    """F1 of each lesion over all pixels of all photographs, 2 TP / (2 TP + FP + FN), and their mean."""

    def __init__(self, lesions: Sequence[str] = LESIONS, threshold: float = 0.5, **settings: Any) -> None:
        super().__init__(lesions, threshold, "f1", **settings)

    def update(self, probability: Tensor, mask: Tensor) -> None:
        """Count a batch.

        Shape:
            - ``probability``: ``(B, L, H, W)``, in [0, 1].
            - ``mask``: ``(B, L, H, W)``, uint8: 0 absent, 1 present, 255 ignored or not annotated.
        """
        self._count(probability >= self.threshold, mask == 1, mask != 255)


class LesionPresenceF1(_LesionF1):
    """F1 of each lesion's presence in the photographs, and their mean."""

    def __init__(self, lesions: Sequence[str] = LESIONS, threshold: float = 0.5, **settings: Any) -> None:
        super().__init__(lesions, threshold, "image_f1", **settings)

    def update(self, probability: Tensor, present: Tensor) -> None:
        """Count a batch.

        Shape:
            - ``probability``: ``(B, L)``, in [0, 1].
            - ``present``: ``(B, L)``, float: 1 present, 0 absent, nan unknown.
        """
        self._count(probability >= self.threshold, present == 1, ~present.isnan())
