"""What journals ask for (TRIPOD+AI, CLAIM, STARD-AI), filled as far as a run's folder proves it."""

from retinalab.report.checklists.fill import (
    AUTHOR,
    Checklist,
    Filled,
    FilledChecklist,
    Item,
    checklists,
    filled,
)

__all__ = ["AUTHOR", "Checklist", "Filled", "FilledChecklist", "Item", "checklists", "filled"]
