"""Every figure, interval and test, computed from the tables that runs leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retinalab.metrics.evaluate import evaluate, majority
from retinalab.metrics.measure import Metric
from retinalab.metrics.tables import complete_predictions, read_meta, read_table, write_table

if TYPE_CHECKING:
    from retinalab.metrics.online import (
        DiseaseGrading,
        GradingMetrics,
        JointAccuracy,
        LesionPixelF1,
        LesionPresenceF1,
    )

__all__ = [
    "DiseaseGrading",
    "GradingMetrics",
    "JointAccuracy",
    "LesionPixelF1",
    "LesionPresenceF1",
    "Metric",
    "complete_predictions",
    "evaluate",
    "majority",
    "read_meta",
    "read_table",
    "write_table",
]

_ONLINE = ("DiseaseGrading", "GradingMetrics", "JointAccuracy", "LesionPixelF1", "LesionPresenceF1")


def __getattr__(name: str) -> Any:
    if name in _ONLINE:
        from retinalab.metrics import online

        return getattr(online, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
