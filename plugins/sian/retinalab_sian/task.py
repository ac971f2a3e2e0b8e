"""The two stages as tasks: lesions, then grades."""

from __future__ import annotations

from retinalab_sian.grading_task import SianTask
from retinalab_sian.lesion_task import LNetTask

__all__ = ["LNetTask", "SianTask"]
