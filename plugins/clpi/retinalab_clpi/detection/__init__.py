"""The generator as a lesion detector, and detectors beside it, as annotations go missing (section V, Figure 8)."""

from retinalab_clpi.detection.curve import Point, draw_curves, markdown, points
from retinalab_clpi.detection.detectors import DETECTORS, NOT_RUN, READINGS, build_detector
from retinalab_clpi.detection.discard import annotated
from retinalab_clpi.detection.patches import Patches, training_patches
from retinalab_clpi.detection.photographs import Photographs, read_photographs
from retinalab_clpi.detection.score import Matches, coco_average_precision, interval_of_share
from retinalab_clpi.detection.training import Recipe, detect, detect_units, train_detector, train_generator
from retinalab_clpi.detection.trial import GENERATOR, Outcome, Settings, Trial, run_trial
from retinalab_clpi.detection.truth import (
    Boxes,
    any_score,
    best_possible,
    lesion_boxes,
    lesion_centres,
    unit_detections,
    unit_fields,
)

__all__ = [
    "DETECTORS",
    "GENERATOR",
    "NOT_RUN",
    "READINGS",
    "Boxes",
    "Matches",
    "Outcome",
    "Patches",
    "Photographs",
    "Point",
    "Recipe",
    "Settings",
    "Trial",
    "annotated",
    "any_score",
    "best_possible",
    "build_detector",
    "coco_average_precision",
    "detect",
    "detect_units",
    "draw_curves",
    "interval_of_share",
    "lesion_boxes",
    "lesion_centres",
    "markdown",
    "points",
    "read_photographs",
    "run_trial",
    "train_detector",
    "train_generator",
    "training_patches",
    "unit_detections",
    "unit_fields",
]
