"""What predictions would mean in a clinic: referrals, fixed operating points, calibration, patients, subgroups."""

from __future__ import annotations

from retinalab.metrics.clinical.options import Options
from retinalab.metrics.clinical.reading import read_clinically
from retinalab.metrics.clinical.result import ClinicalReading

__all__ = ["ClinicalReading", "Options", "read_clinically"]
