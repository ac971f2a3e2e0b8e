"""What accumulates over the validation photographs of an epoch: figures of grades, lesions and windows."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from retinalab.data.batch import Batch
from retinalab.metrics.online import GradingMetrics, JointAccuracy, LesionPixelF1, LesionPresenceF1
from retinalab.protocol import Scale
from retinalab.tasks.outputs import Outputs

__all__ = ["ValidationFigures"]


class ValidationFigures(nn.Module):
    """The metrics of all that a step may give, of which those are told that it does give.

    Args:
        scales: disease -> its grade scale.
    """

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        super().__init__()
        self.scales = scales
        self.grades = GradingMetrics(scales)
        self.lesions = LesionPixelF1()
        self.present = LesionPresenceF1()
        self.windows = JointAccuracy()
        self._seen: set[str] = set()

    def update(self, batch: Batch, given: Outputs, counted: slice) -> None:
        """Count a batch, or none of a spare one: every process must take part in the sums over all of them."""
        if given.grades or given.severity:
            self._seen.add("grades")
            predicted = {d: given.predicted(d, scale.size)[counted] for d, scale in self.scales.items()}
            self.grades.update(predicted, {d: known[counted] for d, known in batch["grades"].items()})
        if given.lesions is not None and "mask" in batch:
            self._seen.add("lesions")
            self.lesions.update(given.lesions[counted], batch["mask"][counted])
        if given.present is not None:
            self._seen.add("present")
            self.present.update(given.present[counted], batch["present"][counted])
        if given.windows is not None:
            self._seen.add("windows")
            self.windows.update([given.windows.argmax(1)[counted]], [batch["label"][counted]])

    def compute(self) -> dict[str, Tensor]:
        """Name -> scalar, such as ``dr/kappa`` and ``lesion/MA/f1``; nan where undefined."""
        figures: dict[str, Tensor] = {}
        if "grades" in self._seen:
            figures.update(self.grades.compute())
        for kind, metric in (("lesions", self.lesions), ("present", self.present)):
            if kind in self._seen:
                figures.update({f"lesion/{name}": value for name, value in metric.compute().items()})
        if "windows" in self._seen:
            figures["windows/accuracy"] = self.windows.compute()
        return figures

    def reset(self) -> None:
        """Begin an epoch."""
        for metric in (self.grades, self.lesions, self.present, self.windows):
            metric.reset()
