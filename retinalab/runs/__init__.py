"""Run folders as files: what lies below an output folder, and what of it can go. Nothing here imports torch."""

from retinalab.runs.clean import Removal, half_removed, plan, remove
from retinalab.runs.listing import ListedRun, read_run, runs_below, size_below
from retinalab.runs.locks import held, held_below, locked_out

__all__ = [
    "ListedRun",
    "Removal",
    "half_removed",
    "held",
    "held_below",
    "locked_out",
    "plan",
    "read_run",
    "remove",
    "runs_below",
    "size_below",
]
