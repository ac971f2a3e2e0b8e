"""How well the label is predicted without looking at the retina: its features, and a small model."""

from retinalab.metrics.shortcut.features import (
    FEATURES,
    colour_features,
    field_of_view,
    group_columns,
    photograph_features,
    sharpness_features,
)
from retinalab.metrics.shortcut.frame import Frame, field_features, frame_of
from retinalab.metrics.shortcut.model import predict, prediction_columns, rounds
from retinalab.metrics.shortcut.probe import ALL, WARN_ABOVE, Row, probe, strongest
from retinalab.metrics.shortcut.source import file_features, jpeg_quality

__all__ = [
    "ALL",
    "FEATURES",
    "WARN_ABOVE",
    "Frame",
    "Row",
    "colour_features",
    "field_features",
    "field_of_view",
    "file_features",
    "frame_of",
    "group_columns",
    "jpeg_quality",
    "photograph_features",
    "predict",
    "prediction_columns",
    "probe",
    "rounds",
    "sharpness_features",
    "strongest",
]
