"""Review of what a stage made: labels, where photographs were changed, nearness to test photographs, telling them apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retinalab.config import Experiment
from retinalab.data.made import open_made
from retinalab.data.module import FundusDataModule
from retinalab.data.part import Part
from retinalab.metrics.review import area_share, nearest_bits, nearness, spread, told_apart, undefined
from retinalab.metrics.shortcut import FEATURES, colour_features, field_of_view, sharpness_features
from retinalab.metrics.shortcut.features import SIDE
from retinalab.runner.anatomy import DrawnAnatomy
from retinalab.tasks.maker import Made
from retinalab.transforms.resize import reduced

__all__ = ["DRAWN", "REVIEW", "changed_columns", "review"]

REVIEW = "review.json"
DRAWN = 64
"""Photographs, at most, whose disc and vessels are drawn to see what was changed there."""

_COMPARED = 500
_CHUNK = 64
