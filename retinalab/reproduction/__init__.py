"""What a paper printed beside what was measured here."""

from retinalab.reproduction.filled import Beside, FilledCell, FilledTable, Measure, Row, filled
from retinalab.reproduction.runs import MeasuredRun, kept_runs, runs_below
from retinalab.reproduction.settings import Difference, differences
from retinalab.reproduction.ways import Recipe, way_of

__all__ = [
    "Beside",
    "Difference",
    "FilledCell",
    "FilledTable",
    "Measure",
    "MeasuredRun",
    "Recipe",
    "Row",
    "differences",
    "filled",
    "kept_runs",
    "runs_below",
    "way_of",
]
